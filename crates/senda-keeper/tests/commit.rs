//! One commit: what is answered, in which order, and what is not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use senda_keeper::{Answer, Batch, Conclusion, Effect, Keeper, Request};
use senda_session::collector::{Fate, Outcome, Token, What};
use senda_store::{CommandState, Fault, FaultHook, Landing, Options, Writer};
use senda_wire::{ChannelSpec, Identifier, MessageType, Schema, ValueType};

const NOW: i64 = 1_767_225_600_000_000;

/// Spec §6.4: a HELLO that came with rows, or after them, resumes behind them.
#[test]
fn a_stream_is_opened_after_everything_that_landed_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path(), Options::default());
    let mut batch: Batch = Batch::default();
    batch.add(Request::Open { token: Token(1), device: "gh-7".into(), stream: 9 }, NOW);
    batch.add(declare(2), NOW);
    batch.add(row(3, 0), NOW);
    let answers = commit(&mut keeper, batch);
    let [Answer::Verdicts(verdicts), Answer::Stream(Token(1), Some(state), _)] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert!(verdicts.iter().all(|(_, verdict)| verdict.fate == Fate::Stored), "{verdicts:?}");
    assert_eq!(state.mark.next_row, 1);
}

/// Spec §7.1d: and a mark that may not be durable is not told either.
#[test]
fn nothing_is_called_stored_after_a_sync_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let hook = fails.clone();
    let fault = FaultHook::new(move |at| at != Fault::File && hook.load(Ordering::Relaxed));
    let mut keeper = keeper(dir.path(), Options { fault, ..Options::default() });
    let mut batch: Batch = Batch::default();
    batch.add(declare(1), NOW);
    commit(&mut keeper, batch);
    fails.store(true, Ordering::Relaxed);
    let mut batch: Batch = Batch::default();
    batch.add(row(2, 0), NOW);
    batch.add(Request::Open { token: Token(3), device: "gh-7".into(), stream: 9 }, NOW);
    let answers = commit(&mut keeper, batch);
    let [Answer::Verdicts(verdicts), Answer::Stream(Token(3), None, _)] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(verdicts[0].1.fate, Fate::Failed);
}

/// Somebody beside the engine waits for a landing of his own.
#[test]
fn who_waits_hears_of_his_own_landing_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path(), Options::default());
    let mut batch = Batch::<&str>::default();
    let event = |kind: &str| Landing {
        device: "gauge".into(),
        stream: 1,
        received: NOW,
        what: senda_store::What::Event { kind: kind.into(), text: String::new() },
    };
    batch.land(None, event("seen"));
    batch.land(Some("the listener"), event("odd"));
    let mut heard = Vec::new();
    keeper.commit(batch, NOW, &mut |effect| match effect {
        Effect::Landed(landings, verdicts) => {
            heard.push(format!("{}", landings.len().min(verdicts.len())));
        }
        Effect::Verdict(who, verdict) => {
            heard.push(format!("{who} {}", verdict.outcome.is_durable()));
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(heard, ["2", "the listener true"]);
}

/// Spec §7.7d: that a command did not leave before does not undo that it leaves now.
#[test]
fn what_happens_to_a_command_is_noted_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path(), Options::default());
    keeper.writer_mut().add_command("gh-7", "identify", &[0], NOW + 60_000_000, NOW).unwrap();
    let mut batch: Batch = Batch::default();
    batch.add(Request::Orders { device: "gh-7".into() }, NOW);
    let answers = commit(&mut keeper, batch);
    let [Answer::Orders(_, orders)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((orders[0].kind, orders[0].id), (MessageType::Command, 1));
    let mut batch: Batch = Batch::default();
    let device: Arc<str> = "gh-7".into();
    let (kind, outcome) = (MessageType::Command, Outcome::NoTaker);
    let conclusion = Conclusion { device: device.clone(), kind, id: 1, raised: false, outcome };
    batch.add(Request::Conclude(conclusion), NOW);
    batch.add(Request::Record { token: Token(1), device: device.clone(), command_id: 1 }, NOW);
    batch.add(Request::Orders { device }, NOW);
    let answers = commit(&mut keeper, batch);
    assert_eq!(answers, [Answer::Recorded(Token(1), true)], "and it waits no more");
    let command = keeper.writer_mut().command("gh-7", 1, NOW).unwrap().unwrap();
    assert_eq!(command.state, CommandState::Sent);
}

fn keeper(dir: &Path, options: Options) -> Keeper {
    Keeper::new(Writer::open(dir, options, NOW).unwrap())
}

fn commit(keeper: &mut Keeper, batch: Batch) -> Vec<Answer> {
    let mut answers = Vec::new();
    keeper.commit(batch, NOW, &mut |effect| {
        if let Effect::Answer(answer) = effect {
            answers.push(answer);
        }
    });
    answers
}

fn declare(token: u64) -> Request {
    let name = |text| Identifier::new(text).unwrap();
    let channels = [ChannelSpec::new(name("humidity"), ValueType::U8)];
    let mut room = [0; 64];
    let description = Schema::encode(name("greenhouse"), &channels, &mut room).unwrap().to_vec();
    land(token, What::Declare { id: 0, description })
}

fn row(token: u64, first: u32) -> Request {
    let mut body = vec![0, 0, 0xC0, 1];
    body.extend(NOW.to_be_bytes());
    body.push(61);
    let (count, sparse, schema, refused) = (1, false, 0, Vec::new());
    land(token, What::Rows { first, count, sparse, schema, body, refused })
}

fn land(token: u64, what: What) -> Request {
    Request::Land { token: Token(token), device: "gh-7".into(), stream: 9, received_us: NOW, what }
}
