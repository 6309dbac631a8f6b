//! `clients/python/example.py` on `senda.py`, which knows the specification and nothing else, against the collector.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::control::asked;
use crate::processes::{Collector, Outcome, Running, run, wait_for};
use crate::store;

#[test]
fn five_runs_with_changed_channels_are_stored_side_by_side() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let (tcp, udp) = (collector.tcp.to_string(), collector.udp.to_string());
    let [celsius, humidity] = ["temperature=i16:-1:Cel", "humidity=u8::%RH"];
    let runs: [(&str, &str, &[&str]); 5] = [
        ("--udp", &udp, &[celsius]),
        ("--tcp", &tcp, &[celsius, humidity]), // more: the same view
        ("--udp", &udp, &["temperature=f32::K"]), // another type and unit: its own view
        ("--tcp", &tcp, &[humidity]),          // less: the first view
        ("--udp", &udp, &["temperature=f32::K", "note=text"]), // more of the second
    ];
    for (transport, address, channels) in runs {
        if channels == runs[2].2 {
            // Views are named in the order of filing, which is not always that of arrival.
            wait_for("filing", || (store::number(room.path(), INBOX) == 0).then_some(()));
        }
        let channels = channels.iter().flat_map(|channel| ["--channel", channel]);
        let outcome = python(
            [transport, address, "--device", "py-1", "--schema", "bench"]
                .into_iter()
                .chain(["--interval", "0.05", "--count", "4", "--seed", "3"])
                .chain(channels),
        );
        let acked = outcome.succeeded().stdout;
        assert_eq!(
            acked.lines().filter(|line| line.starts_with("acked row")).count(),
            4,
            "{acked}"
        );
    }
    assert!(collector.stop().success());
    let rows = store::rows_exactly_once(room.path());
    assert_eq!(rows.len(), 5, "a stream for each run");
    assert!(rows.values().all(|rows| *rows == 4), "{rows:?}");
    let count = |select: &str| store::number(room.path(), select);
    assert_eq!(count("SELECT count(temperature) FROM bench"), 8);
    assert_eq!(count("SELECT count(humidity) FROM bench"), 8);
    assert_eq!(count("SELECT count(*) FROM bench"), 12);
    assert_eq!(count("SELECT count(temperature) FROM bench_2"), 8);
    assert_eq!(count("SELECT count(note) FROM bench_2"), 4);
    assert_eq!(count("SELECT count(*) FROM bench_2"), 8);
    assert_eq!(count("SELECT count(*) FROM events"), 0, "nothing that anybody has to look at");
    assert_eq!(count("SELECT count(*) FROM refused"), 0);
}

/// Spec §5.16, §5.17.
#[test]
fn a_desired_interval_is_applied_and_confirmed_over_tcp() {
    desired_interval("tcp", |collector| collector.tcp.to_string());
}

/// Spec §5.16, §5.17.
#[test]
fn a_desired_interval_is_applied_and_confirmed_over_udp() {
    desired_interval("udp", |collector| collector.udp.to_string());
}

fn desired_interval(transport: &str, address: impl Fn(&Collector) -> String) {
    let room = TempDir::new().expect("a directory");
    let config = room.path().join("senda.toml");
    std::fs::write(&config, "[[desired]]\ndevice = \"*\"\nrevision = 1\ninterval = \"200ms\"\n")
        .expect("a file");
    let config = config.to_str().expect("text");
    let data = room.path().join("data");
    let collector = Collector::start_with(&data, &["--trace", "--config", config]);
    // On its own it would send a row an hour: that it ends at all shows what it was told.
    let (option, address) = (format!("--{transport}"), address(&collector));
    let arguments = [&*option, &address, "--device", "py-2", "--interval", "3600", "--count", "4"];
    python(arguments).succeeded();
    let done = wait_for("DONE", || {
        let trace = collector.stderr();
        trace.lines().find(|line| line.contains(" DONE ")).map(str::to_owned)
    });
    assert!(done.starts_with(&format!("-> {transport} ")), "{done}");
    assert!(done.contains("status=0 OK"), "{done}");
    assert!(collector.stderr().contains("CONFIG"), "{}", collector.stderr());
    assert_eq!(store::samples(&data, 10).len(), 4);
}

/// Spec §4.4, §5.18, §5.20.
#[test]
fn it_answers_a_command_with_the_very_values_that_it_was_given() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let address = collector.udp.to_string();
    let mut device = example();
    device.args(["--udp", &address, "--device", "py-3", "--interval", "0.05", "--count", "5000"]);
    let _device = Running::start(&mut device);
    wait_for("the device", || {
        let devices = asked(&collector, &["devices"]);
        devices.iter().any(|device| device["online"] == true).then_some(())
    });
    let arguments =
        ["bool:true", "a=u16e-1:21.5", "u64:18446744073709551615", "f32:[1.5,-2.5]", "text:grün"];
    let echo = [&["command", "py-3", "echo-args", "--wait=60s"], &arguments[..]].concat();
    let [record] = &asked(&collector, &echo)[..] else { panic!("one line") };
    assert_eq!(record["status"], "ok", "{record}");
    assert_eq!(record["results"].as_array().map(Vec::len), Some(arguments.len()));
    assert_eq!(record["results"], record["arguments"]);
    let [record] = &asked(&collector, &["command", "py-3", "identify", "--wait=60s"])[..] else {
        panic!("one line")
    };
    assert_eq!(record["results"][0]["value"], "py-3", "{record}");
}

const INBOX: &str = "SELECT count(*) FROM inbox";

pub(crate) fn python<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    run(example().args(arguments))
}

fn example() -> Command {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/example.py");
    let mut command = Command::new("python3");
    command.arg(example);
    command
}
