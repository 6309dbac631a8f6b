//! `senda simulate`: a fleet of simulated devices over real sockets.

use std::io::{IsTerminal, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use senda_sim::Profile;
use senda_sim::clock::{ClockKind, Clocks, Ppm};
use senda_sim::faults::{Conditions, Delay, Probability, Rate, Reorder};
use senda_sim::fleet::{self, Claim, Figures, Happening, Plan, Watch};

use crate::journal::{self, JournalArgs};
use crate::{UsageError, happening, signal, summary, world};

/// Simulate devices that send random readings periodically
#[derive(clap::Args)]
#[command(after_help = "\
Without --tcp and --udp the devices use UDP; with both, half of them use TCP.
The same --seed makes the same devices, rows and values over either transport; with --start their times too.
Examples:
  senda simulate --devices 100 --interval 1s --duration 60s
  senda simulate --udp --loss 20% --delay 50ms±20ms --count 100
  senda simulate --virtual --seed 7")]
pub(crate) struct Args {
    /// Collector to use over TCP
    #[arg(long, env = "SENDA_TCP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    tcp: Option<String>,

    /// Collector to use over UDP
    #[arg(long, env = "SENDA_UDP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    udp: Option<String>,

    #[command(flatten)]
    fleet: FleetArgs,

    /// End after this time; without it and --count: at Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration)]
    duration: Option<Duration>,

    /// Show what the devices are told and what they answer, on standard error; with --virtual every event, on standard output
    #[arg(long)]
    trace: bool,

    #[command(flatten)]
    journal: JournalArgs,

    /// Run a world in virtual time instead: collector, devices, network and disk, all on --seed, with an oracle that watches
    #[arg(long = "virtual", conflicts_with_all = REAL_ONLY)]
    in_virtual_time: bool,

    /// --virtual: read the world from a TOML file instead of drawing it from the seed
    #[arg(long, value_name = "FILE", requires = "in_virtual_time")]
    scenario: Option<std::path::PathBuf>,

    /// How to show the summary
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    network: NetworkArgs,
}

/// What kind of fleet.
#[derive(clap::Args, Clone)]
pub(crate) struct FleetArgs {
    /// Devices
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,

    /// From one sample of a device to the next [default: the profile's]
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration)]
    pub(crate) interval: Option<Duration>,

    /// Samples of each device
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// greenhouse, vehicle, factory, weather, or a TOML file; several are mixed [default: all four]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) profile: Vec<String>,

    /// Decides values, schedules and faults
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Date the samples from this time on, instead of from now
    #[arg(long, value_name = "2026-01-01T00:00:00Z")]
    pub(crate) start: Option<jiff::Timestamp>,

    #[command(flatten)]
    pub(crate) clocks: ClockArgs,

    /// Data messages that a device may have in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) window: u16,

    /// When no more samples are made: how long to wait for what is not acknowledged
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = senda_sim::parse_duration)]
    pub(crate) patience: Duration,
}

/// What clocks the devices have.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct ClockArgs {
    /// How the devices date their samples
    #[arg(long, value_enum, default_value = "synced", value_name = "KIND")]
    clock: Kind,

    /// Oscillators are wrong by up to this, such as 50ppm, fast or slow (not those of synced clocks)
    #[arg(long, default_value = "0ppm", value_name = "PPM")]
    clock_drift: Ppm,

    /// UTC clocks step by up to this, forth or back, about every 20 s
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration)]
    clock_step: Option<Duration>,

    /// Unsynced clocks begin at 1970 at every boot, until the collector tells them the time
    #[arg(long)]
    clock_1970: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// UTC, kept right
    Synced,
    /// UTC, set by hand some time ago
    Unsynced,
    /// Microseconds since boot; the collector tells what time that is
    Monotonic,
    /// No clock: the collector dates the samples
    None,
    /// Each device one of these, as the seed decides
    Mixed,
}

