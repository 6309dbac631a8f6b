//! `senda simulate --virtual`: one world in virtual time.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use senda_sim::world::{Outcome, Scenario, World};

use crate::UsageError;

/// Runs the world of a seed, or a scenario on it; exit code 1 if a promise was broken.
pub(crate) fn run(seed: u64, file: Option<&Path>, trace: bool) -> anyhow::Result<ExitCode> {
    let scenario = match file {
        None => Scenario::draw(seed),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("read the scenario {}", file.display()))?;
            Scenario::parse(&text)
                .map_err(|error| UsageError(format!("{}: {error}", file.display())))?
        }
    };
    let sink = trace.then(|| Box::new(std::io::stdout().lock()) as Box<dyn Write>);
    let outcome = World::with_trace(seed, scenario, sink).run();
    print!("{}", summary(seed, &outcome));
    let Some(violation) = &outcome.violation else { return Ok(ExitCode::SUCCESS) };
    println!("\nBROKEN: {violation}");
    if !trace {
        outcome.last.iter().for_each(|line| println!("  {line}"));
    }
    let file = file.map_or_else(String::new, |file| format!(" --scenario {}", file.display()));
    println!("replay: senda simulate --virtual --seed {seed}{file} --trace");
    Ok(ExitCode::FAILURE)
}

/// What happened, a line for each figure.
fn summary(seed: u64, outcome: &Outcome) -> String {
    let Outcome { ledger, judged, network, faults, .. } = outcome;
    let mut text = format!(
        "world {seed}: {:.1} s of virtual time, of which {:.1} s to drain; trace {:016x}, {} lines\n",
        outcome.time.as_secs_f64(),
        outcome.drained_in.as_secs_f64(),
        outcome.hash,
        outcome.lines
    );
    let figures = [
        ("rows made", ledger.made, "the devices' own ledgers among them"),
        ("stored", ledger.stored, "as they were made"),
        ("refused", ledger.refused, "for a value that their channel can't have"),
        ("skipped", ledger.skipped, "given up by their device, which said so"),
        ("ledgers", ledger.counts, ""),
        ("lost", ledger.lost, "in the memory of a device that crashed, or renumbered by a copy"),
        ("taken back", ledger.taken_back, "by a restore of an old disk"),
        ("expired", ledger.expired, "for their age"),
        ("ACKs", judged.acks, "each compared with what is durable"),
        ("power cuts tried", judged.power_cuts, "on a copy of the disk, after an ACK"),
        ("commands", judged.commands, "executed"),
        ("datagrams", network.datagrams, ""),
        ("datagrams lost", network.lost, ""),
        ("damaged", network.damaged, ""),
        ("connections", network.lines, ""),
        ("collector starts", faults.starts.into(), ""),
    ];
    for (name, count, remark) in figures {
        text += format!("  {name:<18} {count:>10}  {remark}").trim_end();
        text.push('\n');
    }
    let happened: Vec<String> =
        faults.happened.iter().map(|(what, count)| format!("{what:?} {count}")).collect();
    text += &format!(
        "  faults: {}\n",
        if happened.is_empty() { "none".into() } else { happened.join(", ") }
    );
    text
}
