//! `senda sense`: this machine, CSV and NDJSON, as they are found in the store.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{Collector, Running, run, senda, wait_for};
use crate::store;

/// Good lines, and one bad line of each kind.
const GREENHOUSE: &str = "\
Time;Temp (°C);Door;Note;Pulses
2026-01-31 12:00:00;21,5;true;fine;70000
2026-01-31 12:00:01.5;-0,25;false;\"two
lines; \"\"quoted\"\"\";70001
2026-01-31T12:00:02Z;;true;;70002
2026-01-31 12:00:03;warm;true;;70003
2026-01-31 12:00:04;20;true
2026-01-31 12:00:05;20;true;\"never closed;70005
yesterday;20;true;;70006
2026-01-31 12:00:06+02:00;20;false;ñandú;70007
2026-01-31 12:00:07;20,05;true;x;70008
2026-01-31 12:00:08;-5;true;y;70009
";

#[test]
fn a_csv_file_is_stored_value_for_value_and_time_for_time_over_tcp() {
    a_csv_file_is_stored(|collector| format!("--tcp={}", collector.tcp));
}

#[test]
fn a_csv_file_is_stored_value_for_value_and_time_for_time_over_udp() {
    a_csv_file_is_stored(|collector| format!("--udp={}", collector.udp));
}

fn a_csv_file_is_stored(transport: impl Fn(&Collector) -> String) {
    let room = TempDir::new().expect("a directory");
    let file = write(room.path(), "Greenhouse 1.csv", GREENHOUSE);
    let collector = Collector::start(&room.path().join("data"));
    let sense = || {
        let mut command = sense("csv", &transport(&collector));
        command.args(["--device", "gh-7", "--speed", "max"]).arg(&file);
        command
    };
    let outcome = run(sense().args(["--format", "json"])).succeeded();
    let figures: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!((&figures["read"], &figures["bad"]), (&10.into(), &4.into()), "{outcome:#?}");
    assert_eq!((&figures["sent"], &figures["acknowledged"]), (&6.into(), &6.into()));
    for said in [
        "--type temp=i16:-2  Cel; 1 of 7 cells",
        "--type door=bool",
        "--type pulses=u32",
        "line 6: column temp: \"warm\" is no i16",
        "line 7: it has 3 cells instead of 5",
        "line 8: it has a quote that is not closed",
        "line 9: column Time: \"yesterday\" is no time",
        "10 lines read, 6 rows sent, 6 on disk, 4 bad lines",
    ] {
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
    }
    let temp = |time: &str, row: u32, value: &str| stored(time, row, "temp", "Cel", value);
    let rest = |time: &str, row: u32, door: &str, pulses: &str| {
        [stored(time, row, "door", "", door), stored(time, row, "pulses", "", pulses)]
    };
    let mut expected = vec![
        temp("12:00:00Z", 0, "21.5"),
        temp("12:00:01.5Z", 1, "-0.25"),
        temp("10:00:06Z", 3, "20"),
        temp("12:00:07Z", 4, "20.05"),
        temp("12:00:08Z", 5, "-5"),
        stored("12:00:00Z", 0, "note", "", "fine"),
        stored("12:00:01.5Z", 1, "note", "", "two\nlines; \"quoted\""),
        stored("10:00:06Z", 3, "note", "", "ñandú"),
        stored("12:00:07Z", 4, "note", "", "x"),
        stored("12:00:08Z", 5, "note", "", "y"),
    ];
    expected.extend(rest("12:00:00Z", 0, "true", "70000"));
    expected.extend(rest("12:00:01.5Z", 1, "false", "70001"));
    expected.extend(rest("12:00:02Z", 2, "true", "70002"));
    expected.extend(rest("10:00:06Z", 3, "false", "70007"));
    expected.extend(rest("12:00:07Z", 4, "true", "70008"));
    expected.extend(rest("12:00:08Z", 5, "true", "70009"));
    expected.sort_unstable();
    assert_eq!(values(&collector.data), expected);
    let sample = store::samples(&collector.data, 1).pop().expect("a sample");
    assert_eq!((&sample["clock"], &sample["estimated"]), (&"UTC_UNSYNCED".into(), &false.into()));
    // The same again, where bad lines are an error.
    assert_eq!(run(sense().arg("--strict")).code, Some(1));
}

