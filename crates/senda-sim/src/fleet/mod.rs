//! A fleet of simulated devices over real sockets: one thread, one epoll, any number of devices.
//!
//! Each device has a socket, a session and sensors of its own; nothing is shared but the clock. A device does what it
//! would do alone, so the same seed makes the same devices, rows and values over either transport.

mod member; // one device
mod orders; // what it does with a CONFIG, a COMMAND, an ALERT
mod settings; // what a CONFIG says
mod socket; // its socket
mod watch; // what the caller hears of

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use senda_client::journal::{DeviceJournal, Journal};
use senda_session::Instant;
use senda_session::device::{Device, Transport};

use crate::Profile;
use crate::clock::Clocks;
use crate::faults::Conditions;
use member::{BUFFER, Member, Turn};

pub use watch::{Answer, Happening, Watch};

/// How often the caller hears of the figures.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Events of one epoll call.
const EVENTS_MAX: usize = 1024;

/// What a fleet does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The collector's TCP address.
    pub tcp: Option<SocketAddr>,
    /// The collector's UDP address. With both, every other device of each profile uses TCP.
    pub udp: Option<SocketAddr>,
    /// Devices, from 1.
    pub devices: u32,
    /// What they measure; device *n* has profile *n* modulo their number. Not empty.
    pub profiles: Vec<Profile>,
    /// Another interval than the profiles'.
    pub interval: Option<Duration>,
    /// Decides names, values, schedules and the bad network.
    pub seed: u64,
    /// Unix microseconds at which the fleet begins; samples are dated from there.
    pub start_us: i64,
    /// Samples of each device; `None`: until the end.
    pub count: Option<u64>,
    /// After this time no more samples are made; what is queued is still sent.
    pub duration: Option<Duration>,
    /// How long the end may take: then what is not acknowledged counts as such.
    pub patience: Duration,
    /// What the network does to the datagrams of UDP devices, each way.
    pub conditions: Conditions,
    /// What clocks the devices have.
    pub clocks: Clocks,
    /// Data messages that a device may have in flight.
    pub window_messages: u16,
    /// Longest random wait before the first HELLO.
    pub start_jitter: Duration,
    /// Longest random wait after CLOSE 401. Spec §6.3b.
    pub rejoin_jitter: Duration,
    /// Decides streams and nonces, which must differ from run to run though the seed does not.
    pub boot: [u8; 32],
    /// Where to record what the devices make and are told; `None`: nowhere.
    pub journal: Option<Journal>,
}

impl Plan {
    /// Where the randomness of a device's session comes from: no two boots, no two devices.
    fn entropy(&self, index: u32, boots: u32) -> [u8; 32] {
        let mut entropy = self.boot;
        let others = index.to_be_bytes().into_iter().chain(boots.to_be_bytes());
        for (byte, other) in entropy.iter_mut().zip(others) {
            *byte ^= other;
        }
        entropy
    }

    /// The part of a device in the journal, from a boot on.
    fn journal(&self, name: &str, device: &Device) -> Option<DeviceJournal> {
        self.journal.as_ref().map(|journal| DeviceJournal::of(journal, name, device))
    }

    /// The transport of a device.
    fn transport(&self, index: u32) -> Transport {
        let round = index as usize / self.profiles.len();
        match (self.tcp, self.udp) {
            (Some(_), None) => Transport::Tcp,
            (Some(_), Some(_)) if round % 2 == 1 => Transport::Tcp,
            _ => Transport::Udp,
        }
    }
}

