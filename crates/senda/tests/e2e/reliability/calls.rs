//! What `strace -f -yy -xx` wrote, as calls: who, what, on which file or socket, with which bytes, from when to when.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

/// A system call. Times are line numbers: strace writes a line when a call begins, and another when it ends if anything
/// happened in between.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The path of its first argument, or what socket that is, such as `TCP:[127.0.0.1:1->127.0.0.1:2]`.
    pub(crate) on: String,
    /// What it writes or sends. The pieces of a vector are joined.
    pub(crate) bytes: Vec<u8>,
    pub(crate) begin: usize,
    /// `None`: it had not returned when the process ended.
    pub(crate) end: Option<usize>,
    /// What it returned, negative for an error; `None` as above.
    pub(crate) result: Option<i64>,
}

impl Call {
    /// When it returned without an error.
    pub(crate) fn succeeded(&self) -> Option<usize> {
        self.end.filter(|_| self.result.is_some_and(|result| result >= 0))
    }
}

/// Reads a trace, in the order in which the calls began.
///
/// # Errors
/// A line that is none of strace's, or that strace cut short: what can't be read can't be judged.
pub(crate) fn read(trace: &str) -> Result<Vec<Call>, String> {
    let mut calls: Vec<Call> = Vec::new();
    // By thread: its call that has begun, and the text of it.
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let at = |what: &str| format!("line {}: {what}: {line}", number + 1);
        let parts = LINE.captures(line).ok_or_else(|| at("not strace's"))?;
        let (thread, text) = (parts.get(1), parts.get(2));
        let (Some(thread), Some(text)) = (thread, text) else { return Err(at("no thread")) };
        let (thread, text) = (thread.as_str(), text.as_str());
        if text.starts_with("+++") || text.starts_with("---") {
            continue; // The end of a thread, or a signal.
        }
        if let Some(resumed) = RESUMED.captures(text) {
            let (index, begin) = unfinished.remove(thread).ok_or_else(|| at("began nowhere"))?;
            let whole = format!("{begin}{}", &resumed[1]);
            let call = whole_call(&whole, calls[index].begin).map_err(|what| at(&what))?;
            calls[index] = Call { end: call.end.map(|_| number), ..call };
        } else if let Some(begin) = text.strip_suffix("<unfinished ...>") {
            let call = Call { end: None, result: None, ..begun(begin, number)? };
            if unfinished.insert(thread, (calls.len(), begin)).is_some() {
                return Err(at("a thread is in two calls"));
            }
            calls.push(call);
        } else {
            calls.push(whole_call(text, number).map_err(|what| at(&what))?);
        }
    }
    Ok(calls)
}

/// A call with its result; it ends where it begins.
fn whole_call(text: &str, line: usize) -> Result<Call, String> {
    let parts = RESULT.captures(text).ok_or("no result")?;
    let result = parts[2].parse().ok(); // "?": the process ended in the call.
    let call = begun(&parts[1], line)?;
    Ok(Call { end: result.map(|_| line), result, ..call })
}

fn begun(text: &str, begin: usize) -> Result<Call, String> {
    let (name, arguments) = text.split_once('(').ok_or("no call")?;
    let on = ON.captures(arguments).map_or("", |on| on.get(1).map_or("", |on| on.as_str()));
    let on = String::from_utf8_lossy(&unescaped(on)?).into_owned();
    let bytes = if matches!(name, "fsync" | "fdatasync") { Vec::new() } else { bytes(arguments)? };
    Ok(Call { name: name.to_owned(), on, bytes, begin, end: None, result: None })
}

/// The first string, or the bases of a vector.
fn bytes(arguments: &str) -> Result<Vec<u8>, String> {
    let vector = arguments.contains("iov_base=");
    let strings = if vector { &BASES } else { &STRING };
    let mut bytes = Vec::new();
    for string in strings.captures_iter(arguments) {
        if string.get(2).is_some() {
            return Err("strace cut a string short".to_owned());
        }
        bytes.extend(unescaped(&string[1])?);
        if !vector {
            break;
        }
    }
    Ok(bytes)
}

/// Bytes of a string of which strace writes some or all as `\x2a`.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = str::from_utf8(&digits).map_err(|_| "not hexadecimal")?;
                (u8::from_str_radix(digits, 16).map_err(|_| "not hexadecimal")?, after)
            }
            (b'\\', _) => return Err(format!("an escape other than \\x: {text}")),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{error}"))
}

