//! `senda send`: one sample; returns when it is on disk.
//!
//! What is not acknowledged is kept in a small locked file, with its stream and row number. The same command again sends
//! the same row again, which the collector stores once; another command sends the rows that wait first.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt;
use senda_client::journal::Journal;
use senda_client::{Client, Endpoint, RowLost, Sample, Transport};
use serde::{Deserialize, Serialize};

use crate::arguments::{self, Given};
use crate::journal::{self, JournalArgs};
use crate::{UsageError, paths};

/// Send one sample; returns when it is on disk
#[derive(clap::Args)]
#[command(after_help = "\
A number is an f64, with a SenML unit if one follows it; true and false are bool; anything else is text.
What is not acknowledged in time is kept: the same command again is the same reading, not a second one.
Examples:
  senda send temperature=21.5Cel door=open
  senda send --tcp --device gh-7 --schema greenhouse --type temperature=i16:-1 temperature=21.5Cel")]
pub(crate) struct Args {
    /// Send over TCP
    #[arg(long, env = "SENDA_TCP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    tcp: Option<String>,

    /// Send over UDP, as without either
    #[arg(long, env = "SENDA_UDP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT, conflicts_with = "tcp")]
    udp: Option<String>,

    /// The device's name [default: this machine's]
    #[arg(long, env = "SENDA_DEVICE", value_name = "NAME")]
    device: Option<String>,

    /// The schema's name
    #[arg(long, value_name = "NAME", default_value = "sample")]
    schema: String,

    /// Type of a channel, with a decimal exponent for integers: temperature=i16:-1, status=text, count=u64
    #[arg(long = "type", value_name = "CHANNEL=TYPE[:EXPONENT]")]
    types: Vec<String>,

    /// How long to wait for the ACK
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = senda_sim::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    journal: JournalArgs,

    /// What was measured
    #[arg(required = true, value_name = "CHANNEL=VALUE[UNIT]")]
    values: Vec<String>,
}

const DEFAULT: &str = "127.0.0.1:7363";

/// The state file: samples that are not acknowledged, all of one stream.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct State {
    stream: u64,
    /// Number of the first waiting row; the others follow.
    first_row: u32,
    waiting: Vec<Waiting>,
}

