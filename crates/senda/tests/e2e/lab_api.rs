//! `senda lab api`: the tour, and the programs in C, Python and Rust that its snippets are cut from.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::processes::{Outcome, run, senda};

const CHAPTERS: [&str; 9] =
    ["tcp", "text", "backlog", "stream", "partial", "shutdown", "reuse", "errors", "udp"];

#[test]
fn the_c_programs_print_what_the_tour_says() {
    let room = TempDir::new().expect("a directory");
    for chapter in CHAPTERS {
        let source = room.path().join(format!("{chapter}.c"));
        std::fs::write(&source, program(chapter, "c")).expect("a file");
        let binary = room.path().join(chapter);
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&binary).arg(&source);
        run(&mut cc).succeeded();
        agrees_with_the_tour(chapter, &run(&mut Command::new(&binary)).succeeded().stdout);
    }
}

#[test]
fn the_python_programs_print_what_the_tour_says() {
    let room = TempDir::new().expect("a directory");
    for chapter in CHAPTERS {
        let source = room.path().join(format!("{chapter}.py"));
        std::fs::write(&source, program(chapter, "python")).expect("a file");
        let outcome = run(Command::new("python3").arg(&source)).succeeded();
        agrees_with_the_tour(chapter, &outcome.stdout);
    }
}

#[test]
fn the_rust_programs_print_what_the_tour_says() {
    for chapter in CHAPTERS {
        // They are a part of this binary: a child runs one alone, with its output free.
        let mut child = Command::new(std::env::current_exe().expect("this binary"));
        child.args(["--exact", "lab_api::the_rust_programs_run", "--nocapture"]);
        let said = run(child.env(CHAPTER_OF_THE_CHILD, chapter)).succeeded().stdout;
        let printed = said.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
        agrees_with_the_tour(chapter, printed.unwrap_or_else(|| panic!("{said}")).0);
    }
}

/// Which program `the_rust_programs_run` runs; all of them where it is not set.
const CHAPTER_OF_THE_CHILD: &str = "SENDA_TEST_TOUR_CHAPTER";
const BEGIN: &str = "\n-- begin\n";
const END: &str = "-- end\n";

#[test]
fn the_rust_programs_run() {
    let only = std::env::var(CHAPTER_OF_THE_CHILD).ok();
    for (chapter, main) in rust_programs::ALL {
        if only.as_deref().is_none_or(|only| only == chapter) {
            print!("{BEGIN}");
            main().unwrap_or_else(|error| panic!("{chapter}: {error}"));
            print!("{END}");
        }
    }
}

#[test]
fn what_is_printed_as_a_program_is_what_was_compiled_here() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/api/programs");
    for chapter in CHAPTERS {
        let file = std::fs::read_to_string(dir.join(format!("{chapter}.rs"))).expect("a file");
        let kept = file.lines().filter(|line| {
            let line = line.trim();
            !line.starts_with("//>") && line != "//."
        });
        let kept: Vec<&str> = kept.collect();
        assert_eq!(program(chapter, "rust").lines().collect::<Vec<_>>(), kept, "{chapter}");
    }
}

#[test]
fn each_snippet_is_a_part_of_its_program() {
    let steps = tour(&CHAPTERS);
    for language in ["c", "python", "rust"] {
        for chapter in CHAPTERS {
            let program = program(chapter, language);
            let trimmed: Vec<&str> = program.lines().map(str::trim).collect();
            let mut at = 0;
            for step in steps.iter().filter(|step| step["chapter"] == chapter) {
                let snippet = step["code"][language].as_str().expect("code");
                assert!(!snippet.is_empty(), "{step}");
                for line in snippet.lines().map(str::trim) {
                    let found = trimmed[at..].iter().position(|other| *other == line);
                    at += 1 + found.unwrap_or_else(|| panic!("{line:?} of {step}"));
                }
            }
        }
    }
}

