//! The tables of `docs/operations.md`, read by a program: keys, types, defaults, flags and variables are those of the code.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args as _, FromArgMatches as _};
use senda_server::Config;

use super::{KEYS, parse};
use crate::{alert_rules, serve};

const PAGE: &str = include_str!("../../../../docs/operations.md");

/// A key of the file, as the page has it.
struct Row {
    key: String,
    kind: String,
    default: String,
    /// Flag and variable, where there are any.
    flags: String,
}

/// What the tables of the file are called on the page, and a file that has one.
const TABLES: [(&str, &str, &str); 9] = [
    ("", "### The file itself", ""),
    ("limits", "### `[limits]`", "[limits]\n"),
    ("retention", "### `[retention]`", "[retention]\n"),
    ("desired", "### `[[desired]]`", "[[desired]]\n"),
    ("raw", "### `[[raw]]`", "[[raw]]\n"),
    (
        "raw.fields",
        "### `fields` of `[[raw]]`",
        "[[raw]]\nname = \"r\"\nformat = \">B\"\n[[raw.fields]]\n",
    ),
    (
        "raw.reply",
        "### `[raw.reply]`",
        "[[raw]]\nname = \"r\"\nformat = \">B\"\nfields = [\"a\"]\n[raw.reply]\n",
    ),
    ("alert", "### `[[alert]]`", "[[alert]]\n"),
    ("notify", "### `[notify.NAME]`", "[notify.x]\n"),
];

/// Keys without which an entry of a table is none, so that one more can be looked at.
const COMPLETE: [(&str, &str); 7] = [
    ("desired", "device = \"*\"\n"),
    (
        "raw",
        "name = \"r\"\nformat = \">B\"\nfields = [\"a\"]\ntime = \"a\"\ntcp = \":0\"\nlength = \">H\"\n",
    ),
    ("raw.fields", "name = \"a\"\n"),
    ("raw.reply", "format = \">B\"\nvalues = [1]\n"),
    ("alert", "name = \"a\"\ndevice = \"*\"\nchannel = \"c\"\nabove = 1\nrate = \"1s\"\n"),
    ("notify", "webhook = \"https://example.org/\"\n"),
    ("notify", "exec = [\"true\"]\n"),
];

#[test]
fn the_page_has_exactly_the_keys_that_the_file_may_have() {
    for (table, _, begin) in TABLES {
        let on_the_page: BTreeSet<String> = rows(table).into_iter().map(|row| row.key).collect();
        assert_eq!(on_the_page, taken(begin), "what is read, table [{table}]");
        let (_, known) = KEYS.iter().find(|(name, _)| *name == table).expect("a table");
        let known: BTreeSet<String> = known.iter().map(|&key| key.to_owned()).collect();
        assert_eq!(on_the_page, known, "what suggestions know, table [{table}]");
    }
    assert_eq!(TABLES.len(), KEYS.len());
}

#[test]
fn a_key_takes_the_types_that_the_page_gives_it_and_no_other() {
    for (table, _, begin) in TABLES {
        for Row { key, kind, .. } in rows(table) {
            let named: Vec<&str> = kind.split(" or ").collect();
            let samples = SAMPLES.iter().filter(|(kind, _)| named.contains(kind));
            let shown: Vec<&str> = samples.map(|(_, value)| *value).collect();
            assert_eq!(shown.len(), named.len(), "[{table}] {key} has the type {kind:?}");
            for (_, value) in SAMPLES {
                let answer = parse(&format!("{begin}{key} = {value}\n"));
                let message = answer.map_or_else(|error| format!("{error:#}"), |_| String::new());
                // Rules look at two of their keys themselves, replies at one; whole numbers are numbers.
                let is_free = table == "alert" && (key == "equals" || key == "for")
                    || key == "values" && value.starts_with('[');
                let is_number = named == ["number"] && *value == "1";
                let is_empty = kind.starts_with("table") && *value == "{}";
                let is_same = shown.contains(value) || is_free || is_number || is_empty;
                let misfits = ["invalid type", "invalid length", "unknown field"];
                let fits = !misfits.iter().any(|misfit| message.contains(misfit));
                assert_eq!(fits, is_same, "[{table}] {key} = {value}: {message}");
            }
        }
    }
}

