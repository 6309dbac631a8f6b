//! `senda lab pack`, `unpack` and `calcsize`, against the `struct` of the machine's Python.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::processes::{Outcome, Running, run, senda};

/// A format, the words of our command line, and the same values in Python.
const PACKED: [(&str, &[&str], &str); 16] = [
    (">iii", &["1", "2", "3"], "1, 2, 3"),
    ("@bi", &["1", "2"], "1, 2"),
    ("bi", &["-1", "-2"], "-1, -2"),
    ("=bi", &["0x7f", "-2"], "0x7f, -2"),
    ("!Hhq", &["65535", "-32768", "1_000"], "65535, -32768, 1_000"),
    ("<Q", &["0xffff_ffff_ffff_ffff"], "2**64 - 1"),
    ("@nNP", &["-7", "7", "255"], "-7, 7, 255"),
    ("<efd", &["0.1", "0.1", "0.1"], "0.1, 0.1, 0.1"),
    ("<efd", &["nan", "inf", "-1e-300"], "nan, inf, -1e-300"),
    ("<d", &["-inf"], "-inf"),
    (">h", &["-0x10"], "-0x10"),
    ("???", &["true", "0", "2.5"], "True, 0, 2.5"),
    ("c3s5p", &["a", "señal", "hola"], "b'a', 'señal'.encode(), b'hola'"),
    ("4s4s", &["0x00ff", r"b'\x00\n'"], r"b'\x00\xff', b'\x00\n'"),
    ("3x h 2x", &["7"], "7"),
    ("2s0i", &[""], "b''"),
];

/// A format and the bytes of a structure.
const UNPACKED: [(&str, &str); 9] = [
    (">iii", "00000001 00000002 ffffffff"),
    ("@bi", "01 aabbcc 02000000"),
    ("<efd", "ff7b cdcccc3d 9a9999999999b93f"),
    ("<3d", "00e03ef5f8c94443 f168e388b5f8e43e 0000000000000080"),
    ("<2e", "007c 01fe"),
    ("?c3s5p", "02 00 610a27 0268696a6b"),
    ("=QqBb", "ffffffffffffffff ffffffffffffffff ff ff"),
    ("@nNP", "ffffffffffffffff ffffffffffffffff 0100000000000000"),
    ("!I", "12345678"),
];

/// What is wrong, by its format and our words, and by the same values in Python.
const MISTAKES: [(&str, &[&str], &str, usize); 13] = [
    (">hZ", &["1"], "1", 2),
    ("> 3 i", &["1"], "1", 3),
    ("<n", &["1"], "1", 1),
    ("i<", &["1"], "1", 1),
    ("<h3", &["1"], "1", 2),
    ("99999999999999999999b", &[], "", 0),
    (">iii", &["1", "2"], "1, 2", 3),
    (">bh", &["1", "7.5"], "1, 7.5", 2),
    (">bh", &["1", "text"], "1, b'text'", 2),
    ("<if", &["1", "text"], "1, b'text'", 2),
    ("<ef", &["65520.0", "1"], "65520.0, 1", 1),
    ("<xc", &["ab"], "b'ab'", 2),
    ("<xi", &["2147483648"], "2147483648", 2),
];

#[test]
fn what_is_packed_is_what_python_packs() {
    let expected = python(
        "struct.pack(form, *eval(f'({values},)')).hex()",
        &json!(PACKED.map(|(format, _, values)| (format, values))),
    );
    for ((format, words, _), expected) in PACKED.into_iter().zip(expected) {
        let arguments =
            ["lab", "pack", "--hex", format, "--"].into_iter().chain(words.iter().copied());
        let got = run(&mut senda(arguments)).succeeded().stdout;
        assert_eq!(got, format!("{}\n", expected.as_str().expect("hex")), "{format} {words:?}");
    }
}