/// A record of `senda query --format csv`, without its stream.
fn stored(time: &str, row: u32, channel: &str, unit: &str, value: &str) -> [String; 7] {
    let (time, row) = (format!("2026-01-31T{time}"), row.to_string());
    [&time, "gh-7", &row, "greenhouse_1", channel, unit, value].map(str::to_owned)
}

/// All of them, in order.
fn values(data: &Path) -> Vec<[String; 7]> {
    let outcome = run(senda(["query", "--format", "csv", "--data"]).arg(data)).succeeded();
    let records = csv::Reader::from_reader(outcome.stdout.as_bytes()).into_records();
    let mut values: Vec<[String; 7]> = records
        .map(|record| {
            let record = record.expect("a record");
            [0, 1, 3, 4, 5, 6, 7].map(|cell| record[cell].to_owned())
        })
        .collect();
    values.sort_unstable();
    values
}

#[test]
fn twenty_thousand_lines_at_once_are_all_acknowledged_and_stored_once() {
    let room = TempDir::new().expect("a directory");
    let mut text = String::from("ts,count\n");
    for count in 0..20_000 {
        writeln!(text, "{},{count}", 1_769_860_800_000u64 + 250 * count).expect("room");
    }
    let file = write(room.path(), "many.csv", &text);
    let collector = Collector::start(&room.path().join("data"));
    let mut command = sense("csv", &format!("--udp={}", collector.udp));
    let outcome = run(command.args(["--speed", "max"]).arg(&file)).succeeded();
    assert!(outcome.stderr.contains("20000 rows sent, 20000 on disk"), "{outcome:#?}");
    let data = collector.data.clone();
    assert!(collector.stop().success());
    assert_eq!(store::rows_exactly_once(&data).values().sum::<u64>(), 20_000);
    let wrong =
        "SELECT count(*) FROM many WHERE time <> 1769860800000000 + 250000 * count OR row <> count";
    assert_eq!(store::number(&data, wrong), 0);
    assert_eq!(store::number(&data, "SELECT sum(count) FROM many"), 19_999 * 10_000);
}

#[test]
fn rows_of_a_file_leave_as_far_apart_as_they_were_taken() {
    let room = TempDir::new().expect("a directory");
    let text =
        "time,x\n2026-01-30T00:00:00Z,1\n2026-01-30T00:00:00.010Z,2\n2026-01-31T00:00:00Z,3\n";
    let file = write(room.path(), "slow.csv", text);
    let collector = Collector::start(&room.path().join("data"));
    let mut child = Running::start(sense("csv", &format!("--tcp={}", collector.tcp)).arg(&file));
    wait_for("two rows", || (store::samples(&collector.data, 9).len() == 2).then_some(()));
    // The third is due in a day.
    assert!(child.is_running());
    child.signal(Signal::TERM);
    let outcome = child.finish().succeeded();
    assert!(outcome.stderr.contains("2 rows sent, 2 on disk"), "{outcome:#?}");
}

