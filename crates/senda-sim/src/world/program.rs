//! What runs on a device, from a boot to a crash. The seam: whatever can be driven like this can live in a world.

use std::collections::{BTreeSet, VecDeque};

use senda_session::Instant;
use senda_session::device::{Config, Device, Event, OwnedValue, PushError, Transport};
use senda_wire::registry::{CRC_LEN, DATAGRAM_MAX};
use senda_wire::{Clock, DoneStatus, Frame, MessageType, SkipCause, crc32};

use super::readings::Reading;

/// Room for a piece of a stream.
const PIECE: usize = 16 << 10;

/// A device's program. Its time is the device's own; bytes and wishes are taken until there are none.
pub(super) trait Program {
    /// A datagram came.
    fn datagram(&mut self, now: Instant, bytes: &[u8]);
    /// A connection that was asked for is there.
    fn connected(&mut self, now: Instant, line: u64);
    /// Bytes of a connection.
    fn bytes(&mut self, now: Instant, line: u64, bytes: &[u8]);
    /// A connection has ended, or was not made.
    fn ended(&mut self, now: Instant, line: u64);
    /// A connection was asked for long ago: if it is not there by now, it will not be.
    fn dial_timed_out(&mut self, now: Instant, line: u64);
    /// Timers.
    fn timeout(&mut self, now: Instant);
    /// When the next timer is due.
    fn next(&self) -> Option<Instant>;
    /// Takes a reading: the stream and the row that it became.
    fn make(
        &mut self,
        now: Instant,
        dated: (Clock, i64),
        reading: &Reading,
    ) -> Result<(u64, u32), PushError>;
    /// Queues the ledger: its stream and row.
    fn counts(&mut self, now: Instant) -> Option<(u64, u32)>;
    /// Goes on over the other transport.
    fn change_transport(&mut self, now: Instant);
    /// What its clock is worth, now.
    fn set_clock(&mut self, now: Instant, clock: Clock, base_us: i64);
    /// Lets what waits for company go.
    fn flush(&mut self);
    /// The next thing to do for it. `has_room` says whether a connection takes more bytes.
    fn poll(&mut self, now: Instant, has_room: &dyn Fn(u64) -> bool) -> Option<Wish>;
    /// The same memory, for a second machine.
    /// Connections are not copied; `lines` is the first of its own numbers for them.
    fn copy(&self, now: Instant, lines: u64) -> Box<dyn Program>;
    /// What is not settled: rows, and streams with such.
    fn pending(&self) -> usize;
    /// What has to survive a reboot.
    fn last_command_id(&self) -> u32;
}

/// What a program wants done, or has to say.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Datagram(Vec<u8>),
    Dial(u64),
    Bytes(u64, Vec<u8>),
    HangUp(u64),
    /// It was told something about its rows.
    Told(Told),
    /// It has done what a command says; the command's argument.
    Executed(u32),
    /// It has put settings in force.
    Applied(u32),
    /// Its clock should be set by this.
    Time(i64),
    /// For eyes.
    Note(String),
}

/// What a device hears of its rows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// Every row below is durable or resolved.
    Acked {
        stream: u64,
        mark: u32,
    },
    Refused {
        stream: u64,
        first: u32,
        count: u32,
        code: u16,
    },
    Dropped {
        stream: u64,
        first: u32,
        count: u32,
        cause: SkipCause,
    },
    /// Rows have numbers in another stream.
    Moved {
        old: u64,
        new: u64,
        runs: Vec<(u32, u32, u32)>,
    },
}

/// One session of one device: [`Device`] alone.
#[derive(Clone)]
pub(super) struct Single {
    device: Device,
    transport: Transport,
    /// The connection that is, or is to be, its own.
    line: Option<(u64, bool)>,
    next_line: u64,
    /// The stream that its events speak of.
    stream: u64,
    wishes: VecDeque<Wish>,
    /// Rows that leave spoilt, as they stand in a message.
    spoilt: BTreeSet<Vec<u8>>,
}

