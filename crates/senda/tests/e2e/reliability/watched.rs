//! Fleets, and single devices that are watched answer by answer, on either transport.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleets::simulate;
use crate::processes::{Collector, Running, run, senda, wait_for};
use crate::wire::{ACK, Device, NACK, ROWS, be32, nack_code, one_u8_channel, rows_body};

/// A way to a collector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub(crate) const BOTH: [Self; 2] = [Self::Udp, Self::Tcp];

    /// The argument that sends a fleet this way.
    pub(crate) fn flag(self, collector: &Collector) -> String {
        match self {
            Self::Udp => format!("--udp={}", collector.udp),
            Self::Tcp => format!("--tcp={}", collector.tcp),
        }
    }

    fn connect(self, collector: &Collector, name: &str) -> Device {
        match self {
            Self::Udp => Device::udp(collector.udp, name),
            Self::Tcp => Device::tcp(collector.tcp, name),
        }
    }
}

/// What a device hears of the row that it offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Acknowledged,
    /// The code of the NACK.
    Refused(u16),
}

/// A device with one row at a time on its way.
pub(crate) struct Watched {
    device: Device,
    transport: Transport,
    name: String,
    /// Rows that were acknowledged.
    pub(crate) acknowledged: u32,
    /// The window that it was told last.
    pub(crate) window: u32,
}

impl Watched {
    /// Joins, and has its schema stored.
    #[track_caller]
    pub(crate) fn join(collector: &Collector, transport: Transport, name: &str) -> Self {
        let device = transport.connect(collector, name);
        let mut this =
            Self { device, transport, name: name.to_owned(), acknowledged: 0, window: 0 };
        let welcome = this.device.join();
        this.window = be32(&welcome.body[24..28]);
        this.device.declare(0, &one_u8_channel("watched"));
        this
    }

    /// Joins again, with the same stream: the first row that is not resolved. Rows that were acknowledged must be.
    #[track_caller]
    pub(crate) fn rejoin(&mut self, collector: &Collector) -> u32 {
        let mut device = self.transport.connect(collector, &self.name);
        (device.stream, device.nonce) = (self.device.stream, self.device.nonce + 1);
        self.device = device;
        let welcome = self.device.join();
        self.window = be32(&welcome.body[24..28]);
        let next_row = be32(&welcome.body[8..12]);
        assert!(
            next_row >= self.acknowledged,
            "{} of {} rows are left",
            next_row,
            self.acknowledged
        );
        next_row
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends the first row that is not acknowledged, and does not wait.
    pub(crate) fn send(&mut self) {
        let value = self.acknowledged.to_be_bytes()[3];
        self.device.send(ROWS, self.acknowledged, &rows_body(0, &[&[value]]));
    }

    /// Sends the first row that is not acknowledged, until it is answered.
    #[track_caller]
    pub(crate) fn offer(&mut self) -> Answer {
        self.send();
        loop {
            let message = self.device.receive().expect("an answer");
            match message.kind {
                NACK => return Answer::Refused(nack_code(&message)),
                ACK => {
                    let next = self.acknowledged..=self.acknowledged + 1;
                    assert!(next.contains(&message.seq), "{message:?}, after {next:?}");
                    self.window =
                        message.body.first_chunk().map_or(self.window, |w| u32::from_be_bytes(*w));
                    if message.seq > self.acknowledged {
                        self.acknowledged = message.seq;
                        return Answer::Acknowledged;
                    } // Otherwise a word about the window.
                }
                _ => panic!("{message:?}"),
            }
        }
    }

    /// Offers a row until it is acknowledged.
    #[track_caller]
    pub(crate) fn offer_until_acknowledged(&mut self) {
        wait_for("ACK", || (self.offer() == Answer::Acknowledged).then_some(()));
    }
}

/// So many devices that make a sample every 10 ms until they are told to stop, and write down what they made and were told.
pub(crate) fn fleet(transports: &[String], devices: u32, journal: &Path) -> Running {
    let mut command = simulate(transports);
    command.args(["--devices", &devices.to_string(), "--interval", "10ms", "--patience", "90s"]);
    Running::start(command.arg("--journal").arg(journal))
}

/// Lets a fleet make no more samples and waits until all of them are acknowledged: how many those are.
#[track_caller]
pub(crate) fn settled(fleet: Running) -> u64 {
    fleet.signal(Signal::TERM);
    let outcome = fleet.finish().succeeded();
    let figures: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(figures["acknowledged"], figures["made"], "nothing is given up or refused");
    figures["acknowledged"].as_u64().expect("a number")
}

/// What `senda audit` counted, of rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audit {
    pub(crate) made: u64,
    pub(crate) acknowledged: u64,
    pub(crate) stored: u64,
    /// Went down with a client that was killed.
    pub(crate) pending: u64,
}

impl std::ops::AddAssign for Audit {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.acknowledged += other.acknowledged;
        self.stored += other.stored;
        self.pending += other.pending;
    }
}

/// Asks `senda audit`, which has to find no difference.
#[track_caller]
pub(crate) fn audit(journal: &Path, data: &Path, more: &[&str]) -> Audit {
    let mut command = senda(["audit", "--format", "json", "--journal"]);
    let outcome = run(command.arg(journal).arg("--data").arg(data).args(more)).succeeded();
    let figures: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let number = |key: &str| figures[key].as_u64().unwrap_or_else(|| panic!("{figures}"));
    assert_eq!(number("differences"), 0, "{figures}");
    Audit {
        made: number("made"),
        acknowledged: number("acknowledged"),
        stored: number("stored"),
        pending: number("pending"),
    }
}

/// Waits until the collector says that it takes rows, or that it does not.
#[track_caller]
pub(crate) fn wait_for_ready(collector: &Collector, ready: bool) {
    let status = if ready { 200 } else { 503 };
    wait_for(&format!("{status} from /readyz"), || {
        (collector.get("/readyz") == status).then_some(())
    });
}
