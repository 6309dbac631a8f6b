//! `senda sense`: real input. This machine, a CSV file, or NDJSON from a pipe, as a device that sends it.
//!
//! A line that can't be sent is reported with its number and counted; the rest goes through. In the end everything is
//! waited for until it is acknowledged, and the exit code says whether it all is. How to use it: docs/sense.md.

mod csv; // a header, columns, rows
mod feed; // lines to rows to the outlet
mod guess; // the cells of a column to its type
mod host; // this machine
mod kind; // the type of a channel, and how text becomes a value of it
mod lines; // bounded lines
mod names; // headers to names
mod ndjson; // one object a line
mod number; // decimals
mod options; // what the command line says of channels
mod outlet; // the client, and what became of each line
mod pace; // when rows leave
mod proc; // what /proc and /sys say
mod records; // lines to CSV records
mod shape; // rows to schemas and samples
mod stop; // Ctrl-C, SIGTERM, --duration
mod when; // times

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::tz::TimeZone;
use senda_client::spool::{SPOOL_BYTES_MAX, SPOOL_BYTES_MIN};
use senda_client::{Clock, Endpoint, Transport};

use crate::journal::JournalArgs;
use crate::{UsageError, arguments, send};
use feed::{Bounds, Input, Route};
use options::{Options, TimeChoice};
use outlet::{Figures, Outlet, Over, Target, Wait};
use pace::{Pace, Pacer};
use shape::Shapes;
use stop::{Cause, Stop};

/// Send real input: this machine, a CSV file, NDJSON from a pipe
#[derive(clap::Args)]
#[command(after_help = "\
Lines that can't be sent are named with their number and counted; the rest goes through. In the end everything
is waited for until it is acknowledged: exit code 0 means that it is on disk.
Examples:
  senda sense --from host --interval 10s
  senda sense --from csv readings.csv --speed max
  senda sense --from csv log.csv --type temperature=i16:-1 --unit temperature=Cel --tz Europe/Madrid
  sensor | senda sense --from ndjson - --tcp=collector.example --device gh-7")]
pub(crate) struct Args {
    /// What to read
    #[arg(long, value_enum)]
    from: Source,

    /// The file; - for standard input. Not with host
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Send over TCP; with --udp too, while UDP does not work
    #[arg(long, env = "SENDA_TCP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    tcp: Option<String>,

    /// Send over UDP, as without either
    #[arg(long, env = "SENDA_UDP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    udp: Option<String>,

    /// Keep rows in this directory until they are acknowledged: what is left at the end goes up at the next start. A kill
    /// takes nothing that was read, a power cut the last second
    #[arg(long, env = "SENDA_SPOOL", value_name = "DIR")]
    spool: Option<PathBuf>,

    /// Bytes of the spool at most, such as 64MiB; beyond it the oldest rows go
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size, requires = "spool")]
    spool_size: u64,

    /// The device's name [default: this machine's]
    #[arg(long, env = "SENDA_DEVICE", value_name = "NAME")]
    device: Option<String>,

    /// The schema's name [default: the file's, or `sample`]. Not with host
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,

    /// host: from one look to the next [default: 10s]. csv, ndjson: from one row to the next, whatever their times
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration, conflicts_with = "speed")]
    interval: Option<Duration>,

    /// End after so many rows (host: looks)
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// End after this time
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration)]
    duration: Option<Duration>,

    /// How long to wait without an acknowledgement: at the end, and for a file also while nothing more fits the queue
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = senda_sim::parse_duration)]
    patience: Duration,

    #[command(flatten)]
    journal: JournalArgs,

    /// How to show the summary: a line on standard error, or an object on standard output
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    table: TableArgs,
}

/// Only of CSV and NDJSON.
#[derive(clap::Args)]
struct TableArgs {
    /// Rows leave as far apart as their times, so many times faster, or as fast as they are acknowledged: 10, max
    /// [default: csv 1, ndjson max]
    #[arg(long, value_name = "FACTOR|max", value_parser = pace::parse_speed)]
    speed: Option<Pace>,

