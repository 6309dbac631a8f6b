//! The chapters, in the order of the tour.

mod backlog; // connections that wait for accept
mod errors; // refused, in use, nothing yet, reset
mod partial; // a send that takes a part
mod reuse; // TIME-WAIT and SO_REUSEADDR
mod shutdown; // half of a connection ends
mod stream; // TCP has no messages
mod tcp; // a connection's life
mod text; // characters and bytes
mod udp; // datagrams

use super::tour::{Chapter, Fact};
use super::world::{ANY_PORT, Protocol, World};

pub(super) const ALL: [Chapter; 9] = [
    tcp::CHAPTER,
    text::CHAPTER,
    backlog::CHAPTER,
    stream::CHAPTER,
    partial::CHAPTER,
    shutdown::CHAPTER,
    reuse::CHAPTER,
    errors::CHAPTER,
    udp::CHAPTER,
];

pub(super) fn names() -> [&'static str; ALL.len()] {
    ALL.map(|chapter| chapter.name)
}

/// `server` listens, `client` is connected to it, and `conn` is the server's side: the chapter tcp in one go.
fn connection(world: &mut World) -> rustix::io::Result<()> {
    listener(world)?;
    connect_and_accept(world)
}

/// `server`: socket, bind to a port that the system chooses, listen.
fn listener(world: &mut World) -> rustix::io::Result<()> {
    world.socket("server", Protocol::Tcp)?;
    world.bind("server", ANY_PORT)?;
    world.listen("server", 5)
}

/// `client` and `conn`, by the `server` that listens.
fn connect_and_accept(world: &mut World) -> rustix::io::Result<()> {
    let address = world.address("server")?;
    world.socket("client", Protocol::Tcp)?;
    world.connect("client", address)?;
    world.accept("server", "conn").map(drop)
}

/// The first step of the chapters that are not about connecting.
fn connected(world: &mut World) -> rustix::io::Result<Vec<Fact>> {
    connection(world)?;
    Ok(vec![Fact::Address("client", world.address("client")?)])
}

/// What came of a call that should fail, or of one that should not.
fn failed<T>(
    call: &'static str,
    outcome: rustix::io::Result<T>,
    success: impl FnOnce(T) -> Fact,
) -> Fact {
    match outcome {
        Ok(value) => success(value),
        Err(errno) => Fact::Failed(call, errno),
    }
}
