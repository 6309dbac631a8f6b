//! Commands, settings, reports and alerts on disk; what has just landed, decoded.

mod common;

use common::{NOW, SECOND, land, open, samples};
use senda_store::{
    AlertQuery, AlertRecord, CommandEnd, CommandState, Follower, HelloReport, NoticeRecord,
    Options, Outcome, Reader, Retention, StoreError, What, Writer,
};

const TTL: i64 = 600 * SECOND;
const EMPTY: &[u8] = &[0];

fn add(writer: &mut Writer, device: &str) -> u32 {
    writer.add_command(device, "identify", EMPTY, NOW + TTL, NOW).unwrap().id
}

fn hello(writer: &mut Writer, device: &str, config_rev: u32, last_command_id: u32) {
    let hello = HelloReport { device: device.into(), config_rev, last_command_id, downlink: 7 };
    writer.note_hellos(&[hello], NOW).unwrap();
}

fn state(writer: &Writer, device: &str, id: u32) -> CommandState {
    Reader::open(writer.dir()).unwrap().command(device, id).unwrap().expect("a command").state
}

fn begun(writer: &Writer, device: &str, id: u32) -> Option<bool> {
    Reader::open(writer.dir()).unwrap().command(device, id).unwrap().expect("a command").begun
}

#[test]
fn ids_grow_for_each_device_and_lie_above_what_the_device_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    assert_eq!((add(&mut writer, "gh-7"), add(&mut writer, "gh-7")), (1, 2));
    assert_eq!(add(&mut writer, "gh-8"), 1);
    // A device that was served by another store: its ids go on.
    hello(&mut writer, "gh-8", 0, 57);
    assert_eq!(add(&mut writer, "gh-8"), 58);
}

/// HELLO is from outside: what it says must not close the store for everybody.
#[test]
fn a_device_that_has_seen_the_last_id_gets_no_command_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    hello(&mut writer, "gh-7", 0, u32::MAX);
    let refused = writer.add_command("gh-7", "identify", EMPTY, NOW + TTL, NOW).unwrap_err();
    assert!(matches!(refused, StoreError::NoMoreIds { .. }), "{refused:?}");
    assert_eq!(add(&mut writer, "gh-8"), 1, "at the same moment: nothing had to recover");
    // A device that begins anew can be told something again.
    hello(&mut writer, "gh-7", 0, 0);
    assert_eq!(add(&mut writer, "gh-7"), 1);
}

#[test]
fn a_command_is_about_to_leave_once_only_and_a_restart_makes_it_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let (first, second) = (add(&mut writer, "gh-7"), add(&mut writer, "gh-7"));
    assert!(writer.command_sent("gh-7", first, NOW).unwrap());
    assert!(!writer.command_sent("gh-7", first, NOW).unwrap(), "never twice");
    assert!(!writer.command_sent("gh-7", 99, NOW).unwrap(), "there is no such command");
    drop(writer);
    let mut writer = open(dir.path());
    assert_eq!(state(&writer, "gh-7", first), CommandState::Sent);
    writer.interrupt_commands(NOW).unwrap();
    assert_eq!(state(&writer, "gh-7", first), CommandState::Unknown);
    assert_eq!(state(&writer, "gh-7", second), CommandState::Queued);
    assert!(!writer.command_sent("gh-7", first, NOW).unwrap(), "not after the restart either");
    let queued = writer.queued_commands("gh-7", NOW).unwrap();
    assert_eq!(queued.iter().map(|command| command.id).collect::<Vec<_>>(), [second]);
}

#[test]
fn an_end_counts_once_and_done_counts_even_after_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let id = add(&mut writer, "gh-7");
    writer.command_sent("gh-7", id, NOW).unwrap();
    let nothing = CommandEnd::default();
    let end = |writer: &mut Writer, state, end: &CommandEnd| {
        writer.command_ended("gh-7", id, state, end, NOW).unwrap().map(|record| record.state)
    };
    assert_eq!(end(&mut writer, CommandState::Unknown, &nothing), Some(CommandState::Unknown));
    assert_eq!(end(&mut writer, CommandState::Expired, &nothing), None);
    let done = CommandEnd { status: Some(0), text: "here".into(), results: vec![0] };
    assert_eq!(end(&mut writer, CommandState::Done, &done), Some(CommandState::Done));
    assert_eq!(end(&mut writer, CommandState::Unknown, &nothing), None);
    let record = Reader::open(dir.path()).unwrap().command("gh-7", id).unwrap().unwrap();
    assert_eq!((record.status, &*record.text), (Some(0), "here"));
}

