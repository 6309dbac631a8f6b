// Half of a connection ends: `senda lab api shutdown`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    //> connection
    let server = TcpListener::bind("127.0.0.1:0")?; // socket, bind, listen
    let mut client = TcpStream::connect(server.local_addr()?)?; // and connect
    let (mut conn, _peer) = server.accept()?;
    println!("client = {}", client.local_addr()?);

    //> shutdown
    println!("send = {}", client.write(b"datos")?);
    client.shutdown(Shutdown::Write)?;

    //> to-the-end
    let mut data = [0; 1024];
    loop {
        let n = conn.read(&mut data)?; // each recv until the end
        println!("recv = {n} b'{}'", data[..n].escape_ascii());
        if n == 0 {
            break;
        }
    }

    //> answer
    println!("send = {}", conn.write(b"respuesta")?);
    let n = client.read(&mut data)?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());

    //> no-more
    if let Err(error) = client.write(b"otro") {
        println!("send = -1 errno {}", error.raw_os_error().unwrap());
    }

    //> close
    drop(conn);

    //> both
    let n = client.read(&mut data)?;
    println!("recv = {n} b'{}'", data[..n].escape_ascii());
    drop(client);
    //.
    Ok(())
}