#[test]
fn what_is_unpacked_is_what_python_unpacks() {
    let expected = python("repr(struct.unpack(form, bytes.fromhex(values)))", &json!(UNPACKED));
    for ((format, hex), expected) in UNPACKED.into_iter().zip(expected) {
        let got = lab(&["unpack", "--values", format, hex]).succeeded().stdout;
        assert_eq!(got, format!("{}\n", expected.as_str().expect("text")), "{format} {hex}");
        // As words, as a literal of Python's, and with colons.
        let words: Vec<&str> = hex.split(' ').collect();
        let again = lab(&[&["unpack", "--values", format], &words[..]].concat()).succeeded().stdout;
        assert_eq!(again, got);
        let again = lab(&["unpack", "--values", format, &hex.replace(' ', ":")]).succeeded().stdout;
        assert_eq!(again, got);
    }
    let sizes = python("struct.calcsize(form)", &json!(UNPACKED));
    for ((format, _), expected) in UNPACKED.into_iter().zip(sizes) {
        assert_eq!(
            lab(&["calcsize", format]).succeeded().stdout,
            format!("{expected}\n"),
            "{format}"
        );
    }
}

#[test]
fn a_mistake_is_told_in_pythons_words_with_a_caret_under_it() {
    let expected = python(
        "refusal(lambda: struct.pack(form, *eval(f'({values},)' if values else '()')))",
        &json!(MISTAKES.map(|(format, _, values, _)| (format, values))),
    );
    for ((format, words, _, at), expected) in MISTAKES.into_iter().zip(expected) {
        let outcome = lab(&[&["pack", format], words].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        let [said, shown, caret] = lines[..] else { panic!("{outcome:?}") };
        assert_eq!(said, format!("senda: {}", expected.as_str().expect("text")), "{format}");
        assert_eq!(shown, format!("  {format}"));
        assert_eq!(caret.find('^'), Some(2 + at), "{outcome:?}");
    }
    let too_many = lab(&["pack", "<h", "1", "2"]);
    assert!(too_many.stderr.starts_with("senda: pack expected 1 items for packing (got 2)\n"));
    assert!(too_many.stderr.contains("'2'"), "{too_many:?}");
    let spanish = run(&mut senda(["lab", "--lang", "es", "pack", "<xc", "ñ"]));
    assert_eq!(spanish.code, Some(2));
    assert!(spanish.stderr.ends_with("    ^ valor 1: 'ñ' (en UTF-8 son 2 bytes)\n"), "{spanish:?}");
}

#[test]
fn byte_order_and_gaps_are_seen() {
    let expected = "\
01 00 00 00 02 00 00 00

8 bytes, 2 values; byte order (little-endian), sizes and alignment of this machine
offset  field  code  type                     bytes        value
     0      1  b     signed integer, 8 bits   01           1
     1      -        gap: i aligns to 4       00 00 00
     4      2  i     signed integer, 32 bits  02 00 00 00  2
";
    assert_eq!(lab(&["pack", "@bi", "1", "2"]).succeeded().stdout, expected);
    // Columns are as wide as they look: the header has accents, and the value letters of two columns.
    let expected = "\
00 07 e6 97 a5 00 00

7 bytes, 2 valores; orden de bytes de la red (big-endian); tamaños estándar, sin alineación
desde  campo  código  tipo                       bytes        valor
    0      1  h       entero con signo, 16 bits  00 07        7
    2      2  s       texto o bytes, 4 en total  e6 97 a5 00  b'\\xe6\\x97\\xa5\\x00' (日)
    6      -  x       relleno, pedido con x      00
";
    let spanish = run(&mut senda(["lab", "pack", "--lang", "es", "!h4sx", "7", "日"]));
    assert_eq!(spanish.succeeded().stdout, expected);
    let expected = "\
16

16 bytes, 2 values; byte order (little-endian), sizes and alignment of this machine
offset  field  code  size  type
     0      1  h        2  signed integer, 16 bits
     2      -  x        2  padding, asked for by x
     4      -           4  gap: d aligns to 8
     8      2  d        8  floating point, 64 bits
";
    assert_eq!(lab(&["calcsize", "-v", "h2xd"]).succeeded().stdout, expected);
}

/// In both languages: Spanish words are longer.
#[test]
fn numbers_of_every_size_fit_a_terminal_of_80_columns() {
    for language in ["es", "en"] {
        let arguments = ["lab", "--lang", language, "pack", "@bBhHiIlLqQnNP?xefd"];
        let table = run(senda(arguments).args(["123"; 13]).args(["true", "1.5", "-0.25", "0.1"]));
        let table = table.succeeded().stdout;
        let widest =
            table.lines().skip(3).max_by_key(|line| line.chars().count()).expect("a table");
        assert!(widest.chars().count() <= 80, "{language}: {widest}");
    }
}

#[test]
fn bytes_go_through_pipes_to_python_and_back() {
    let code = "import struct, sys; sys.stdout.buffer.write(struct.pack('!Bdx3s', 255, -0.1, b'\\n\\0\\r'))";
    let theirs = Command::new("python3").args(["-I", "-c", code]).output().expect("python3");
    let ours = senda(["lab", "pack", "--raw", "!Bdx3s", "255", "-0.1", r"b'\n\0\r'"]).output();
    let ours = ours.expect("the program starts");
    assert_eq!(ours.stdout, theirs.stdout);
    let values = piped(&["--raw", "--values", "!Bdx3s"], &theirs.stdout).succeeded().stdout;
    assert_eq!(values, "(255, -0.1, b'\\n\\x00\\r')\n");
    let hex = piped(&["--values", "<Hh", "-"], b"ff ff\nff:ff\n").succeeded().stdout;
    assert_eq!(hex, "(65535, -1)\n");
    let base64 = lab(&["pack", "--base64", "<Q3s", "1", "xyz"]).succeeded().stdout;
    assert_eq!(base64, "AQAAAAAAAAB4eXo=\n");
    let back = piped(&["--base64", "--values", "<Q3s", "-"], base64.as_bytes()).succeeded().stdout;
    assert_eq!(back, "(1, b'xyz')\n");
}

#[test]
fn many_structures_and_one_somewhere_are_found_as_python_finds_them() {
    let bytes = "01 0200 03 0400 05 0600";
    let expected = python(
        "[repr(each) for each in struct.iter_unpack(form, bytes.fromhex(values))]",
        &json!([("<Bh", bytes)]),
    );
    let expected: Vec<&str> =
        expected[0].as_array().expect("three").iter().filter_map(Value::as_str).collect();
    let each = lab(&["unpack", "--each", "--values", "<Bh", bytes]).succeeded().stdout;
    assert_eq!(each.lines().collect::<Vec<_>>(), expected);
    for offset in ["0", "1", "6", "-3", "-9"] {
        let expression = format!("repr(struct.unpack_from(form, bytes.fromhex(values), {offset}))");
        let expected = python(&expression, &json!([("<Bh", bytes)]));
        let got = lab(&["unpack", "--values", "--offset", offset, "<Bh", bytes]).succeeded().stdout;
        assert_eq!(got.trim_end(), expected[0].as_str().expect("text"), "at {offset}");
    }
    for offset in ["7", "-2", "-10", "9223372036854775807", "-9223372036854775808"] {
        let expression =
            format!("refusal(lambda: struct.unpack_from(form, bytes.fromhex(values), {offset}))");
        let expected = python(&expression, &json!([("<Bh", bytes)]));
        let got = lab(&["unpack", "--offset", offset, "<Bh", bytes]);
        let expected = format!("senda: {}\n", expected[0].as_str().expect("text"));
        assert_eq!((got.code, got.stderr), (Some(1), expected));
    }
    // Offsets in a table count from the beginning of all the bytes; before them is the size, in the first line.
    for (arguments, expected) in [
        (&["--each"][..], &[3, 0, 1, 3, 4, 6, 7][..]),
        (&["--offset", "3"], &[3, 3, 4]),
        (&["--offset", "-4"], &[3, 5, 6]),
    ] {
        let arguments = [&["unpack"], arguments, &["<Bh", bytes]].concat();
        let table = lab(&arguments).succeeded().stdout;
        let first = |line: &str| line.split_whitespace().next()?.parse::<u32>().ok();
        assert_eq!(table.lines().filter_map(first).collect::<Vec<_>>(), expected, "{table}");
    }
    for (arguments, hint) in [
        (["<Bh", "01 0200 03 0400"], "2 records: try --each"),
        (["<Bh", "01 0200 03"], "--offset"),
        (["<Bh", "01 02"], "    ^ there are 2"),
    ] {
        let wrong = lab(&[&["unpack"], &arguments[..]].concat());
        assert_eq!(wrong.code, Some(1), "{wrong:?}");
        assert!(
            wrong.stderr.starts_with("senda: unpack requires a buffer of 3 bytes\n"),
            "{wrong:?}"
        );
        assert!(wrong.stderr.contains(hint), "{wrong:?}");
    }
}

#[test]
fn json_is_one_object_a_structure() {
    let outcome =
        lab(&["unpack", "--each", "--format", "json", "@bh2sf", "01aa0200 6162 0000 0000c07f"]);
    let lines: Vec<Value> = outcome
        .succeeded()
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let [object] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(object["values"], json!([1, 2, "6162", "nan"]));
    let fields = object["fields"].as_array().expect("fields");
    assert_eq!(fields.len(), 6);
    assert_eq!(fields[1], json!({"offset": 1, "size": 1, "padding": "alignment", "hex": "aa"}));
    assert_eq!(fields[2], json!({"offset": 2, "size": 2, "code": "h", "hex": "0200", "value": 2}));
    let wide = lab(&["unpack", "--format", "json", "=Qq", "ffffffffffffffff 0000000000000080"]);
    assert!(wide.succeeded().stdout.contains("[18446744073709551615,-9223372036854775808]"));
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_made() {
    for format in ["4000000000x", "9223372036854775807b", "16777217s"] {
        for command in ["pack", "unpack"] {
            let outcome = lab(&[command, format, "00"]);
            assert_eq!(outcome.code, Some(2), "{outcome:?}");
            assert!(outcome.stderr.contains("up to 16777216"), "{outcome:?}");
        }
        let size = lab(&["calcsize", "--explain", format]).succeeded().stdout;
        assert!(size.lines().count() < 1_100, "{format} has a short table");
    }
    let most = piped(&["--raw", "--values", "16777216x"], &vec![0; 16_777_216]).succeeded();
    assert_eq!(most.stdout, "()\n");
    let more = piped(&["--raw", "--values", "--offset", "0", "x"], &vec![0; 16_777_217]);
    assert_eq!(more.code, Some(1));
    assert!(more.stderr.contains("more than 16777216 bytes"), "{more:?}");
}

#[test]
fn bytes_from_outside_give_the_terminal_no_orders() {
    let escape = "1b5b324a c29b 0a e280ae 00";
    for shape in ["table", "values", "json"] {
        let outcome = lab(&["unpack", "--format", shape, "11s", escape]).succeeded();
        let is_quiet = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        assert!(outcome.stdout.chars().all(is_quiet), "{outcome:?}");
    }
    let outcome = lab(&["pack", "\u{1b}[2J", "\u{1b}[2J"]);
    assert_eq!(outcome.code, Some(2));
    assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    let outcome = lab(&["pack", "i", "\u{1b}[2J"]);
    assert!(outcome.code == Some(2) && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}

#[test]
fn hex_and_base64_that_are_none_are_wrong_usage() {
    for arguments in [
        &["unpack", "<h", "0g"][..],
        &["unpack", "<h", "010"],
        &["unpack", "--base64", "<h", "*"],
        &["pack", "2s", "0x0"],
        &["pack", "?", "no"],
        &["pack", "s", r"b'\q'"],
        &["unpack", "<h"],
        &["unpack", "--raw", "<h", "0000"],
    ] {
        let outcome = lab(arguments);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?} {outcome:?}"
        );
    }
}

/// Of `senda lab`, in English.
fn lab(arguments: &[&str]) -> Outcome {
    let all = ["lab", "--lang", "en"].iter().chain(arguments);
    run(&mut senda(all))
}

/// Of `senda lab unpack` with this on its standard input.
fn piped(arguments: &[&str], input: &[u8]) -> Outcome {
    let all = ["lab", "--lang", "en", "unpack"].iter().chain(arguments);
    let mut child = Running::start(senda(all).stdin(Stdio::piped()));
    let mut stdin = child.stdin();
    let input = input.to_vec();
    // It may have read enough before the end.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let outcome = child.finish();
    writer.join().expect("no panic");
    outcome
}

/// What Python makes of an expression of `form` and `values`, for each of these.
fn python(expression: &str, cases: &Value) -> Vec<Value> {
    let code = format!(
        "
import json, struct, sys
from math import inf, nan
def refusal(call):
    try:
        call()
    except (struct.error, OverflowError) as error:
        return str(error)
print(json.dumps([{expression} for form, values in json.loads(sys.argv[1])]))
"
    );
    let mut command = Command::new("python3");
    let outcome = run(command.args(["-I", "-c", &code, &cases.to_string()])).succeeded();
    serde_json::from_str(&outcome.stdout).expect("JSON")
}
