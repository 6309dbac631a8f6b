//! `senda conform`: judge an implementation by the labelled requirements of the specification.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use senda_conform::{Line, Options, Program, Report, Transport, Verdict, collector, device};
use serde_json::json;

use crate::UsageError;
use crate::simulate::resolve;

/// Judge a collector or a device by the requirements of the specification
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    Collector(CollectorArgs),
    Device(DeviceArgs),
}

/// Play devices, and judge a collector
#[derive(clap::Args)]
#[command(after_help = "\
With a COMMAND the kit starts the collector itself, so that it can kill and restart it. In the command {tcp} and {udp}
stand for the addresses to listen at, {state} for a directory. Exit code: 0 nothing fails, 1 something does
or nothing could be shown.
Examples:
  senda conform collector --tcp 127.0.0.1:7363 --udp 127.0.0.1:7363
  senda conform collector -- senda serve --tcp={tcp} --udp={udp} --http=off --data {state}")]
struct CollectorArgs {
    /// The collector's address for TCP
    #[arg(long, value_name = "ADDRESS", conflicts_with = "command")]
    tcp: Option<String>,

    /// The collector's address for UDP
    #[arg(long, value_name = "ADDRESS", conflicts_with = "command")]
    udp: Option<String>,

    /// Names of the kit's devices begin so
    #[arg(long, value_name = "TEXT", default_value = "conform-")]
    device_prefix: String,

    /// Shell command that prints how many samples of {device} are stored; {state} is the COMMAND's directory
    #[arg(long, value_name = "COMMAND")]
    stored: Option<String>,

    #[command(flatten)]
    how: HowArgs,

    /// Starts the collector
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Play a collector, and judge a device
#[derive(clap::Args)]
#[command(after_help = "\
The kit starts the device program afresh for each scenario. In the command {address}, {host} and {port} stand for where
the kit listens, {transport} for tcp or udp; the environment has SENDA_TCP or SENDA_UDP. The program has to send at
least one sample a second until it is killed, and to say HELLO again when it is told to go. docs/conformance.md says more.
Without --tcp and --udp it is judged over both. Exit code: 0 nothing fails, 1 something does
or nothing could be shown.
Examples:
  senda conform device -- senda simulate --devices 1 --interval 100ms --{transport}={address}
  senda conform device --udp -- python3 senda.py --udp {address} --interval 0.1 --count 1000000")]
struct DeviceArgs {
    /// Judge it over TCP
    #[arg(long)]
    tcp: bool,

    /// Judge it over UDP
    #[arg(long)]
    udp: bool,

    #[command(flatten)]
    how: HowArgs,

    /// Starts the device
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How to judge either.
#[derive(clap::Args)]
struct HowArgs {
    /// Judge this requirement only, such as 7.1a; repeatable
    #[arg(long, value_name = "LABEL")]
    only: Vec<String>,

    /// How long to wait for what has to come
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = senda_sim::parse_duration)]
    patience: Duration,

    /// Conversations at once
    #[arg(long, value_name = "N", default_value_t = 12)]
    jobs: usize,

