//! A send that takes a part, and the loop that insists.

use rustix::io::Errno;

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, is};
use super::connected;
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "partial",
    title: Text { es: "send puede tomar solo una parte", en: "send may take a part only" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/partial.c"),
        python: include_str!("../programs/partial.py"),
        rust: include_str!("../programs/partial.rs"),
    },
};

/// What is to be sent: 1 MiB, more than the buffers of both sides hold.
static DATA: [u8; 1 << 20] = [0; 1 << 20];
/// What we ask for as the size of a buffer.
const BUFFER: usize = 1 << 16;

const STEPS: [Step; 4] = [
    Step {
        name: "buffers",
        title: Text {
            es: "una conexión con búferes pequeños",
            en: "a connection with small buffers",
        },
        explanation: Text {
            es: "Entre los dos programas hay dos búferes: el de envío de un lado y el de recepción del otro. Los hacemos \
                 pequeños para llenarlos pronto; por defecto crecen hasta varios megabytes.",
            en: "Between the two programs there are two buffers: the send buffer of one side and the receive buffer of \
                 the other. We make them small so that they fill soon; by default they grow to several megabytes.",
        },
        introduces: &[],
        perform: |world| {
            let facts = connected(world)?;
            world.send_buffer("client", BUFFER)?;
            world.receive_buffer("conn", BUFFER)?;
            Ok(facts)
        },
        kernel: &[is("client", State::Established), is("conn", State::Established).with(0)],
    },
    Step {
        name: "part",
        title: Text { es: "send acepta lo que cabe", en: "send takes what fits" },
        explanation: Text {
            es: "Pedimos enviar 1 MiB y nadie está leyendo. El socket no espera, así que send devuelve cuántos bytes \
                 aceptó: el resto sigue siendo cosa nuestra. Quien no mira lo que send devuelve pierde datos sin \
                 enterarse. El número exacto depende del sistema.",
            en: "We ask to send 1 MiB and nobody is reading. The socket does not wait, so send returns how many bytes it \
                 took: the rest is still our business. Who does not look at what send returns loses data without \
                 knowing. The exact number depends on the system.",
        },
        introduces: &[],
        perform: |world| {
            world.never_wait("client")?;
            let sent = world.send("client", &DATA)?;
            world.sent = sent;
            Ok(vec![Fact::Part("send", sent, DATA.len())])
        },
        kernel: &[is("client", State::Established).adding_up(), is("conn", State::Established)],
    },
    Step {
        name: "full",
        title: Text { es: "hasta que no cabe nada más", en: "until nothing fits any more" },
        explanation: Text {
            es: "Repetimos send con el resto hasta que dice EAGAIN: los dos búferes están llenos. En cuanto el \
                 otro ha confirmado lo que tiene, lo enviado es la suma de las dos colas: lo que él no ha leído, y lo \
                 que aún espera aquí. TCP frena al que envía \
                 cuando el otro no lee: eso es el control de flujo.",
            en: "We repeat send with the rest until it says EAGAIN: both buffers are full. As soon as the other \
                 has acknowledged what it has, what was sent is the sum of the two queues: what it has not read, and \
                 what still waits here. TCP slows down who \
                 sends when the other does not read: this is flow control.",
        },
        introduces: &[],
        perform: |world| {
            loop {
                let rest = DATA.get(world.sent..).unwrap_or_default();
                match world.send("client", rest) {
                    // All of it fits: the buffers are larger than we asked for.
                    Ok(0) => return Ok(vec![Fact::Part("sent", world.sent, DATA.len())]),
                    Ok(sent) => world.sent += sent,
                    Err(errno) => {
                        let sent = Fact::Part("sent", world.sent, DATA.len());
                        return Ok(vec![Fact::Failed("send", errno), sent]);
                    }
                }
            }
        },
        kernel: &[is("client", State::Established).adding_up(), is("conn", State::Established)],
    },
    Step {
        name: "sendall",
        title: Text { es: "el bucle de sendall", en: "the loop of sendall" },
        explanation: Text {
            es: "Enviar lo que quepa, recordar por dónde íbamos, repetir. Un sendall de verdad espera entre medias a que \
                 haya sitio (o lo hace el propio send, si el socket espera); aquí el sitio lo hace el otro lado, que es \
                 este mismo programa, al leer.",
            en: "Send what fits, remember how far we got, repeat. A real sendall waits in between until there is room \
                 (or send itself does, if the socket waits); here the other side, which is this same program, makes room \
                 by reading.",
        },
        introduces: &[],
        perform: |world| {
            let mut received = 0;
            while received < DATA.len() {
                match world.send("client", DATA.get(world.sent..).unwrap_or_default()) {
                    Ok(sent) => world.sent += sent,
                    Err(Errno::AGAIN) => {}
                    Err(errno) => return Err(errno),
                }
                let read = world.recv("conn", BUFFER)?.len();
                if read == 0 {
                    return Err(Errno::CONNRESET); // The client has not closed.
                }
                received += read;
            }
            Ok(vec![Fact::Number("sent", world.sent), Fact::Number("received", received)])
        },
        kernel: &[is("client", State::Established), is("conn", State::Established).with(0)],
    },
];
