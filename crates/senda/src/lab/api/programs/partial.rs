// A send that takes a part: `senda lab api partial`. Needs the crate socket2, version 0.6.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use socket2::SockRef;

fn main() -> std::io::Result<()> {
    let data = vec![0; 1 << 20]; // 1 MiB
    let mut buffer = [0; 1 << 16];
    //> buffers
    let server = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(server.local_addr()?)?;
    let (mut conn, _peer) = server.accept()?;
    // Linux doubles the sizes, for its own bookkeeping.
    SockRef::from(&client).set_send_buffer_size(1 << 16)?;
    SockRef::from(&conn).set_recv_buffer_size(1 << 16)?;
    println!("client = {}", client.local_addr()?);

    //> part
    client.set_nonblocking(true)?;
    let mut sent = client.write(&data)?;
    println!("send = {sent} of {}", data.len());

    //> full
    let error = loop {
        match client.write(&data[sent..]) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
    };
    println!("send = -1 errno {}", error.raw_os_error().unwrap());
    println!("sent = {sent} of {}", data.len());

    //> sendall
    let mut received = 0;
    while received < data.len() {
        match client.write(&data[sent..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        received += conn.read(&mut buffer)?; // reading makes room
    }
    println!("sent = {sent}\nreceived = {received}");
    //.
    Ok(())
}
