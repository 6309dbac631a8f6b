//! `cargo xtask`: the project's own tasks, one module per subcommand.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a development tool that talks to its terminal"
)]

mod book;
mod ci;
mod crash;
mod deny;
mod dissector;
mod mutants;
mod no_std;
mod registry;
mod simulate;
mod steps;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;

/// The project's own tasks
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what the tests need where possible, then run every test
    Test,
    /// Run all that must pass before a change is merged
    Ci,
    /// Kill collectors and clients, again and again, and audit what is stored
    Crash(crash::Args),
    /// Prove that the core links without std, and the codec without an allocator
    NoStd,
    /// Check the links of the documentation, and build the book of docs/
    Book,
    /// Check licences, advisories and sources with cargo-deny, when it is installed
    Deny,
    /// Run many worlds in virtual time, each with an oracle that watches
    Simulate(simulate::Args),
    /// Generate code and tables from spec/registry.toml
    Registry(registry::Args),
    /// Generate the Wireshark dissector from the registries and the layouts of senda-wire
    Dissector(dissector::Args),
    /// Make deliberate faults in a copy of the sources; the virtual worlds must see each
    Mutants(mutants::Args),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Test => steps::run_all("test", test::run),
        Task::Ci => steps::run_all("ci", ci::run),
        Task::Crash(args) => crash::run(&args),
        Task::NoStd => no_std::run(),
        Task::Book => book::run(),
        Task::Deny => deny::run(),
        Task::Simulate(args) => simulate::run(&args),
        Task::Registry(args) => registry::run(&args),
        Task::Dissector(args) => dissector::run(&args),
        Task::Mutants(args) => mutants::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
