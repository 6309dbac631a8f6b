// Text becomes bytes: `senda lab api text`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let mut data = [0; 64];
    //> encode
    let text = "año"; // a str is UTF-8 already
    println!("characters = {}", text.chars().count());
    print!("bytes = {}", text.len());
    text.bytes().for_each(|byte| print!(" {byte:02x}"));
    println!();
    //.
    let server = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(server.local_addr()?)?;
    let (mut conn, _) = server.accept()?;

    //> send
    println!("send = {}", client.write(text.as_bytes())?);
    //.
    while conn.peek(&mut data)? < 4 {} // the bytes travel while we go on

    //> half
    let n = conn.read(&mut data[..2])?; // from_utf8 would be an error now
    println!("recv = {n} {:02x} {:02x}", data[0], data[1]);

    //> whole
    let n = conn.read(&mut data[2..])?; // behind the first two
    println!("recv = {n} {:02x} {:02x}", data[2], data[3]);
    let all = str::from_utf8(&data[..2 + n]);
    println!("equal = {}", i32::from(all == Ok(text)));
    //.
    Ok(())
}