#[test]
fn a_pipe_is_stored_as_it_comes_and_its_end_waits_for_the_acknowledgements() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut child =
        Running::start(piped(&mut sense("ndjson", &format!("--udp={}", collector.udp))));
    let mut pipe = child.stdin();
    writeln!(pipe, r#"{{"time":"2026-01-31T12:00:00Z","out":{{"temp":21.5}},"door":"open"}}"#)
        .expect("a reader");
    wait_for("the first line", || (store::samples(room.path(), 9).len() == 1).then_some(()));
    pipe.write_all(
        br#"{"time":"2026-01-31T12:00:01Z","door":null,"out":{"temp":-3},"accel":[0.5,-1.25,9]}
{"time":"2026-01-31T12:00:02Z","door":7}

{"time":"2026-01-31T12:00:03Z","door"
{"time":"2026-01-31T12:00:04Z","n":9007199254740993,"door":"shut"}"#,
    )
    .expect("a reader");
    drop(pipe);
    let outcome = child.finish().succeeded();
    for said in [
        "line 2 brings a new key",
        "line 3: key door: 7 is no text",
        "line 5: it is no JSON object",
        "line 6 brings a new key",
        "5 lines read, 3 rows sent, 3 on disk, 2 bad lines",
    ] {
        assert!(outcome.stderr.contains(said), "{said}: {outcome:#?}");
    }
    assert!(collector.stop().success());
    let rows = store::sql(
        room.path(),
        "SELECT utc, out_temp, door, accel_0, accel_1, accel_2, n FROM sample ORDER BY row",
    );
    let expected = [
        r#"{"utc":"2026-01-31T12:00:00.000000Z","out_temp":21.5,"door":"open","accel_0":null,"accel_1":null,"accel_2":null,"n":null}"#,
        r#"{"utc":"2026-01-31T12:00:01.000000Z","out_temp":-3.0,"door":null,"accel_0":0.5,"accel_1":-1.25,"accel_2":9.0,"n":null}"#,
        r#"{"utc":"2026-01-31T12:00:04.000000Z","out_temp":null,"door":"shut","accel_0":null,"accel_1":null,"accel_2":null,"n":9007199254740993}"#,
    ];
    let expected: Vec<Value> =
        expected.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    assert_eq!(rows, expected, "one table: later keys are columns of it");
}

#[test]
fn lines_of_kinds_that_no_row_could_hold_together_are_rows_of_one_table() {
    let room = TempDir::new().expect("a directory");
    let line = |kind: &str| {
        let pairs: Vec<String> = (0..130).map(|key| format!("\"{kind}{key}\":{key}.5")).collect();
        format!("{{{}}}\n", pairs.join(","))
    };
    let file = write(room.path(), "kinds.ndjson", &(line("a") + &line("b") + &line("a")));
    let collector = Collector::start(&room.path().join("data"));
    let mut command = senda(["sense", "--from", "ndjson", &format!("--tcp={}", collector.tcp)]);
    run(command.arg(&file)).succeeded();
    let data = collector.data.clone();
    assert!(collector.stop().success());
    let rows = store::sql(&data, "SELECT a0, a129, b0, b129 FROM kinds ORDER BY row");
    let a = serde_json::json!({"a0": 0.5, "a129": 129.5, "b0": null, "b129": null});
    let b = serde_json::json!({"a0": null, "a129": null, "b0": 0.5, "b129": 129.5});
    assert_eq!(rows, [a.clone(), b, a]);
}

#[test]
fn a_pipe_outlives_a_crash_of_the_collector_and_every_row_is_stored_once() {
    let room = TempDir::new().expect("a directory");
    let mut collector = Collector::start(room.path());
    let mut child =
        Running::start(piped(&mut sense("ndjson", &format!("--udp={}", collector.udp))));
    let mut pipe = child.stdin();
    let mut feed = |from: u32| {
        for count in from..from + 500 {
            writeln!(pipe, "{{\"count\":{count}}}").expect("a reader");
        }
    };
    feed(0);
    wait_for("rows", || (!store::samples(room.path(), 1).is_empty()).then_some(()));
    collector.crash();
    feed(500);
    collector.restart();
    feed(1_000);
    drop(pipe);
    let outcome = child.finish().succeeded();
    assert!(outcome.stderr.contains("1500 rows sent, 1500 on disk"), "{outcome:#?}");
    assert!(collector.stop().success());
    assert_eq!(store::rows_exactly_once(room.path()).into_values().collect::<Vec<_>>(), [1_500]);
    let out_of_order = "SELECT count(*) FROM sample WHERE count <> row";
    assert_eq!(store::number(room.path(), out_of_order), 0);
}

#[test]
fn ctrl_c_ends_the_reading_waits_for_what_was_read_and_exits_with_130() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut child =
        Running::start(piped(&mut sense("ndjson", &format!("--tcp={}", collector.tcp))));
    let mut pipe = child.stdin();
    writeln!(pipe, "{{\"x\":1}}").expect("a reader");
    wait_for("the line", || (store::samples(room.path(), 9).len() == 1).then_some(()));
    child.signal(Signal::INT);
    let outcome = child.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    assert!(outcome.stderr.contains("1 rows sent, 1 on disk"), "{outcome:#?}");
    drop(pipe);
}

