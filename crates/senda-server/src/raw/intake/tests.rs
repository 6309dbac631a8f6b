use super::*;
use crate::raw::{RawField, RawReply, ReplyValue};
use crate::settings::DesiredSet;
use std::sync::mpsc::{Receiver, channel};

/// A listener of `>BH`: a sequence number and a value; its device is its address. What the store would get comes out.
struct Desk {
    intake: Arc<Intake>,
    requests: Receiver<Request>,
    told: (Sender<Told>, Receiver<Told>),
}

impl Desk {
    fn new(change: impl FnOnce(&mut Raw)) -> Self {
        let mut raw = Raw::new("w", ">BH", vec![RawField::new("seq"), RawField::new("v")]);
        raw.sequence = Some("seq".into());
        raw.reply = Some(RawReply {
            format: ">BB".into(),
            values: vec![ReplyValue::Named("status".into()), ReplyValue::Named("seq".into())],
            status: crate::raw::Statuses { repeated: 7, ..Default::default() },
            interval_ms: 1_000,
        });
        change(&mut raw);
        let (sender, requests) = channel();
        let desired = Arc::new(Mutex::new(Arc::new(DesiredSet::default())));
        let intake = Arc::new(Intake::new(raw, sender, desired).unwrap());
        Self { intake, requests, told: channel() }
    }

    fn take(&self, bytes: &[u8], host: u8) {
        let told = self.told.0.clone();
        let peer = ([127, 0, 0, host], 9).into();
        self.intake.take(
            bytes,
            peer,
            "udp",
            Turn::First,
            Box::new(move |it| told.send(it).unwrap()),
        );
    }

    fn landing(&self) -> RawLanding {
        match self.requests.try_recv() {
            Ok(Request::Raw(landing)) => landing,
            _ => panic!("a row on its way"),
        }
    }

    /// What was said since: status and reply.
    fn said(&self) -> Vec<(Status, Vec<u8>)> {
        self.told.1.try_iter().map(|told| (told.status, told.reply.unwrap_or_default())).collect()
    }
}

#[test]
fn a_reply_leaves_only_after_the_verdict() {
    let desk = Desk::new(|_| {});
    desk.take(&[5, 0, 1], 1);
    assert_eq!(desk.said(), []);
    let landing = desk.landing();
    assert_eq!((&*landing.device, landing.row), ("127.0.0.1", 0));
    (landing.done)(RawVerdict::Stored);
    assert_eq!(desk.said(), [(Status::Stored, vec![0, 5])]);
}

#[test]
fn a_repetition_is_answered_and_not_stored_again() {
    let desk = Desk::new(|_| {});
    desk.take(&[5, 0, 1], 1);
    desk.take(&[5, 0, 1], 1); // While the first is on its way.
    let landing = desk.landing();
    assert!(desk.requests.try_recv().is_err(), "one row");
    assert_eq!(desk.said(), [], "nobody is told before it is on disk");
    (landing.done)(RawVerdict::Stored);
    assert_eq!(desk.said(), [(Status::Stored, vec![0, 5]), (Status::Repeated, vec![7, 5])]);
    desk.take(&[5, 0, 1], 1); // And after.
    assert_eq!(desk.said(), [(Status::Repeated, vec![7, 5])]);
    desk.take(&[5, 0, 1], 2); // Another device's is another record.
    assert_eq!(&*desk.landing().device, "127.0.0.2");
    desk.take(&[5, 0, 2], 1); // Other bytes, too.
    assert_eq!(desk.landing().row, 1);
    assert_eq!(desk.intake.counts().repeated, 2);
}

#[test]
fn the_last_32_records_are_known_again_and_no_more() {
    let desk = Desk::new(|_| {});
    for number in 0..33 {
        desk.take(&[number, 0, 0], 1);
        (desk.landing().done)(RawVerdict::Stored);
    }
    desk.take(&[1, 0, 0], 1);
    assert!(desk.requests.try_recv().is_err(), "the 32nd from the end is known");
    desk.take(&[0, 0, 0], 1);
    assert_eq!(desk.landing().row, 33, "the 33rd is not");
}