    /// Which column or key has the time, or none; DATE+TIME joins two columns [default: time, timestamp, date, ...]
    #[arg(long, value_name = "NAME")]
    time: Option<String>,

    /// How times are written, as strptime has it, such as '%d/%m/%Y %H:%M' [default: guessed]
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,

    /// Where times are that name no zone: UTC, Europe/Madrid, +02:00, local
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = when::parse_zone)]
    tz: TimeZone,

    /// Type of a channel, with a decimal exponent for integers: temperature=i16:-1 [default: guessed]
    #[arg(long = "type", value_name = "CHANNEL=TYPE[:EXPONENT]")]
    types: Vec<String>,

    /// Unit of a channel, as SenML names it: temperature=Cel
    #[arg(long = "unit", value_name = "CHANNEL=UNIT")]
    units: Vec<String>,

    /// A channel that grows and may restart from 0
    #[arg(long = "counter", value_name = "CHANNEL")]
    counters: Vec<String>,

    /// Send these channels and no others
    #[arg(long, value_name = "CHANNEL,...", value_delimiter = ',')]
    only: Vec<String>,

    /// csv: guess i64 and f64 rather than the least width, so that the next file fits the same table
    #[arg(long)]
    wide: bool,

    /// csv: a cell that means nothing, such as NA, beside the empty one
    #[arg(long = "null", value_name = "TEXT")]
    nothing: Vec<String>,

    /// csv: what is between the cells, or tab [default: guessed among , ; tab |]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    delimiter: Option<u8>,

    /// csv: the first line is data; columns are c1, c2, ...
    #[arg(long)]
    no_header: bool,

    /// Lines that can't be sent make the exit code 1
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Source {
    /// This machine: load, memory, temperatures, disks, file systems, network
    Host,
    /// Comma-separated values, with a header
    Csv,
    /// One JSON object a line
    Ndjson,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// One object
    Json,
}

