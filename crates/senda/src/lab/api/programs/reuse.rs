// A port in TIME-WAIT, and SO_REUSEADDR: `senda lab api reuse`. Needs the crate socket2, version 0.6.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

fn main() -> std::io::Result<()> {
    let mut data = [0; 64];
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    //> first
    let server = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    server.set_reuse_address(true)?; // std's TcpListener::bind does it for you
    server.bind(&any.into())?;
    server.listen(5)?;
    let address = server.local_addr()?.as_socket().unwrap();
    println!("getsockname = {address}");
    let mut client = TcpStream::connect(address)?;
    let (conn, _peer) = server.accept()?;

    //> server-first
    drop(conn); // the server's side is the first to close
    println!("recv = {}", client.read(&mut data)?);
    drop(client);
    drop(server);

    //> without
    let second = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if let Err(error) = second.bind(&address.into()) {
        println!("bind = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> with
    second.set_reuse_address(true)?;
    second.bind(&address.into())?;
    second.listen(5)?;
    println!("getsockname = {}", second.local_addr()?.as_socket().unwrap());

    //> both
    let server = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    server.bind(&any.into())?; // this one has no SO_REUSEADDR
    server.listen(5)?;
    let address = server.local_addr()?.as_socket().unwrap();
    println!("getsockname = {address}");
    let mut client = TcpStream::connect(address)?;
    drop(server.accept()?);
    println!("recv = {}", client.read(&mut data)?);
    drop(client);
    drop(server);
    let third = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    third.set_reuse_address(true)?;
    if let Err(error) = third.bind(&address.into()) {
        println!("bind = -1 errno {}", error.raw_os_error().unwrap());
    }
    //.
    Ok(())
}
