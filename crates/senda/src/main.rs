//! The `senda` command: parse, run one subcommand, map the outcome to an exit code.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the binary is the one place that prints"
)]

mod alert_rules; // [[alert]] and [notify.NAME] of the config file
mod alerts; // senda alerts
mod api; // the collector's HTTP API
mod arguments; // CHANNEL=VALUE[UNIT]
mod audit; // senda audit
mod backup; // senda backup
mod command; // senda command
mod completions; // senda completions
mod config; // the TOML file of `serve`
mod conform; // senda conform
mod decode; // senda decode
mod demo; // senda demo
mod devices; // senda devices
mod happening; // what happened to a simulated device, on a line
mod journal; // --journal FILE
mod lab; // senda lab
mod ledger; // a ledger as text
mod man; // senda man
mod paths; // where data lies unless told otherwise
mod proxy; // senda proxy
mod query; // senda query
mod raw; // senda raw
mod schemas; // what rows hold, learnt by listening
mod send; // senda send
mod sense; // senda sense
mod serve; // senda serve
mod settings; // senda settings
mod show; // a message, field by field
mod signal; // Ctrl-C and SIGTERM
mod simulate; // senda simulate
mod summary; // what a fleet did, as text
mod tail; // senda tail
mod text; // what the API says, as text
mod trace; // --trace
mod world; // senda simulate --virtual

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Exit code of a command that was wrong in itself. Clap uses the same.
const USAGE: u8 = 2;

/// Sensor readings over plain TCP and UDP sockets. An ACK means stored.
#[derive(Parser)]
#[command(name = "senda", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    Demo(demo::Args),
    Serve(serve::Args),
    Simulate(simulate::Args),
    Send(send::Args),
    Sense(sense::Args),
    Query(query::Args),
    Tail(tail::Args),
    Devices(devices::Args),
    Audit(audit::Args),
    Command(command::Args),
    Settings(settings::Args),
    Alerts(alerts::Args),
    Decode(decode::Args),
    Proxy(proxy::Args),
    Backup(backup::Args),
    Conform(conform::Args),
    Lab(lab::Args),
    Raw(raw::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Subcommand::Demo(args) => demo::run(args),
        Subcommand::Serve(args) => serve::run(args),
        Subcommand::Simulate(args) => simulate::run(args),
        Subcommand::Send(args) => send::run(args),
        Subcommand::Sense(args) => sense::run(args),
        Subcommand::Query(args) => query::run(&args),
        Subcommand::Tail(args) => tail::run(&args),
        Subcommand::Devices(args) => devices::run(&args),
        Subcommand::Audit(args) => audit::run(&args),
        Subcommand::Command(args) => command::run(&args),
        Subcommand::Settings(args) => settings::run(&args),
        Subcommand::Alerts(args) => alerts::run(&args),
        Subcommand::Decode(args) => decode::run(&args),
        Subcommand::Proxy(args) => proxy::run(&args),
        Subcommand::Backup(args) => backup::run(&args),
        Subcommand::Conform(args) => conform::run(args),
        Subcommand::Lab(args) => lab::run(args),
        Subcommand::Raw(args) => raw::run(&args),
        Subcommand::Completions(args) => completions::run(args),
        Subcommand::Man(args) => man::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS; // Whoever read our output has seen enough.
        }
        // Not eprintln, which panics where nobody reads standard error any more.
        let _ = writeln!(std::io::stderr(), "senda: {error:#}");
        let usage = error.is::<UsageError>();
        if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

/// The command itself was wrong: exit code 2.
#[derive(Debug)]
struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The parser, for completions and for tests of the help.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