impl Single {
    /// Boots. `lines` is the first of its numbers for connections.
    pub(super) fn boot(
        config: Config,
        seed: [u8; 32],
        now: Instant,
        transport: Transport,
        lines: u64,
    ) -> Self {
        let device = Device::new(config, seed).expect("the scenario was checked");
        let stream = device.stream();
        let mut single = Self {
            device,
            transport,
            line: None,
            next_line: lines,
            stream,
            wishes: VecDeque::new(),
            spoilt: BTreeSet::new(),
        };
        single.connect(now);
        single
    }

    fn connect(&mut self, now: Instant) {
        if let Some((line, _)) = self.line.take() {
            self.wishes.push_back(Wish::HangUp(line));
        }
        match self.transport {
            Transport::Udp => self.device.connect(now, Transport::Udp),
            Transport::Tcp => {
                let line = self.next_line;
                self.next_line += 1;
                self.line = Some((line, false));
                self.wishes.push_back(Wish::Dial(line));
            }
        }
    }

    fn transmit(&mut self, now: Instant, has_room: &dyn Fn(u64) -> bool) -> Option<Wish> {
        let mut out = [0; PIECE];
        match (self.transport, self.line) {
            (Transport::Udp, _) => {
                let len = self.device.poll_transmit(now, &mut out[..DATAGRAM_MAX])?;
                Some(Wish::Datagram(self.spoil(out[..len].to_vec())))
            }
            (Transport::Tcp, Some((line, true))) if has_room(line) => {
                let len = self.device.poll_transmit(now, &mut out)?;
                Some(Wish::Bytes(line, self.spoil(out[..len].to_vec())))
            }
            _ => None,
        }
    }

    /// The defect: a value that its channel can't have, under a checksum that is right.
    fn spoil(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.spoilt.is_empty() {
            return bytes;
        }
        let mut at = 0;
        while let Ok(frame) = Frame::decode(&bytes[at..], usize::from(u16::MAX)) {
            let (len, is_rows) =
                (frame.bytes.len(), frame.message_type() == Some(MessageType::Rows));
            if is_rows {
                let message = &mut bytes[at..at + len];
                let mut found = false;
                for row in &self.spoilt {
                    let place = message.windows(row.len()).position(|window| window == &row[..]);
                    if let Some(place) = place {
                        message[place + row.len() - 1] = 7; // The door, a bool.
                        found = true;
                    }
                }
                if found {
                    let (covered, trailer) = message.split_at_mut(len - CRC_LEN);
                    trailer.copy_from_slice(&crc32(covered).to_be_bytes());
                }
            }
            at += len;
        }
        bytes
    }

    fn take_event(&mut self, now: Instant, event: Event) {
        let stream = self.stream;
        let told = match event {
            Event::Acked(acked) => Told::Acked { stream, mark: acked.mark },
            Event::Refused { first, count, code, .. } => {
                Told::Refused { stream, first, count, code: code.0 }
            }
            Event::Dropped { first, count, cause } => Told::Dropped { stream, first, count, cause },
            Event::NewStream(moved) => {
                self.stream = moved.new;
                Told::Moved { old: moved.old, new: moved.new, runs: moved.moved }
            }
            other => return self.take_other(now, other),
        };
        self.wishes.push_back(Wish::Told(told));
    }

    fn take_other(&mut self, now: Instant, event: Event) {
        match event {
            Event::Config { ticket, revision, .. } => {
                let _ = self.device.done(ticket, DoneStatus::Ok, "", &[]); // It may have gone meanwhile.
                self.wishes.push_back(Wish::Applied(revision));
            }
            Event::Command { ticket, arguments, .. } => {
                if let Some(serial) =
                    arguments.first().and_then(|argument| serial_of(&argument.value))
                {
                    self.wishes.push_back(Wish::Executed(serial));
                }
                let _ = self.device.done(ticket, DoneStatus::Ok, "", &[]);
            }
            Event::Alert { ticket, .. } => {
                let _ = self.device.done(ticket, DoneStatus::Ok, "", &[]);
            }
            Event::Time { offset_us, .. } => self.wishes.push_back(Wish::Time(offset_us)),
            Event::NeedConnect => self.connect(now),
            Event::Lost { reason, .. } => {
                // A connection that is being made is for the next session.
                if let Some((line, _)) = self.line.take_if(|(_, is_open)| *is_open) {
                    self.wishes.push_back(Wish::HangUp(line));
                }
                self.wishes.push_back(Wish::Note(format!("lost its session: {reason:?}")));
            }
            Event::Welcomed(welcomed) => {
                let (session, next) = (welcomed.session, welcomed.next_row);
                self.wishes.push_back(Wish::Note(format!(
                    "welcomed: session {session:08x}, next row {next}"
                )));
            }
            _ => {}
        }
    }
}

