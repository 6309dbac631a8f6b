//! What must survive the collector's end. The kit starts it, kills it, and starts it again with the same state.

use std::net::{Ipv4Addr, SocketAddr};

use senda_wire::{Durability, Message, MessageType};
use tempfile::TempDir;

use super::caller::Caller;
use super::instance::{self, Instance};
use super::{Place, Stage};
use crate::Transport;
use crate::message::{Seen, one_u8, rows_body};
use crate::notes::Step;

/// Spec §7.1a, §7.1b: a kill shows what was in memory alone. What a power cut takes does not show.
pub(super) fn kill_behind_an_ack(stage: &mut Stage) -> Step {
    let mut collector = stage.own_collector()?;
    let mut device = device_of(stage, &collector)?;
    let welcome = device.join()?;
    if durability(&welcome) == Some(Durability::Memory) {
        return Err(device
            .notes
            .stop("WELCOME.durability is MEMORY: a crash may lose what it has"));
    }
    device.declare(0, &one_u8())?;
    let mut end = 0;
    for round in 0..3 {
        if round > 0 {
            device = resumed(&device, end)?;
            let welcome = device.join()?;
            require_resume(&device, &welcome, end);
        }
        match round {
            0 => {
                device.send_rows(end, &[&[1], &[2], &[3]]);
                end += 3;
            }
            1 => {
                // Refused rows and skipped ones are resolved too.
                device.send(MessageType::Skip, end, &[0, 0, 0, 4, 1, 0, 0]);
                end += 4;
            }
            _ => {
                let mut bad = rows_body(0, &[&[1], &[2]]);
                bad.push(0);
                device.send(MessageType::Rows, end, &bad);
                end += 2;
            }
        }
        device.expect_ack("1a", end)?;
        collector.kill_and_restart().map_err(|error| stage.notes.stop(error.to_string()))?;
    }
    device = resumed(&device, end)?;
    let welcome = device.join()?;
    require_resume(&device, &welcome, end);
    Ok(())
}

fn require_resume(device: &Caller, welcome: &Seen, end: u32) {
    let good = matches!(welcome.message(), Ok(Message::Welcome(terms)) if terms.next_row == end);
    let expected = format!("next_row {end} after the kill: every row below it was acknowledged");
    device.notes.require("7.1a", good, &expected, welcome);
    device.notes.require("7.1b", good, &expected, welcome);
}

fn durability(welcome: &Seen) -> Option<Durability> {
    match welcome.message() {
        Ok(Message::Welcome(terms)) => Some(terms.durability),
        _ => None,
    }
}

fn device_of(stage: &Stage, collector: &Instance) -> Step<Caller> {
    stage.device_at(stage.notes.transport, collector.address(stage.notes.transport))
}

/// The same stream, with nothing left to send.
fn resumed(device: &Caller, end: u32) -> Step<Caller> {
    let mut resumed = device.reconnected()?;
    (resumed.sketch.next_row, resumed.sketch.oldest_row) = (end, end);
    Ok(resumed)
}

/// Spec §5.5a.
pub(super) fn kill_behind_declared(stage: &mut Stage) -> Step {
    let mut collector = stage.own_collector()?;
    let mut device = device_of(stage, &collector)?;
    let welcome = device.join()?;
    if durability(&welcome) == Some(Durability::Memory) {
        return Err(device
            .notes
            .stop("WELCOME.durability is MEMORY: a crash may lose what it has"));
    }
    device.declare(7, &one_u8())?;
    collector.kill_and_restart().map_err(|error| stage.notes.stop(error.to_string()))?;
    device = resumed(&device, 0)?;
    device.join()?;
    device.send(MessageType::Rows, 0, &rows_body(7, &[&[1]]));
    let answer = device.expect("5.5a", "an answer to ROWS", |seen| {
        seen.is(MessageType::Ack) || seen.is(MessageType::Nack)
    })?;
    let good = answer.is(MessageType::Ack) && answer.seq == 1;
    let expected = "ACK 1: the schema was DECLARED before the kill";
    device.notes.require("5.5a", good, expected, &answer);
    Ok(())
}