/// A sample as it was asked for, and when.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    schema: String,
    values: Vec<String>,
    types: Vec<String>,
    time_us: i64,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let endpoint = args.endpoint()?;
    let device = args.device.clone().map_or_else(machine_name, Ok)?;
    if senda_wire::DeviceName::new(&device).is_none() {
        return Err(UsageError(format!(
            "{device:?} is no device name: letters, digits and ._:-, at most 63"
        ))
        .into());
    }
    let asked = Waiting {
        schema: args.schema,
        values: args.values,
        types: args.types,
        time_us: jiff::Timestamp::now().as_microsecond(),
    };
    arguments::parse(&asked.schema, &asked.values, &asked.types)?; // Before anything is kept.
    let journal = args.journal.open()?;
    let mut file = StateFile::lock(&device)?;
    let mut state = file.read()?;
    let number = state.add(asked);
    file.write(&state)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the client")?;
    let outcome =
        runtime.block_on(deliver(&device, endpoint, &state, args.timeout, journal.as_ref()))?;
    let is_recorded = journal::is_complete(journal.as_ref());
    match outcome {
        Some(refused) => {
            file.clear()?;
            for text in &refused {
                eprintln!("senda: {text}");
            }
            if refused.is_empty() {
                println!("row {number} of stream {:016x} is on disk", state.stream);
            }
            let good = refused.is_empty() && is_recorded;
            Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        None => {
            let count = state.waiting.len();
            eprintln!(
                "senda: not acknowledged within {:?}. {count} sample(s) are kept in {}: the same command again sends \
                 the same reading, any other send goes after it",
                args.timeout,
                file.path.display()
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Args {
    fn endpoint(&self) -> Result<Endpoint, UsageError> {
        let (transport, address) = match (&self.tcp, &self.udp) {
            (Some(address), _) => (Transport::Tcp, address.as_str()),
            (None, Some(address)) => (Transport::Udp, address.as_str()),
            (None, None) => (Transport::Udp, DEFAULT),
        };
        Endpoint::parse(transport, address).map_err(|error| UsageError(error.to_string()))
    }
}

/// Sends everything that waits. `None`: not all of it was acknowledged in time; else what was refused.
async fn deliver(
    device: &str,
    endpoint: Endpoint,
    state: &State,
    patience: Duration,
    journal: Option<&Journal>,
) -> anyhow::Result<Option<Vec<String>>> {
    let builder = Client::builder_at(device, endpoint).configure(|config| {
        config.stream = Some(state.stream);
        config.first_row = state.first_row;
        config.rejoin_jitter = Duration::from_secs(1);
        // The state file knows the numbers of samples alone: a COUNTS would take that of the next one.
        config.counts_every = None;
    });
    let client = builder.journal(journal.cloned()).connect()?;
    // All of it is queued before the client gets to say HELLO, which tells how many rows there are.
    let mut receipts = Vec::new();
    for waiting in &state.waiting {
        let Given { schema, sample } =
            arguments::parse(&waiting.schema, &waiting.values, &waiting.types)?;
        let declared = client.declare(&schema)?;
        let sample: Sample = sample.at_us(waiting.time_us);
        receipts.push(client.try_send(&declared, &sample)?);
    }
    let all = async {
        let mut refused = Vec::new();
        for receipt in receipts {
            match receipt.await {
                Ok(()) => {}
                Err(RowLost::Ended) => return None,
                Err(lost) => refused.push(lost.to_string()),
            }
        }
        Some(refused)
    };
    let outcome = tokio::time::timeout(patience, all).await.unwrap_or(None);
    // It says goodbye; what was not acknowledged waits in the file.
    let _ = client.close(Duration::ZERO).await;
    Ok(outcome)
}

impl State {
    /// Adds a sample, unless it is one that waits already; returns its row number.
    fn add(&mut self, asked: Waiting) -> u32 {
        let same =
            |waiting: &Waiting| Waiting { time_us: asked.time_us, ..waiting.clone() } == asked;
        if self.waiting.is_empty() {
            // Nothing waits, so nothing ties this sample to an earlier stream. Specification §2.3.
            *self = Self { stream: rand::rng().random(), first_row: 0, waiting: Vec::new() };
        }
        let place = self.waiting.iter().position(same).unwrap_or_else(|| {
            self.waiting.push(asked);
            self.waiting.len() - 1
        });
        self.first_row.saturating_add(u32::try_from(place).unwrap_or(u32::MAX))
    }
}

/// The state of one device on this machine, locked as long as this lives.
struct StateFile {
    path: PathBuf,
    file: File,
}

impl StateFile {
    /// Waits for another `senda send` of the same device to end.
    fn lock(device: &str) -> anyhow::Result<Self> {
        let path = paths::state_dir().join("send").join(format!("{device}.json"));
        let open = || -> std::io::Result<File> {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            let file =
                File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        let file = open().with_context(|| format!("open and lock {}", path.display()))?;
        Ok(Self { path, file })
    }

    fn read(&mut self) -> anyhow::Result<State> {
        let mut text = String::new();
        self.file
            .read_to_string(&mut text)
            .with_context(|| format!("read {}", self.path.display()))?;
        if text.trim().is_empty() {
            return Ok(State::default());
        }
        serde_json::from_str(&text).with_context(|| {
            format!("{} is damaged; it holds samples that were not acknowledged. Remove it to give them up", self.path.display())
        })
    }

    /// On disk before the first byte leaves: a retry must find it.
    fn write(&mut self, state: &State) -> anyhow::Result<()> {
        let text = serde_json::to_string(state)?;
        let mut write = || -> std::io::Result<()> {
            self.file.rewind()?;
            self.file.set_len(0)?;
            self.file.write_all(text.as_bytes())?;
            self.file.sync_all()
        };
        write().with_context(|| format!("write {}", self.path.display()))
    }

    /// Nothing waits any more.
    fn clear(&mut self) -> anyhow::Result<()> {
        self.file.set_len(0).with_context(|| format!("empty {}", self.path.display()))
    }
}

/// This machine's name, as far as it fits a device name.
pub(crate) fn machine_name() -> anyhow::Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let good = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let name: String =
        name.chars().filter(good).skip_while(|c| !c.is_ascii_alphanumeric()).take(63).collect();
    if name.is_empty() {
        return Err(
            UsageError("this machine has no name that fits: say --device NAME".into()).into()
        );
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str, time_us: i64) -> Waiting {
        Waiting { schema: "s".into(), values: vec![value.into()], types: Vec::new(), time_us }
    }

    #[test]
    fn the_same_command_again_is_the_same_row() {
        let mut state = State::default();
        assert_eq!(state.add(asked("a=1", 5)), 0);
        let stream = state.stream;
        assert_eq!(state.add(asked("a=2", 6)), 1);
        assert_eq!(state.add(asked("a=1", 7)), 0);
        assert_eq!((state.waiting.len(), state.stream), (2, stream));
        assert_eq!(state.waiting[0].time_us, 5, "it keeps the time of the first try");
    }

    #[test]
    fn nothing_waiting_draws_a_new_stream() {
        let mut state = State { stream: 7, first_row: 3, waiting: Vec::new() };
        assert_eq!(state.add(asked("a=1", 5)), 0);
        assert_ne!(state.stream, 7);
    }
}
