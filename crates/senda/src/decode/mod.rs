//! `senda decode`: messages field by field, with the section of the specification, from hex or from a capture.

mod capture; // packets of a pcap or pcapng file
pub(crate) mod hex; // messages given as text
mod packet; // what a packet carries: a datagram or a piece of a connection
mod print; // messages, failures and notes, as text and as JSON
mod reassembly; // the bytes of one direction of a TCP connection, in order
mod stream; // the messages in those bytes
mod traffic; // all conversations of a capture

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::UsageError;
use print::{Format, Printer};
use traffic::Traffic;

/// Show messages field by field, from hex or from a capture
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  senda decode 'A142001800000000000000010000000000000007 0D1F5A5E'
  senda decode field.pcapng
  tcpdump -i any -w - port 7363 | senda decode --format brief -

The exit code is 1 when a message is malformed, when bytes that should be messages are none, or when the capture file
is damaged or ends within a packet; all that can be read is shown before that.")]
pub(crate) struct Args {
    /// The bytes of one or more messages in hex (spaces, colons and line ends don't matter), or a capture file: pcap or
    /// pcapng. `-` reads either from standard input
    #[arg(required = true, value_name = "HEX | FILE")]
    input: Vec<String>,

    /// Look at this port alone, in a capture. Without it: port 7363, and whatever else looks like Senda [may be repeated]
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,

    /// Description of a schema in hex (specification §4.2), for rows whose DECLARE is not there. The id is 0 unless
    /// given [may be repeated]
    #[arg(long, value_name = "[ID=]HEX")]
    schema: Vec<String>,

    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(std::io::stdout().lock(), args.format);
    for schema in &args.schema {
        let (id, description) = hex::parse_schema(schema)?;
        printer.schemas.give(id, description);
    }
    let good = match Input::of(&args.input)? {
        Input::Hex(text) => {
            if !args.port.is_empty() {
                return Err(UsageError("--port is for captures; hex has no ports".into()).into());
            }
            hex::decode(&text, &mut printer)?
        }
        Input::Capture(reader) => decode_capture(reader, &args.port, &mut printer)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// True when nothing is wrong with what was found.
fn decode_capture(
    reader: Box<dyn Read + Send>,
    ports: &[u16],
    printer: &mut Printer<impl std::io::Write>,
) -> anyhow::Result<bool> {
    let mut traffic = Traffic::new(ports, printer);
    let read = capture::read(reader, &mut |packet| traffic.packet(&packet));
    // What is there is shown before what is wrong with the file is said.
    let summary = traffic.finish()?;
    if summary.messages == 0 && read.is_ok() {
        say(&summary.nothing(ports))?;
    }
    for skipped in summary.skipped() {
        say(&skipped)?;
    }
    read?;
    Ok(printer.good)
}

/// Talk goes to standard error.
fn say(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "senda: {text}")
}

enum Input {
    Hex(String),
    Capture(Box<dyn Read + Send>),
}

impl Input {
    /// Hex is told from a file by what it looks like, and a capture from hex by its first bytes.
    fn of(words: &[String]) -> anyhow::Result<Self> {
        match words {
            [word] if word == "-" => Self::of_stdin(),
            [word] if Path::new(word).is_file() || (hex::parse(word).is_err() && is_path(word)) => {
                let mut file = File::open(word).with_context(|| format!("open {word}"))?;
                let head = head_of(&mut file).with_context(|| format!("read {word}"))?;
                capture::recognise(&head).with_context(|| word.clone())?;
                Ok(Self::Capture(Box::new(Cursor::new(head).chain(file))))
            }
            _ => Ok(Self::Hex(words.concat())),
        }
    }

    fn of_stdin() -> anyhow::Result<Self> {
        let mut stdin = std::io::stdin();
        let mut head = head_of(&mut stdin).context("read standard input")?;
        if head.first().is_some_and(|byte| !byte.is_ascii_graphic() && !byte.is_ascii_whitespace())
        {
            capture::recognise(&head).context("standard input")?;
            return Ok(Self::Capture(Box::new(Cursor::new(head).chain(stdin))));
        }
        stdin.read_to_end(&mut head).context("read standard input")?;
        Ok(Self::Hex(String::from_utf8_lossy(&head).into_owned()))
    }
}

/// As a name of a file is written, and hex is not.
fn is_path(word: &str) -> bool {
    Path::new(word).extension().is_some() || word.contains(std::path::MAIN_SEPARATOR)
}

/// As much as it takes to tell what a file is; a pipe gives no more than it has.
fn head_of(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        let wanted = capture::head_wanted(&head);
        reader.by_ref().take(wanted).read_to_end(&mut head)?;
        if wanted == 0 || head.len() == before {
            return Ok(head);
        }
    }
}
