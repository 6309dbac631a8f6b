// Datagrams: `senda lab api udp`. Needs the crate socket2, version 0.6.

use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use socket2::{Domain, MaybeUninitSlice, SockRef, Socket, Type};

fn main() -> std::io::Result<()> {
    //> receiver
    let receiver = UdpSocket::bind("127.0.0.1:0")?; // socket, bind
    println!("socket = fd {}", receiver.as_raw_fd());
    let address = receiver.local_addr()?;
    println!("getsockname = {address}");

    //> sender
    let sender = UdpSocket::from(Socket::new(Domain::IPV4, Type::DGRAM, None)?);
    println!("socket = fd {}", sender.as_raw_fd());

    //> sendto
    println!("sendto = {}", sender.send_to(b"Hola, mundo", address)?);
    println!("getsockname = {}", sender.local_addr()?);

    //> recvfrom
    let mut data = [0; 1024];
    let (n, peer) = receiver.recv_from(&mut data)?;
    println!("recvfrom = {n} b'{}' from {peer}", data[..n].escape_ascii());

    //> answer
    println!("sendto = {}", receiver.send_to(b"eco", peer)?);
    let (n, from) = sender.recv_from(&mut data)?;
    println!("recvfrom = {n} b'{}' from {from}", data[..n].escape_ascii());

    //> two
    println!("sendto = {}", sender.send_to(b"uno", address)?);
    println!("sendto = {}", sender.send_to(b"dos", address)?);

    //> one-each
    for _ in 0..2 {
        let (n, peer) = receiver.recv_from(&mut data)?;
        println!("recvfrom = {n} b'{}' from {peer}", data[..n].escape_ascii());
    }

    //> truncated
    println!("sendto = {}", sender.send_to(b"Hola, mundo", address)?);
    let n = receiver.recv(&mut data[..4])?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());
    receiver.set_nonblocking(true)?;
    if let Err(error) = receiver.recv(&mut data) {
        // the rest is not there
        println!("recv = -1 errno {}", error.raw_os_error().unwrap());
    }
    receiver.set_nonblocking(false)?;

    //> msg-trunc
    println!("sendto = {}", sender.send_to(b"Hola, mundo", address)?);
    let mut part = [MaybeUninit::uninit(); 4];
    let mut parts = [MaybeUninitSlice::new(&mut part)];
    let recvmsg = SockRef::from(&receiver).recv_vectored(&mut parts);
    let (n, flags) = recvmsg?;
    println!("recvmsg = {n}\nMSG_TRUNC = {}", i32::from(flags.is_truncated()));

    //> empty
    println!("sendto = {}", sender.send_to(b"", address)?);
    let (n, peer) = receiver.recv_from(&mut data)?;
    println!("recvfrom = {n} b'{}' from {peer}", data[..n].escape_ascii());

    //> connect
    let private = UdpSocket::bind("127.0.0.1:0")?;
    private.connect(address)?; // the receiver's
    println!("getsockname = {}", private.local_addr()?);

    //> nothing
    let closed = private.local_addr()?; // to everybody else
    println!("sendto = {}", sender.send_to(b"hola", closed)?);
    sender.set_nonblocking(true)?;
    if let Err(error) = sender.recv(&mut data) {
        println!("recv = -1 errno {}", error.raw_os_error().unwrap());
    }
    sender.set_nonblocking(false)?;

    //> refused
    sender.connect(closed)?;
    println!("send = {}", sender.send(b"hola")?);
    if let Err(error) = sender.recv(&mut data) {
        println!("recv = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> close
    drop(private);
    drop(sender);
    drop(receiver);
    //.
    Ok(())
}
