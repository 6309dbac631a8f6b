//! `senda demo`: a collector and a fleet on TCP and UDP, in one process over real sockets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use senda_server::{Config, Server};
use senda_sim::faults::Conditions;
use senda_sim::fleet::Claim;
use senda_store::{Cell, Reader};

use crate::simulate::{self, FleetArgs};
use crate::trace::Trace;
use crate::{paths, serve, summary};

/// Show the whole road: a collector, a simulated fleet on TCP and UDP, and what is on disk in the end
#[derive(clap::Args)]
#[command(after_help = "\
It ends at Ctrl-C, after --duration, or when every device has made --count samples. It exits with 1 if anything
that was acknowledged is not in the store, or anything was not acknowledged.")]
pub(crate) struct Args {
    #[command(flatten)]
    fleet: FleetArgs,

    /// End after this time
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration)]
    duration: Option<Duration>,

    /// Directory of the store; what is there stays [default: $XDG_DATA_HOME/senda/demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Show every message both ways, field by field, on standard error
    #[arg(long)]
    trace: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut config =
        Config::new(args.data.clone().unwrap_or_else(|| paths::data_dir().join("demo")));
    // The system chooses the ports: a demo beside a running collector is no problem.
    config.tcp = Some("127.0.0.1:0".into());
    config.udp = Some("127.0.0.1:0".into());
    config.http = Some("127.0.0.1:0".into());
    if args.trace {
        config.trace = Some(Box::new(Trace::new()));
    }
    let server = Server::start(config)?;
    serve::announce(&server)?;
    let addresses = server.addresses();
    let mut fleet = args.fleet;
    fleet.interval.get_or_insert(Duration::from_millis(500));
    let plan = fleet.plan(addresses.tcp, addresses.udp, args.duration, Conditions::default())?;
    eprintln!("{} devices send to it, half of them over TCP; Ctrl-C ends it", plan.devices);
    let interrupted = simulate::watch_for_ctrl_c()?;
    let (figures, claims) = simulate::run_fleet(&plan, &interrupted, false)?;
    let data = server.data().to_owned();
    let last = server.stop();
    let stored = Stored::read(&data)?;
    print!("{}", summary::whole(&figures));
    let (found, wrong) = stored.compare(&claims);
    println!("  {:<18} {found:>10}  rows of this fleet, by asking the database", "in the store");
    println!("  {:<18} {:>10}  for {} data messages", "commits", last.commits, last.engine.landed);
    print_places(&data);
    for line in &wrong {
        eprintln!("senda: {line}");
    }
    if !wrong.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if !figures.is_settled() {
        eprintln!("senda: {} rows were not acknowledged in time", figures.pending);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows in the store's tables, by device and stream.
struct Stored(HashMap<(String, String), u64>);

impl Stored {
    /// Counts what is there, not what the store's bookkeeping says.
    fn read(data: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open(data).with_context(|| format!("open {}", data.display()))?;
        let mut rows = HashMap::new();
        for table in reader.sql("SELECT name FROM tables", usize::MAX)?.rows {
            let [Cell::Text(name)] = &table[..] else { continue };
            let sql =
                format!("SELECT device, stream, count(*) FROM \"{name}\" GROUP BY device, stream");
            for row in reader.sql(&sql, usize::MAX)?.rows {
                let [Cell::Text(device), Cell::Text(stream), Cell::Integer(count)] = &row[..]
                else {
                    continue;
                };
                rows.insert((device.clone(), stream.clone()), u64::try_from(*count).unwrap_or(0));
            }
        }
        Ok(Self(rows))
    }

    /// Rows of the fleet that are there, and a line for each device that was promised more, or has more than it made.
    fn compare(&self, claims: &[Claim]) -> (u64, Vec<String>) {
        let mut found = 0;
        let mut wrong = Vec::new();
        for Claim { device, streams, acked, made } in claims {
            let of = |stream: &u64| {
                self.0.get(&(device.clone(), format!("{stream:016x}"))).copied().unwrap_or(0)
            };
            let rows: u64 = streams.iter().map(of).sum();
            found += rows;
            if rows < *acked {
                wrong.push(format!(
                    "{device}: {acked} rows were acknowledged, {rows} are in the store"
                ));
            }
            if rows > *made {
                wrong.push(format!("{device}: {made} rows were made, {rows} are in the store"));
            }
        }
        (found, wrong)
    }
}

fn print_places(data: &Path) {
    let place = data.display();
    println!("\nThe data is in {place}. To look at it:");
    println!("  senda query --data {place} --since 1h --limit 5");
    println!(
        "  senda query --data {place} --sql 'SELECT device, count(*) FROM greenhouse GROUP BY device'"
    );
    println!("  sqlite3 {place}/senda.db 'SELECT * FROM readings LIMIT 5'");
}