#[test]
fn the_calls_return_what_sockets_are_known_for() {
    let steps = tour(&CHAPTERS);
    let says = |chapter, step, expected: &[&str]| {
        let lines = masked(&printed(&find(&steps, chapter, step)["returned"]));
        assert_eq!(lines, expected, "{chapter} {step}");
    };
    let address = "127.0.0.1:PORT0";
    says("tcp", "send", &["send = 11"]);
    says("tcp", "recv", &["recv = 11 b'Hola, mundo'"]);
    says("tcp", "end", &["recv = 0 b''"]);
    says("text", "encode", &["characters = 3", "bytes = 4 61 c3 b1 6f"]);
    says("text", "half", &["recv = 2 61 c3"]);
    says("text", "whole", &["recv = 2 b1 6f", "equal = 1"]);
    says("backlog", "third", &["connect = -1 errno 115"]);
    says("backlog", "accept", &[&format!("accept = {address}"), "recv = 3 b'uno'"]);
    says("stream", "two-sends", &["send = 5", "send = 6"]);
    says("stream", "one-recv", &["recv = 11 b'Hola, mundo'"]);
    says("stream", "three-recvs", &["recv = 4 b'Hola'", "recv = 4 b', mu'", "recv = 3 b'ndo'"]);
    says("stream", "unframe", &["recv = 5 b'Hola,'", "recv = 6 b' mundo'"]);
    says("partial", "sendall", &["sent = 1048576", "received = 1048576"]);
    says("shutdown", "to-the-end", &["recv = 5 b'datos'", "recv = 0 b''"]);
    says("shutdown", "answer", &["send = 9", "recv = 9 b'respuesta'"]);
    says("shutdown", "no-more", &["send = -1 errno 32"]);
    says("reuse", "without", &["bind = -1 errno 98"]);
    says("reuse", "with", &[&format!("getsockname = {address}")]);
    says("reuse", "both", &[&format!("getsockname = {address}"), "recv = 0", "bind = -1 errno 98"]);
    says("errors", "connect-ex", &["connect_ex = 111"]);
    says("errors", "connect", &["connect = -1 errno 111"]);
    says("errors", "nothing-yet", &["recv = -1 errno 11"]);
    says("errors", "first-send", &["send = 11"]);
    says("errors", "later-send", &["send = -1 errno 32"]);
    says("errors", "reset", &["recv = -1 errno 104"]);
    says("udp", "recvfrom", &[&format!("recvfrom = 11 b'Hola, mundo' from {address}")]);
    says("udp", "truncated", &["sendto = 11", "recv = 4 b'Hola'", "recv = -1 errno 11"]);
    says("udp", "msg-trunc", &["sendto = 11", "recvmsg = 4", "MSG_TRUNC = 1"]);
    says("udp", "empty", &["sendto = 0", &format!("recvfrom = 0 b'' from {address}")]);
    says("udp", "nothing", &["sendto = 4", "recv = -1 errno 11"]);
    says("udp", "refused", &["send = 4", "recv = -1 errno 111"]);
}

#[test]
fn errors_have_their_names_and_a_meaning_in_both_languages() {
    for (language, meaning) in [("en", "connection refused"), ("es", "conexión rechazada")] {
        let steps = tour_with(&["errors"], &["--lang", language]);
        let refused = &find(&steps, "errors", "connect-ex")["returned"][0]["errno"];
        assert_eq!(refused["name"], "ECONNREFUSED");
        assert!(refused["meaning"].as_str().is_some_and(|text| text.starts_with(meaning)));
    }
    let failures = tour(&CHAPTERS).into_iter().flat_map(|step| {
        let returned = step["returned"].as_array().expect("an array").clone();
        returned.into_iter().filter(|fact| fact["line"].as_str().expect("text").contains("errno"))
    });
    for failure in failures {
        assert!(failure["errno"]["name"].is_string(), "{failure}");
    }
}

