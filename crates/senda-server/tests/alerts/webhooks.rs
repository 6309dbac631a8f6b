//! Targets that are told by HTTP, on loopback.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use senda_server::alerts::Watcher;
use senda_server::alerts::outward::{Fate, Means, Outward, Report, Retry, Target, Webhook};

use crate::hooks::{Answer, next, quick, read, report, say, serve, webhook};
use crate::rig::{T, above, rule, warm};

const OK: Answer = Answer::Say("204 No Content", "");

fn start(
    targets: Vec<Target>,
) -> (Outward, std::sync::mpsc::Receiver<senda_server::alerts::outward::Outcome>) {
    Outward::start(targets, []).unwrap()
}

#[test]
fn a_report_is_posted_as_json_with_a_key() {
    let (address, requests) = serve(vec![OK]);
    let mut target = webhook("ops", address);
    let Means::Webhook(hook) = &mut target.means else { unreachable!() };
    hook.headers.push(("Authorization".into(), "Bearer secret".into()));
    let (outward, outcomes) = start(vec![target]);
    let mut watcher = Watcher::new(vec![rule("hot", above(30.0, 28.0))], T).unwrap();
    let raised = watcher.observe(&warm(1, 31.5)).remove(0);
    outward.send("ops", Report::new(9, &raised));
    let outcome = next(&outcomes);
    assert_eq!((outcome.fate, outcome.attempts, &*outcome.target), (Fate::Delivered, 1, "ops"));
    let request = requests.recv().unwrap();
    assert!(request.head.starts_with("POST /alerts?token=secret HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(request.header("idempotency-key"), Some("senda-9-raised-1700000001000000"));
    assert_eq!(request.header("senda-attempt"), Some("1"));
    let expected = serde_json::json!({
        "id": 9, "rule": "hot", "device": "gh-7", "schema": "greenhouse", "channel": "temperature",
        "state": "raised", "severity": "warning",
        "time": "2023-11-14T22:13:21Z", "time_us": 1_700_000_001_000_000_i64,
        "value": 31.5, "unit": "Cel", "threshold": 30.0,
        "text": "gh-7: temperature is 31.5 Cel, above 30",
    });
    assert_eq!(request.body, expected);
    outward.stop(Duration::ZERO);
}

#[test]
fn what_fails_is_told_again_with_the_same_key() {
    let answers = vec![
        Answer::Say("500 Internal Server Error", ""),
        Answer::HangUp,
        Answer::Say("503 Service Unavailable", ""),
        Answer::Say("429 Too Many Requests\r\nRetry-After: 0", ""),
        Answer::Say("200 OK", "thanks"),
    ];
    let (address, requests) = serve(answers);
    let (outward, outcomes) = start(vec![webhook("ops", address)]);
    outward.send("ops", report(1, "raised"));
    let outcome = next(&outcomes);
    assert_eq!((outcome.fate, outcome.attempts), (Fate::Delivered, 5));
    let keys: Vec<_> =
        requests.iter().take(5).map(|r| r.header("idempotency-key").map(str::to_owned)).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    outward.stop(Duration::ZERO);
}

#[test]
fn what_is_refused_is_not_told_again() {
    let answers = vec![
        Answer::Say("400 Bad Request", "no field `severity`\nsecond line"),
        Answer::Say("308 Permanent Redirect\r\nLocation: http://127.0.0.1:1/", ""),
    ];
    let (address, _requests) = serve(answers);
    let (outward, outcomes) = start(vec![webhook("ops", address)]);
    outward.send("ops", report(1, "raised"));
    let first = next(&outcomes);
    let why = "HTTP 400 Bad Request: no field `severity`".to_owned();
    assert_eq!((first.fate, first.attempts), (Fate::Refused { why }, 1));
    outward.send("ops", report(2, "raised"));
    let Fate::Refused { why } = next(&outcomes).fate else { panic!("a POST is not redirected") };
    assert!(why.contains("308") && why.contains("set `webhook`"), "{why}");
    outward.stop(Duration::ZERO);
}

#[test]
fn a_target_that_asks_for_more_time_than_there_is_is_given_up() {
    let (address, _requests) =
        serve(vec![Answer::Say("429 Too Many Requests\r\nRetry-After: 86400", "slow down")]);
    let (outward, outcomes) = start(vec![webhook("ops", address)]);
    outward.send("ops", report(1, "raised"));
    let why = "HTTP 429 Too Many Requests: slow down".to_owned();
    assert_eq!(next(&outcomes).fate, Fate::GaveUp { why });
    outward.stop(Duration::ZERO);
}

#[test]
fn raising_arrives_before_clearing() {
    let busy = || Answer::Say("502 Bad Gateway", "");
    let (address, requests) = serve(vec![busy(), busy(), OK, OK]);
    let (outward, outcomes) = start(vec![webhook("ops", address)]);
    outward.send("ops", report(1, "raised"));
    outward.send("ops", report(1, "cleared"));
    let states: Vec<_> =
        requests.iter().take(4).map(|request| request.state().to_owned()).collect();
    assert_eq!(states, ["raised", "raised", "raised", "cleared"]);
    assert_eq!([next(&outcomes).attempts, next(&outcomes).attempts], [3, 1]);
    outward.stop(Duration::ZERO);
}

#[test]
fn a_target_that_hangs_holds_up_no_other() {
    let (slow, hanging) = serve(vec![Answer::Hang]);
    let (fast, _requests) = serve(vec![OK, OK]);
    let (outward, outcomes) = start(vec![webhook("slow", slow), webhook("fast", fast)]);
    outward.send("slow", report(1, "raised"));
    hanging.recv().unwrap();
    outward.send("fast", report(1, "raised"));
    outward.send("fast", report(1, "cleared"));
    for _ in 0..2 {
        let outcome = next(&outcomes);
        assert_eq!((&*outcome.target, outcome.fate), ("fast", Fate::Delivered));
    }
    assert_eq!(outward.pending(), 1);
    outward.stop(Duration::ZERO);
    assert_eq!(next(&outcomes).fate, Fate::Undelivered);
    assert!(outcomes.recv().is_err(), "nothing comes after the end");
}

#[test]
fn one_that_answers_nobody_times_out_and_is_given_up() {
    let (address, _requests) = serve(vec![Answer::Hang, Answer::Hang]);
    let mut target = webhook("ops", address);
    let Means::Webhook(hook) = &mut target.means else { unreachable!() };
    hook.timeout = Duration::from_millis(20);
    target.retry = Retry { within: Duration::from_millis(10), ..quick() };
    let (outward, outcomes) = start(vec![target]);
    outward.send("ops", report(1, "raised"));
    let Fate::GaveUp { why } = next(&outcomes).fate else { panic!("nobody answered") };
    assert!(why.contains("timeout"), "{why}");
    outward.stop(Duration::ZERO);
}

#[test]
fn when_nobody_listens_it_is_given_up_in_time_and_no_secret_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = webhook("ops", listener.local_addr().unwrap());
    drop(listener);
    target.retry.within = Duration::from_millis(20);
    let (outward, outcomes) = start(vec![target]);
    outward.send("ops", report(1, "raised"));
    let outcome = next(&outcomes);
    let Fate::GaveUp { why } = &outcome.fate else { panic!("{outcome:?}") };
    assert!(outcome.attempts > 1 && !why.contains("secret"), "{outcome:?}");
    outward.stop(Duration::ZERO);
}

#[test]
fn what_was_not_told_is_told_by_the_next_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = webhook("ops", listener.local_addr().unwrap());
    drop(listener);
    target.retry.first = Duration::from_secs(3600);
    target.retry.longest = Duration::from_secs(3600);
    target.retry.within = Duration::from_secs(9 * 3600);
    let (outward, outcomes) = start(vec![target]);
    for (id, state) in [(2, "raised"), (1, "raised"), (2, "cleared")] {
        outward.send("ops", report(id, state));
    }
    outward.stop(Duration::from_millis(50));
    let left: Vec<_> = outcomes.iter().collect();
    assert!(left.iter().all(|outcome| outcome.fate == Fate::Undelivered));
    let (address, requests) = serve(vec![OK, OK, OK]);
    let pending: Vec<_> = left
        .into_iter()
        .map(|outcome| {
            // As the store keeps it.
            let json = serde_json::to_string(&outcome.report).unwrap();
            (outcome.target, serde_json::from_str::<Report>(&json).unwrap())
        })
        .collect();
    let (outward, outcomes) = Outward::start(vec![webhook("ops", address)], pending).unwrap();
    outward.stop(crate::hooks::PATIENCE);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.fate == Fate::Delivered).count(), 3);
    let told: Vec<_> =
        requests.iter().take(3).map(|r| (r.body["id"].clone(), r.state().to_owned())).collect();
    let order = |state: &str| told.iter().position(|told| *told == (2.into(), state.to_owned()));
    assert!(order("raised") < order("cleared"), "{told:?}");
}