/// What a fleet has done.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Since the fleet began.
    pub elapsed: Duration,
    /// Devices with a session at the moment.
    pub serving: u64,
    /// Rows that got a number.
    pub made: u64,
    /// Of those, durable.
    pub acked: u64,
    /// Of those, refused for good by the collector.
    pub refused: u64,
    /// Of those, given up by their devices, and said so.
    pub skipped: u64,
    /// Of those, neither yet.
    pub pending: u64,
    /// Of those, unacknowledged in the memory of a device that rebooted. They may be stored or not.
    pub forgotten: u64,
    /// Samples that found no room in their device.
    pub not_queued: u64,
    /// Data messages sent, repeats among them.
    pub messages: u64,
    /// Of those, repeats.
    pub resent: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Sessions lost.
    pub lost_sessions: u64,
    /// Configurations applied.
    pub configured: u64,
    /// Commands executed, those that failed or were unknown among them.
    pub commands: u64,
    /// Alerts shown.
    pub alerts: u64,
    /// Reboots.
    pub reboots: u64,
    /// From making a row to its ACK, µs.
    pub latency_us: Histogram<u64>,
}

/// What a device says in the end: enough to ask the store whether it is true.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The device's name.
    pub device: String,
    /// The streams that its rows are numbered in: one for each boot, and one more whenever it found out that it is a
    /// copy. Spec §2.3, §6.7.
    pub streams: Vec<u64>,
    /// Rows that were acknowledged as stored. So many are in the store at least, in all these streams together.
    pub acked: u64,
    /// Row numbers that were given, in all of them. So many rows are in the store at most: what was on its way at a reboot may
    /// be there or not.
    pub made: u64,
}

impl Figures {
    fn new() -> Self {
        Self {
            elapsed: Duration::ZERO,
            serving: 0,
            made: 0,
            acked: 0,
            refused: 0,
            skipped: 0,
            pending: 0,
            forgotten: 0,
            not_queued: 0,
            messages: 0,
            resent: 0,
            sessions: 0,
            lost_sessions: 0,
            configured: 0,
            commands: 0,
            alerts: 0,
            reboots: 0,
            // Up to an hour, three digits.
            latency_us: Histogram::new_with_bounds(1, 3_600_000_000, 3)
                .unwrap_or_else(|_| unreachable!("good bounds")),
        }
    }

    /// True when every row is durable, refused, declared lost, or went down with a reboot.
    pub const fn is_settled(&self) -> bool {
        self.pending == 0
    }
}

/// Runs a fleet to its end. `watch` hears of the figures several times a second, and ends it by `Break`: then no more
/// samples are made, and what is queued is sent. Returns the last figures, and what each device claims.
///
/// # Errors
/// The system refuses an epoll, or to wait on it.
pub fn run(plan: &Plan, mut watch: impl Watch) -> io::Result<(Figures, Vec<Claim>)> {
    let mut fleet = Fleet::new(plan)?;
    let mut next_tell = TELL_EVERY;
    loop {
        fleet.wait(next_tell, &mut watch)?;
        fleet.turn_due(&mut watch)?;
        let elapsed = fleet.epoch.elapsed();
        if elapsed >= next_tell {
            next_tell = elapsed + TELL_EVERY;
            if watch.figures(fleet.add_up()).is_break()
                || fleet.members.iter().all(Member::has_made_all)
            {
                fleet.end();
            }
        }
        if plan.duration.is_some_and(|duration| elapsed >= duration) {
            fleet.end();
        }
        if fleet.is_over() {
            break;
        }
    }
    fleet.add_up();
    let claims = fleet.members.iter().map(Member::claim).collect();
    Ok((fleet.figures, claims))
}

struct Fleet<'p> {
    plan: &'p Plan,
    members: Vec<Member>,
    /// When which member wants to be looked at; entries that are no longer true are passed over.
    wakes: BinaryHeap<Reverse<(Instant, u32)>>,
    epoll: rustix::fd::OwnedFd,
    events: Vec<epoll::Event>,
    epoch: std::time::Instant,
    figures: Figures,
    buffer: Vec<u8>,
    row: Vec<u8>,
    /// Since when no more samples are made.
    ending: Option<std::time::Instant>,
    left: usize,
}