#[test]
fn the_kernel_shows_each_state_on_the_way() {
    let steps = tour(&CHAPTERS);
    for step in &steps {
        assert_eq!(step["as_expected"], true, "{step}");
    }
    let state = |chapter, step, name| socket(&steps, chapter, step, name)["state"].clone();
    for (chapter, step, name, expected) in [
        ("tcp", "listen", "server", Some("LISTEN")),
        ("tcp", "connect", "conn", Some("ESTABLISHED")),
        ("tcp", "close", "client", Some("FIN-WAIT-2")),
        ("tcp", "close", "conn", Some("CLOSE-WAIT")),
        ("tcp", "close-conn", "client", Some("TIME-WAIT")),
        ("tcp", "close-conn", "conn", None),
        ("tcp", "close-server", "server", None),
        ("backlog", "third", "third", Some("SYN-SENT")),
        ("shutdown", "shutdown", "client", Some("FIN-WAIT-2")),
        ("shutdown", "close", "client", Some("TIME-WAIT")),
        ("reuse", "server-first", "conn", Some("TIME-WAIT")),
        ("reuse", "with", "second", Some("LISTEN")),
        ("errors", "first-send", "client", None),
        ("udp", "receiver", "receiver", Some("UNCONNECTED")),
        ("udp", "connect", "private", Some("ESTABLISHED")),
        ("udp", "close", "receiver", None),
    ] {
        assert_eq!(state(chapter, step, name), Json::from(expected), "{chapter} {step} {name}");
    }
    // Linux tells of sockets that are bound and no more since 6.8.
    let bound = state("tcp", "bind", "server");
    assert!(bound == "CLOSED" || bound == Json::Null, "{bound}");
}

#[test]
fn the_kernel_shows_what_waits_in_the_queues() {
    let steps = tour(&CHAPTERS);
    let queue = |chapter, step, name| {
        socket(&steps, chapter, step, name)["receive_queue"].as_u64().expect("a queue")
    };
    assert_eq!(queue("tcp", "connect", "server"), 1, "a connection that waits for accept");
    assert_eq!(queue("tcp", "accept", "server"), 0);
    assert_eq!(queue("backlog", "two", "server"), 2);
    assert_eq!(queue("backlog", "early", "conn"), 3, "before accept");
    assert_eq!(queue("stream", "two-sends", "conn"), 11);
    assert_eq!(queue("stream", "frame", "conn"), 19);
    assert_eq!(queue("shutdown", "shutdown", "conn"), 6, "5 bytes and the FIN");
    assert!(queue("udp", "sendto", "receiver") >= 11, "memory");
    assert_eq!(queue("udp", "truncated", "receiver"), 0);
    assert_eq!(queue("udp", "nothing", "private"), 0);
    let backlog = &socket(&steps, "tcp", "listen", "server")["send_queue"];
    assert_eq!(*backlog, 5);
}

#[test]
fn a_send_that_takes_a_part_says_how_much_and_the_queues_add_up_to_it() {
    let steps = tour(&["partial"]);
    let part = |step: &str, what: &str| {
        let lines = printed(&find(&steps, "partial", step)["returned"]);
        let line = lines.iter().find_map(|line| line.strip_prefix(&format!("{what} = ")));
        let number = line.and_then(|line| line.strip_suffix(" of 1048576")).expect("a part");
        number.parse::<u64>().expect("a number")
    };
    let (first, all) = (part("part", "send"), part("full", "sent"));
    assert!(0 < first && first <= all && all < 1 << 20, "{first} {all}");
    let lines = printed(&find(&steps, "partial", "full")["returned"]);
    assert!(lines.contains(&"send = -1 errno 11".to_owned()), "{lines:?}");
    let queue = |name, queue: &str| {
        socket(&steps, "partial", "full", name)[queue].as_u64().expect("a queue")
    };
    assert_eq!(queue("conn", "receive_queue") + queue("client", "send_queue"), all);
}

#[test]
fn the_older_connection_is_accepted_first() {
    let steps = tour(&["backlog"]);
    let of = |step| printed(&find(&steps, "backlog", step)["returned"]);
    let (two, accept, next) = (of("two"), of("accept"), of("next"));
    let address = |line: &str| line.split_once(" = ").expect("an address").1.to_owned();
    assert_eq!(address(&accept[0]), address(&two[0]));
    assert_eq!(address(&next[0]), address(&two[1]));
}