#[test]
fn a_target_that_is_gone_from_the_config_is_said_to_be() {
    let (outward, outcomes) =
        Outward::start(vec![], [("old".to_owned(), report(1, "raised"))]).unwrap();
    let outcome = next(&outcomes);
    assert_eq!(outcome.fate, Fate::GaveUp { why: "no such target".into() });
    outward.stop(Duration::ZERO);
}

/// A server with a certificate that nobody knows, for one report.
fn serve_tls() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let config = Arc::new(config);
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            // Who does not trust us goes away.
            if tls.conn.complete_io(&mut tls.sock).is_ok() {
                read(&mut tls);
                say(&mut tls, "200 OK", "");
                return;
            }
        }
    });
    (port, pem)
}

fn https(port: u16, ca: Option<PathBuf>) -> Target {
    let url = format!("https://localhost:{port}/");
    let means = Means::Webhook(Webhook { ca, ..Webhook::new(url) });
    Target { name: "ops".into(), means, retry: Retry { within: Duration::ZERO, ..quick() } }
}

#[test]
fn over_tls_a_stranger_is_told_nothing() {
    let (port, pem) = serve_tls();
    let directory = tempfile::tempdir().unwrap();
    let [ours, other] = ["ours.pem", "other.pem"].map(|name| directory.path().join(name));
    std::fs::write(&ours, &pem).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let (outward, outcomes) = start(vec![https(port, Some(other))]);
    outward.send("ops", report(1, "raised"));
    let Fate::GaveUp { why } = next(&outcomes).fate else { panic!("a stranger was told") };
    assert!(why.contains("certificate"), "{why}");
    outward.stop(Duration::ZERO);
    let (outward, outcomes) = start(vec![https(port, Some(ours))]);
    outward.send("ops", report(1, "raised"));
    assert_eq!(next(&outcomes).fate, Fate::Delivered);
    outward.stop(Duration::ZERO);
}

#[test]
fn certificates_that_are_none_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let error = |path| Outward::start(vec![https(1, Some(path))], []).err().unwrap().to_string();
    assert!(error(path.clone()).contains("ca: can't read"));
    std::fs::write(&path, "nothing").unwrap();
    assert!(error(path).contains("no certificate in"));
}