    /// How to show the verdicts
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// One object a line, the tally last
    Json,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (report, format) = match args.role {
        Role::Collector(args) => (judge_collector(&args)?, args.how.format),
        Role::Device(args) => (judge_device(&args)?, args.how.format),
    };
    let text = match format {
        Format::Table => table(&report),
        Format::Json => lines_of_json(&report),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    // An implementation of which nothing could be shown has not passed.
    let tally = report.tally();
    Ok(if tally.fail == 0 && tally.hold > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge_collector(args: &CollectorArgs) -> anyhow::Result<Report> {
    let place = match Program::new(args.command.clone()) {
        Some(program) => collector::Place::Start(program),
        None => collector::Place::At {
            tcp: args.tcp.as_deref().map(resolve).transpose()?,
            udp: args.udp.as_deref().map(resolve).transpose()?,
        },
    };
    let target = collector::Target {
        place,
        stored: args.stored.clone(),
        device_prefix: args.device_prefix.clone(),
    };
    collector::judge(&target, &args.how.options()).map_err(for_usage).context("judge the collector")
}

fn judge_device(args: &DeviceArgs) -> anyhow::Result<Report> {
    let both = !args.tcp && !args.udp;
    let mut transports = Vec::new();
    if args.tcp || both {
        transports.push(Transport::Tcp);
    }
    if args.udp || both {
        transports.push(Transport::Udp);
    }
    let program = Program::new(args.command.clone()).context("a command to start the device")?;
    let target = device::Target { program, transports };
    device::judge(&target, &args.how.options()).map_err(for_usage).context("judge the device")
}

impl HowArgs {
    fn options(&self) -> Options {
        Options { patience: self.patience, jobs: self.jobs, only: self.only.clone() }
    }
}

/// What is wrong with the command line is its own kind of error.
fn for_usage(error: senda_conform::Error) -> anyhow::Error {
    match error {
        senda_conform::Error::UnknownLabel { .. } => UsageError(format!("--only: {error}")).into(),
        senda_conform::Error::NoTransport => UsageError(format!(
            "{error}: --tcp ADDRESS, --udp ADDRESS, or a COMMAND with {{tcp}} or {{udp}}"
        ))
        .into(),
        error => error.into(),
    }
}

/// Columns that a sentence may take in the table.
const SENTENCE_WIDTH: usize = 78;

fn table(report: &Report) -> String {
    let mut out = String::new();
    let role = report.role.name();
    for line in &report.lines {
        let verdict = match &line.verdict {
            Verdict::NotBound => format!("binds the {}", report.role.other().name()),
            verdict => verdict.name().to_owned(),
        };
        let over = transports(line).join("+");
        let sentence = shortened(&line.requirement.sentence);
        // Writing to a String can't fail.
        let _ =
            writeln!(out, "{:6} {role}  {verdict:19} {over:7} {sentence}", line.requirement.label);
    }
    let silent: Vec<&Line> = report
        .lines
        .iter()
        .filter(|line| matches!(line.verdict, Verdict::NotExercised(_)))
        .collect();
    if !silent.is_empty() {
        out.push_str("\nNot exercised:\n");
    }
    for line in silent {
        if let Verdict::NotExercised(why) = &line.verdict {
            let _ = writeln!(out, "  [{}] {why}", line.requirement.label);
        }
    }
    for line in &report.lines {
        if let Verdict::Fails(failures) = &line.verdict {
            let Line { requirement, .. } = line;
            let (label, section) = (&requirement.label, requirement.section());
            let _ =
                writeln!(out, "\n[{label}] fails (section {section}): {}", requirement.sentence);
            for failure in failures {
                let (over, scenario) = (failure.transport.name(), failure.scenario);
                let _ = writeln!(out, "  over {over}, {scenario}:");
                let _ = writeln!(out, "    expected  {}", failure.expected);
                let _ = writeln!(out, "    came      {}", failure.came);
                if !failure.bytes.is_empty() {
                    let _ = writeln!(out, "    bytes     {}", hex(&failure.bytes));
                }
            }
        }
    }
    let tally = report.tally();
    let _ = writeln!(
        out,
        "\n{role}: {} hold, {} fail, {} not exercised (of {}), in {:.1} s",
        tally.hold,
        tally.fail,
        tally.not_exercised,
        tally.bound(),
        report.took.as_secs_f64()
    );
    out
}

fn lines_of_json(report: &Report) -> String {
    let mut out = String::new();
    for line in &report.lines {
        let mut object = json!({
            "label": line.requirement.label,
            "section": line.requirement.section(),
            "role": report.role.name(),
            "verdict": match line.verdict {
                Verdict::Holds => "holds",
                Verdict::Fails(_) => "fails",
                Verdict::NotExercised(_) => "not_exercised",
                Verdict::NotBound => "not_bound",
            },
            "transports": transports(line),
            "sentence": line.requirement.sentence,
        });
        match &line.verdict {
            Verdict::NotExercised(why) => object["reason"] = json!(why),
            Verdict::Fails(failures) => {
                let failures = failures.iter().map(|failure| {
                    json!({
                        "transport": failure.transport.name(),
                        "scenario": failure.scenario,
                        "expected": failure.expected,
                        "came": failure.came,
                        "hex": hex(&failure.bytes),
                    })
                });
                object["failures"] = failures.collect();
            }
            Verdict::Holds | Verdict::NotBound => {}
        }
        let _ = writeln!(out, "{object}");
    }
    let tally = report.tally();
    let tally = json!({
        "role": report.role.name(),
        "hold": tally.hold,
        "fail": tally.fail,
        "not_exercised": tally.not_exercised,
        "of": tally.bound(),
        "seconds": (report.took.as_secs_f64() * 1_000.0).round() / 1_000.0,
    });
    let _ = writeln!(out, "{tally}");
    out
}

fn transports(line: &Line) -> Vec<&'static str> {
    line.transports.iter().map(|transport| transport.name()).collect()
}

fn shortened(sentence: &str) -> String {
    if sentence.chars().count() <= SENTENCE_WIDTH {
        return sentence.to_owned();
    }
    let short: String = sentence.chars().take(SENTENCE_WIDTH - 3).collect();
    format!("{}...", short.trim_end())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