/// Spec §7.7e: the first HELLO after it decides; a later one may speak of a later command.
#[test]
fn the_first_hello_after_an_unknown_command_settles_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let unknown = |writer: &mut Writer, device: &str| {
        let id = add(writer, device);
        writer.command_sent(device, id, NOW).unwrap();
        writer
            .command_ended(device, id, CommandState::Unknown, &CommandEnd::default(), NOW)
            .unwrap();
        id
    };
    let first = unknown(&mut writer, "gh-7");
    hello(&mut writer, "gh-7", 0, first);
    assert_eq!(begun(&writer, "gh-7", first), Some(true));
    let second = unknown(&mut writer, "gh-7");
    hello(&mut writer, "gh-7", 0, first);
    assert_eq!(begun(&writer, "gh-7", second), Some(false));
    hello(&mut writer, "gh-7", 0, second + 1);
    assert_eq!(begun(&writer, "gh-7", second), Some(false), "that HELLO was about a later one");
    let third = unknown(&mut writer, "gh-9");
    hello(&mut writer, "gh-9", 0, 0);
    hello(&mut writer, "gh-9", 0, third + 1);
    assert_eq!(begun(&writer, "gh-9", third), None, "it rebooted without memory: nobody knows");
}

#[test]
fn what_waits_too_long_expires_and_is_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let id = add(&mut writer, "gh-7");
    assert_eq!(writer.expire_commands(NOW + TTL - 1).unwrap(), []);
    assert_eq!(writer.queued_commands("gh-7", NOW + TTL).unwrap(), []);
    let expired = writer.expire_commands(NOW + TTL).unwrap();
    assert_eq!(expired.iter().map(|command| command.id).collect::<Vec<_>>(), [id]);
    assert_eq!(state(&writer, "gh-7", id), CommandState::Expired);
    assert!(!writer.command_sent("gh-7", id, NOW + TTL).unwrap());
}

#[test]
fn settings_and_reports_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    assert!(writer.set_settings("gh-*", Some((3, EMPTY)), NOW).unwrap());
    assert!(writer.set_settings("gh-*", Some((4, EMPTY)), NOW + 1).unwrap());
    assert!(!writer.set_settings("none", None, NOW).unwrap());
    hello(&mut writer, "gh-7", 2, 5);
    let end = CommandEnd { status: Some(1), text: "too fast".into(), results: vec![0] };
    writer.note_config("gh-7", 4, &end, NOW + 2).unwrap();
    drop(writer);
    let writer = open(dir.path());
    let reader = Reader::open(writer.dir()).unwrap();
    let settings = reader.settings().unwrap();
    assert_eq!((settings.len(), settings[0].revision, settings[0].changed), (1, 4, NOW + 1));
    let (device, report) = &reader.reports(None).unwrap()[0];
    assert_eq!((&**device, report.config_rev, report.revision), ("gh-7", 4, Some(4)));
    assert_eq!((report.status, &*report.text, report.last_command_id), (Some(1), "too fast", 5));
}