/// Thread, time of the day or none, and the rest.
static LINE: LazyLock<Regex> = LazyLock::new(|| regex(r"^(\d+) +(?:\d+\.\d+ )?(.+)$"));
static RESUMED: LazyLock<Regex> = LazyLock::new(|| regex(r"^<\.\.\. \w+ resumed>(.*)$"));
/// Bytes are hexadecimal, so that this stands nowhere else.
static RESULT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(.*)\) += (-?\d+|\?)(?: [A-Z]+ \(.*\))?(?: \([A-Z]+\))*$"));
/// `->` in a connection is not the end of it.
static ON: LazyLock<Regex> = LazyLock::new(|| regex(r"^\d+<(.*?)>(?:,|\s|$)"));
static STRING: LazyLock<Regex> = LazyLock::new(|| regex(r#""((?:\\x[0-9a-f]{2})*)"(\.\.\.)?"#));
static BASES: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"iov_base="((?:\\x[0-9a-f]{2})*)"(\.\.\.)?"#));

#[test]
fn a_call_on_one_line_has_its_file_its_bytes_and_its_result() {
    let line = r#"25727 1795395842.532941 pwrite64(6</d/senda.db-wal>, "\x00\x2a\xff", 3, 32) = 3"#;
    let [call] = &read(line).expect("a call")[..] else { panic!("one call") };
    assert_eq!((&call.name[..], &call.on[..]), ("pwrite64", "/d/senda.db-wal"));
    assert_eq!(call.bytes, [0x00, 0x2A, 0xFF]);
    assert_eq!((call.begin, call.succeeded()), (0, Some(0)));
}

#[test]
fn a_call_that_another_thread_interrupts_ends_where_it_is_resumed() {
    let trace = r#"7 1.0 fsync(6<\x2f\x64> <unfinished ...>
8 1.1 sendto(25<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\xa1\x20", 2, MSG_NOSIGNAL, NULL, 0) = 2
7 1.2 <... fsync resumed>)              = -1 EIO (Input/output error) (INJECTED) (DELAYED)
8 1.3 +++ exited with 0 +++
7 1.4 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---
7 1.5 write(3</d>, "\x01" <unfinished ...>
7 1.6 <... write resumed>, 1) = ?"#;
    let calls = read(trace).expect("calls");
    let seen: Vec<_> =
        calls.iter().map(|call| (&call.name[..], call.begin, call.end, call.result)).collect();
    assert_eq!(
        seen,
        [
            ("fsync", 0, Some(2), Some(-1)),
            ("sendto", 1, Some(1), Some(2)),
            ("write", 5, None, None)
        ]
    );
    assert_eq!(calls[0].on, "/d");
    assert_eq!(calls[1].on, "TCP:[127.0.0.1:1->127.0.0.1:2]");
    assert_eq!(calls[0].succeeded(), None, "an error is no success");
}

#[test]
fn the_pieces_of_a_vector_are_joined_and_other_strings_are_no_bytes_that_were_sent() {
    let line = r#"9 1.0 sendmsg(8<UDP:[127.0.0.1:5]>, {msg_name={sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("\x31")}, msg_namelen=16, msg_iov=[{iov_base="\xa1\x20", iov_len=2}, {iov_base="\x00", iov_len=1}], msg_iovlen=2, msg_control=[{cmsg_len=20, cmsg_level=SOL_IP, cmsg_type=IP_TOS, cmsg_data=[0]}], msg_controllen=24, msg_flags=0}, 0) = 3"#;
    let [call] = &read(line).expect("a call")[..] else { panic!("one call") };
    assert_eq!((&call.on[..], &call.bytes[..]), ("UDP:[127.0.0.1:5]", &[0xA1, 0x20, 0x00][..]));
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_a_call_less() {
    for (line, why) in [
        ("nonsense", "not strace's"),
        (r#"7 1.0 write(3</d>, "\x01"..., 9) = 9"#, "cut a string short"),
        (r#"7 1.0 write(3</d>, "\x01", 1)"#, "no result"),
        ("7 1.0 <... fsync resumed>) = 0", "began nowhere"),
    ] {
        let error = read(line).expect_err(line);
        assert!(error.contains(why), "{error}");
    }
}
