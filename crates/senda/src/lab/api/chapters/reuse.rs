//! A port whose old connections are in TIME-WAIT, and SO_REUSEADDR.

use std::net::SocketAddr;

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, gone, is};
use super::super::world::{ANY_PORT, Protocol, World};
use super::{connect_and_accept, failed, listener};
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "reuse",
    title: Text {
        es: "volver a usar un puerto: SO_REUSEADDR",
        en: "using a port again: SO_REUSEADDR",
    },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/reuse.c"),
        python: include_str!("../programs/reuse.py"),
        rust: include_str!("../programs/reuse.rs"),
    },
};

const STEPS: [Step; 5] = [
    Step {
        name: "first",
        title: Text { es: "un servidor con un cliente", en: "a server with a client" },
        explanation: Text {
            es: "Pone SO_REUSEADDR antes de bind; enseguida se verá para qué. En Python, socket.create_server la pone \
                 sola; en Rust, también TcpListener::bind.",
            en: "It sets SO_REUSEADDR before bind; what for will be seen soon. In Python, socket.create_server sets it \
                 by itself; in Rust, TcpListener::bind does as well.",
        },
        introduces: &["setsockopt"],
        perform: |world| {
            world.socket("server", Protocol::Tcp)?;
            world.reuse_address("server")?;
            world.bind("server", ANY_PORT)?;
            world.listen("server", 5)?;
            connect_and_accept(world)?;
            Ok(vec![Fact::Address("getsockname", world.address("server")?)])
        },
        kernel: &[
            is("server", State::Listen),
            is("client", State::Established),
            is("conn", State::Established),
        ],
    },
    Step {
        name: "server-first",
        title: Text { es: "el servidor cierra primero", en: "the server closes first" },
        explanation: Text {
            es: "Por eso el TIME-WAIT queda esta vez de su lado: su dirección local es el puerto del servidor. Así queda \
                 un servidor que se para (o al que paras con Ctrl-C) con clientes conectados.",
            en: "This is why the TIME-WAIT is on its side this time: its local address is the server's port. It is what \
                 a server leaves that stops (or that you stop by Ctrl-C) with clients connected.",
        },
        introduces: &[],
        perform: |world| Ok(vec![close_all(world)?]),
        kernel: &[gone("server"), is("conn", State::TimeWait), gone("client")],
    },
    Step {
        name: "without",
        title: Text {
            es: "arrancar otra vez, sin SO_REUSEADDR",
            en: "starting again, without SO_REUSEADDR",
        },
        explanation: Text {
            es: "Nadie escucha en el puerto, y aun así bind falla durante un minuto. Es el error que todo el mundo ve la \
                 primera vez que reinicia su servidor.",
            en: "Nobody listens at the port, and still bind fails for a minute. It is the error that everybody sees when \
                 they restart their server for the first time.",
        },
        introduces: &[],
        perform: |world| {
            let address = address_of(world, "conn")?;
            world.socket("second", Protocol::Tcp)?;
            let outcome = world.bind("second", address);
            Ok(vec![failed("bind", outcome, |()| Fact::Done("bind"))])
        },
        kernel: &[gone("second"), is("conn", State::TimeWait)],
    },
    Step {
        name: "with",
        title: Text { es: "y con SO_REUSEADDR", en: "and with SO_REUSEADDR" },
        explanation: Text {
            es: "El mismo socket, con la opción, toma el puerto. El TIME-WAIT sigue ahí y no molesta. Esto no permite \
                 que dos servidores escuchen a la vez en el mismo puerto.",
            en: "The same socket, with the option, takes the port. The TIME-WAIT is still there and is not in the way. \
                 This does not allow two servers to listen at the same port at once.",
        },
        introduces: &[],
        perform: |world| {
            let address = address_of(world, "conn")?;
            world.reuse_address("second")?;
            // Who read for more than a minute has it already: TIME-WAIT was over before.
            if world.named("second").is_none_or(|second| second.local.is_none()) {
                world.bind("second", address)?;
            }
            world.listen("second", 5)?;
            let taken = Fact::Address("getsockname", world.address("second")?);
            Ok(vec![Fact::Done("setsockopt"), Fact::Done("bind"), taken])
        },
        kernel: &[is("second", State::Listen), is("conn", State::TimeWait)],
    },
    Step {
        name: "both",
        title: Text { es: "en Linux hace falta en los dos", en: "Linux wants it of both" },
        explanation: Text {
            es: "Lo mismo desde el principio, con un primer servidor que no puso la opción: el segundo la pone, y falla \
                 igualmente, porque el TIME-WAIT recuerda cómo era su socket. Por eso: SO_REUSEADDR siempre, desde el \
                 primer arranque.",
            en: "The same from the start, with a first server that did not set the option: the second sets it, and fails \
                 all the same, because the TIME-WAIT remembers what its socket was like. Hence: SO_REUSEADDR always, \
                 from the first start on.",
        },
        introduces: &[],
        perform: |world| {
            listener(world)?;
            let address = world.address("server")?;
            connect_and_accept(world)?;
            let read = close_all(world)?;
            world.socket("third", Protocol::Tcp)?;
            world.reuse_address("third")?;
            let outcome = world.bind("third", address);
            let outcome = failed("bind", outcome, |()| Fact::Done("bind"));
            Ok(vec![Fact::Address("getsockname", address), read, outcome])
        },
        kernel: &[gone("third"), is("conn", State::TimeWait)],
    },
];

/// The server's side closes, then all others. What the client read in between: the end.
fn close_all(world: &mut World) -> rustix::io::Result<Fact> {
    world.close("conn")?;
    let read = world.recv("client", 64)?.len();
    world.close("client")?;
    world.close("server")?;
    Ok(Fact::Number("recv", read))
}

/// The address that a socket had, which may be closed.
fn address_of(world: &World, name: &str) -> rustix::io::Result<SocketAddr> {
    world.named(name).and_then(|socket| socket.local).ok_or(rustix::io::Errno::BADF)
}