#[test]
fn without_a_sequence_equal_bytes_are_two_records() {
    let desk = Desk::new(|raw| raw.sequence = None);
    desk.take(&[5, 0, 1], 1);
    desk.take(&[5, 0, 1], 1);
    assert_eq!((desk.landing().row, desk.landing().row), (0, 1));
}

#[test]
fn what_could_not_be_stored_is_the_same_row_when_it_is_sent_again() {
    let desk = Desk::new(|_| {});
    desk.take(&[1, 0, 0], 1);
    desk.take(&[2, 0, 0], 1);
    let (first, second) = (desk.landing(), desk.landing());
    let begins = first.begin.is_some() && second.begin.is_some();
    assert!(begins, "the store knows the schema of neither");
    let failed = (first.stream, first.row);
    (first.done)(RawVerdict::Busy);
    (second.done)(RawVerdict::Busy);
    assert_eq!(desk.said(), [(Status::Busy, vec![2, 1]), (Status::Busy, vec![2, 2])]);
    // It may be on disk: only as the same row can the store tell.
    desk.take(&[1, 0, 0], 1);
    let again = desk.landing();
    assert_eq!((again.stream, again.row), failed);
    assert!(again.begin.is_some());
    (again.done)(RawVerdict::Stored);
    desk.take(&[1, 0, 0], 1);
    assert_eq!(desk.said(), [(Status::Stored, vec![0, 1]), (Status::Repeated, vec![7, 1])]);
    // What is new leaves the old stream and its gaps.
    desk.take(&[3, 0, 0], 1);
    let new = desk.landing();
    assert_ne!(new.stream, failed.0);
    assert!(new.row == 0 && new.begin.is_some());
    (new.done)(RawVerdict::Stored);
    desk.take(&[4, 0, 0], 1);
    assert!(desk.landing().begin.is_none(), "said once");
}

#[test]
fn a_row_for_which_its_stream_has_no_room_becomes_another() {
    let desk = Desk::new(|_| {});
    desk.take(&[1, 0, 0], 1);
    let first = desk.landing();
    let stream = first.stream;
    (first.done)(RawVerdict::Busy);
    desk.take(&[1, 0, 0], 1);
    let again = desk.landing();
    assert_eq!(again.stream, stream);
    (again.done)(RawVerdict::NoRange);
    desk.take(&[1, 0, 0], 1);
    assert_ne!(desk.landing().stream, stream);
    assert_eq!(desk.said().len(), 2, "busy, twice");
}

/// The stream has no room for one row: who asked for another that is still on its way hears of it all the same.
/// Without a reply, TCP tries for as long as the store is busy.
#[test]
fn a_record_that_is_tried_again_is_no_other_record() {
    let desk = Desk::new(|raw| raw.sequence = None);
    desk.take(&[1, 0, 0], 1);
    let first = desk.landing();
    let failed = RowId { stream: first.stream, row: first.row };
    (first.done)(RawVerdict::Busy);
    for (row, verdict) in [(Some(failed), RawVerdict::NoRange), (None, RawVerdict::Stored)] {
        let peer = ([127, 0, 0, 1], 9).into();
        desk.intake.take(&[1, 0, 0], peer, "tcp", Turn::Again(row), Box::new(|_| {}));
        (desk.landing().done)(verdict);
    }
    let counts = desk.intake.counts();
    assert_eq!((counts.records, counts.busy, counts.stored), (1, 2, 1), "each try is busy");
}

