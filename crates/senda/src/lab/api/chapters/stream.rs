//! "recv(1024) is not a message".

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, is};
use super::connected;
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "stream",
    title: Text { es: "recv(1024) no es un mensaje", en: "recv(1024) is not a message" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/stream.c"),
        python: include_str!("../programs/stream.py"),
        rust: include_str!("../programs/stream.rs"),
    },
};

/// The two messages of the chapter.
const MESSAGES: [&[u8]; 2] = [b"Hola,", b" mundo"];

const STEPS: [Step; 7] = [
    Step {
        name: "connection",
        title: Text { es: "una conexión", en: "a connection" },
        explanation: Text {
            es: "Como en el capítulo tcp, ahora de una vez. Python y Rust tienen funciones que hacen varias llamadas \
                 juntas; en el programa en C las hemos escrito nosotros \
                 (míralas con --program c).",
            en: "As in the chapter tcp, now in one go. Python and Rust have functions that make several calls at once; \
                 in the C program we wrote them ourselves (--program c shows them).",
        },
        introduces: &[],
        perform: connected,
        kernel: &[is("client", State::Established), is("conn", State::Established)],
    },
    Step {
        name: "two-sends",
        title: Text { es: "dos send", en: "two sends" },
        explanation: Text {
            es: "El cliente envía dos veces. En la cola hay 11 bytes, y nada entre el quinto y el sexto: TCP no guarda \
                 dónde terminó cada send.",
            en: "The client sends twice. There are 11 bytes in the queue, and nothing between the fifth and the sixth: \
                 TCP does not keep where each send ended.",
        },
        introduces: &[],
        perform: |world| {
            let mut facts = Vec::new();
            for message in MESSAGES {
                facts.push(Fact::Number("send", world.send("client", message)?));
            }
            Ok(facts)
        },
        kernel: &[is("client", State::Established), is("conn", State::Established).with(11)],
    },
    Step {
        name: "one-recv",
        title: Text { es: "un solo recv", en: "a single recv" },
        explanation: Text {
            es: "Dos envíos, una recepción. Si hubieras llamado a recv un momento antes, quizá habrías visto solo el \
                 primero: depende del reloj, y ningún programa debe contar con ello.",
            en: "Two sends, one receive. Had you called recv a moment earlier, you might have seen the first alone: it \
                 depends on timing, and no program must count on it.",
        },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Bytes("recv", world.recv("conn", 1024)?)]),
        kernel: &[is("conn", State::Established).with(0)],
    },
    Step {
        name: "one-send",
        title: Text { es: "ahora un solo send", en: "now a single send" },
        explanation: Text { es: "Once bytes de una vez.", en: "Eleven bytes at once." },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Number("send", world.send("client", b"Hola, mundo")?)]),
        kernel: &[is("conn", State::Established).with(11)],
    },
    Step {
        name: "three-recvs",
        title: Text { es: "en tres recv", en: "in three recvs" },
        explanation: Text {
            es: "Con recv(4) llega en tres trozos, y lo que no se leyó esperó en la cola. Con 1024 pasa lo mismo en \
                 cuanto el mensaje es más largo, o la red lo parte.",
            en: "By recv(4) it comes in three pieces, and what had not been read waited in the queue. With 1024 the same \
                 happens as soon as the message is longer, or the network splits it.",
        },
        introduces: &[],
        perform: |world| {
            let mut facts = Vec::new();
            for _ in 0..3 {
                facts.push(Fact::Bytes("recv", world.recv("conn", 4)?));
            }
            Ok(facts)
        },
        kernel: &[is("conn", State::Established).with(0)],
    },
    Step {
        name: "frame",
        title: Text { es: "el remedio: decir la longitud", en: "the remedy: say the length" },
        explanation: Text {
            es: "El protocolo tiene que decir dónde acaba cada mensaje: con un delimitador (el fin de línea), con un \
                 tamaño fijo o, como aquí, con la longitud delante, en 4 bytes y en orden de red. En la cola vuelve a \
                 haber bytes y nada más: 4 + 5 + 4 + 6.",
            en: "The protocol has to say where each message ends: by a delimiter (the end of a line), by a fixed size, \
                 or, as here, by the length in front, in 4 bytes and in network order. In the queue there are bytes and \
                 nothing else again: 4 + 5 + 4 + 6.",
        },
        introduces: &[],
        perform: |world| {
            let mut facts = Vec::new();
            for message in MESSAGES {
                let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
                let sent = world.send("client", &len.to_be_bytes())?;
                facts.push(Fact::Number("sent", sent + world.send("client", message)?));
            }
            Ok(facts)
        },
        kernel: &[is("conn", State::Established).with(19)],
    },
    Step {
        name: "unframe",
        title: Text { es: "y leer exactamente eso", en: "and read exactly that" },
        explanation: Text {
            es: "Quien recibe lee 4 bytes exactos, comprueba que la longitud es razonable, y lee exactamente tantos \
                 como dice. Ahora sí son mensajes, lleguen como lleguen. Al recv(1024) de la práctica le falta esto.",
            en: "Who receives reads exactly 4 bytes, checks that the length is reasonable, and reads exactly as many as \
                 it says. Now they are messages, however they arrive. This is what recv(1024) lacks in the handout.",
        },
        introduces: &[],
        perform: |world| {
            let mut facts = Vec::new();
            for _ in MESSAGES {
                let len = world.recv_all("conn", 4)?;
                let len = len.try_into().map_or(0, u32::from_be_bytes);
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(1024);
                facts.push(Fact::Bytes("recv", world.recv_all("conn", len)?));
            }
            Ok(facts)
        },
        kernel: &[is("conn", State::Established).with(0)],
    },
];
