//! The functions of the API, a paragraph each. A step shows it where its function appears for the first time.

use super::tour::Text;

pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) text: Text,
}

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// In the order in which a program meets them.
pub(super) const FUNCTIONS: [Function; 15] = [
    Function {
        name: "socket",
        text: Text {
            es: "Crea un socket: un extremo de una comunicación, todavía sin dirección. Se le dice la familia (AF_INET: \
                 IPv4) y el tipo (SOCK_STREAM: un flujo de bytes, TCP; SOCK_DGRAM: datagramas, UDP). Devuelve un \
                 descriptor, un número pequeño como el de un fichero abierto; Python y Rust lo guardan en un objeto.",
            en: "Makes a socket: one end of a communication, without an address yet. It is told the family (AF_INET: \
                 IPv4) and the type (SOCK_STREAM: a stream of bytes, TCP; SOCK_DGRAM: datagrams, UDP). It returns a \
                 descriptor, a small number like that of an open file; Python and Rust keep it in an object.",
        },
    },
    Function {
        name: "bind",
        text: Text {
            es: "Da al socket su dirección local: IP y puerto. Lo usa quien quiere que lo encuentren, es decir, el \
                 servidor. El puerto 0 significa «el que el sistema elija»; 127.0.0.1 solo se alcanza desde esta \
                 máquina, y 0.0.0.0 (en Python también '') significa todas las interfaces. Los puertos menores que \
                 1024 suelen pedir permisos. Falla con EADDRINUSE si otro tiene ya la dirección.",
            en: "Gives the socket its local address: IP and port. Who wants to be found uses it, that is, the server. \
                 Port 0 means “whichever the system chooses”; 127.0.0.1 is reached from this machine only, and 0.0.0.0 \
                 (in Python '' as well) means all interfaces. Ports below 1024 usually need rights. It fails with \
                 EADDRINUSE if somebody has the address already.",
        },
    },
    Function {
        name: "getsockname",
        text: Text {
            es: "Dice la dirección local de un socket. Hace falta sobre todo cuando la eligió el sistema. Su pareja es \
                 getpeername, que dice la del otro extremo.",
            en: "Tells the local address of a socket. It is needed above all when the system chose it. Its companion \
                 is getpeername, which tells that of the other end.",
        },
    },
    Function {
        name: "listen",
        text: Text {
            es: "Pone a la escucha un socket TCP que ya tiene dirección. Desde ahora el núcleo acepta conexiones en \
                 su puerto y las deja en una cola hasta que el programa llame a accept. El número (backlog) limita \
                 esa cola. No espera a nadie y no devuelve nada.",
            en: "Makes a TCP socket that has an address listen. From now on the kernel takes connections at its port \
                 and leaves them in a queue until the program calls accept. The number (backlog) limits that queue. \
                 It waits for nobody and returns nothing.",
        },
    },
    Function {
        name: "connect",
        text: Text {
            es: "En TCP, conecta con quien escucha en una dirección: envía SYN, espera SYN+ACK y responde ACK (el \
                 saludo de tres vías). Si el socket no tenía dirección local, el sistema le da una con un puerto \
                 libre. Espera hasta que haya respuesta; ECONNREFUSED significa que allí nadie escucha. En UDP no \
                 envía nada: fija con quién se habla, y descarta lo que llegue de otros.",
            en: "With TCP, connects to who listens at an address: it sends SYN, waits for SYN+ACK and answers ACK (the \
                 three-way handshake). If the socket had no local address, the system gives it one with a free port. \
                 It waits until there is an answer; ECONNREFUSED means that nobody listens there. With UDP it sends \
                 nothing: it sets whom one talks to, and drops what comes from others.",
        },
    },
    Function {
        name: "accept",
        text: Text {
            es: "Saca de la cola del socket que escucha la conexión más antigua, y espera si no hay ninguna. Devuelve \
                 un socket nuevo para esa conexión, y la dirección del cliente. El socket que escucha sigue igual: \
                 cada cliente tiene su propio socket.",
            en: "Takes the oldest connection from the queue of the listening socket, and waits if there is none. It \
                 returns a new socket for that connection, and the client's address. The listening socket stays as it \
                 is: each client has a socket of its own.",
        },
    },
    Function {
        name: "send",
        text: Text {
            es: "Entrega bytes al núcleo para que los envíe, y devuelve cuántos aceptó, que pueden ser menos de los \
                 que se le dieron. Que vuelva no significa que hayan llegado: solo que están en el búfer de envío. \
                 Espera si el búfer está lleno (o falla con EAGAIN si el socket no espera).",
            en: "Hands bytes to the kernel to be sent, and returns how many it took, which may be fewer than it was \
                 given. That it returns does not mean that they arrived: only that they are in the send buffer. It \
                 waits if the buffer is full (or fails with EAGAIN if the socket does not wait).",
        },
    },
    Function {
        name: "recv",
        text: Text {
            es: "Lee los bytes que ya llegaron, como mucho tantos como se le dice, y espera solo si no hay ninguno. En \
                 TCP devuelve lo que haya: un trozo del flujo, no un mensaje. 0 bytes (b'' en Python) significa que el \
                 otro extremo terminó de enviar. En UDP lee un datagrama, y lo que no cabe se pierde.",
            en: "Reads the bytes that have come, at most as many as it is told, and waits only if there are none. With \
                 TCP it returns what is there: a piece of the stream, not a message. 0 bytes (b'' in Python) means \
                 that the other end has finished sending. With UDP it reads one datagram, and what does not fit is \
                 lost.",
        },
    },
    Function {
        name: "sendall",
        text: Text {
            es: "De Python: repite send hasta que el núcleo lo haya aceptado todo, o lanza una excepción. En Rust es \
                 write_all. C no lo tiene: hay que escribir el bucle.",
            en: "Of Python: repeats send until the kernel has taken all of it, or raises an exception. In Rust it is \
                 write_all. C has none: one has to write the loop.",
        },
    },
    Function {
        name: "close",
        text: Text {
            es: "Devuelve el descriptor: el programa ya no tiene el socket. En TCP el núcleo envía todavía lo que \
                 quedaba y después FIN, y la conexión sigue viviendo sin nosotros hasta que termina bien. Si quedaba \
                 algo sin leer, envía RST en lugar de FIN. En Rust ocurre al soltar el valor (drop), en Python también \
                 al salir de with.",
            en: "Gives the descriptor back: the program has the socket no longer. With TCP the kernel still sends what \
                 was left and then FIN, and the connection lives on without us until it has ended well. If something \
                 was left unread, it sends RST instead of FIN. In Rust it happens when the value is dropped, in Python \
                 also at the end of with.",
        },
    },
    Function {
        name: "shutdown",
        text: Text {
            es: "Termina una dirección de la conexión y deja el descriptor abierto. SHUT_WR envía FIN: «no enviaré \
                 más, pero sigo leyendo». Con SHUT_RD no se lee más, y SHUT_RDWR son las dos cosas. Después hay que \
                 llamar igualmente a close.",
            en: "Ends one direction of the connection and leaves the descriptor open. SHUT_WR sends FIN: “I shall send \
                 no more, but I go on reading”. With SHUT_RD nothing more is read, and SHUT_RDWR is both. close has to \
                 be called afterwards all the same.",
        },
    },
    Function {
        name: "setsockopt",
        text: Text {
            es: "Cambia una opción del socket. SO_REUSEADDR, antes de bind, permite tomar un puerto cuyas conexiones \
                 viejas aún están en TIME-WAIT; todo servidor TCP debería ponerla (en Linux y los demás Unix). \
                 SO_SNDBUF y SO_RCVBUF fijan el tamaño de los búferes.",
            en: "Changes an option of the socket. SO_REUSEADDR, before bind, allows taking a port whose old \
                 connections are still in TIME-WAIT; every TCP server should set it (on Linux and other Unixes). \
                 SO_SNDBUF and SO_RCVBUF set the sizes of the buffers.",
        },
    },
    Function {
        name: "connect_ex",
        text: Text {
            es: "De Python: hace lo mismo que connect, pero devuelve el número del error (0 si fue bien) en lugar de \
                 lanzar una excepción. Es lo más parecido a C, donde connect devuelve -1 y el número está en errno.",
            en: "Of Python: does what connect does, but returns the number of the error (0 if all went well) instead \
                 of raising an exception. It is closest to C, where connect returns -1 and the number is in errno.",
        },
    },
    Function {
        name: "sendto",
        text: Text {
            es: "Envía un datagrama a una dirección, sin conexión previa. Entero o nada: devuelve su longitud, o falla. \
                 Si el socket no tenía puerto, el sistema le da uno. Que vuelva bien no dice nada sobre si alguien lo \
                 recibe. En Rust: send_to.",
            en: "Sends one datagram to an address, without a connection before. All of it or nothing: it returns its \
                 length, or fails. If the socket had no port, the system gives it one. That it succeeds says nothing \
                 about whether anybody receives it. In Rust: send_to.",
        },
    },
    Function {
        name: "recvfrom",
        text: Text {
            es: "Espera un datagrama y lo devuelve, junto con la dirección de quien lo envió: la que hace falta para \
                 responder. Un datagrama, un recvfrom; lo que no cabe en el tamaño pedido se pierde. En Rust: \
                 recv_from.",
            en: "Waits for one datagram and returns it, together with the address of who sent it: the one that is \
                 needed to answer. One datagram, one recvfrom; what does not fit into the size asked for is lost. In \
                 Rust: recv_from.",
        },
    },
];

#[cfg(test)]
mod tests {
    use super::super::chapters;
    use super::*;

    #[test]
    fn each_function_is_introduced_by_one_step_and_described() {
        let steps = chapters::ALL.iter().flat_map(|chapter| chapter.steps);
        let introduced: Vec<&str> = steps.flat_map(|step| step.introduces).copied().collect();
        for function in &FUNCTIONS {
            let times = introduced.iter().filter(|name| **name == function.name).count();
            assert_eq!(times, 1, "{}", function.name);
        }
        assert_eq!(introduced.len(), FUNCTIONS.len(), "{introduced:?}");
        assert!(introduced.iter().all(|name| find(name).is_some()), "{introduced:?}");
    }

    #[test]
    fn the_functions_of_the_handout_are_all_there() {
        let handout = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/lab/handout/practica1.md"
        ));
        let listed = handout.lines().filter_map(|line| line.strip_prefix("* `")?.split('(').next());
        let listed: Vec<&str> = listed.filter(|name| !name.contains(' ')).collect();
        assert!(listed.len() >= 9, "{listed:?}");
        for name in listed {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