/// Types, as the page calls them, and a value of each.
const SAMPLES: &[(&str, &str)] = &[
    ("text", "\"1s\""),
    ("time", "\"1s\""),
    ("whole number", "1"),
    ("number", "1.5"),
    ("bool", "true"),
    ("list of texts", "[\"a\"]"),
    ("list of tables", "[{}]"),
    ("table of texts", "{ a = \"b\" }"),
    ("table of bools", "{ a = true }"),
    ("table", "{}"),
];

#[test]
fn a_default_on_the_page_is_what_the_collector_takes_without_the_key() {
    let mut checked = Vec::new();
    for table in ["", "limits", "retention"] {
        for Row { key, default, .. } in rows(table) {
            let Some(default) = literals(&default).into_iter().next() else { continue };
            let (_, _, begin) = TABLES.iter().find(|(name, ..)| *name == table).expect("a table");
            let given = collector(&format!("{begin}{key} = {default}\n"));
            let without = collector("");
            assert_eq!(told(&given, &key), told(&without, &key), "[{table}] {key} = {default}");
            checked.push(key);
        }
    }
    let all = ["tcp", "udp", "http", "http_hosts", "open_to_network", "commit_interval"];
    assert_eq!(checked[..6], all);
    assert_eq!(checked[6..], ["connections", "sessions", "window_rows"]);
    assert_eq!(told(&collector(""), "age"), "None", "retention is off");
    assert_eq!(told(&collector(""), "bytes"), "None", "retention is off");
}

