//! Datagrams.

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, gone, is};
use super::super::world::{ANY_PORT, Protocol, World};
use super::failed;
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "udp",
    title: Text { es: "datagramas", en: "datagrams" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/udp.c"),
        python: include_str!("../programs/udp.py"),
        rust: include_str!("../programs/udp.rs"),
    },
};

const STEPS: [Step; 14] = [
    Step {
        name: "receiver",
        title: Text { es: "quien recibe tiene dirección", en: "who receives has an address" },
        explanation: Text {
            es: "No hay listen ni accept: con bind basta. El estado es SIN_CONECTAR (ss lo llama UNCONN), y UDP no tiene \
                 más que otro: no hay conexión que abrir ni que cerrar.",
            en: "There is no listen and no accept: bind is enough. The state is UNCONNECTED (ss calls it UNCONN), and UDP \
                 has but one other: there is no connection to open or to close.",
        },
        introduces: &[],
        perform: |world| {
            let fd = Fact::Fd("socket", world.socket("receiver", Protocol::Udp)?);
            world.bind("receiver", ANY_PORT)?;
            let address = Fact::Address("getsockname", world.address("receiver")?);
            Ok(vec![fd, Fact::Done("bind"), address])
        },
        kernel: &[is("receiver", State::Unconnected).with(0)],
    },
    Step {
        name: "sender",
        title: Text { es: "a quien envía no le hace falta", en: "who sends needs none" },
        explanation: Text {
            es: "Sin bind todavía no tiene puerto, y el núcleo no lo muestra.",
            en: "Without bind it has no port yet, and the kernel does not show it.",
        },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Fd("socket", world.socket("sender", Protocol::Udp)?)]),
        kernel: &[gone("sender")],
    },
    Step {
        name: "sendto",
        title: Text { es: "un datagrama", en: "a datagram" },
        explanation: Text {
            es: "Al enviar, el sistema eligió un puerto: es lo que pasa con bind al puerto 0. La cola de quien recibe \
                 cuenta memoria, no bytes: el datagrama y lo que el núcleo guarda con él.",
            en: "On sending, the system chose a port: the same happens with bind to port 0. The receiver's queue counts \
                 memory, not bytes: the datagram and what the kernel keeps with it.",
        },
        introduces: &["sendto"],
        perform: |world| {
            let sent = to_receiver(world, b"Hola, mundo")?;
            Ok(vec![sent, Fact::Address("getsockname", world.address("sender")?)])
        },
        kernel: &[
            is("receiver", State::Unconnected).with_something(),
            is("sender", State::Unconnected),
        ],
    },
    Step {
        name: "recvfrom",
        title: Text { es: "y de quién es", en: "and whose it is" },
        explanation: Text {
            es: "Los datos y la dirección de quien los envió. Es la única forma de saber a quién responder: no hay conexión.",
            en: "The data and the address of who sent them. It is the only way to know whom to answer: there is no \
                 connection.",
        },
        introduces: &["recvfrom"],
        perform: |world| Ok(vec![from_anybody(world, "receiver")?]),
        kernel: &[is("receiver", State::Unconnected).with(0)],
    },
    Step {
        name: "answer",
        title: Text { es: "responder", en: "answering" },
        explanation: Text {
            es: "El mismo socket envía y recibe. Un servidor UDP atiende con uno solo a todos sus clientes.",
            en: "The same socket sends and receives. A UDP server serves all its clients with a single one.",
        },
        introduces: &[],
        perform: |world| {
            let port = world.address("sender")?.port();
            let peer = (ANY_PORT.ip(), port).into();
            let sent = Fact::Number("sendto", world.send_to("receiver", b"eco", peer)?);
            Ok(vec![sent, from_anybody(world, "sender")?])
        },
        kernel: &[
            is("receiver", State::Unconnected).with(0),
            is("sender", State::Unconnected).with(0),
        ],
    },
    Step {
        name: "two",
        title: Text { es: "dos datagramas", en: "two datagrams" },
        explanation: Text {
            es: "Ahora hay dos en la cola de quien recibe.",
            en: "Now there are two in the receiver's queue.",
        },
        introduces: &[],
        perform: |world| Ok(vec![to_receiver(world, b"uno")?, to_receiver(world, b"dos")?]),
        kernel: &[is("receiver", State::Unconnected).with_something()],
    },
    Step {
        name: "one-each",
        title: Text { es: "un recvfrom para cada uno", en: "one recvfrom for each" },
        explanation: Text {
            es: "Cabían los dos en 1024, y aun así llegan de uno en uno: UDP sí conserva los mensajes. En loopback salen \
                 en orden; por una red pueden llegar desordenados, repetidos o no llegar.",
            en: "Both would have fitted into 1024, and still they come one by one: UDP does keep messages. On loopback \
                 they come in order; over a network they may arrive in another order, twice, or not at all.",
        },
        introduces: &[],
        perform: |world| {
            Ok(vec![from_anybody(world, "receiver")?, from_anybody(world, "receiver")?])
        },
        kernel: &[is("receiver", State::Unconnected).with(0)],
    },
    Step {
        name: "truncated",
        title: Text { es: "recv(4) de 11 bytes pierde 7", en: "recv(4) of 11 bytes loses 7" },
        explanation: Text {
            es: "En TCP el resto esperaría en la cola; aquí se descarta, y nadie avisa. El segundo recv no encuentra nada. El \
                 recv(512) de la práctica hace esto con un datagrama más largo.",
            en: "With TCP the rest would wait in the queue; here it is thrown away, and nobody says so. The second recv \
                 finds nothing. The handout's recv(512) does this with a longer datagram.",
        },
        introduces: &[],
        perform: |world| {
            let sent = to_receiver(world, b"Hola, mundo")?;
            let part = Fact::Bytes("recv", world.recv("receiver", 4)?);
            let outcome = world.recv_now("receiver", 1024);
            Ok(vec![sent, part, failed("recv", outcome, |data| Fact::Bytes("recv", data))])
        },
        kernel: &[is("receiver", State::Unconnected).with(0)],
    },
    Step {
        name: "msg-trunc",
        title: Text { es: "recvmsg lo confiesa", en: "recvmsg admits it" },
        explanation: Text {
            es: "recvmsg devuelve además unas marcas: MSG_TRUNC dice que el datagrama era más largo que el sitio que le \
                 dimos. Lo más sencillo es dar siempre sitio de sobra: un datagrama no pasa de 65.507 bytes.",
            en: "recvmsg returns flags as well: MSG_TRUNC says that the datagram was longer than the room we gave it. The \
                 simplest is to give more than enough room: no datagram has more than 65,507 bytes.",
        },
        introduces: &[],
        perform: |world| {
            let sent = to_receiver(world, b"Hola, mundo")?;
            let (len, truncated) = world.recv_msg("receiver", 4)?;
            let truncated = Fact::Number("MSG_TRUNC", truncated.into());
            Ok(vec![sent, Fact::Number("recvmsg", len), truncated])
        },
        kernel: &[is("receiver", State::Unconnected).with(0)],
    },
    Step {
        name: "empty",
        title: Text { es: "0 bytes no es el final", en: "0 bytes is not the end" },
        explanation: Text {
            es: "Un datagrama puede ir vacío, y llega, con su dirección. En UDP no hay final: el bucle que termina con \
                 b'' es cosa de TCP.",
            en: "A datagram may be empty, and it arrives, with its address. UDP has no end: the loop that ends at b'' is \
                 for TCP.",
        },
        introduces: &[],
        perform: |world| Ok(vec![to_receiver(world, b"")?, from_anybody(world, "receiver")?]),
        kernel: &[is("receiver", State::Unconnected).with(0)],
    },
    Step {
        name: "connect",
        title: Text { es: "connect en UDP", en: "connect with UDP" },
        explanation: Text {
            es: "No envía nada. private recuerda con quién habla (receiver), y descarta lo que llegue de otros. El núcleo \
                 lo llama ESTABLECIDO, aunque el otro lado no sepa nada.",
            en: "It sends nothing. private remembers whom it talks to (receiver), and drops what comes from others. The \
                 kernel calls it ESTABLISHED, though the other side knows nothing of it.",
        },
        introduces: &[],
        perform: |world| {
            let receiver = world.address("receiver")?;
            world.socket("private", Protocol::Udp)?;
            world.bind("private", ANY_PORT)?;
            world.connect("private", receiver)?;
            let own = Fact::Address("getsockname", world.address("private")?);
            Ok(vec![Fact::Done("connect"), own])
        },
        kernel: &[is("private", State::Established), is("receiver", State::Unconnected)],
    },
    Step {
        name: "nothing",
        title: Text { es: "un puerto cerrado: nada", en: "a closed port: nothing" },
        explanation: Text {
            es: "Para sender, que no es receiver, el puerto de private está cerrado. sendto vuelve bien, el datagrama \
                 se pierde, y aunque el núcleo responde con un ICMP «puerto inalcanzable», un socket sin conectar no se \
                 entera.",
            en: "To sender, which is not receiver, the port of private is closed. sendto succeeds, the datagram is lost, \
                 and though the kernel answers by an ICMP “port unreachable”, an unconnected socket does not hear of it.",
        },
        introduces: &[],
        perform: |world| {
            let closed = world.address("private")?;
            let sent = Fact::Number("sendto", world.send_to("sender", b"hola", closed)?);
            let outcome = world.recv_now("sender", 1024);
            Ok(vec![sent, failed("recv", outcome, |data| Fact::Bytes("recv", data))])
        },
        kernel: &[is("private", State::Established).with(0), is("sender", State::Unconnected)],
    },
    Step {
        name: "refused",
        title: Text { es: "conectado, sí se entera", en: "connected, it does hear" },
        explanation: Text {
            es: "Con connect, el ICMP tiene a quién ir: send vuelve bien, y la llamada siguiente da ECONNREFUSED. Por eso \
                 un cliente UDP hace bien en llamar a connect. Entre máquinas, un cortafuegos puede callarse el ICMP.",
            en: "With connect, the ICMP has somebody to go to: send succeeds, and the next call gives ECONNREFUSED. This \
                 is why a UDP client does well to call connect. Between machines a firewall may swallow the ICMP.",
        },
        introduces: &[],
        perform: |world| {
            let closed = world.address("private")?;
            world.connect("sender", closed)?;
            let sent = Fact::Number("send", world.send("sender", b"hola")?);
            let outcome = world.recv("sender", 1024);
            let outcome = failed("recv", outcome, |data| Fact::Bytes("recv", data));
            Ok(vec![Fact::Done("connect"), sent, outcome])
        },
        kernel: &[is("private", State::Established).with(0), is("sender", State::Established)],
    },
    Step {
        name: "close",
        title: Text { es: "y se acabó", en: "and that is all" },
        explanation: Text {
            es: "Ni FIN ni TIME-WAIT: los tres desaparecen en el acto, y nadie al otro lado se entera.",
            en: "No FIN and no TIME-WAIT: all three are gone on the spot, and nobody on the other side learns of it.",
        },
        introduces: &[],
        perform: |world| {
            for name in ["private", "sender", "receiver"] {
                world.close(name)?;
            }
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[gone("private"), gone("sender"), gone("receiver")],
    },
];

/// `sender` sends a datagram to `receiver`.
fn to_receiver(world: &mut World, data: &[u8]) -> rustix::io::Result<Fact> {
    let receiver = world.address("receiver")?;
    Ok(Fact::Number("sendto", world.send_to("sender", data, receiver)?))
}

fn from_anybody(world: &mut World, name: &'static str) -> rustix::io::Result<Fact> {
    let (data, peer) = world.recv_from(name, 1024)?;
    Ok(Fact::Datagram("recvfrom", data, peer))
}
