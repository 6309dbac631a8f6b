//! The one promise, whatever happens in whatever order: an ACK means stored. Spec §7.1.
//!
//! The rig checks every ACK that leaves against what the model store has committed; here random stories try to catch the
//! engine: messages in any order, commits that come late, in parts or fail, take-overs, crashes.

mod common;

use common::{Rig, Script, at, secs};
use proptest::prelude::*;
use senda_session::collector::Config;

#[derive(Clone, Debug)]
enum Step {
    Rows { first: u32, count: u16, bad: bool },
    Elsewhere { first: u32 },
    Skip { first: u32, count: u32 },
    Commit { count: usize },
    Fail { count: usize },
    Wait { ms: u64 },
    TakeOver { tcp: bool },
    Crash,
    Full { accepting: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..120u32, 1..12u16, any::<bool>()).prop_map(|(first, count, bad)| Step::Rows { first, count, bad }),
        2 => (0..120u32).prop_map(|first| Step::Elsewhere { first }),
        1 => (0..120u32, 1..40u32).prop_map(|(first, count)| Step::Skip { first, count }),
        4 => (1..5usize).prop_map(|count| Step::Commit { count }),
        1 => (1..4usize).prop_map(|count| Step::Fail { count }),
        2 => (1..3_000u64).prop_map(|ms| Step::Wait { ms }),
        1 => any::<bool>().prop_map(|tcp| Step::TakeOver { tcp }),
        1 => Just(Step::Crash),
        1 => any::<bool>().prop_map(|accepting| Step::Full { accepting }),
    ]
}

/// Comes back on the other transport while everything before is still on its way.
fn take_over(rig: &mut Rig, device: &mut Script, connection: &mut u64, tcp: bool) {
    device.hello.nonce += 1;
    if tcp {
        *connection += 1;
        device.peer = rig.connect(*connection);
    } else {
        device.peer = at(5000);
        device.hello.cookie = &[];
        device.say(rig, &device.hello_bytes());
        if let Some(senda_wire::Message::Retry { cookie }) = rig.got().pop().map(|got| got.message)
        {
            device.hello.cookie = cookie;
        }
    }
    device.say(rig, &device.hello_bytes());
}

fn run(rig: &mut Rig, device: &mut Script, connection: &mut u64, step: Step) {
    match step {
        Step::Rows { first, count, bad } => {
            let rows = device.rows_with(first, count, if bad { &[0, 3] } else { &[] }, 0);
            device.say(rig, &rows);
        }
        Step::Elsewhere { first } => rig.say(at(6000), &device.rows(first, 1)),
        Step::Skip { first, count } => device.skip(rig, first, count, 1),
        Step::Commit { count } => rig.commit_some(count, true),
        Step::Fail { count } => rig.commit_some(count, false),
        Step::Wait { ms } => rig.wait(core::time::Duration::from_millis(ms)),
        Step::TakeOver { tcp } => take_over(rig, device, connection, tcp),
        Step::Crash => {
            rig.crash();
            *connection += 1;
            device.peer = rig.connect(*connection);
        }
        Step::Full { accepting } => {
            rig.accept(accepting);
        }
    }
    for got in rig.got() {
        if let Some((session, _)) = common::script::welcome_of(&got) {
            device.session = session;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Spec §7.1a, §7.1c, §7.1d, §6.4, §2.1a.
    #[test]
    fn no_ack_is_above_what_is_durable(
        (ack_every, ack_delay_ms) in (1..5u16, 0..1_000u16),
        story in proptest::collection::vec(step(), 1..80),
    ) {
        let mut rig = Rig::with(Config { window_rows: 100, ..Config::default() });
        let mut connection = 0;
        let mut device = Script::new("gh-7", 1, at(5000));
        (device.hello.ack_every, device.hello.ack_delay_ms) = (ack_every, ack_delay_ms);
        let mut device = device.ready(&mut rig);
        for step in story {
            run(&mut rig, &mut device, &mut connection, step);
        }
        rig.accept(true);
        rig.commit();
        rig.got();
        // In the end everything can be sent again, and is stored once.
        let mut device = Script::new("gh-7", 1, at(7000));
        device.hello.nonce = 99;
        let mut next = device.open(&mut rig).next_row;
        device.declare(&mut rig);
        while next < 200 {
            device.send_rows(&mut rig, next, 20);
            rig.commit();
            rig.wait(secs(3));
            next += 20;
        }
        let last = rig.got().iter().filter(|got| got.is_ack()).map(|got| got.seq).max();
        prop_assert!(last >= Some(200));
        let stream = rig.store.stream("gh-7", 1).unwrap();
        for (row, fields) in &stream.rows {
            prop_assert_eq!(&fields[..4], &row.to_be_bytes()[..], "row {} holds its own number", row);
        }
    }
}