#[test]
fn a_default_on_the_page_is_what_rules_and_targets_take_without_the_key() {
    let mut checked = 0;
    for (table, complete) in COMPLETE {
        let (_, _, begin) = TABLES.iter().find(|(name, ..)| *name == table).expect("a table");
        let base = format!("{begin}{complete}");
        for Row { key, default, .. } in rows(table) {
            let (of_webhooks, of_programs) = default.split_once("exec: ").unwrap_or((&default, ""));
            let is_program = complete.starts_with("exec");
            let here = if is_program { of_programs } else { of_webhooks };
            for default in literals(here) {
                let given = outward(&format!("{base}{key} = {default}\n"));
                assert_eq!(given, outward(&base), "[{table}] {key} = {default}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 26, "literal defaults in the lists of tables and [notify.NAME]");
}

#[test]
fn the_page_has_exactly_the_flags_and_variables_of_serve() {
    let command = serve::Args::augment_args(clap::Command::new("serve"));
    let of_serve: BTreeSet<String> = command
        .get_arguments()
        .map(|argument| {
            let flag = argument.get_long().expect("a long flag");
            let variable = argument.get_env().expect("a variable").to_str().expect("a name");
            format!("`--{flag}` `{variable}`")
        })
        .collect();
    let with_key = TABLES.iter().flat_map(|(table, ..)| rows(table));
    let with_key = with_key.filter(|row| !row.flags.is_empty()).map(|row| {
        let flag = format!("`--{}`", row.key.replace('_', "-"));
        assert!(row.flags.starts_with(&flag), "{} of {}", row.flags, row.key);
        row.flags
    });
    let alone = table_after("### Flags without a key").into_iter().map(|cells| cells[0].clone());
    let on_the_page: BTreeSet<String> = with_key.chain(alone).collect();
    assert_eq!(on_the_page, of_serve);
}

#[test]
fn a_flag_wins_over_the_file() {
    let room = tempfile::tempdir().expect("a directory");
    let file = room.path().join("senda.toml");
    std::fs::write(&file, "tcp = \"off\"\nudp = \"[::1]:1\"\nhttp = \"[::1]:2\"\n")
        .expect("a file");
    let file = file.to_str().expect("a path");
    let config = collector_of(&["--config", file, "--tcp=[::1]:3", "--http=off"]);
    assert_eq!(config.tcp.as_deref(), Some("[::1]:3"));
    assert_eq!(config.udp.as_deref(), Some("[::1]:1"));
    assert_eq!(config.http, None);
}

/// The rows of a table of the file.
fn rows(table: &str) -> Vec<Row> {
    let (_, heading, _) = TABLES.iter().find(|(name, ..)| *name == table).expect("a table");
    let rows = table_after(heading).into_iter().map(|cells| {
        let cell = |at: usize| cells.get(at).cloned().unwrap_or_default();
        let key = cell(0).trim_matches('`').to_owned();
        Row { key, kind: cell(1), default: cell(2), flags: cell(3) }
    });
    rows.collect()
}

/// Cells of the first table below a heading, without its own heading.
#[track_caller]
fn table_after(heading: &str) -> Vec<Vec<String>> {
    let mut lines = PAGE.lines().skip_while(|line| *line != heading).skip(1);
    let table = lines.by_ref().skip_while(|line| !line.starts_with('|') && !line.starts_with('#'));
    let cells = |line: &str| {
        let inside = line.trim_matches('|').split('|');
        inside.map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<Vec<String>> =
        table.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "docs/operations.md has no table below {heading:?}");
    rows
}

/// Values that stand in code quotes; words are for people.
fn literals(default: &str) -> Vec<String> {
    default.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys that a table takes, by asking for one that there can't be.
fn taken(begin: &str) -> BTreeSet<String> {
    let message = parse(&format!("{begin}no_such_key = 1\n")).unwrap_err().to_string();
    let (_, expected) = message.split_once("expected").expect("what is expected");
    let (expected, _) = expected.split_once("did you mean").unwrap_or((expected, ""));
    literals(expected).into_iter().collect()
}

/// What `senda serve --config` makes of a file.
fn collector(text: &str) -> Config {
    let room = tempfile::tempdir().expect("a directory");
    let file = room.path().join("senda.toml");
    std::fs::write(&file, text).expect("a file");
    collector_of(&["--config", file.to_str().expect("a path")])
}

fn collector_of(arguments: &[&str]) -> Config {
    let command = serve::Args::augment_args(clap::Command::new("serve"))
        .mut_args(|argument| argument.env(None::<&str>));
    let matches = command.try_get_matches_from([&["serve"], arguments].concat()).expect("flags");
    let args = serve::Args::from_arg_matches(&matches).expect("flags");
    args.into_config().unwrap_or_else(|error| panic!("{error:#}"))
}

/// Where a key of the file ends up.
fn told(config: &Config, key: &str) -> String {
    match key {
        "tcp" => format!("{:?}", config.tcp),
        "udp" => format!("{:?}", config.udp),
        "http" => format!("{:?}", config.http),
        "http_hosts" => format!("{:?}", config.http_hosts),
        "open_to_network" => format!("{:?}", config.open_to_network),
        "commit_interval" => format!("{:?}", config.engine.commit_interval),
        "connections" => format!("{:?}", config.connections_max),
        "sessions" => format!("{:?}", config.engine.sessions_max),
        "window_rows" => format!("{:?}", config.engine.window_rows),
        "age" => format!("{:?}", config.store.retention.age),
        "bytes" => format!("{:?}", config.store.retention.bytes),
        other => panic!("where does {other} end up? Say it here"),
    }
}

/// Desired configurations, raw listeners, rules and targets of a file.
fn outward(text: &str) -> BTreeMap<&'static str, String> {
    let file = parse(text).unwrap_or_else(|error| panic!("{text}: {error:#}"));
    let desired: Vec<_> = file
        .desired
        .iter()
        .map(|entry| entry.to_desired().expect("settings"))
        .map(|desired| (desired.pattern, desired.revision, desired.list))
        .collect();
    let raw: Vec<_> = file
        .raw
        .iter()
        .map(|entry| entry.to_raw().unwrap_or_else(|error| panic!("{text}: {error:#}")))
        .collect();
    let (rules, targets) = alert_rules::read(&file.alert, &file.notify)
        .unwrap_or_else(|error| panic!("{text}: {error:#}"));
    BTreeMap::from([
        ("desired", format!("{desired:?}")),
        ("raw", format!("{raw:?}")),
        ("rules", format!("{rules:?}")),
        ("targets", format!("{targets:?}")),
    ])
}
