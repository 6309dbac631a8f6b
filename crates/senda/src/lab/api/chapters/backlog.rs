//! Connections that wait for accept, and the one that finds no room.

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, gone, is};
use super::super::world::{ANY_PORT, Protocol};
use super::failed;
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "backlog",
    title: Text { es: "la cola de listen", en: "the queue of listen" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/backlog.c"),
        python: include_str!("../programs/backlog.py"),
        rust: include_str!("../programs/backlog.rs"),
    },
};

const STEPS: [Step; 7] = [
    Step {
        name: "listen",
        title: Text { es: "una cola muy corta", en: "a very short queue" },
        explanation: Text {
            es: "listen(1), para poder llenarla. El número es una indicación: Linux deja esperar a una conexión más, \
                 es decir, a dos. Lo normal es un número grande (o, en Python, no decir nada).",
            en: "listen(1), so that it can be filled. The number is a hint: Linux lets one connection more wait, which \
                 makes two. Usually one gives a large number (or, in Python, none).",
        },
        introduces: &[],
        perform: |world| {
            world.socket("server", Protocol::Tcp)?;
            world.bind("server", ANY_PORT)?;
            world.listen("server", 1)?;
            Ok(vec![Fact::Address("getsockname", world.address("server")?)])
        },
        kernel: &[is("server", State::Listen).with(0)],
    },
    Step {
        name: "two",
        title: Text {
            es: "dos clientes se conectan, y nadie llama a accept",
            en: "two clients connect, and nobody calls accept",
        },
        explanation: Text {
            es: "Los dos están conectados de verdad: ESTABLECIDO. Para un cliente, que connect vuelva bien significa que \
                 el núcleo del servidor ha respondido, no que el programa lo sepa.",
            en: "Both are really connected: ESTABLISHED. To a client, that connect succeeds means that the server's \
                 kernel has answered, not that its program knows.",
        },
        introduces: &[],
        perform: |world| {
            let address = world.address("server")?;
            let mut facts = Vec::new();
            for name in ["first", "second"] {
                world.socket(name, Protocol::Tcp)?;
                world.connect(name, address)?;
                facts.push(Fact::Address(name, world.address(name)?));
            }
            Ok(facts)
        },
        kernel: &[
            is("server", State::Listen).with(2),
            is("first", State::Established),
            is("second", State::Established),
        ],
    },
    Step {
        name: "early",
        title: Text { es: "y uno ya envía", en: "and one sends already" },
        explanation: Text {
            es: "Antes de accept, y funciona: los 3 bytes esperan en el lado del servidor (conn), que existe sin \
                 descriptor. Que send vuelva bien no significa que alguien haya leído nada.",
            en: "Before accept, and it works: the 3 bytes wait at the server's side (conn), which exists without a \
                 descriptor. That send succeeds does not mean that anybody has read anything.",
        },
        introduces: &[],
        perform: |world| {
            let sent = world.send("first", b"uno")?;
            world.foresee("conn", "server", "first")?;
            Ok(vec![Fact::Number("send", sent)])
        },
        kernel: &[
            is("server", State::Listen).with(2),
            is("first", State::Established),
            is("conn", State::Established).with(3),
        ],
    },
    Step {
        name: "third",
        title: Text { es: "el tercero no cabe", en: "the third finds no room" },
        explanation: Text {
            es: "La cola está llena y el núcleo descarta su SYN: el cliente se queda en SYN-SENT y lo repite al cabo de \
                 un segundo, y otra vez. connect esperaría más de dos minutos; este socket no espera, y por eso \
                 connect vuelve enseguida y dice que aún está en ello.",
            en: "The queue is full and the kernel drops its SYN: the client stays in SYN-SENT and repeats it after a \
                 second, and again. connect would wait for more than two minutes; this socket does not wait, so connect \
                 returns at once and says that it is still at it.",
        },
        introduces: &[],
        perform: |world| {
            let address = world.address("server")?;
            world.socket("third", Protocol::Tcp)?;
            world.never_wait("third")?;
            let outcome = world.connect("third", address);
            Ok(vec![failed("connect", outcome, |()| Fact::Done("connect"))])
        },
        kernel: &[is("server", State::Listen).with(2), is("third", State::SynSent)],
    },
    Step {
        name: "give-up",
        title: Text { es: "y lo deja", en: "and gives up" },
        explanation: Text {
            es: "Nadie respondió, así que no hay de quién despedirse: cerrarlo es olvidarlo.",
            en: "Nobody answered, so there is nobody to say goodbye to: closing it is forgetting it.",
        },
        introduces: &[],
        perform: |world| {
            world.close("third")?;
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[is("server", State::Listen).with(2), gone("third")],
    },
    Step {
        name: "accept",
        title: Text { es: "accept toma el más antiguo", en: "accept takes the oldest" },
        explanation: Text {
            es: "La dirección es la de first. Y lo que envió antes de ser aceptado está ahí.",
            en: "The address is that of first. And what it sent before it was accepted is there.",
        },
        introduces: &[],
        perform: |world| {
            let (_, peer) = world.accept("server", "conn")?;
            let data = world.recv("conn", 1024)?;
            Ok(vec![Fact::Address("accept", peer), Fact::Bytes("recv", data)])
        },
        kernel: &[is("server", State::Listen).with(1), is("conn", State::Established).with(0)],
    },
    Step {
        name: "next",
        title: Text { es: "y luego el siguiente", en: "and then the next" },
        explanation: Text {
            es: "La cola vuelve a estar vacía: otro accept esperaría.",
            en: "The queue is empty again: another accept would wait.",
        },
        introduces: &[],
        perform: |world| {
            let (_, peer) = world.accept("server", "other")?;
            Ok(vec![Fact::Address("accept", peer)])
        },
        kernel: &[is("server", State::Listen).with(0), is("other", State::Established)],
    },
];
