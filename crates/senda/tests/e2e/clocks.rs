//! Fleets whose clocks drift, step, begin at 1970 or are not there: whatever they say, `time` is plausible. Spec §13.2.

use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::fleets::{figures, simulate};
use crate::processes::{Collector, run};
use crate::store;

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_micros()).expect("for another half a million years")
}

/// Every fleet has a profile, and so names and a table, of its own; all of them send at the same time.
#[test]
fn whatever_a_clock_says_the_time_in_the_store_is_plausible() {
    let fleets = [
        ("greenhouse", &["--clock", "monotonic", "--clock-drift", "100ppm"][..]),
        ("vehicle", &["--clock", "none", "--clock-drift", "100ppm"]),
        ("factory", &["--clock", "unsynced", "--clock-1970"]),
        ("weather", &["--clock", "mixed", "--clock-step", "5s", "--clock-drift", "50ppm"]),
    ];
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let udp = [format!("--udp={}", collector.udp)];
    let begin = now_us();
    std::thread::scope(|scope| {
        for (profile, clock) in fleets {
            let mut command = simulate(&udp);
            command.args(["--profile", profile, "--devices", "8", "--interval", "50ms"]);
            command.args(["--duration", "4s"]).args(clock);
            scope.spawn(move || {
                let figures = figures(&mut command);
                assert_eq!(figures["acknowledged"], figures["made"], "{profile}");
            });
        }
    });
    let end = now_us();
    assert!(collector.stop().success());
    let rows: u64 = store::rows_exactly_once(room.path()).values().sum();
    assert!(rows > 4 * 8 * 40, "{rows}");
    let number = |select: &str| store::number(room.path(), select);
    let none = |table: &str, which: &str| {
        let found = number(&format!("SELECT count(*) FROM {table} WHERE {which}"));
        assert_eq!(found, 0, "{table}: {which}");
    };
    // An offset came within seconds, and what had been filed before it was dated by it.
    none("greenhouse", "estimated = 1 OR clock <> 'monotonic' OR device_time > 60000000");
    none("greenhouse", &format!("time NOT BETWEEN {begin} AND {end}"));
    let known = "clock_offset > 0 AND clock_uncertainty < 1000000 AND to_date IS NULL";
    let greenhouses = "device IN (SELECT id FROM devices WHERE name LIKE 'greenhouse-%')";
    none("streams", &format!("{greenhouses} AND NOT ({known})"));
    none("vehicle", &format!("device_time IS NOT NULL OR time NOT BETWEEN {begin} AND {end}"));
    // Until TIME sets it such a clock says 1970, which nobody believes; then it is believed.
    none("factory", "estimated <> (device_time < 86400000000)");
    none("factory", &format!("time NOT BETWEEN {begin} - 1000000 AND {end} + 1000000"));
    assert!(number("SELECT count(*) FROM factory WHERE estimated = 0") > 8 * 30);
    // Half a minute wrong, and a step of 5 s.
    none("weather", &format!("time NOT BETWEEN {begin} - 40000000 AND {end} + 40000000"));
    assert!(number("SELECT count(DISTINCT clock) FROM weather") > 2);
}

#[test]
fn clocks_that_make_no_sense_are_refused_with_a_hint() {
    for (arguments, hint) in [
        (&["--clock", "none", "--clock-step", "1s"][..], "--clock-step needs a clock of UTC"),
        (&["--clock-1970"], "--clock-1970 needs --clock unsynced"),
        (&["--clock-drift", "50"], "write 50ppm"),
    ] {
        let outcome = run(simulate(&[]).args(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?}");
        assert!(outcome.stderr.contains(hint), "{}", outcome.stderr);
    }
}