#[test]
fn an_alert_is_raised_seen_cleared_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let alert = AlertRecord {
        id: 1,
        rule: "hot".into(),
        device: "gh-7".into(),
        schema: "greenhouse".into(),
        channel: "temperature".into(),
        severity: 2,
        raised: true,
        raised_at: NOW,
        cleared_at: None,
        acknowledged_at: None,
        acknowledged_by: String::new(),
        text: "41.5 Cel".into(),
        values: vec![0],
        told: false,
        closed: false,
    };
    let notice =
        |key: &str| NoticeRecord { target: "ops".into(), key: key.into(), report: "{}".into() };
    writer.raise_alert(&alert, &[notice("up")], NOW).unwrap();
    assert_eq!(writer.standing_alerts(NOW).unwrap(), (vec![alert.clone()], 1));
    let told = |writer: &mut Writer| writer.untold_alerts("gh-7", 0, NOW).unwrap().len();
    assert_eq!(told(&mut writer), 1);
    writer.alert_told(1, true, NOW).unwrap();
    assert_eq!(told(&mut writer), 0);
    let seen = writer.acknowledge_alert(1, "ana", NOW + 1).unwrap().unwrap();
    assert_eq!((seen.raised, &*seen.acknowledged_by), (true, "ana"));
    let again = writer.acknowledge_alert(1, "eva", NOW + 2).unwrap().unwrap();
    assert_eq!((again.acknowledged_at, &*again.acknowledged_by), (Some(NOW + 1), "ana"));
    let cleared = AlertRecord {
        raised: false,
        closed: true,
        cleared_at: Some(NOW + 3),
        text: "cool".into(),
        ..alert
    };
    let first = writer.clear_alert(&cleared, &[notice("down"), notice("up")], NOW + 3).unwrap();
    assert_eq!(first.map(|alert| (alert.raised, alert.text)), Some((false, "cool".into())));
    assert_eq!(writer.clear_alert(&cleared, &[], NOW + 4).unwrap(), None, "it was cleared");
    assert_eq!(told(&mut writer), 1, "that it is cleared is news again");
    writer.alert_told(1, true, NOW).unwrap();
    assert_eq!(told(&mut writer), 1, "an answer to the old state is not one to the new one");
    // Closed by hand it stands until its condition was seen to be over.
    assert_eq!(writer.standing_alerts(NOW).unwrap().0.len(), 1);
    writer.alert_over(1, NOW).unwrap();
    assert_eq!(writer.standing_alerts(NOW).unwrap(), (vec![], 1));
    // What has to be told is kept once, over a restart, until it is settled.
    drop(writer);
    let mut writer = open(dir.path());
    assert_eq!(writer.notices(NOW).unwrap(), [notice("up"), notice("down")]);
    writer.settle_notice("ops", "up", None, NOW).unwrap();
    writer.settle_notice("ops", "down", Some(("gh-7", "notify-refused", "no")), NOW).unwrap();
    assert_eq!(writer.notices(NOW).unwrap(), []);
    let reader = Reader::open(dir.path()).unwrap();
    let query = AlertQuery { raised: Some(false), limit: 10, ..AlertQuery::default() };
    assert_eq!(reader.alerts(&query).unwrap()[0].cleared_at, Some(NOW + 3));
    assert_eq!(reader.alerts(&AlertQuery { raised: Some(true), ..query }).unwrap(), []);
    let kinds: Vec<String> =
        reader.events(None, None, 9).unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["alert-raised", "notify-refused", "alert-closed"]);
}

#[test]
fn the_latest_row_of_each_device_and_schema_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    assert_eq!(writer.latest(NOW).unwrap(), []);
    for (device, stream, time) in [("gh-7", 1, NOW), ("gh-8", 2, NOW + SECOND)] {
        land(&mut writer, device, stream, NOW + 2 * SECOND, common::declare_simple());
        for (row, earlier) in [(0, 0), (1, SECOND)] {
            let rows = common::simple_rows(row, time - earlier, &[1.0]);
            land(&mut writer, device, stream, NOW + 2 * SECOND, rows);
        }
    }
    writer.file_all(NOW).unwrap();
    let found: Vec<_> = writer
        .latest(NOW)
        .unwrap()
        .into_iter()
        .map(|latest| (latest.device, latest.time, latest.received))
        .collect();
    let received = NOW + 2 * SECOND;
    assert_eq!(found, [("gh-7".into(), NOW, received), ("gh-8".into(), NOW + SECOND, received)]);
}

/// What a follower sees, commit by commit, is what a query finds in the end: rows that were new, once.
#[test]
fn a_follower_sees_each_new_row_once_whether_schemas_are_filed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    let mut follower = Follower::open(dir.path()).unwrap();
    writer.follow(true);
    let mut seen = Vec::new();
    let mut events = Vec::new();
    let see = |writer: &mut Writer, seen: &mut Vec<_>, events: &mut Vec<_>, f: &mut Follower| {
        for blob in writer.take_landed() {
            let followed = f.decode(&blob).unwrap();
            seen.extend(followed.samples);
            events.extend(followed.events);
        }
    };
    let rows = |first, values: &[f64]| common::simple_rows(first, NOW + SECOND, values);
    for (what, outcome) in [
        (rows(0, &[1.0, 2.0]), Outcome::Stored),
        (rows(0, &[1.0, 2.0]), Outcome::Duplicate),
        (rows(1, &[2.0, 3.0]), Outcome::PartlyDuplicate),
    ] {
        assert_eq!(land(&mut writer, "gh-7", 1, NOW, what).outcome, outcome);
        see(&mut writer, &mut seen, &mut events, &mut follower);
    }
    writer.file_all(NOW).unwrap();
    // Another device, whose schema comes in the same commit; and something that happened.
    land(&mut writer, "gh-8", 2, NOW, common::declare_simple());
    see(&mut writer, &mut seen, &mut events, &mut follower);
    land(&mut writer, "gh-8", 2, NOW, rows(0, &[4.0]));
    see(&mut writer, &mut seen, &mut events, &mut follower);
    let event = What::Event { kind: "displaced".into(), text: "a ninth session".into() };
    land(&mut writer, "gh-8", 2, NOW, event);
    see(&mut writer, &mut seen, &mut events, &mut follower);
    let found: Vec<_> = seen.iter().map(|s| (s.device.to_string(), s.row, s.time)).collect();
    let mut stored: Vec<_> =
        samples(dir.path()).iter().map(|s| (s.device.to_string(), s.row, s.time)).collect();
    stored.sort();
    assert_eq!(found, stored);
    assert_eq!(found.len(), 4);
    assert_eq!((events.len(), &*events[0].kind), (1, "displaced"));
}