#[test]
fn without_a_collector_patience_ends_and_says_what_is_not_acknowledged() {
    let room = TempDir::new().expect("a directory");
    let file =
        write(room.path(), "x.csv", "time,x\n2026-01-31T12:00:00Z,1\n2026-01-31T12:00:01Z,2\n");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    // Nobody listens there on TCP, and on UDP nobody answers.
    for transport in [format!("--udp={address}"), format!("--tcp={address}")] {
        let mut command = sense("csv", &transport);
        command.args(["--speed", "max", "--patience", "100ms", "--format", "json"]).arg(&file);
        let outcome = run(&mut command);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        let said = "2 rows sent, 0 on disk, 2 not acknowledged (from line 2 on)";
        assert!(outcome.stderr.contains(said), "{outcome:#?}");
        let figures: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!(figures["not_acknowledged"], 2);
        assert_eq!(figures["first_line_not_acknowledged"], 2);
    }
}

#[test]
fn a_file_that_nobody_takes_is_not_read_to_its_end_and_says_how_far_it_got() {
    let room = TempDir::new().expect("a directory");
    let text: String = (0..12_000).fold("x\n".to_owned(), |text, x| text + &format!("{x}\n"));
    let file = write(room.path(), "x.csv", &text);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let mut command = sense("csv", &format!("--udp={address}"));
    let outcome = run(command.args(["--patience", "100ms"]).arg(&file));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let said = "10000 rows sent, 0 on disk, 10000 not acknowledged (from line 2 on)";
    assert!(outcome.stderr.contains(said), "{outcome:#?}");
    assert!(outcome.stderr.contains("the rest of the file was not read"), "{outcome:#?}");
}

#[test]
fn a_file_longer_than_the_queue_waits_for_a_collector_that_comes_late() {
    let room = TempDir::new().expect("a directory");
    let text: String = (0..12_000).fold("x\n".to_owned(), |text, x| text + &format!("{x}\n"));
    let file = write(room.path(), "x.csv", &text);
    let mut collector = Collector::start(&room.path().join("data"));
    collector.crash();
    let in_its_place = UdpSocket::bind(collector.udp).expect("its port");
    let child = Running::start(sense("csv", &format!("--udp={}", collector.udp)).arg(&file));
    // The first HELLO is lost; by the next, a second later, the queue has been full for long.
    in_its_place.recv_from(&mut [0; 2_048]).expect("a HELLO");
    drop(in_its_place);
    collector.restart();
    let outcome = child.finish().succeeded();
    assert!(outcome.stderr.contains("12000 rows sent, 12000 on disk"), "{outcome:#?}");
    let data = collector.data.clone();
    assert!(collector.stop().success());
    assert_eq!(store::rows_exactly_once(&data).into_values().collect::<Vec<_>>(), [12_000]);
}

#[test]
fn counts_and_channels_are_those_that_were_asked_for() {
    let room = TempDir::new().expect("a directory");
    let text = "time,a,b,c\n2026-01-31T12:00:00Z,1,2,3\n2026-01-31T12:00:01Z,4,5,6\n";
    let file = write(room.path(), "x.csv", text);
    let collector = Collector::start(&room.path().join("data"));
    let mut command = sense("csv", &format!("--tcp={}", collector.tcp));
    command.args(["--speed", "max", "--count", "1", "--only", "c,a", "--type", "a=f32"]);
    run(command.args(["--unit", "a=Cel", "--schema", "lab", "--tz", "local"]).arg(&file))
        .succeeded();
    let samples = store::samples(&collector.data, 9);
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0]["schema"], "lab");
    assert_eq!(samples[0]["values"], serde_json::json!({"a": 1.0, "c": 3}));
}

