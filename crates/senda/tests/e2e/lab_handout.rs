//! The handout's own programs, taken from its text and run unedited, with ours in every pairing.
//!
//! Their ports are fixed, so each pairing has a network of its own.

use std::path::Path;
use std::process::Command;

use crate::namespace::Namespace;
use crate::processes::{Outcome, Running, run, senda};

const TCP: u16 = 65_432;
const UDP: u16 = 5_005;

#[test]
fn the_handouts_tcp_programs_say_what_this_test_takes_for_the_reference() {
    let (server, client) = converse(&theirs("servidor_echo.py"), &theirs("cliente_echo.py"));
    assert_eq!(server, "Conectado  ('127.0.0.1', PORT)\n");
    assert_eq!(client, "Recibido  b'Hola, mundo'\n");
}

#[test]
fn the_handouts_client_and_our_server_say_the_same_as_the_handouts_pair() {
    // In whatever language: --once is that program.
    for language in ["es", "en"] {
        let ours = senda(["lab", "echo-server", "--once", "--lang", language]);
        assert_eq!(converse(&ours, &theirs("cliente_echo.py")), reference(), "{language}");
    }
}

#[test]
fn our_client_and_the_handouts_server_say_the_same_as_the_handouts_pair() {
    let ours = senda(["lab", "echo-client", "--lang", "es"]);
    assert_eq!(converse(&theirs("servidor_echo.py"), &ours), reference());
}

#[test]
fn our_client_and_our_server_say_the_same_as_the_handouts_pair() {
    let server = senda(["lab", "echo-server", "--once", "--lang", "es"]);
    let client = senda(["lab", "echo-client", "--lang", "es"]);
    assert_eq!(converse(&server, &client), reference());
}

#[test]
fn our_server_goes_on_after_the_handouts_client() {
    let namespace = Namespace::new();
    let mut server = namespace.inside(&senda(["lab", "echo-server", "--lang", "es"]));
    let (server, first, lines) = Running::start_with_lines(&mut server);
    assert_eq!(first, "listening tcp=127.0.0.1:65432\n");
    for _ in 0..3 {
        let client = run(&mut namespace.inside(&theirs("cliente_echo.py"))).succeeded();
        assert_eq!(client.stdout, "Recibido  b'Hola, mundo'\n");
        let next = || without_port(&lines.recv().expect("a line"));
        assert_eq!(next(), "Conectado  ('127.0.0.1', PORT)");
        let gone = next();
        let (start, end) = (
            "Desconectado  ('127.0.0.1', PORT)  11 B recibidos, 11 B devueltos, ",
            ": cerró el cliente",
        );
        assert!(gone.starts_with(start) && gone.ends_with(end), "{gone}");
    }
    server.signal(rustix::process::Signal::TERM);
    server.finish().succeeded();
}

#[test]
fn every_udp_receiver_prints_what_every_udp_sender_sent() {
    let receivers = [theirs("udp_socket.recv("), senda(["lab", "udp-recv"])];
    let senders = [theirs("udp_socket.sendto("), senda(["lab", "udp-send"])];
    for receiver in &receivers {
        for sender in &senders {
            let namespace = Namespace::new();
            let running = Running::start(&mut namespace.inside(receiver));
            let bound = namespace.wait_for_udp(UDP);
            assert_eq!(bound.to_string(), "127.0.0.1:5005", "{receiver:?}");
            let sent = run(&mut namespace.inside(sender)).succeeded();
            assert_eq!(sent.stdout, "", "{sender:?}");
            let received = running.finish().succeeded();
            assert_eq!(received.stdout, "b'Hola, mundo!'\n", "{receiver:?} of {sender:?}");
        }
    }
}

/// Both outputs of the handout's pair, but for the port, which the system draws.
fn reference() -> (String, String) {
    converse(&theirs("servidor_echo.py"), &theirs("cliente_echo.py"))
}

/// Runs a server for one client and that client. Returns what both print, the client's port aside.
#[track_caller]
fn converse(server: &Command, client: &Command) -> (String, String) {
    let namespace = Namespace::new();
    let server = Running::start(&mut namespace.inside(server));
    // The handout's server does not say that it listens; the system does.
    assert_eq!(namespace.wait_for_tcp(TCP).to_string(), "127.0.0.1:65432");
    let Outcome { stdout: client, .. } = run(&mut namespace.inside(client)).succeeded();
    let Outcome { stdout: server, .. } = server.finish().succeeded();
    (without_port(&server), client)
}

/// `('127.0.0.1', 61234)` with PORT for the number.
fn without_port(text: &str) -> String {
    let before = "('127.0.0.1', ";
    let Some((start, rest)) = text.split_once(before) else { return text.to_owned() };
    let end = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    assert_ne!(end, rest, "a port in {text}");
    format!("{start}{before}PORT{end}")
}

/// Python with the one program of the handout that contains `mark`.
fn theirs(mark: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lab/handout/practica1.md");
    let text = std::fs::read_to_string(path).expect("the handout");
    // Whole programs, not the excerpts that are explained afterwards.
    let blocks =
        text.split("\n```python\n").skip(1).filter_map(|rest| rest.split("\n```\n").next());
    let programs: Vec<_> =
        blocks.filter(|block| block.contains("import socket\n") && block.contains(mark)).collect();
    let [program] = programs[..] else { panic!("{} programs with {mark}", programs.len()) };
    let mut python = Command::new("python3");
    python.args(["-c", program]);
    python
}
