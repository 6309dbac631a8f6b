//! HTTP servers that answer as they are told, and reports to tell them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use senda_server::alerts::outward::{Means, Outcome, Report, Retry, Target, Webhook};

/// Longer than anything here takes; whoever waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does with a request.
pub(crate) enum Answer {
    /// Status line and headers, and a body.
    Say(&'static str, &'static str),
    /// Closes without a word.
    HangUp,
    /// Keeps the connection and says nothing.
    Hang,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: serde_json::Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn state(&self) -> &str {
        self.body["state"].as_str().unwrap()
    }
}

/// Serves one request for each answer, then nobody listens any longer.
pub(crate) fn serve(answers: Vec<Answer>) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let request = read(&stream);
            match answer {
                Answer::Say(status, body) => say(&stream, status, body),
                Answer::HangUp => {}
                Answer::Hang => kept.push(stream),
            }
            if sender.send(request).is_err() {
                return;
            }
        }
        // What hangs does so until the test has ended; nobody else is answered.
        let _ = sender.send(Request { head: String::new(), body: serde_json::Value::Null });
        if !kept.is_empty() {
            std::thread::park_timeout(PATIENCE);
        }
    });
    (address, receiver)
}

/// Reads a request off a stream.
pub(crate) fn read(stream: impl Read) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "it broke off: {head}");
    }
    let mut request = Request { head, body: serde_json::Value::Null };
    let len = request.header("content-length").unwrap().parse().unwrap();
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    request.body = serde_json::from_slice(&body).unwrap();
    request
}

/// Answers on a stream.
pub(crate) fn say(mut stream: impl Write, status: &str, body: &str) {
    let len = body.len();
    let text =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
}

/// Retries that no test waits for.
pub(crate) fn quick() -> Retry {
    let ms = Duration::from_millis;
    Retry { first: ms(1), longest: ms(4), within: PATIENCE }
}

pub(crate) fn webhook(name: &str, address: SocketAddr) -> Target {
    let webhook = Webhook::new(format!("http://{address}/alerts?token=secret"));
    Target { name: name.into(), means: Means::Webhook(webhook), retry: quick() }
}

pub(crate) fn report(id: u32, state: &str) -> Report {
    Report {
        id,
        rule: "hot".into(),
        device: "gh-7".into(),
        schema: "greenhouse".into(),
        channel: "temperature".into(),
        state: state.into(),
        severity: "warning".into(),
        time: "2023-11-14T22:13:20.5Z".into(),
        time_us: 1_700_000_000_500_000,
        value: 31.5.into(),
        unit: "Cel".into(),
        threshold: 30.into(),
        text: "gh-7 is hot".into(),
    }
}

pub(crate) fn next(outcomes: &Receiver<Outcome>) -> Outcome {
    outcomes.recv_timeout(PATIENCE).expect("an outcome")
}