#[test]
fn the_text_fits_80_columns_in_both_languages_and_has_no_escapes_where_there_is_no_terminal() {
    let mut seen = Vec::new();
    for (language, word) in [("es", "ESTABLECIDO"), ("en", "ESTABLISHED")] {
        let text = run(&mut senda(["lab", "api", "--auto", "--lang", language])).succeeded();
        assert_eq!(text.stderr, "", "nobody is asked");
        let wide = text.stdout.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None);
        assert!(!text.stdout.contains('\x1b'));
        assert!(text.stdout.contains(word), "{}", text.stdout);
        for chapter in CHAPTERS {
            assert!(text.stdout.contains(&format!("\n{chapter} 1/")), "{chapter}");
        }
        seen.push(text.stdout);
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn where_nobody_can_press_enter_it_runs_through() {
    let outcome = run(&mut senda(["lab", "api", "text", "--lang", "en"])).succeeded();
    assert!(outcome.stdout.contains("text 4/4"), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "nobody is asked");
}

#[test]
fn code_is_shown_in_the_languages_asked_for() {
    for (asked, expected) in
        [("c", &["c"][..]), ("rust", &["rust"]), ("all", &["c", "python", "rust"])]
    {
        let steps = tour_with(&["text"], &["--code", asked]);
        let code = steps[0]["code"].as_object().expect("an object");
        assert_eq!(code.keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_contents_name_every_chapter_and_the_reference_every_function() {
    let list = run(&mut senda(["lab", "api", "--list", "--lang", "es"])).succeeded().stdout;
    let names = list.lines().filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, CHAPTERS);
    let reference = run(&mut senda(["lab", "api", "--reference", "--lang", "en"])).succeeded();
    let reference = format!("\n{}", reference.stdout);
    for name in ["socket", "bind", "listen", "accept", "connect", "connect_ex", "send", "recv"] {
        assert!(reference.contains(&format!("\n{name}()\n    ")), "{name} in {reference}");
    }
    assert!(reference.starts_with("\nsocket()\n    Makes a socket"), "{reference}");
}

#[test]
fn wrong_usage_is_said_with_exit_code_2() {
    for (arguments, word) in [
        (&["lab", "api", "http"][..], "stream"),
        (&["lab", "api", "--program", "c"], "CHAPTER"),
        (&["lab", "api", "tcp", "udp", "--program", "c"], "one chapter"),
        (&["lab", "api", "--code", "perl"], "python"),
    ] {
        let outcome = run(&mut senda(arguments));
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(word), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn on_a_terminal_enter_makes_one_step_and_q_ends_the_tour() {
    let outcome = on_a_terminal(&["tcp"], &[(1, "\n"), (2, "\n"), (3, "q\n")]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let said = &outcome.stdout;
    assert!(said.contains("tcp 3/13") && !said.contains("tcp 4/13"), "{said}");
    assert!(said.contains('\x1b'), "a terminal gets some bold");
}

#[test]
fn on_a_terminal_the_last_step_asks_nothing() {
    let enter = [(1, "\n"), (2, "\n"), (3, "\n")];
    let outcome = on_a_terminal(&["text"], &enter);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("text 4/4"), "{}", outcome.stdout);
}

#[test]
fn ctrl_c_ends_the_tour_with_130() {
    let outcome = on_a_terminal(&["tcp"], &[(1, "\n"), (2, "\x03")]);
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(!outcome.stdout.contains("tcp 3/13"), "{}", outcome.stdout);
}

/// The tour's steps, as JSON.
#[track_caller]
fn tour(chapters: &[&str]) -> Vec<Json> {
    tour_with(chapters, &[])
}

#[track_caller]
fn tour_with(chapters: &[&str], options: &[&str]) -> Vec<Json> {
    let mut command = senda(["lab", "api", "--format", "json"]);
    let outcome = run(command.args(chapters).args(options)).succeeded();
    assert_eq!(outcome.stderr, "");
    let lines = outcome.stdout.lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[track_caller]
fn find<'a>(steps: &'a [Json], chapter: &str, step: &str) -> &'a Json {
    let is_it = |found: &&Json| found["chapter"] == chapter && found["step"] == step;
    steps.iter().find(is_it).unwrap_or_else(|| panic!("no step {step} in {chapter}"))
}

#[track_caller]
fn socket<'a>(steps: &'a [Json], chapter: &str, step: &str, name: &str) -> &'a Json {
    let sockets = find(steps, chapter, step)["sockets"].as_array().expect("an array");
    let found = sockets.iter().find(|socket| socket["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {chapter}, {step}"))
}

/// A chapter's program, as it is given to a reader.
#[track_caller]
fn program(chapter: &str, language: &str) -> String {
    run(&mut senda(["lab", "api", chapter, "--program", language])).succeeded().stdout
}

/// The lines of a step that programs print, too.
fn printed(returned: &Json) -> Vec<String> {
    let facts = returned.as_array().expect("an array").iter();
    let facts = facts.filter(|fact| fact["printed"] == true);
    facts.map(|fact| fact["line"].as_str().expect("text").to_owned()).collect()
}

#[track_caller]
fn agrees_with_the_tour(chapter: &str, output: &str) {
    let steps = tour(&[chapter]);
    let said: Vec<String> = steps.iter().flat_map(|step| printed(&step["returned"])).collect();
    let output: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(masked(&output), masked(&said), "{chapter}");
    assert!(!said.is_empty());
}

/// What differs from run to run becomes the order of its first appearance: the same port has to come again where it
/// should. How much a full buffer took is only compared for being a part.
fn masked(lines: &[String]) -> Vec<String> {
    let mut names = HashMap::new();
    lines.iter().map(|line| mask(line, &mut names)).collect()
}

fn mask(line: &str, names: &mut HashMap<String, usize>) -> String {
    let mut masked = Vec::new();
    let mut before = "";
    for word in line.split(' ') {
        let address =
            word.split_once(':').filter(|(ip, _)| ip.ends_with(".0.0.1") || *ip == "0.0.0.0");
        masked.push(match address {
            Some((ip, port)) => format!("{ip}:PORT{}", number(names, port)),
            None if before == "fd" => format!("FD{}", number(names, &format!("fd {word}"))),
            None => word.to_owned(),
        });
        before = word;
    }
    match masked.iter().position(|word| word == "of") {
        Some(of) if masked[of + 1] == "1048576" => {
            let part: usize = masked[of - 1].parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(0 < part && part < 1 << 20, "{line}");
            masked[of - 1] = "PART".to_owned();
        }
        _ => {}
    }
    masked.join(" ")
}

/// Ports and descriptors are counted apart.
fn number(names: &mut HashMap<String, usize>, name: &str) -> usize {
    let alike = |other: &&String| other.starts_with("fd") == name.starts_with("fd");
    let next = names.keys().filter(alike).count();
    *names.entry(name.to_owned()).or_insert(next)
}

/// Runs the tour on a terminal of its own. Each answer is typed when the question has been asked so many times.
fn on_a_terminal(arguments: &[&str], answers: &[(usize, &str)]) -> Outcome {
    /// Python has terminals. A death by a signal becomes 128 and its number, as shells have it.
    const TERMINAL: &str = r#"
import json, os, pty, signal, sys
answers, command = json.loads(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    # Whoever runs the tests in the background may ignore it, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(command[0], command)
said = b""
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:  # nobody has the other end any more
        break
    if not more:
        break
    said += more
    if answers and said.count(b"[Enter: ") >= answers[0][0]:
        os.write(terminal, answers.pop(0)[1].encode())
sys.stdout.buffer.write(said)
sys.stdout.flush()
status = os.waitpid(child, 0)[1]
sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
"#;
    let answers = serde_json::to_string(answers).expect("JSON");
    let mut command = senda(["lab", "api", "--lang", "en"]);
    command.args(arguments);
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL, &answers]).arg(command.get_program()).args(command.get_args());
    python.env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    run(&mut python)
}

/// The programs of the tour in Rust, each in a module of its own.
#[expect(clippy::print_stdout, reason = "programs for learners print")]
mod rust_programs {
    type Main = fn() -> std::io::Result<()>;

    pub(super) const ALL: [(&str, Main); 9] = [
        ("tcp", tcp::run),
        ("text", text::run),
        ("backlog", backlog::run),
        ("stream", stream::run),
        ("partial", partial::run),
        ("shutdown", shutdown::run),
        ("reuse", reuse::run),
        ("errors", errors::run),
        ("udp", udp::run),
    ];

    mod tcp {
        include!("../../src/lab/api/programs/tcp.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod text {
        include!("../../src/lab/api/programs/text.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod backlog {
        include!("../../src/lab/api/programs/backlog.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod stream {
        include!("../../src/lab/api/programs/stream.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod partial {
        include!("../../src/lab/api/programs/partial.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod shutdown {
        include!("../../src/lab/api/programs/shutdown.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod reuse {
        include!("../../src/lab/api/programs/reuse.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod errors {
        include!("../../src/lab/api/programs/errors.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }

    mod udp {
        include!("../../src/lab/api/programs/udp.rs");
        pub(super) fn run() -> std::io::Result<()> {
            main()
        }
    }
}
