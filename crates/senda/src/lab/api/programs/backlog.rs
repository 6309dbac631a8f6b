// Connections that wait for accept: `senda lab api backlog`. Needs the crate socket2, version 0.6.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

fn main() -> std::io::Result<()> {
    //> listen
    let server = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    server.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    server.listen(1)?;
    let server = TcpListener::from(server);
    let address = server.local_addr()?;
    println!("getsockname = {address}");

    //> two
    let mut first = TcpStream::connect(address)?; // socket, connect
    println!("first = {}", first.local_addr()?);
    let second = TcpStream::connect(address)?;
    println!("second = {}", second.local_addr()?);

    //> early
    println!("send = {}", first.write(b"uno")?);

    //> third
    let third = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    third.set_nonblocking(true)?;
    if let Err(error) = third.connect(&address.into()) {
        println!("connect = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> give-up
    drop(third);

    //> accept
    let (mut conn, peer) = server.accept()?;
    println!("accept = {peer}");
    let mut data = [0; 1024];
    let n = conn.read(&mut data)?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());

    //> next
    let (_other, peer) = server.accept()?;
    println!("accept = {peer}");
    //.
    Ok(())
}
