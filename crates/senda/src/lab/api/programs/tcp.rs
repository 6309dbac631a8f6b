// A TCP connection's life, call by call: `senda lab api tcp`. Needs the crate socket2, version 0.6.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

fn main() -> std::io::Result<()> {
    //> socket
    let server = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    println!("socket = fd {}", server.as_raw_fd());

    //> bind
    server.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let address = server.local_addr()?;
    println!("getsockname = {}", address.as_socket().unwrap());

    //> listen
    server.listen(5)?;

    //> client
    let mut client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    println!("socket = fd {}", client.as_raw_fd());

    //> connect
    client.connect(&address)?;
    println!("getsockname = {}", client.local_addr()?.as_socket().unwrap());

    //> accept
    let (mut conn, peer) = server.accept()?;
    let peer = peer.as_socket().unwrap();
    println!("accept = fd {} from {peer}", conn.as_raw_fd());

    //> send
    println!("send = {}", client.send(b"Hola, mundo")?);

    //> recv
    let mut data = [0; 1024];
    let n = conn.read(&mut data)?; // recv
    println!("recv = {n} b'{}'", data[..n].escape_ascii());

    //> echo
    conn.write_all(&data[..n])?; // sendall
    let n = client.read(&mut data)?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());

    //> close
    drop(client); // close

    //> end
    let n = conn.read(&mut data)?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());

    //> close-conn
    drop(conn);

    //> close-server
    drop(server);
    //.
    Ok(())
}
