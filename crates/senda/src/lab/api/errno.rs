//! The errors that the tour meets: their names, and what they mean.

use rustix::io::Errno;

use super::tour::Text;

/// Name and meaning. None for an error that no step is about.
pub(super) fn describe(errno: Errno) -> Option<(&'static str, Text)> {
    Some(match errno {
        Errno::AGAIN => (
            "EAGAIN",
            Text {
                es: "no es el momento: habría que esperar, y este socket (o esta llamada) no espera",
                en: "not now: one would have to wait, and this socket (or this call) does not",
            },
        ),
        Errno::PIPE => (
            "EPIPE",
            Text {
                es: "por aquí ya no se puede enviar: este extremo o el otro ha cerrado",
                en: "nothing can be sent here any more: this side or the other has closed",
            },
        ),
        Errno::ADDRINUSE => (
            "EADDRINUSE",
            Text { es: "la dirección ya está en uso", en: "the address is in use already" },
        ),
        Errno::CONNRESET => (
            "ECONNRESET",
            Text {
                es: "el otro extremo cortó la conexión con un RST; lo que estaba en camino se perdió",
                en: "the other side cut the connection with a RST; what was under way is lost",
            },
        ),
        Errno::CONNREFUSED => (
            "ECONNREFUSED",
            Text {
                es: "conexión rechazada: en ese puerto no hay nadie para nosotros",
                en: "connection refused: there is nobody for us at that port",
            },
        ),
        Errno::INPROGRESS => (
            "EINPROGRESS",
            Text {
                es: "la conexión está en marcha; un socket que no espera tampoco aguarda a que se complete",
                en: "the connection is under way; a socket that never waits does not wait for it",
            },
        ),
        _ => return None,
    })
}
