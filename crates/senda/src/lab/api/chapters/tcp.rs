//! A connection's life: each function once.

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, gone, is};
use super::super::world::{ANY_PORT, Protocol};
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "tcp",
    title: Text { es: "la vida de una conexión", en: "the life of a connection" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/tcp.c"),
        python: include_str!("../programs/tcp.py"),
        rust: include_str!("../programs/tcp.rs"),
    },
};

const STEPS: [Step; 13] = [
    Step {
        name: "socket",
        title: Text { es: "el servidor crea un socket", en: "the server makes a socket" },
        explanation: Text {
            es: "El servidor y el cliente serán aquí el mismo programa, para que puedas ver los dos lados a la vez. El \
                 primer socket aún no tiene dirección: el núcleo no lo muestra en ninguna lista.",
            en: "Server and client are the same program here, so that you can see both sides at once. The first socket \
                 has no address yet: the kernel shows it in no list.",
        },
        introduces: &["socket"],
        perform: |world| Ok(vec![Fact::Fd("socket", world.socket("server", Protocol::Tcp)?)]),
        kernel: &[gone("server")],
    },
    Step {
        name: "bind",
        title: Text { es: "y le da una dirección", en: "and gives it an address" },
        explanation: Text {
            es: "Pedimos el puerto 0: el sistema elige uno libre, y getsockname dice cuál. Un servidor de verdad elige \
                 un número fijo que los clientes conozcan. El socket ya reserva el puerto, pero está cerrado: nadie \
                 puede conectarse todavía. (Linux lo muestra así desde la versión 6.8.)",
            en: "We ask for port 0: the system chooses a free one, and getsockname says which. A real server chooses a \
                 fixed number that clients know. The socket holds the port already, but it is closed: nobody can \
                 connect yet. (Linux shows it since 6.8.)",
        },
        introduces: &["bind", "getsockname"],
        perform: |world| {
            world.bind("server", ANY_PORT)?;
            Ok(vec![Fact::Done("bind"), Fact::Address("getsockname", world.address("server")?)])
        },
        kernel: &[is("server", State::Closed)],
    },
    Step {
        name: "listen",
        title: Text { es: "y se pone a la escucha", en: "and listens" },
        explanation: Text {
            es: "Ahora sí: el estado es ESCUCHAR (LISTEN). En un socket que escucha las colas significan otra cosa: \
                 «recib» es cuántas conexiones esperan a accept, y «enviad» cuántas pueden esperar (el 5 de listen).",
            en: "Now it does: the state is LISTEN. The queues of a listening socket mean something else: recv-q is how \
                 many connections wait for accept, and send-q how many may wait (the 5 of listen).",
        },
        introduces: &["listen"],
        perform: |world| {
            world.listen("server", 5)?;
            Ok(vec![Fact::Done("listen")])
        },
        kernel: &[is("server", State::Listen).with(0)],
    },
    Step {
        name: "client",
        title: Text { es: "el cliente crea el suyo", en: "the client makes its own" },
        explanation: Text {
            es: "Es la misma llamada: un socket no nace cliente ni servidor. El cliente no llama a bind: le da igual \
                 qué puerto tenga.",
            en: "The call is the same: a socket is not born client or server. The client does not call bind: it does \
                 not mind which port it has.",
        },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Fd("socket", world.socket("client", Protocol::Tcp)?)]),
        kernel: &[gone("client"), is("server", State::Listen)],
    },
    Step {
        name: "connect",
        title: Text { es: "y conecta", en: "and connects" },
        explanation: Text {
            es: "Fíjate: el servidor no ha llamado a accept, y aun así la conexión está establecida. El saludo de tres \
                 vías lo hace el núcleo. La conexión espera en la cola del servidor (recib: 1), y su otro lado ya existe \
                 (conn), aunque ningún programa tenga aún un descriptor suyo.",
            en: "Note: the server has not called accept, and still the connection is established. The kernel does the \
                 three-way handshake. The connection waits in the server's queue (recv-q: 1), and its other side exists \
                 already (conn), though no program has a descriptor of it yet.",
        },
        introduces: &["connect"],
        perform: |world| {
            let address = world.address("server")?;
            world.connect("client", address)?;
            world.foresee("conn", "server", "client")?;
            let own = Fact::Address("getsockname", world.address("client")?);
            Ok(vec![Fact::Done("connect"), own])
        },
        kernel: &[
            is("server", State::Listen).with(1),
            is("client", State::Established),
            is("conn", State::Established),
        ],
    },
    Step {
        name: "accept",
        title: Text { es: "el servidor la recoge", en: "the server takes it" },
        explanation: Text {
            es: "accept devuelve un socket nuevo y la dirección del cliente, la misma que el cliente dice tener. Su \
                 dirección local es la del servidor: una conexión se distingue por sus cuatro números, las dos IP y \
                 los dos puertos.",
            en: "accept returns a new socket and the client's address, the one that the client says it has. Its local \
                 address is the server's: a connection is told from others by its four numbers, both IPs and both \
                 ports.",
        },
        introduces: &["accept"],
        perform: |world| {
            let (fd, peer) = world.accept("server", "conn")?;
            Ok(vec![Fact::Accepted(fd, peer)])
        },
        kernel: &[
            is("server", State::Listen).with(0),
            is("client", State::Established),
            is("conn", State::Established),
        ],
    },
    Step {
        name: "send",
        title: Text { es: "el cliente envía", en: "the client sends" },
        explanation: Text {
            es: "send aceptó 11 bytes. Ya han cruzado: esperan en la cola de recepción de conn, aunque el servidor no \
                 haya llamado a recv. En C, MSG_NOSIGNAL evita que una conexión rota mate al programa con SIGPIPE; \
                 Python y Rust lo evitan ellos mismos.",
            en: "send took 11 bytes. They have crossed already: they wait in the receive queue of conn, though the \
                 server has not called recv. In C, MSG_NOSIGNAL keeps a broken connection from killing the program by \
                 SIGPIPE; Python and Rust see to it themselves.",
        },
        introduces: &["send"],
        perform: |world| Ok(vec![Fact::Number("send", world.send("client", b"Hola, mundo")?)]),
        kernel: &[is("client", State::Established), is("conn", State::Established).with(11)],
    },
    Step {
        name: "recv",
        title: Text { es: "el servidor recibe", en: "the server receives" },
        explanation: Text {
            es: "1024 es el máximo, no lo que esperamos: recv devuelve los 11 bytes que hay. Aquí coinciden con lo \
                 enviado; el capítulo stream muestra que eso es casualidad.",
            en: "1024 is the maximum, not what we wait for: recv returns the 11 bytes that are there. Here they happen \
                 to be what was sent; the chapter stream shows that this is chance.",
        },
        introduces: &["recv"],
        perform: |world| Ok(vec![Fact::Bytes("recv", world.recv("conn", 1024)?)]),
        kernel: &[is("client", State::Established), is("conn", State::Established).with(0)],
    },
    Step {
        name: "echo",
        title: Text { es: "y responde lo mismo", en: "and answers the same" },
        explanation: Text {
            es: "El eco de la práctica. La conexión va en los dos sentidos. sendall insiste hasta que todo esté \
                 entregado al núcleo; en el capítulo partial se ve por qué hace falta.",
            en: "The echo of the lab. The connection goes both ways. sendall insists until all has been handed to the \
                 kernel; the chapter partial shows why that is needed.",
        },
        introduces: &["sendall"],
        perform: |world| {
            world.send("conn", b"Hola, mundo")?;
            let echo = world.recv("client", 1024)?;
            Ok(vec![Fact::Bytes("recv", echo)])
        },
        kernel: &[is("client", State::Established).with(0), is("conn", State::Established).with(0)],
    },
    Step {
        name: "close",
        title: Text { es: "el cliente cierra primero", en: "the client closes first" },
        explanation: Text {
            es: "El cliente envía FIN y ya no tiene descriptor, pero su lado sigue en el núcleo: FIN-WAIT-2 significa \
                 «mi FIN está confirmado, espero el tuyo». El del servidor está en CLOSE-WAIT: «el otro terminó, falta \
                 que cierre yo». El FIN cuenta como un byte en la cola.",
            en: "The client sends FIN and has no descriptor any more, but its side is still in the kernel: FIN-WAIT-2 \
                 means “my FIN is acknowledged, I wait for yours”. The server's is in CLOSE-WAIT: “the other has \
                 finished, I have still to close”. The FIN counts as a byte in the queue.",
        },
        introduces: &["close"],
        perform: |world| {
            world.close("client")?;
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[is("client", State::FinWait2), is("conn", State::CloseWait)],
    },
    Step {
        name: "end",
        title: Text { es: "el servidor se entera", en: "the server learns of it" },
        explanation: Text {
            es: "recv devuelve 0 bytes, b'' en Python. No es un mensaje vacío: es el final. Todo servidor tiene que \
                 mirarlo, o dará vueltas para siempre. Leerlo no cambia el estado: un CLOSE-WAIT que dura es un \
                 programa que olvidó llamar a close.",
            en: "recv returns 0 bytes, b'' in Python. It is no empty message: it is the end. Every server has to look \
                 for it, or it will go round for ever. Reading it does not change the state: a CLOSE-WAIT that lasts is \
                 a program that forgot to call close.",
        },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Bytes("recv", world.recv("conn", 1024)?)]),
        kernel: &[is("client", State::FinWait2), is("conn", State::CloseWait)],
    },
    Step {
        name: "close-conn",
        title: Text { es: "el servidor cierra su lado", en: "the server closes its side" },
        explanation: Text {
            es: "El servidor pasa por LAST-ACK (espera la confirmación de su FIN) y desaparece; en loopback dura \
                 microsegundos, demasiado poco para verlo. Quien cerró primero se queda en TIME-WAIT: un minuto en \
                 Linux, por si el último ACK se pierde y para que los segmentos viejos no se cuelen en otra conexión.",
            en: "The server goes through LAST-ACK (it waits for its FIN to be acknowledged) and is gone; on loopback \
                 that takes microseconds, too short to be seen. Who closed first stays in TIME-WAIT: a minute on Linux, \
                 in case the last ACK is lost, and so that old segments don't get into another connection.",
        },
        introduces: &[],
        perform: |world| {
            world.close("conn")?;
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[is("client", State::TimeWait), gone("conn"), is("server", State::Listen)],
    },
    Step {
        name: "close-server",
        title: Text { es: "y deja de escuchar", en: "and stops listening" },
        explanation: Text {
            es: "Un socket que escucha no tiene a quién despedir: desaparece enseguida. El TIME-WAIT del cliente sigue \
                 sin que ningún programa lo tenga; el capítulo reuse cuenta cuándo estorba.",
            en: "A listening socket has nobody to say goodbye to: it is gone at once. The client's TIME-WAIT goes on \
                 without any program having it; the chapter reuse tells when it is in the way.",
        },
        introduces: &[],
        perform: |world| {
            world.close("server")?;
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[gone("server"), is("client", State::TimeWait)],
    },
];
