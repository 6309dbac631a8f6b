//! The runner would notice: a chapter that says what is not so is a failure.

use std::process::Command;
use std::time::Duration;

use rustix::process::test_kill_process_group;

use crate::chapter;
use crate::expect::Memory;
use crate::processes::wait_for;
use crate::session::{self, Report};
use crate::terminal::{Expected, Terminal};

fn run(markdown: &str) -> Result<Report, String> {
    session::run(&chapter::read(markdown)?, "C.UTF-8")
}

/// A chapter that a server runs through, with `PLACE` for what may be wrong.
const CHAPTER: &str = "\
<!-- file server.py -->
```python
import socket # server.py
listening = socket.create_server(('127.0.0.1', 65432))
while True:
    conn, addr = listening.accept()
    print('from', addr[1])
    conn.sendall(conn.recv(100))
    conn.close()
```
<!-- file client.py -->
```python
import socket # client.py
s = socket.create_connection(('127.0.0.1', 65432))
print('I am', s.getsockname()[1])
s.sendall(b'abc')
print(s.recv(100))
```
<!-- run terminal=server ready=tcp:65432
61234 ~ port
-->
```console
$ python3 server.py
```
```console
$ python3 client.py
I am 61234
b'abc'
```
<!-- run terminal=server -->
```console
from 61234
```
<!-- run exit=3 -->
```console
$ echo $LANG \\
> twice; echo to stderr >&2
C.UTF-8 twice
to stderr
$ senda --version > version.txt; exit 3
```
<!-- run terminal=server -->
```console
^C
Traceback (most recent call last):
...
KeyboardInterrupt
```
<!-- run skip=only to show that it is counted -->
```console
$ false
```
";

#[test]
fn a_chapter_that_is_right_passes_and_says_what_was_skipped() {
    let report = run(CHAPTER).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((report.run, report.skipped.len()), (5, 1));
    assert!(report.skipped[0].1.contains("counted"));
}

#[test]
fn each_thing_that_is_not_so_is_a_failure_at_its_line() {
    for (right, wrong, line, why) in [
        ("61234\nb'abc'", "61234\nb'abd'", 25, "expected here: b'abd'"),
        ("61234\nb'abc'\n", "61234\nb'abc'\nmore\n", 25, "it ended; expected were"),
        ("I am 61234\n", "", 25, "expected here: b'abc'"),
        ("61234\nb'abc'\n", "61234\n", 25, "this is not in the chapter: b'abc'"),
        ("from 61234", "from 61235", 31, "expected here"),
        ("exit=3", "exit=4", 35, "not with exit code 4"),
        ("C.UTF-8 twice\n", "C.UTF-8\n", 35, "expected here: C.UTF-8"),
        ("to stderr\n$", "$", 35, "not in the chapter: to stderr"),
        ("KeyboardInterrupt\n", "KeyboardError\n", 43, "it ended; expected were"),
    ] {
        assert!(CHAPTER.contains(right), "{right}");
        let error = run(&CHAPTER.replacen(right, wrong, 1)).expect_err(wrong);
        assert!(error.starts_with(&format!("line {line}:")), "{wrong}: {error}");
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn half_a_line_is_not_compared_before_the_rest_has_come() {
    // The other half comes from a child, once its parent has ended and was waited for.
    let chapter = "```console\n$ printf half; (while kill -0 $$ 2> /dev/null; do :; done; echo ' whole') &\n\
                   half whole\n```\n";
    run(chapter).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_a_terminal_prints_after_its_last_block_is_not_overlooked() {
    let chapter = "<!-- run terminal=a -->\n```console\n$ echo one; echo two; sleep 1000\none\n```\n\
                   <!-- run terminal=b -->\n```console\n$ echo three; sleep 1000\n```\n";
    // Whether `two` had come when the chapter ended is chance, so the chapter waits for it.
    let chapter = chapter.replace("echo two;", "echo two; touch done;")
        + "```console\n$ until test -e done; do sleep 0.01; done\n```\n";
    let error = run(&chapter).expect_err("two was not shown");
    assert!(error.contains("it also printed:\ntwo"), "{error}");
}

#[test]
fn a_command_that_does_not_end_is_given_up_and_ended() {
    let mut terminal = Terminal::start(
        Command::new("bash").args(["-c", "echo started; sleep 1000 & wait"]),
        "sleeper",
    )
    .expect("bash");
    terminal.be_impatient(Duration::from_millis(300));
    let expected = Expected { output: &["started".into()], any_spaces: false, exit: Some(0) };
    let error = terminal.expect(&mut Memory::default(), &expected).expect_err("it sleeps");
    assert!(error.contains("for its end"), "{error}");
    let group = terminal.group();
    drop(terminal);
    wait_for("end of both", || test_kill_process_group(group).err());
}