#[test]
fn devices_show_their_ledger_and_events_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let seen = What::Seen { transport: "udp".into(), software: "probe/1".into() };
    land(&mut writer, "gh-7", 1, NOW, seen);
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0, 2.0]));
    land(&mut writer, "gh-7", 1, NOW, What::Skip { first: 2, count: 3, cause: 1 });
    land(&mut writer, "gh-9", 2, NOW + 1, common::declare_simple());
    let event = What::Event { kind: "two-streams".into(), text: "beside".into() };
    land(&mut writer, "gh-9", 2, NOW + 2, event);
    writer.file_all(NOW).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let devices = reader.devices(None, None, 10).unwrap();
    assert_eq!(devices.len(), 2);
    let (seven, nine) = (&devices[0], &devices[1]);
    assert_eq!((&*seven.name, seven.ledger.streams, seven.ledger.resolved()), ("gh-7", 1, 5));
    assert_eq!(
        (seven.ledger.stored, seven.ledger.skipped_rows(), seven.ledger.refused_rows()),
        (2, 3, 0)
    );
    assert_eq!(seven.transport.as_deref(), Some("udp"));
    assert_eq!((&*nine.name, nine.ledger.resolved()), ("gh-9", 0));
    assert_eq!(reader.devices(Some("gh-9"), None, 10).unwrap().len(), 1);
    assert_eq!(reader.devices(None, Some("gh-7"), 10).unwrap(), std::slice::from_ref(nine));
    let events = reader.events(Some("gh-9"), None, 10).unwrap();
    assert_eq!((events.len(), &*events[0].text, events[0].stream), (1, "beside", 2));
    assert_eq!(reader.events(Some("gh-7"), None, 10).unwrap(), []);
}

/// Streams from before rows were counted when they are filed: what the others leave is stored.
#[test]
fn a_store_without_the_counts_of_filing_is_read_and_upgraded() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0, 2.0]));
    land(&mut writer, "gh-7", 1, NOW, What::Skip { first: 2, count: 3, cause: 1 });
    writer.file_all(NOW).unwrap();
    drop(writer);
    let conn = rusqlite::Connection::open(dir.path().join("senda.db")).unwrap();
    let drop_columns =
        "ALTER TABLE streams DROP COLUMN filed; ALTER TABLE streams DROP COLUMN filed_run;";
    conn.execute_batch(drop_columns).unwrap();
    drop(conn);
    let expect = |stored, streams| {
        let ledger = Reader::open(dir.path()).unwrap().ledger().unwrap();
        let found = (ledger.stored, ledger.skipped_rows(), ledger.streams, ledger.unexplained);
        assert_eq!(found, (stored, 3, streams, 0));
    };
    expect(2, 1);
    let mut writer = open(dir.path());
    expect(2, 1);
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(5, NOW, &[3.0]));
    land(&mut writer, "gh-7", 2, NOW, common::declare_simple());
    land(&mut writer, "gh-7", 2, NOW, common::simple_rows(0, NOW, &[4.0]));
    expect(4, 2);
    writer.file_all(NOW).unwrap();
    expect(4, 2);
}

#[test]
fn what_has_ended_goes_with_the_readings_of_its_age_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { age: Some(100 * SECOND), bytes: None };
    let mut writer = common::open_with(dir.path(), Options { retention, ..Options::default() });
    let ended = add(&mut writer, "gh-7");
    writer.command_ended("gh-7", ended, CommandState::Done, &CommandEnd::default(), NOW).unwrap();
    add(&mut writer, "gh-7");
    let last = add(&mut writer, "gh-7");
    writer.command_ended("gh-7", last, CommandState::Done, &CommandEnd::default(), NOW).unwrap();
    while writer.retain(NOW + 200 * SECOND, 1).unwrap() {}
    let left = Reader::open(dir.path()).unwrap().commands(None, 10).unwrap();
    assert_eq!(left.iter().map(|command| command.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(add(&mut writer, "gh-7"), 4);
}