/// Spec §2.1a: resent, batched otherwise, over the other transport, after a kill: one copy.
pub(super) fn rows_on_every_road(stage: &mut Stage) -> Step {
    if stage.target.stored.is_none() {
        stage.stored("")?;
    }
    let mut collector = match stage.target.place {
        Place::Start(_) => Some(stage.own_collector()?),
        Place::At { .. } => None,
    };
    let mut device = match &collector {
        Some(collector) => device_of(stage, collector)?,
        None => stage.device()?,
    };
    device.join()?;
    device.declare(0, &one_u8())?;
    device.store_rows(0, &[&[0], &[1], &[2], &[3], &[4]])?;
    device.send_rows(0, &[&[0], &[1], &[2], &[3], &[4]]);
    device.expect_ack("1a", 5)?;
    device.store_rows(3, &[&[3], &[4], &[5], &[6]])?;
    let other = match stage.notes.transport {
        Transport::Tcp => Transport::Udp,
        Transport::Udp => Transport::Tcp,
    };
    let known = if other == Transport::Tcp { stage.tcp } else { stage.udp };
    if let Some(known) = known {
        let address = collector.as_ref().map_or(known, |collector| collector.address(other));
        let mut moved = device.again(other, address)?;
        moved.sketch.next_row = 7;
        moved.join()?;
        moved.store_rows(0, &[&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]])?;
    }
    let mut state = stage.state.clone();
    if let Some(collector) = &mut collector {
        collector.kill_and_restart().map_err(|error| stage.notes.stop(error.to_string()))?;
        state = collector.state().display().to_string();
    }
    let mut device = device.reconnected()?;
    device.sketch.next_row = 9;
    device.join()?;
    let all: Vec<[u8; 1]> = (0..9).map(|row| [row]).collect();
    let all: Vec<&[u8]> = all.iter().map(<[u8; 1]>::as_slice).collect();
    device.store_rows(0, &all)?;
    let stored = stage.stored(&state)?;
    if stored == 9 {
        stage.notes.holds("2.1a");
    } else {
        let came = format!("{stored} samples in the store");
        stage.notes.fails("2.1a", "9 rows that were sent 2 to 4 times, once each", came, &[]);
    }
    Ok(())
}

/// Spec §6.6c.
pub(super) fn orderly_end(stage: &mut Stage) -> Step {
    let label = "6.6c";
    let mut collector = stage.own_collector()?;
    let mut device = device_of(stage, &collector)?;
    (device.sketch.ack_every, device.sketch.ack_delay_ms) = (1_024, 60_000);
    device.join()?;
    device.declare(0, &one_u8())?;
    device.send(MessageType::Rows, 0, &rows_body(0, &[&[1], &[2]]));
    let before = device.settle()?;
    collector.running.terminate();
    let close = device.expect_close(label, 407)?;
    let acked = before.iter().chain(&device.passed);
    let acked = acked.filter(|seen| seen.is(MessageType::Ack)).any(|seen| seen.seq == 2);
    let expected = "an ACK of what was received, before CLOSE 407";
    device.notes.require(label, acked, expected, &close);
    let comes_back =
        matches!(close.message(), Ok(Message::Close(close)) if close.retry_after_ms > 0);
    device.notes.require(label, comes_back, "a retry_after_ms above 0", &close);
    if collector.running.wait(device.patience).is_none() {
        let came = "it was still running";
        device.notes.fails(label, "the end of the program behind CLOSE 407", came, &[]);
    }
    collector.restart().map_err(|error| stage.notes.stop(error.to_string()))?;
    let mut device = resumed(&device, 2)?;
    let welcome = device.join()?;
    let good = matches!(welcome.message(), Ok(Message::Welcome(terms)) if terms.next_row == 2);
    device.notes.require(label, good, "next_row 2: it was committed before the end", &welcome);
    Ok(())
}

/// Spec §10.2a.
pub(super) fn beyond_loopback(stage: &mut Stage) -> Step {
    let program = stage.program()?;
    let machine = |error: std::io::Error| stage.notes.stop(error.to_string());
    let state = TempDir::new().map_err(machine)?;
    let (mut tcp, mut udp) = instance::free_addresses().map_err(machine)?;
    let wild = |address: SocketAddr| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    match stage.notes.transport {
        Transport::Tcp => tcp = wild(tcp),
        Transport::Udp => udp = wild(udp),
    }
    let running = instance::launch(program, tcp, udp, state.path());
    let mut running = running.map_err(|error| stage.notes.stop(error.to_string()))?;
    let expected = "a refusal to listen beyond loopback in suite OPEN";
    match running.wait(stage.options.patience) {
        Some(Some(code)) if code != 0 => stage.notes.holds("10.2a"),
        Some(code) => {
            let came = format!("an end with the exit code {code:?}: {}", running.last_words());
            stage.notes.fails("10.2a", expected, came, &[]);
        }
        None => {
            let came = format!("{} went on", running.line());
            stage.notes.fails("10.2a", expected, came, &[]);
        }
    }
    Ok(())
}