#[test]
fn this_machine_is_stored_with_plausible_values() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut command = sense("host", &format!("--udp={}", collector.udp));
    let outcome = run(command.args(["--interval", "100ms", "--count", "3"])).succeeded();
    assert!(outcome.stderr.contains("3 looks read"), "{outcome:#?}");
    assert!(collector.stop().success());
    let host = "SELECT count(*) FROM host WHERE load1 >= 0 AND memory_total > 1000000 AND uptime > 0 \
                AND memory_available BETWEEN 1 AND memory_total AND swap_free <= swap_total AND tasks > 0";
    assert_eq!(store::number(room.path(), host), 3);
    let cpu = "SELECT count(*) FROM host WHERE cpu IS NULL AND row = 0 OR cpu BETWEEN 0 AND 1";
    assert_eq!(store::number(room.path(), cpu), 3, "a share of the time since the look before");
    let grown = "SELECT count(*) FROM network AS a JOIN network AS b ON a.interface = b.interface \
                 AND a.time <= b.time WHERE a.interface = 'lo' AND a.received <= b.received AND b.sent > 0";
    assert_eq!(store::number(room.path(), grown), 6, "the bytes of the loopback interface grow");
    let counters = "SELECT count(*) FROM channels JOIN tables ON tables.id = channels.tbl \
                    WHERE tables.name = 'network' AND counter AND channels.unit = 'B'";
    assert_eq!(store::number(room.path(), counters), 2, "received and sent are counters of bytes");
    let file_systems =
        "SELECT count(*) FROM filesystem WHERE mount <> '' AND available <= total AND total > 0";
    let all = "SELECT count(*) FROM tables WHERE name = 'filesystem'";
    if store::number(room.path(), all) > 0 {
        assert!(store::number(room.path(), file_systems) >= 3);
    }
}

/// Spec §5.16.
#[test]
fn the_interval_that_the_collector_desires_is_the_one_that_counts() {
    let room = TempDir::new().expect("a directory");
    let text = "[[desired]]\ndevice = \"*\"\nrevision = 1\ninterval = \"100ms\"\n";
    let config = write(room.path(), "senda.toml", text);
    let config = config.to_str().expect("a path of ours");
    let collector = Collector::start_with(&room.path().join("data"), &["--config", config]);
    let mut command = sense("host", &format!("--tcp={}", collector.tcp));
    // By itself it would look again in an hour.
    let outcome = run(command.args(["--interval", "1h", "--count", "3"])).succeeded();
    assert!(outcome.stderr.contains("3 looks read"), "{outcome:#?}");
}

#[test]
fn what_can_not_be_read_says_why() {
    let room = TempDir::new().expect("a directory");
    let empty = write(room.path(), "empty.csv", "");
    let header = write(room.path(), "header.csv", "time,x\n");
    let good = write(room.path(), "good.csv", "x,y\n1,2\n");
    let text = |path: &Path| path.to_str().expect("a path of ours").to_owned();
    let missing = text(&room.path().join("missing.csv"));
    let directory = text(room.path());
    let (empty, header, good) = (text(&empty), text(&header), text(&good));
    let wrong: [(&[&str], i32, &str); 12] = [
        (&["csv", &missing], 1, "No such file"),
        (&["csv", &directory], 1, "is a directory"),
        (&["ndjson", &directory], 1, "is a directory"),
        (&["csv", &empty], 1, "is empty"),
        (&["csv", &header], 1, "not one row"),
        (&["csv", "-"], 1, "not one line"),
        (&["csv"], 2, "which FILE"),
        (&["host", &good], 2, "takes no FILE"),
        (&["csv", &good, "--type", "z=u8"], 2, "there are x, y"),
        (&["csv", &good, "--time", "x+z"], 2, "there are x, y"),
        (&["csv", &good, "--schema", "No Name"], 2, "small letters"),
        (&["ndjson", "-", "--wide"], 2, "for --from csv"),
    ];
    for (arguments, code, said) in wrong {
        let outcome = run(senda(["sense", "--device", "gh-7", "--from"]).args(arguments));
        assert_eq!(outcome.code, Some(code), "{arguments:?} {outcome:#?}");
        assert!(outcome.stderr.contains(said), "{arguments:?} {outcome:#?}");
    }
}

fn sense(source: &str, transport: &str) -> Command {
    let mut command = senda(["sense", "--from", source, transport]);
    if source == "ndjson" {
        command.arg("-");
    }
    command
}

/// With a pipe as its standard input.
fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped())
}

fn write(room: &Path, name: &str, text: &str) -> PathBuf {
    let path = room.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}
