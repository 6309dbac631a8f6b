//! `senda serve`: a collector, until Ctrl-C or SIGTERM.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use senda_server::{Config, Server};

use crate::signal::{self, Stop};
use crate::trace::Trace;
use crate::{alert_rules, config, paths};

/// Collect readings over TCP and UDP; an ACK means on disk
#[derive(clap::Args)]
#[command(after_help = "\
Without --tcp and --udp it listens on both. The first line on standard output says where: one line, for scripts.
SIGTERM (or Ctrl-C) drains: what was received is committed and acknowledged, then it ends with 0.
A flag wins over a SENDA_* variable, that over the config file, that over the default.")]
pub(crate) struct Args {
    /// TOML file
    #[arg(long, env = "SENDA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Listen for TCP devices
    #[arg(long, env = "SENDA_TCP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    tcp: Option<String>,

    /// Listen for UDP devices
    #[arg(long, env = "SENDA_UDP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT)]
    udp: Option<String>,

    /// Answer the HTTP API, /healthz and /readyz here; "off": nowhere [default: 127.0.0.1:7364]
    #[arg(long, env = "SENDA_HTTP", value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT_HTTP)]
    http: Option<String>,

    /// Directory of the store [default: $XDG_DATA_HOME/senda]
    #[arg(long, env = "SENDA_DATA", value_name = "DIR")]
    data: Option<PathBuf>,

    /// Gather for this long before each commit; spares flash where the latency is fine [default: 0s]
    #[arg(long, env = "SENDA_COMMIT_INTERVAL", value_name = "TIME", value_parser = senda_sim::parse_duration)]
    commit_interval: Option<Duration>,

    /// Listen beyond loopback, though sessions are neither authenticated nor encrypted
    #[arg(long, env = "SENDA_OPEN_TO_NETWORK")]
    open_to_network: bool,

    /// Show every message both ways, field by field, and every drop with its reason, on standard error
    #[arg(long, env = "SENDA_TRACE")]
    trace: bool,
}

const DEFAULT: &str = "127.0.0.1:7363";
const DEFAULT_HTTP: &str = "127.0.0.1:7364";

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    start_logging();
    raise_descriptor_limit();
    let server = Server::start(args.into_config()?)?;
    let ready = || announce(&server);
    let stop = signal::wait(None, Duration::from_secs(3600), ready, || {})?;
    tracing::info!(?stop, "draining");
    let last = server.stop();
    tracing::info!(rows = last.rows_stored, commits = last.commits, "stopped");
    Ok(match stop {
        Stop::Interrupted | Stop::Terminated | Stop::Elapsed => ExitCode::SUCCESS,
    })
}

impl Args {
    pub(crate) fn into_config(self) -> anyhow::Result<Config> {
        let file = self.config.as_deref().map(config::read).transpose()?.unwrap_or_default();
        let chosen = |flag: Option<String>, file: Option<String>| flag.or(file);
        let (tcp, udp) = (chosen(self.tcp, file.tcp), chosen(self.udp, file.udp));
        let both = tcp.is_none() && udp.is_none();
        let address = |chosen: Option<String>| match chosen {
            Some(off) if off == "off" => None,
            None => both.then(|| DEFAULT.to_owned()),
            some => some,
        };
        let mut config = Config::new(self.data.or(file.data).unwrap_or_else(paths::data_dir));
        config.tcp = address(tcp);
        config.udp = address(udp);
        config.http = chosen(self.http, file.http)
            .or(Some(DEFAULT_HTTP.to_owned()))
            .filter(|address| address != "off");
        config.http_hosts = file.http_hosts;
        config.open_to_network = self.open_to_network || file.open_to_network.unwrap_or(false);
        let interval = file.commit_interval.as_deref().map(senda_sim::parse_duration).transpose();
        let interval = interval.context("commit_interval")?;
        config.engine.commit_interval = self.commit_interval.or(interval).unwrap_or_default();
        if let Some(connections) = file.limits.connections {
            config.connections_max = connections;
        }
        if let Some(sessions) = file.limits.sessions {
            config.engine.sessions_max = sessions;
        }
        if let Some(window_rows) = file.limits.window_rows {
            config.engine.window_rows = window_rows;
        }
        let age = file.retention.age.as_deref().map(senda_sim::parse_duration).transpose();
        let age = age.context("retention.age")?;
        config.store.retention.age =
            age.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        config.store.retention.bytes = file.retention.bytes;
        config.desired = file
            .desired
            .iter()
            .map(config::DesiredEntry::to_desired)
            .collect::<anyhow::Result<_>>()?;
        config.raw =
            file.raw.iter().map(config::RawEntry::to_raw).collect::<anyhow::Result<_>>()?;
        let place = || format!("config file {}", self.config.unwrap_or_default().display());
        (config.rules, config.targets) =
            alert_rules::read(&file.alert, &file.notify).with_context(place)?;
        if self.trace {
            config.trace = Some(Box::new(Trace::new()));
        }
        Ok(config)
    }
}

/// Each connection takes a file descriptor: as many as the system lets this process have.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, current = limit.current, "the limit of open files stays");
        }
    }
}

/// One line that a script can read.
pub(crate) fn announce(server: &Server) -> anyhow::Result<()> {
    let addresses = server.addresses();
    let mut line = String::from("listening");
    for (name, address) in
        [("tcp", addresses.tcp), ("udp", addresses.udp), ("http", addresses.http)]
    {
        if let Some(address) = address {
            line += &format!(" {name}={address}");
        }
    }
    for raw in server.raw_addresses() {
        for (transport, address) in [("udp", raw.udp), ("tcp", raw.tcp)] {
            if let Some(address) = address {
                line += &format!(" raw.{}.{transport}={address}", raw.name);
            }
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line} data={}", server.data().display())?;
    Ok(out.flush()?)
}

/// Structured logs on standard error; `RUST_LOG` chooses, INFO otherwise.
pub(crate) fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::env::var_os("NO_COLOR").is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A second call in one process (a test) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr)
        .try_init();
}