impl Program for Single {
    fn datagram(&mut self, now: Instant, bytes: &[u8]) {
        if self.transport == Transport::Udp {
            self.device.handle_input(now, bytes);
        }
    }

    fn connected(&mut self, now: Instant, line: u64) {
        if let Some((ours, is_open)) = &mut self.line
            && *ours == line
        {
            *is_open = true;
            self.device.connect(now, Transport::Tcp);
        }
    }

    fn bytes(&mut self, now: Instant, line: u64, bytes: &[u8]) {
        if self.line == Some((line, true)) {
            self.device.handle_input(now, bytes);
        }
    }

    fn ended(&mut self, now: Instant, line: u64) {
        if self.line.is_some_and(|(ours, _)| ours == line) {
            self.line = None;
            self.device.disconnected(now);
        }
    }

    fn dial_timed_out(&mut self, now: Instant, line: u64) {
        if self.line == Some((line, false)) {
            self.line = None;
            self.wishes.push_back(Wish::HangUp(line));
            self.device.disconnected(now);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.device.handle_timeout(now);
    }

    fn next(&self) -> Option<Instant> {
        self.device.poll_timeout().map(|(at, _)| at)
    }

    fn make(
        &mut self,
        now: Instant,
        (clock, time_us): (Clock, i64),
        reading: &Reading,
    ) -> Result<(u64, u32), PushError> {
        let id = self.device.declare(&reading.schema).map_err(|_| PushError::UnknownSchema)?;
        let row = if reading.sparse {
            self.device.push_sparse(now, id, clock, time_us, &reading.row)
        } else {
            self.device.push(now, id, clock, time_us, &reading.row)
        }?;
        if reading.spoilt {
            self.spoilt.insert(reading.row.clone());
        }
        Ok((self.device.stream(), row))
    }

    fn counts(&mut self, now: Instant) -> Option<(u64, u32)> {
        let row = self.device.push_counts(now).ok()?;
        Some((self.device.stream(), row))
    }

    fn change_transport(&mut self, now: Instant) {
        self.transport = match self.transport {
            Transport::Udp => Transport::Tcp,
            Transport::Tcp => Transport::Udp,
        };
        self.connect(now);
    }

    fn set_clock(&mut self, now: Instant, clock: Clock, base_us: i64) {
        self.device.set_clock(now, clock, base_us);
    }

    fn flush(&mut self) {
        self.device.flush();
    }

    fn poll(&mut self, now: Instant, has_room: &dyn Fn(u64) -> bool) -> Option<Wish> {
        loop {
            if let Some(wish) = self.wishes.pop_front() {
                return Some(wish);
            }
            // Events first: a session that is lost sends nothing more.
            match self.device.poll_event() {
                Some(event) => self.take_event(now, event),
                None => return self.transmit(now, has_room),
            }
        }
    }

    fn copy(&self, now: Instant, lines: u64) -> Box<dyn Program> {
        let mut copy = self.clone();
        copy.next_line = lines;
        if copy.line.take().is_some() {
            copy.device.disconnected(now);
        }
        Box::new(copy)
    }

    fn pending(&self) -> usize {
        self.device.pending()
    }

    fn last_command_id(&self) -> u32 {
        self.device.last_command_id()
    }
}

fn serial_of(value: &OwnedValue) -> Option<u32> {
    match value {
        OwnedValue::U32(serial) => Some(*serial),
        _ => None,
    }
}
