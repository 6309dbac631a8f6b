//! Refused, in use, nothing yet, reset: what goes wrong, and how it is said.

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, gone, is};
use super::super::world::{ANY_PORT, Protocol};
use super::{connect_and_accept, failed, listener};
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "errors",
    title: Text { es: "cuando algo va mal", en: "when something goes wrong" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/errors.c"),
        python: include_str!("../programs/errors.py"),
        rust: include_str!("../programs/errors.rs"),
    },
};

const STEPS: [Step; 11] = [
    Step {
        name: "closed-port",
        title: Text { es: "un puerto donde nadie escucha", en: "a port where nobody listens" },
        explanation: Text {
            es: "Con bind y sin listen, el puerto es nuestro y está cerrado: nadie más puede tomarlo mientras probamos.",
            en: "With bind and without listen, the port is ours and it is closed: nobody else can take it while we try.",
        },
        introduces: &[],
        perform: |world| {
            world.socket("closed", Protocol::Tcp)?;
            world.bind("closed", ANY_PORT)?;
            Ok(vec![Fact::Address("getsockname", world.address("closed")?)])
        },
        kernel: &[is("closed", State::Closed)],
    },
    Step {
        name: "connect-ex",
        title: Text { es: "connect_ex devuelve el error", en: "connect_ex returns the error" },
        explanation: Text {
            es: "El SYN llega, y el núcleo responde RST: ahí no hay nadie. connect_ex lo cuenta como un número, 111. En C \
                 es errno, y en Rust raw_os_error. Los números son de Linux; los nombres, de todos.",
            en: "The SYN arrives, and the kernel answers RST: there is nobody. connect_ex tells it as a number, 111. In C \
                 it is errno, and in Rust raw_os_error. The numbers are those of Linux; the names are everybody's.",
        },
        introduces: &["connect_ex"],
        perform: |world| {
            let nobody = world.address("closed")?;
            world.socket("client", Protocol::Tcp)?;
            Ok(vec![match world.connect("client", nobody) {
                Ok(()) => Fact::Number("connect_ex", 0),
                Err(errno) => Fact::Code("connect_ex", errno),
            }])
        },
        kernel: &[is("closed", State::Closed), gone("client")],
    },
    Step {
        name: "connect",
        title: Text { es: "connect lo lanza", en: "connect raises it" },
        explanation: Text {
            es: "El mismo error como excepción: en Python ConnectionRefusedError, que es un OSError; en Rust, un Err. Un \
                 socket que no pudo conectar se descarta, y se crea otro.",
            en: "The same error as an exception: in Python ConnectionRefusedError, which is an OSError; in Rust an Err. A \
                 socket that could not connect is thrown away, and another is made.",
        },
        introduces: &[],
        perform: |world| {
            let nobody = world.address("closed")?;
            world.close("client")?;
            world.socket("client", Protocol::Tcp)?;
            let outcome = world.connect("client", nobody);
            Ok(vec![failed("connect", outcome, |()| Fact::Done("connect"))])
        },
        kernel: &[is("closed", State::Closed), gone("client")],
    },
    Step {
        name: "in-use",
        title: Text { es: "un puerto ocupado", en: "a port that is taken" },
        explanation: Text {
            es: "Alguien escucha ya en esa dirección, así que bind falla. SO_REUSEADDR no cambia esto (en Rust, \
                 TcpListener::bind la pone, y falla igual).",
            en: "Somebody listens at that address already, so bind fails. SO_REUSEADDR does not change this (in Rust, \
                 TcpListener::bind sets it, and fails all the same).",
        },
        introduces: &[],
        perform: |world| {
            listener(world)?;
            let address = world.address("server")?;
            world.socket("other", Protocol::Tcp)?;
            let outcome = world.bind("other", address);
            let outcome = failed("bind", outcome, |()| Fact::Done("bind"));
            Ok(vec![Fact::Address("getsockname", address), outcome])
        },
        kernel: &[is("server", State::Listen), gone("other")],
    },
    Step {
        name: "nothing-yet",
        title: Text { es: "todavía no hay nada", en: "there is nothing yet" },
        explanation: Text {
            es: "Un recv que no espera dice EAGAIN si no hay datos. No lo confundas con 0: EAGAIN es «todavía no», 0 es \
                 «nunca más».",
            en: "A recv that does not wait says EAGAIN if there are no data. Don't take it for 0: EAGAIN is “not yet”, 0 \
                 is “never again”.",
        },
        introduces: &[],
        perform: |world| {
            connect_and_accept(world)?;
            let outcome = world.recv_now("client", 64);
            Ok(vec![failed("recv", outcome, |data| Fact::Bytes("recv", data))])
        },
        kernel: &[is("client", State::Established), is("conn", State::Established)],
    },
    Step {
        name: "peer-closes",
        title: Text { es: "el otro cierra", en: "the other closes" },
        explanation: Text {
            es: "Hasta aquí, una despedida normal: conn espera nuestro FIN.",
            en: "So far a normal goodbye: conn waits for our FIN.",
        },
        introduces: &[],
        perform: |world| {
            world.close("conn")?;
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[is("client", State::CloseWait), is("conn", State::FinWait2)],
    },
    Step {
        name: "first-send",
        title: Text { es: "el primer send va bien", en: "the first send succeeds" },
        explanation: Text {
            es: "send vuelve con 11, y nadie los leerá: el núcleo del otro ya no tiene programa a quien darlos y responde \
                 RST. La conexión muere sin TIME-WAIT. Un envío con éxito no demuestra nada; para saber que algo llegó, \
                 el protocolo necesita una respuesta.",
            en: "send returns 11, and nobody will read them: the other's kernel has no program to give them to and \
                 answers RST. The connection dies without TIME-WAIT. A send that succeeds proves nothing; to know that \
                 something arrived, the protocol needs an answer.",
        },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Number("send", world.send("client", b"Hola, mundo")?)]),
        kernel: &[gone("client"), gone("conn")],
    },
    Step {
        name: "later-send",
        title: Text { es: "el siguiente ya no", en: "the next does not" },
        explanation: Text {
            es: "Con el RST aquí, send dice EPIPE. En una red de verdad el RST tarda, y antes podrían pasar varios send; \
                 por eso el bucle.",
            en: "With the RST here, send says EPIPE. In a real network the RST takes its time, and several sends might \
                 succeed before; hence the loop.",
        },
        introduces: &[],
        perform: |world| {
            loop {
                if let Err(errno) = world.send("client", b"?") {
                    return Ok(vec![Fact::Failed("send", errno)]);
                }
            }
        },
        kernel: &[gone("client"), gone("conn")],
    },
    Step {
        name: "unread",
        title: Text {
            es: "otra conexión, con algo sin leer",
            en: "another connection, with something unread",
        },
        explanation: Text {
            es: "El cliente envía 11 bytes que el servidor no lee.",
            en: "The client sends 11 bytes that the server does not read.",
        },
        introduces: &[],
        perform: |world| {
            connect_and_accept(world)?;
            Ok(vec![Fact::Number("send", world.send("client", b"Hola, mundo")?)])
        },
        kernel: &[is("client", State::Established), is("conn", State::Established).with(11)],
    },
    Step {
        name: "reset",
        title: Text {
            es: "cerrar sin leer corta la conexión",
            en: "closing without reading cuts the connection",
        },
        explanation: Text {
            es: "Como se pierden datos, close envía RST en lugar de FIN, y al cliente recv le dice ECONNRESET. Nada queda \
                 en el núcleo: ni TIME-WAIT ni nada.",
            en: "Since data are lost, close sends RST instead of FIN, and recv tells the client ECONNRESET. Nothing is \
                 left in the kernel: no TIME-WAIT, nothing.",
        },
        introduces: &[],
        perform: |world| {
            world.close("conn")?;
            let outcome = world.recv("client", 64);
            Ok(vec![failed("recv", outcome, |data| Fact::Bytes("recv", data))])
        },
        kernel: &[gone("client"), gone("conn")],
    },
    Step {
        name: "after-reset",
        title: Text { es: "el error se dice una vez", en: "the error is told once" },
        explanation: Text {
            es: "ECONNRESET se entrega a la primera llamada que pregunta. Después, enviar da EPIPE (y leer daría 0).",
            en: "ECONNRESET is handed to the first call that asks. After it, sending gives EPIPE (and reading would give \
                 0).",
        },
        introduces: &[],
        perform: |world| {
            let outcome = world.send("client", b"?");
            Ok(vec![failed("send", outcome, |sent| Fact::Number("send", sent))])
        },
        kernel: &[gone("client"), gone("conn")],
    },
];
