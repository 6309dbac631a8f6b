// TCP carries bytes, not messages: `senda lab api stream`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    //> connection
    let server = TcpListener::bind("127.0.0.1:0")?; // socket, bind, listen
    let mut client = TcpStream::connect(server.local_addr()?)?; // and connect
    let (mut conn, _peer) = server.accept()?;
    println!("client = {}", client.local_addr()?);

    //> two-sends
    println!("send = {}", client.write(b"Hola,")?);
    println!("send = {}", client.write(b" mundo")?);
    //.
    while conn.peek(&mut [0; 64])? < 11 {} // the bytes travel while we go on

    //> one-recv
    let mut data = [0; 1024];
    let n = conn.read(&mut data)?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());

    //> one-send
    println!("send = {}", client.write(b"Hola, mundo")?);
    //.
    while conn.peek(&mut [0; 64])? < 11 {}

    //> three-recvs
    for _ in 0..3 {
        let n = conn.read(&mut data[..4])?;
        println!("recv = {n} b'{}'", data[..n].escape_ascii());
    }

    //> frame
    for message in ["Hola,", " mundo"] {
        let len = u32::try_from(message.len()).unwrap();
        client.write_all(&len.to_be_bytes())?; // network order
        client.write_all(message.as_bytes())?;
        println!("sent = {}", 4 + message.len());
    }

    //> unframe
    for _ in 0..2 {
        let mut len = [0; 4];
        conn.read_exact(&mut len)?; // exactly so many, or an error
        let n = u32::from_be_bytes(len) as usize;
        assert!(n <= data.len(), "a length from outside has a limit");
        conn.read_exact(&mut data[..n])?;
        println!("recv = {n} b'{}'", data[..n].escape_ascii());
    }
    //.
    Ok(())
}
