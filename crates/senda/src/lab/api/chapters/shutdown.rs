//! Half of a connection ends before the other.

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, gone, is};
use super::{connected, failed};
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "shutdown",
    title: Text { es: "cerrar solo media conexión", en: "closing half a connection" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/shutdown.c"),
        python: include_str!("../programs/shutdown.py"),
        rust: include_str!("../programs/shutdown.rs"),
    },
};

const STEPS: [Step; 7] = [
    Step {
        name: "connection",
        title: Text { es: "una conexión", en: "a connection" },
        explanation: Text {
            es: "Como en el capítulo tcp. Son dos flujos, uno en cada sentido, y cada uno termina por su cuenta.",
            en: "As in the chapter tcp. It is two streams, one each way, and each ends by itself.",
        },
        introduces: &[],
        perform: connected,
        kernel: &[is("client", State::Established), is("conn", State::Established)],
    },
    Step {
        name: "shutdown",
        title: Text { es: "«no enviaré nada más»", en: "“I shall send no more”" },
        explanation: Text {
            es: "El cliente envía sus datos y después FIN, pero conserva el descriptor y sigue leyendo. Los estados son \
                 los mismos que tras close: FIN-WAIT-2 y CLOSE-WAIT. En la cola de conn hay 5 bytes y el FIN, que cuenta \
                 como otro.",
            en: "The client sends its data and then FIN, but it keeps the descriptor and goes on reading. The states are \
                 those after close: FIN-WAIT-2 and CLOSE-WAIT. The queue of conn has 5 bytes and the FIN, which counts \
                 as one more.",
        },
        introduces: &["shutdown"],
        perform: |world| {
            let sent = Fact::Number("send", world.send("client", b"datos")?);
            world.shutdown_write("client")?;
            Ok(vec![sent, Fact::Done("shutdown")])
        },
        kernel: &[is("client", State::FinWait2), is("conn", State::CloseWait).with(6)],
    },
    Step {
        name: "to-the-end",
        title: Text { es: "leer hasta el final", en: "reading to the end" },
        explanation: Text {
            es: "Primero llegan los datos, después el 0. Así puede un servidor leer «todo» sin conocer la longitud: el \
                 FIN es el delimitador. Solo sirve una vez por conexión.",
            en: "First come the data, then the 0. This is how a server can read “all of it” without knowing the length: \
                 the FIN is the delimiter. It works once for each connection.",
        },
        introduces: &[],
        perform: |world| {
            let mut facts = Vec::new();
            loop {
                let data = world.recv("conn", 1024)?;
                let end = data.is_empty();
                facts.push(Fact::Bytes("recv", data));
                if end {
                    return Ok(facts);
                }
            }
        },
        kernel: &[is("client", State::FinWait2), is("conn", State::CloseWait)],
    },
    Step {
        name: "answer",
        title: Text { es: "y el servidor aún responde", en: "and the server still answers" },
        explanation: Text {
            es: "El otro sentido sigue abierto: en CLOSE-WAIT se puede enviar, y en FIN-WAIT-2 recibir, tanto tiempo \
                 como haga falta.",
            en: "The other direction is open still: in CLOSE-WAIT one can send, and in FIN-WAIT-2 receive, for as long \
                 as it takes.",
        },
        introduces: &[],
        perform: |world| {
            let sent = Fact::Number("send", world.send("conn", b"respuesta")?);
            Ok(vec![sent, Fact::Bytes("recv", world.recv("client", 1024)?)])
        },
        kernel: &[is("client", State::FinWait2).with(0), is("conn", State::CloseWait)],
    },
    Step {
        name: "no-more",
        title: Text {
            es: "pero el cliente ya no puede enviar",
            en: "but the client can send no more",
        },
        explanation: Text {
            es: "Lo dijo él mismo con shutdown. Sin MSG_NOSIGNAL, un programa en C moriría aquí por SIGPIPE, sin ningún \
                 mensaje.",
            en: "It said so itself by shutdown. Without MSG_NOSIGNAL a C program would die here of SIGPIPE, without any \
                 message.",
        },
        introduces: &[],
        perform: |world| {
            let outcome = world.send("client", b"otro");
            Ok(vec![failed("send", outcome, |sent| Fact::Number("send", sent))])
        },
        kernel: &[is("client", State::FinWait2), is("conn", State::CloseWait)],
    },
    Step {
        name: "close",
        title: Text { es: "el servidor termina también", en: "the server finishes, too" },
        explanation: Text {
            es: "Su FIN completa la despedida: conn pasa por LAST-ACK, demasiado breve para verlo, y desaparece. El \
                 cliente, que terminó primero, está en TIME-WAIT, y eso que su programa aún tiene el descriptor abierto.",
            en: "Its FIN completes the goodbye: conn goes through LAST-ACK, too short to be seen, and is gone. The \
                 client, which finished first, is in TIME-WAIT, although its program has the descriptor open still.",
        },
        introduces: &[],
        perform: |world| {
            world.close("conn")?;
            Ok(vec![Fact::Done("close")])
        },
        kernel: &[is("client", State::TimeWait), gone("conn")],
    },
    Step {
        name: "both",
        title: Text { es: "y el cliente lo ve", en: "and the client sees it" },
        explanation: Text {
            es: "También él recibe su 0, y devuelve el descriptor. El TIME-WAIT es del núcleo y sigue su minuto.",
            en: "It gets its 0 as well, and gives the descriptor back. The TIME-WAIT is the kernel's and goes on for its \
                 minute.",
        },
        introduces: &[],
        perform: |world| {
            let data = Fact::Bytes("recv", world.recv("client", 1024)?);
            world.close("client")?;
            Ok(vec![data, Fact::Done("close")])
        },
        kernel: &[is("client", State::TimeWait), gone("conn")],
    },
];
