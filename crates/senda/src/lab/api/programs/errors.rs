// What goes wrong, and how it is said: `senda lab api errors`. Needs the crate socket2, version 0.6.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

fn main() -> std::io::Result<()> {
    let mut data = [0; 64];
    //> closed-port
    let closed = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    closed.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?; // no listen
    let nobody = closed.local_addr()?.as_socket().unwrap();
    println!("getsockname = {nobody}");

    //> connect-ex
    let code = match TcpStream::connect(nobody) {
        Ok(_) => 0, // Rust has no connect_ex
        Err(error) => error.raw_os_error().unwrap(),
    };
    println!("connect_ex = {code}");

    //> connect
    if let Err(error) = TcpStream::connect(nobody) {
        println!("connect = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> in-use
    let server = TcpListener::bind("127.0.0.1:0")?; // socket, bind, listen
    println!("getsockname = {}", server.local_addr()?);
    if let Err(error) = TcpListener::bind(server.local_addr()?) {
        println!("bind = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> nothing-yet
    let mut client = TcpStream::connect(server.local_addr()?)?;
    let (conn, _peer) = server.accept()?;
    client.set_nonblocking(true)?;
    if let Err(error) = client.read(&mut data) {
        println!("recv = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> peer-closes
    drop(conn);

    //> first-send
    println!("send = {}", client.write(b"Hola, mundo")?);

    //> later-send
    let error = loop {
        if let Err(error) = client.write(b"?") {
            break error; // until the RST is here
        }
    };
    println!("send = -1 errno {}", error.raw_os_error().unwrap());

    //> unread
    let mut client = TcpStream::connect(server.local_addr()?)?;
    let (conn, _peer) = server.accept()?;
    println!("send = {}", client.write(b"Hola, mundo")?);
    //.
    while conn.peek(&mut data)? < 11 {} // the bytes travel while we go on

    //> reset
    drop(conn); // 11 bytes are there, unread
    if let Err(error) = client.read(&mut data) {
        println!("recv = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> after-reset
    if let Err(error) = client.write(b"?") {
        println!("send = -1 errno {}", error.raw_os_error().unwrap());
    }
    //.
    Ok(())
}