const DEFAULT: &str = "127.0.0.1:7363";
/// From one look at this machine to the next, unless told otherwise.
const HOST_INTERVAL: Duration = Duration::from_secs(10);
/// First lines of a pipe that types are guessed from.
const HEAD_LINES: usize = 1_000;

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let device = args.device.clone().map_or_else(send::machine_name, Ok)?;
    if senda_wire::DeviceName::new(&device).is_none() {
        let words = "letters, digits and ._:-, at most 63, the first a letter or digit";
        return Err(UsageError(format!("{device:?} is no device name: {words}")).into());
    }
    args.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the client")?;
    let outcome = runtime.block_on(async {
        let stop = Stop::listen(args.duration)?;
        match args.from {
            Source::Host => from_host(&args, device, stop).await,
            Source::Csv => from_csv(&args, device, stop).await,
            Source::Ndjson => from_ndjson(&args, device, stop).await,
        }
    });
    runtime.shutdown_background(); // A name that is being looked up holds nobody up.
    let Outcome { figures, over, cause, error } = outcome?;
    args.tell(&figures);
    if let Some(error) = error {
        return Err(error);
    }
    match over {
        Some(Over::OutOfPatience) => eprintln!(
            "senda: nothing was acknowledged for {:?}: the rest of the file was not read",
            args.patience
        ),
        Some(Over::Refused) => eprintln!("senda: the collector refused the schema"),
        Some(Over::Stopped) | None => {}
    }
    let open = figures.unacknowledged + figures.kept;
    let all_stored = !figures.is_unrecorded
        && open + figures.refused + figures.dropped == 0
        && !matches!(over, Some(Over::OutOfPatience | Over::Refused));
    let clean = figures.bad == 0 || !args.table.strict;
    Ok(match cause {
        Some(Cause::Interrupted) => ExitCode::from(130),
        _ if all_stored && clean => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What came of a run.
struct Outcome {
    figures: Figures,
    over: Option<Over>,
    cause: Option<Cause>,
    /// Reading failed after rows were sent.
    error: Option<anyhow::Error>,
}

impl Outcome {
    /// It was stopped before anything was read.
    fn nothing(stop: &Stop) -> Self {
        let (figures, over, cause) = (Figures::default(), Some(Over::Stopped), stop.cause());
        Self { figures, over, cause, error: None }
    }
}

async fn from_host(args: &Args, device: String, stop: Stop) -> anyhow::Result<Outcome> {
    let target = args.target(device, Clock::UtcSynced, Wait::Never)?;
    let target = Target { downlink: senda_wire::registry::downlink::CONFIG, ..target };
    let mut outlet = Outlet::open(target, stop.clone())?;
    let interval = args.interval.unwrap_or(HOST_INTERVAL);
    let ran = host::run(&mut outlet, interval, args.count, stop).await;
    let (figures, cause) = outlet.finish().await;
    Ok(Outcome { figures, over: ran?, cause, error: None })
}

async fn from_csv(args: &Args, device: String, mut stop: Stop) -> anyhow::Result<Outcome> {
    let input = args.input();
    let name = input.name();
    let options = args.options()?;
    let again = input.open_again()?;
    let is_file = again.is_some();
    let (mut lines, mut head) = (input.start()?, std::collections::VecDeque::new());
    let survey = match again {
        // A file is read twice: the first time for the types of all its rows, on a thread that Ctrl-C need not wait for.
        Some(mut file) => {
            let look = move || {
                csv::Survey::of(std::iter::from_fn(|| file.next().transpose()), true, &options)
            };
            tokio::select! {
                survey = tokio::task::spawn_blocking(look) => survey.context("look at the file")?,
                () = stop.wait() => return Ok(Outcome::nothing(&stop)),
            }
        }
        None => {
            let is_all;
            (head, is_all) = feed::head(&mut lines, HEAD_LINES, &mut stop).await?;
            if stop.cause().is_some() {
                return Ok(Outcome::nothing(&stop));
            }
            csv::Survey::of(head.iter().cloned().map(Ok), is_all, &options)
        }
    };
    let csv::Survey { mut table, words, span } = survey.with_context(|| name.clone())?;
    let pace = match args.pace() {
        Some(Pace::Own(_)) if !table.has_times() => {
            return Err(UsageError("--speed needs a time column: --time says which".into()).into());
        }
        Some(pace) => pace,
        None if table.has_times() => Pace::Own(1.0),
        None => Pace::Free,
    };
    say(&name, &words);
    if let (Pace::Own(speed), Some((first, last))) = (pace, span) {
        let took = pace::span(u64::try_from(last.saturating_sub(first)).unwrap_or(0), speed);
        let took = jiff::SignedDuration::try_from(took).unwrap_or(jiff::SignedDuration::MAX);
        eprintln!("senda:   paced by its times: {took:#}; --speed max sends it at once");
    }
    let clock = if table.has_times() { Clock::UtcUnsynced } else { Clock::UtcSynced };
    let wait = if is_file { Wait::Patiently } else { Wait::ForEver };
    let target = args.target(device, clock, wait)?;
    let mut outlet = Outlet::open(target, stop.clone())?;
    let mut route = args.route(&mut outlet, pace, stop)?;
    let ran = feed::run(&name, head, &mut lines, &mut table, &mut route).await;
    finish(outlet, ran).await
}

async fn from_ndjson(args: &Args, device: String, mut stop: Stop) -> anyhow::Result<Outcome> {
    let input = args.input();
    let name = input.name();
    let options = args.options()?;
    let is_file = input.open_again()?.is_some();
    let mut lines = input.start()?;
    let (head, _) = feed::head(&mut lines, HEAD_LINES, &mut stop).await?;
    let (mut objects, words) = ndjson::Objects::of(head.iter(), options)?;
    if !head.is_empty() {
        say(&name, &words);
    }
    let clock = if objects.has_times() { Clock::UtcUnsynced } else { Clock::UtcSynced };
    let wait = if is_file { Wait::Patiently } else { Wait::ForEver };
    let target = args.target(device, clock, wait)?;
    let mut outlet = Outlet::open(target, stop.clone())?;
    let mut route = args.route(&mut outlet, args.pace().unwrap_or(Pace::Free), stop)?;
    let ran = feed::run(&name, head, &mut lines, &mut objects, &mut route).await;
    finish(outlet, ran).await
}

/// Whatever ended the reading: what was read is waited for.
async fn finish(outlet: Outlet, ran: anyhow::Result<Option<Over>>) -> anyhow::Result<Outcome> {
    let (figures, cause) = outlet.finish().await;
    let (over, error) = match ran {
        Ok(over) => (over, None),
        Err(error) => (None, Some(error)),
    };
    Ok(Outcome { figures, over, cause, error })
}

fn say(name: &str, words: &[String]) {
    let (first, more) = words.split_first().map_or(("", words), |(first, more)| (first, more));
    eprintln!("senda: {name}: {first}");
    more.iter().for_each(|word| eprintln!("senda: {word}"));
}

impl Args {
    /// Options that the source has no use for are mistakes.
    fn check(&self) -> Result<(), UsageError> {
        let wrong = |text: &str| Err(UsageError(text.to_owned()));
        let TableArgs { speed, time, time_format, types, units, counters, only, .. } = &self.table;
        let of_csv = self.table.delimiter.is_some()
            || self.table.no_header
            || self.table.wide
            || !self.table.nothing.is_empty();
        let of_tables = speed.is_some()
            || time.is_some()
            || time_format.is_some()
            || !(types.is_empty() && units.is_empty() && counters.is_empty() && only.is_empty());
        match (self.from, &self.file) {
            (Source::Host, Some(_)) => wrong("--from host reads this machine: it takes no FILE"),
            (Source::Host, None) if of_csv || of_tables || self.schema.is_some() => {
                wrong("--from host has its own schemas, types and times: see docs/sense.md")
            }
            (Source::Host, None) => Ok(()),
            (_, None) => wrong("say which FILE, or - for standard input"),
            (Source::Ndjson, _) if of_csv => {
                wrong("--delimiter, --no-header, --wide and --null are for --from csv")
            }
            _ if self.interval == Some(Duration::ZERO) => wrong("--interval 0s: say --speed max"),
            _ => Ok(()),
        }?;
        // Nobody should learn of a mistake when the first line comes.
        self.endpoints()?;
        self.schema_name().map(drop)
    }

    fn input(&self) -> Input {
        Input::new(&self.file.clone().unwrap_or_else(|| "-".into()))
    }

    fn pace(&self) -> Option<Pace> {
        self.table.speed.or(self.interval.map(Pace::Every))
    }

    fn options(&self) -> Result<Options, UsageError> {
        let table = &self.table;
        let types = table.types.iter().map(|text| arguments::parse_type(text));
        let unit = |text: &String| {
            let (channel, unit) = text.split_once('=').ok_or_else(|| {
                UsageError(format!("--unit {text}: say CHANNEL=UNIT, such as temperature=Cel"))
            })?;
            Ok((channel.to_owned(), unit.to_owned()))
        };
        let time = match table.time.as_deref() {
            None => TimeChoice::Guess,
            Some("none") => TimeChoice::None,
            Some(name) => TimeChoice::Named(name.to_owned()),
        };
        Ok(Options {
            delimiter: table.delimiter,
            has_header: !table.no_header,
            time,
            time_format: table.time_format.clone(),
            zone: table.tz.clone(),
            types: types.collect::<Result<_, _>>()?,
            units: table.units.iter().map(unit).collect::<Result<_, UsageError>>()?,
            counters: table.counters.clone(),
            only: table.only.clone(),
            nothing: table.nothing.clone(),
            wide: table.wide,
        })
    }

    /// One for each transport that is asked for.
    fn endpoints(&self) -> Result<Vec<Endpoint>, UsageError> {
        let asked = match (&self.udp, &self.tcp) {
            (None, None) => vec![(Transport::Udp, DEFAULT)],
            (udp, tcp) => {
                let udp = udp.iter().map(|address| (Transport::Udp, address.as_str()));
                udp.chain(tcp.iter().map(|address| (Transport::Tcp, address.as_str()))).collect()
            }
        };
        let parse = |(transport, address)| {
            Endpoint::parse(transport, address).map_err(|error| UsageError(error.to_string()))
        };
        asked.into_iter().map(parse).collect()
    }

    fn target(&self, device: String, clock: Clock, wait: Wait) -> anyhow::Result<Target> {
        let (endpoints, patience) = (self.endpoints()?, self.patience);
        let spool = self.spool.clone().map(|directory| (directory, self.spool_size));
        let journal = self.journal.open()?;
        Ok(Target { device, endpoints, clock, downlink: 0, patience, wait, spool, journal })
    }

    fn schema_name(&self) -> Result<String, UsageError> {
        let stem = self.file.as_ref().and_then(|file| file.file_stem()?.to_str());
        let stem = stem.filter(|stem| *stem != "-").and_then(names::fit);
        let schema = self.schema.clone().or(stem).unwrap_or_else(|| "sample".to_owned());
        if senda_wire::Identifier::new(&schema).is_none() {
            let words = "small letters, digits and _, at most 63, the first a letter";
            return Err(UsageError(format!("--schema {schema:?}: {words}")));
        }
        Ok(schema)
    }

    fn route<'o>(
        &self,
        outlet: &'o mut Outlet,
        pace: Pace,
        stop: Stop,
    ) -> Result<Route<'o>, UsageError> {
        Ok(Route {
            outlet,
            shapes: Shapes::new(&self.schema_name()?),
            pacer: Pacer::new(pace),
            bounds: Bounds { stop, count: self.count },
            implausible: 0,
        })
    }

    /// The last words.
    fn tell(&self, figures: &Figures) {
        let Figures {
            read, bad, sent, acknowledged, refused, dropped, unacknowledged, kept, ..
        } = *figures;
        if self.format == Format::Json {
            let object = serde_json::json!({
                "read": read,
                "bad": bad,
                "sent": sent,
                "acknowledged": acknowledged,
                "refused": refused,
                "dropped": dropped,
                "not_acknowledged": unacknowledged,
                "kept": kept,
                "first_line_not_acknowledged": figures.first_open,
            });
            println!("{object}");
        }
        let what = if self.from == Source::Host { "looks" } else { "lines" };
        let mut words = format!("{read} {what} read, {sent} rows sent, {acknowledged} on disk");
        let others = [
            (bad, if self.from == Source::Host { "readings failed" } else { "bad lines" }),
            (refused, "refused"),
            (dropped, "dropped"),
            (unacknowledged, "not acknowledged"),
            (kept, "on the spool"),
        ];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            words += &format!(", {count} {what}");
        }
        if let Some(line) = figures.first_open.filter(|_| self.from != Source::Host) {
            words += &format!(" (from line {line} on)");
        }
        eprintln!("senda: {words}");
    }
}

/// Bytes: `64MiB`, `1GiB`, `65536`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("say bytes, or KiB, MiB, GiB: 64MiB".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "say a whole number: 64MiB".to_owned())?;
    let limits = SPOOL_BYTES_MIN..=SPOOL_BYTES_MAX;
    let bytes = number.checked_mul(factor).filter(|bytes| limits.contains(bytes));
    bytes.ok_or_else(|| format!("from {SPOOL_BYTES_MIN} to {SPOOL_BYTES_MAX} bytes"))
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" | "\t" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii_punctuation() || *byte == b' ' => Ok(*byte),
            _ => Err("say one character such as ; or tab".to_owned()),
        },
    }
}