#[test]
fn nobody_who_waits_for_a_repetition_is_forgotten_when_a_stream_has_no_room() {
    let desk = Desk::new(|_| {});
    desk.take(&[1, 0, 0], 1);
    desk.take(&[2, 0, 0], 1);
    desk.take(&[2, 0, 0], 1);
    let (first, second) = (desk.landing(), desk.landing());
    (first.done)(RawVerdict::NoRange);
    (second.done)(RawVerdict::Stored);
    let said: Vec<Status> = desk.said().into_iter().map(|(status, _)| status).collect();
    assert_eq!(said, [Status::Busy, Status::Stored, Status::Repeated]);
    desk.take(&[2, 0, 0], 1);
    assert_eq!(desk.said(), [(Status::Repeated, vec![7, 2])], "and it is not stored twice");
}

#[test]
fn what_does_not_fit_is_refused_counted_and_kept_while_there_is_little_of_it() {
    let desk = Desk::new(|_| {});
    for _ in 0..50 {
        desk.take(&[9, 9], 1);
    }
    assert_eq!(
        desk.said()[0],
        (Status::Refused, vec![1, 0]),
        "there is no sequence number to echo"
    );
    let counts = desk.intake.counts();
    assert_eq!((counts.records, counts.misfits), (50, vec![("length", 50)]));
    assert_eq!(counts.misfits_kept, 20);
    assert_eq!(desk.requests.try_iter().count(), 20);
}

#[test]
fn one_device_too_many_is_refused_and_those_that_are_known_go_on() {
    let desk = Desk::new(|raw| raw.devices_max = 1);
    desk.take(&[1, 0, 0], 1);
    (desk.landing().done)(RawVerdict::Stored);
    desk.take(&[1, 0, 0], 2);
    desk.take(&[2, 0, 0], 1);
    let said: Vec<Status> = desk.said().into_iter().map(|(status, _)| status).collect();
    assert_eq!(said, [Status::Stored, Status::Refused]);
    assert_eq!(desk.intake.counts().misfits, [("too_many_devices", 1)]);
}

#[test]
fn the_interval_is_that_of_the_devices_settings() {
    let settings = |device: &str, ms| {
        let values = [senda_wire::NamedValue::new("interval_ms", senda_wire::Value::U32(ms))];
        let mut room = [0; 64];
        let list = List::build(&values, &mut room).unwrap();
        crate::Desired { pattern: device.into(), revision: 0, list: [&[1], list.bytes()].concat() }
    };
    let desk = Desk::new(|raw| {
        raw.reply = Some(RawReply {
            format: ">HH".into(),
            values: ["interval_s", "interval_ms"].map(|name| ReplyValue::Named(name.into())).into(),
            status: crate::raw::Statuses::default(),
            interval_ms: 10_000,
        });
    });
    let set = DesiredSet::new(vec![settings("*.2", 2_500)], vec![]);
    *desk.intake.desired.lock().unwrap() = Arc::new(set);
    for (host, expected) in [(1, [0, 10, 0x27, 0x10]), (2, [0, 3, 0x09, 0xC4])] {
        desk.take(&[1, 0, 0], host);
        (desk.landing().done)(RawVerdict::Stored);
        assert_eq!(desk.said(), [(Status::Stored, expected.to_vec())]);
    }
}

#[test]
fn an_echo_that_its_format_can_not_have_is_counted_and_not_sent() {
    let desk = Desk::new(|raw| {
        raw.reply = Some(RawReply {
            format: ">B".into(),
            values: vec![ReplyValue::Named("v".into())],
            status: crate::raw::Statuses::default(),
            interval_ms: 1_000,
        });
    });
    desk.take(&[1, 1, 0], 1);
    (desk.landing().done)(RawVerdict::Stored);
    assert_eq!(desk.said(), [(Status::Stored, vec![])]);
    assert_eq!(desk.intake.counts().replies_failed, 1);
}

#[test]
fn who_comes_while_the_server_stops_is_told_to_come_again() {
    let Desk { intake, requests, told } = Desk::new(|_| {});
    drop(requests);
    let sender = told.0;
    let answer = move |it| sender.send(it).unwrap();
    intake.take(&[5, 0, 1], ([127, 0, 0, 1], 9).into(), "tcp", Turn::First, Box::new(answer));
    assert_eq!(told.1.try_recv().unwrap().status, Status::Busy);
}
