//! Targets that are told by a program.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use senda_server::alerts::outward::{Exec, Fate, Means, Outward, Retry, Target};

use crate::hooks::{PATIENCE, next, report};

/// A script in a directory of its own.
struct Script {
    directory: tempfile::TempDir,
    exec: Exec,
}

impl Script {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tell");
        std::fs::write(&path, format!("cd '{}'\n{text}", directory.path().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        // By `sh FILE`: a file that was written just now may be open in a child that another test forks.
        let command =
            ["/bin/sh", path.to_str().unwrap(), "a b", "$HOME"].map(str::to_owned).to_vec();
        Self { directory, exec: Exec { timeout: PATIENCE, ..Exec::new(command) } }
    }

    fn target(&self) -> Target {
        Target {
            name: "page".into(),
            means: Means::Exec(self.exec.clone()),
            retry: Retry::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What becomes of one report.
    fn tell(&self) -> (Fate, u32) {
        let (outward, outcomes) = Outward::start(vec![self.target()], []).unwrap();
        outward.send("page", report(1, "raised"));
        let outcome = next(&outcomes);
        outward.stop(Duration::ZERO);
        (outcome.fate, outcome.attempts)
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_program_gets_the_report_as_json_and_as_variables() {
    let script = Script::new(
        "cat > in.json; env | grep ^SENDA_ALERT_ | sort > env; printf '%s|' \"$@\" > args",
    );
    assert_eq!(script.tell(), (Fate::Delivered, 1));
    let json: serde_json::Value = serde_json::from_str(&read(&script.path("in.json"))).unwrap();
    assert_eq!(json, serde_json::to_value(report(1, "raised")).unwrap());
    assert_eq!(read(&script.path("args")), "a b|$HOME|", "no shell took them apart");
    let expected = "\
SENDA_ALERT_CHANNEL=temperature
SENDA_ALERT_DEVICE=gh-7
SENDA_ALERT_ID=1
SENDA_ALERT_RULE=hot
SENDA_ALERT_SCHEMA=greenhouse
SENDA_ALERT_SEVERITY=warning
SENDA_ALERT_STATE=raised
SENDA_ALERT_TEXT=gh-7 is hot
SENDA_ALERT_THRESHOLD=30
SENDA_ALERT_TIME=2023-11-14T22:13:20.5Z
SENDA_ALERT_TIME_US=1700000000500000
SENDA_ALERT_UNIT=Cel
SENDA_ALERT_VALUE=31.5
";
    assert_eq!(read(&script.path("env")), expected);
}

#[test]
fn a_failure_is_told_with_its_code_and_last_line_and_not_tried_again() {
    let script = Script::new("echo first >&2; echo 'no such pager' >&2; echo >&2; exit 3");
    let why = "exit code 3: no such pager".to_owned();
    assert_eq!(script.tell(), (Fate::Refused { why }, 1));
    let script = Script::new("kill -9 $$");
    assert_eq!(script.tell().0, Fate::Refused { why: "killed by signal 9".into() });
}

#[test]
fn a_program_that_is_not_there_is_said_to_be() {
    let mut script = Script::new("");
    script.exec.command = vec!["/nonexistent/pager".into()];
    let Fate::Refused { why } = script.tell().0 else { panic!("it ran") };
    assert!(why.starts_with("can't run \"/nonexistent/pager\": No such file"), "{why}");
}

#[test]
fn a_program_that_reads_nothing_and_says_much_ends_well() {
    let script = Script::new(
        "exec <&-; i=0; while [ $i -lt 5000 ]; do echo \"line $i of many, to fill the pipe\" >&2; i=$((i+1)); done; exit 1",
    );
    let why = "exit code 1: line 4999 of many, to fill the pipe".to_owned();
    assert_eq!(script.tell().0, Fate::Refused { why });
}

#[test]
fn a_child_that_stays_holds_nothing_up() {
    let script = Script::new("sleep 300 & echo $! > pid; exit 0");
    assert_eq!(script.tell(), (Fate::Delivered, 1));
    let pid = read(&script.path("pid")).trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let mut script = Script::new("sleep 300 & echo $! > new; mv new pid; wait");
    script.exec.timeout = Duration::from_secs(2);
    assert_eq!(script.tell().0, Fate::Refused { why: "killed after 2s".into() });
    assert!(ends(&script.path("pid")), "the child lives");
}

#[test]
fn a_stop_kills_what_runs_and_gives_its_report_back() {
    let script = Script::new("sleep 300 & echo $! > new; mv new pid; wait");
    let (outward, outcomes) = Outward::start(vec![script.target()], []).unwrap();
    outward.send("page", report(1, "raised"));
    outward.send("page", report(1, "cleared"));
    wait_for(&script.path("pid"));
    outward.stop(Duration::ZERO);
    let left: Vec<_> = outcomes.iter().map(|o| (o.fate, o.attempts, o.report.state)).collect();
    let expected =
        [(Fate::Undelivered, 1, "raised".into()), (Fate::Undelivered, 0, "cleared".into())];
    assert_eq!(left, expected);
    assert!(ends(&script.path("pid")), "the child lives");
}

#[test]
fn so_many_run_at_once_and_no_more() {
    // Two wait for each other, so they ran at once; whoever sees three of them says so.
    let mut script = Script::new(
        "touch run.$$
         until [ -e both ] || [ $(ls | grep -c '^run') -ge 2 ]; do sleep 0.01; done
         touch both
         ls | grep -c '^run' > count.$$
         rm run.$$",
    );
    script.exec.at_once = 2;
    let (outward, outcomes) = Outward::start(vec![script.target()], []).unwrap();
    for id in 0..8 {
        outward.send("page", report(id, "raised"));
    }
    for _ in 0..8 {
        assert_eq!(next(&outcomes).fate, Fate::Delivered);
    }
    outward.stop(Duration::ZERO);
    let files =
        std::fs::read_dir(script.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let counts: Vec<_> = files.filter(|path| path.to_str().unwrap().contains("count.")).collect();
    assert_eq!(counts.len(), 8);
    assert!(counts.iter().all(|path| read(path).trim().parse::<u32>().unwrap() <= 2));
}

fn wait_for(path: &Path) {
    for _ in 0..6_000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} never came", path.display());
}

/// True once the process whose number the file has is gone, or waits for being waited for.
fn ends(path: &Path) -> bool {
    let stat = PathBuf::from(format!("/proc/{}/stat", read(path).trim()));
    (0..3_000).any(|_| {
        let state = std::fs::read_to_string(&stat);
        let over =
            state.map_or(true, |text| text.rsplit(") ").next().is_some_and(|s| s.starts_with('Z')));
        if !over {
            std::thread::sleep(Duration::from_millis(10));
        }
        over
    })
}