/// What happens to the datagrams of UDP devices, each way.
#[derive(clap::Args, Clone, Copy)]
struct NetworkArgs {
    /// UDP: share of datagrams that are lost, each way, such as 20%
    #[arg(long, default_value = "0%", value_name = "P")]
    loss: Probability,

    /// UDP: share of datagrams that arrive twice
    #[arg(long, default_value = "0%", value_name = "P")]
    dup: Probability,

    /// UDP: share of datagrams that are held back, such as 10%
    #[arg(long, default_value = "0%", value_name = "P")]
    reorder: Reorder,

    /// UDP: how long datagrams take, such as 50ms±20ms
    #[arg(long, default_value = "0ms", value_name = "TIME")]
    delay: Delay,

    /// UDP: what the network of a device carries each way, such as 100kbit; what would wait for more than 1 s is lost
    #[arg(long, value_name = "BITS")]
    rate: Option<Rate>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// One object
    Json,
}

const DEFAULT: &str = "127.0.0.1:7363";
/// What a world in virtual time has from its seed or its file. --tcp and --udp may come from the environment: see `run`.
const REAL_ONLY: [&str; 19] = [
    "journal",
    "devices",
    "interval",
    "count",
    "profile",
    "start",
    "clock",
    "clock_drift",
    "clock_step",
    "clock_1970",
    "window",
    "patience",
    "duration",
    "format",
    "loss",
    "dup",
    "reorder",
    "delay",
    "rate",
];
/// In a fleet larger than this everybody waits the 10 s of the specification after CLOSE 401; a few devices need not.
const LARGE_FLEET: u32 = 1_000;

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.in_virtual_time {
        for (flag, given, variable) in
            [("--tcp", &args.tcp, "SENDA_TCP"), ("--udp", &args.udp, "SENDA_UDP")]
        {
            if given.is_some() && *given != std::env::var(variable).ok() {
                let text =
                    format!("{flag} is for real sockets: a world in virtual time has its own");
                return Err(UsageError(text).into());
            }
        }
        return world::run(args.fleet.seed, args.scenario.as_deref(), args.trace);
    }
    let conditions = args.network.conditions();
    let udp_wanted = args.udp.is_some() || args.tcp.is_none();
    if !udp_wanted && !conditions.is_perfect() {
        return Err(UsageError(
            "--loss, --dup, --reorder, --delay and --rate damage datagrams: add --udp".into(),
        )
        .into());
    }
    let tcp = args.tcp.as_deref().map(resolve).transpose()?;
    let udp = udp_wanted.then(|| resolve(args.udp.as_deref().unwrap_or(DEFAULT))).transpose()?;
    let plan = args.fleet.plan(tcp, udp, args.duration, conditions)?;
    let plan = Plan { journal: args.journal.open()?, ..plan };
    let interrupted = watch_for_ctrl_c()?;
    let (figures, _) = run_fleet(&plan, &interrupted, args.trace)?;
    match args.format {
        Format::Table => print!("{}", summary::whole(&figures)),
        Format::Json => println!("{}", summary::json(&figures)),
    }
    let is_recorded = journal::is_complete(plan.journal.as_ref());
    let ended_early = interrupted.load(Ordering::Relaxed) && args.fleet.count.is_some();
    Ok(match figures.is_settled() {
        _ if ended_early => ExitCode::from(130),
        true if is_recorded => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

impl FleetArgs {
    pub(crate) fn plan(
        &self,
        tcp: Option<SocketAddr>,
        udp: Option<SocketAddr>,
        duration: Option<Duration>,
        conditions: Conditions,
    ) -> anyhow::Result<Plan> {
        let names: Vec<&str> = match &self.profile[..] {
            [] => Profile::built_in().iter().map(|(name, _)| *name).collect(),
            names => names.iter().map(String::as_str).collect(),
        };
        let profiles = names.into_iter().map(Profile::load).collect::<Result<_, _>>()?;
        let mut boot = [0; 32];
        rand::rng().fill_bytes(&mut boot);
        let few = self.devices <= LARGE_FLEET;
        Ok(Plan {
            tcp,
            udp,
            devices: self.devices,
            profiles,
            interval: self.interval,
            seed: self.seed,
            start_us: self.start.unwrap_or_else(jiff::Timestamp::now).as_microsecond(),
            count: self.count,
            duration,
            patience: self.patience,
            conditions,
            clocks: self.clocks.clocks()?,
            window_messages: self.window,
            start_jitter: if few { Duration::ZERO } else { Duration::from_secs(1) },
            rejoin_jitter: Duration::from_secs(if few { 1 } else { 10 }),
            boot,
            journal: None,
        })
    }
}

impl ClockArgs {
    fn clocks(self) -> anyhow::Result<Clocks> {
        let has_utc = !matches!(self.clock, Kind::Monotonic | Kind::None);
        if self.clock_step.is_some() && !has_utc {
            return Err(UsageError("--clock-step needs a clock of UTC".into()).into());
        }
        if self.clock_1970 && !matches!(self.clock, Kind::Unsynced | Kind::Mixed) {
            return Err(UsageError("--clock-1970 needs --clock unsynced".into()).into());
        }
        let kind = match self.clock {
            Kind::Synced => ClockKind::Synced,
            Kind::Unsynced => ClockKind::Unsynced,
            Kind::Monotonic => ClockKind::Monotonic,
            Kind::None => ClockKind::None,
            Kind::Mixed => ClockKind::Mixed,
        };
        let (drift, step) = (self.clock_drift, self.clock_step);
        Ok(Clocks { kind, drift, step, from_1970: self.clock_1970 })
    }
}

impl NetworkArgs {
    fn conditions(self) -> Conditions {
        let Self { loss, dup, reorder, delay, rate } = self;
        Conditions { loss, dup, reorder, delay, rate }
    }
}

/// Runs the fleet, with a live line on a terminal, and with a line for each event if it is to be traced.
pub(crate) fn run_fleet(
    plan: &Plan,
    interrupted: &AtomicBool,
    trace: bool,
) -> anyhow::Result<(Figures, Vec<Claim>)> {
    let bar = live_line();
    let outcome = fleet::run(plan, Watcher { bar: &bar, interrupted, trace });
    bar.finish_and_clear();
    outcome.context("run the fleet")
}

/// Whoever looks on while the fleet runs.
struct Watcher<'a> {
    bar: &'a indicatif::ProgressBar,
    interrupted: &'a AtomicBool,
    trace: bool,
}

impl Watch for Watcher<'_> {
    fn figures(&mut self, figures: &Figures) -> ControlFlow<()> {
        self.bar.set_message(summary::live(figures));
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn is_close(&self) -> bool {
        self.trace
    }

    fn happened(&mut self, device: &str, what: &Happening<'_>) {
        // A closed standard error is no reason to stop.
        self.bar
            .suspend(|| drop(writeln!(std::io::stderr(), "{device} {}", happening::line(what))));
    }
}

/// A line that is rewritten, on a terminal; nothing elsewhere.
fn live_line() -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new_spinner();
    let style = indicatif::ProgressStyle::with_template("{msg}");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_spinner()));
    bar
}

/// Set at Ctrl-C or SIGTERM; a second Ctrl-C ends the process.
pub(crate) fn watch_for_ctrl_c() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let wait = move || {
        if signal::wait(None, Duration::from_secs(3600), || Ok(()), || {}).is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("start a thread")?;
    Ok(interrupted)
}

/// The first address that `name` stands for.
pub(crate) fn resolve(name: &str) -> anyhow::Result<SocketAddr> {
    let wrong = || {
        UsageError(format!(
            "{name:?} is no collector: say HOST:PORT, such as {DEFAULT} or [::1]:7363"
        ))
    };
    let mut addresses = name.to_socket_addrs().map_err(|_| wrong())?;
    Ok(addresses.next().ok_or_else(wrong)?)
}