impl<'p> Fleet<'p> {
    fn new(plan: &'p Plan) -> io::Result<Self> {
        let members: Vec<_> = (0..plan.devices)
            .map(|index| Member::new(plan, index, plan.transport(index)))
            .collect();
        Ok(Self {
            plan,
            wakes: (0..plan.devices).map(|index| Reverse((Instant(0), index))).collect(),
            left: members.len(),
            members,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            epoch: std::time::Instant::now(),
            figures: Figures::new(),
            buffer: vec![0; BUFFER],
            row: Vec::new(),
            ending: None,
        })
    }

    /// Sleeps until a socket is ready or a member wants to be looked at, but not beyond `until`; serves ready sockets.
    fn wait(&mut self, until: Duration, watch: &mut dyn Watch) -> io::Result<()> {
        let wake =
            self.wakes.peek().map_or(Duration::MAX, |Reverse((at, _))| Duration::from_micros(at.0));
        let left = wake.min(until).saturating_sub(self.epoch.elapsed());
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<u64> = self.events.iter().map(|event| event.data.u64()).collect();
        for index in ready {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            self.serve(index, watch, Member::handle_ready)?;
        }
        Ok(())
    }

    fn turn_due(&mut self, watch: &mut dyn Watch) -> io::Result<()> {
        let now = self.now();
        while let Some(&Reverse((at, index))) = self.wakes.peek() {
            if at > now {
                break;
            }
            self.wakes.pop();
            if self.members[index as usize].wake == Some(at) {
                self.serve(index as usize, watch, Member::turn)?;
            }
        }
        Ok(())
    }

    fn serve(
        &mut self,
        index: usize,
        watch: &mut dyn Watch,
        what: impl Fn(&mut Member, &mut Turn<'_>),
    ) -> io::Result<()> {
        // A member that begins gets the fleet's first moment, and connects.
        let begins = self.members[index].wake == Some(Instant(0));
        let now = if begins { Instant(0) } else { self.now().max(Instant(1)) };
        let member = &mut self.members[index];
        let had_ended = member.wake.is_none();
        let mut turn = Turn {
            now,
            plan: self.plan,
            figures: &mut self.figures,
            watch,
            buffer: &mut self.buffer,
            row: &mut self.row,
            ending: self.ending.is_some(),
        };
        what(member, &mut turn);
        if std::mem::take(&mut member.is_new_socket)
            && let Some(socket) = &member.socket
        {
            // Edge-triggered: a turn reads and writes until nothing is left, or is looked at again.
            let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&self.epoll, socket, epoll::EventData::new_u64(index as u64), interest)?;
        }
        match member.wake {
            Some(at) => self.wakes.push(Reverse((at, u32::try_from(index).unwrap_or(u32::MAX)))),
            None if !had_ended => {
                member.socket = None;
                self.left -= 1;
            }
            None => {}
        }
        Ok(())
    }

    /// No more samples: every member sends what it has and says goodbye.
    fn end(&mut self) {
        if self.ending.is_none() {
            self.ending = Some(std::time::Instant::now());
            let now = self.now();
            for (index, member) in (0..).zip(&mut self.members) {
                if member.wake.is_some() {
                    member.wake = Some(now);
                    self.wakes.push(Reverse((now, index)));
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.ending.is_some_and(|since| since.elapsed() >= self.plan.patience)
    }

    fn add_up(&mut self) -> &Figures {
        let figures = &mut self.figures;
        let counters = [
            &mut figures.made,
            &mut figures.acked,
            &mut figures.refused,
            &mut figures.skipped,
            &mut figures.forgotten,
            &mut figures.messages,
            &mut figures.resent,
            &mut figures.sessions,
            &mut figures.serving,
        ];
        counters.into_iter().for_each(|counter| *counter = 0);
        self.members.iter().for_each(|member| member.add_stats(figures));
        figures.pending = self.members.iter().map(Member::pending).sum();
        figures.elapsed = self.epoch.elapsed();
        figures
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
