//! A device's way to its collector: connects, reconnects, carries bytes and deadlines.
//!
//! ```text
//!   loop { port.turn(&mut device, |event| ..) ; port.wait().await }
//!          never waits                           never touches the device
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use senda_session::Instant;
use senda_session::device::{Device, Event, LostReason, Transport};
use tokio::time::sleep_until;

use crate::Endpoint;
use crate::link::Link;
use crate::sample::unix_us;

/// After CLOSE 407 with nothing to wait for the session does not come back by itself; this crate does, after this time.
const PARKED_WAIT: Duration = Duration::from_secs(60);
/// What is left of a farewell when the device has ended may take so long to leave.
const FAREWELL_WAIT: Duration = Duration::from_secs(1);

/// The origin of a device's [`Instant`]s: the moment that it was made.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(tokio::time::Instant);

impl Epoch {
    /// An origin that is now. Devices may share one.
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// The time since the origin.
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// What to add to [`Epoch::now`] to get Unix microseconds, for [`Device::set_clock`].
    pub fn utc_base_us(&self) -> i64 {
        unix_us(SystemTime::now()).saturating_sub_unsigned(self.now().0)
    }

    fn moment(&self, at: Instant) -> Option<tokio::time::Instant> {
        self.0.checked_add(Duration::from_micros(at.0))
    }
}

/// 32 random bytes from the operating system's generator, for [`Device::new`].
pub fn device_seed() -> [u8; 32] {
    rand::random()
}

/// Drives one device over real sockets. It has no task, no thread and no lock: whoever owns the device calls it.
///
/// Call [`Port::turn`] after each change to the device and whenever [`Port::wait`] returns; [`Port::wait`] may be cancelled
/// at any time, so it stands well in a `select!`.
pub struct Port {
    endpoint: Endpoint,
    epoch: Epoch,
    way: Way,
    /// When the device wants a turn even if nothing arrives.
    deadline: Option<tokio::time::Instant>,
    attempts: usize,
    /// The collector sent the device away without saying when to come back.
    is_parked: bool,
    /// When the device had ended.
    ended: Option<tokio::time::Instant>,
}

/// Where the connection is; in order of the flow.
enum Way {
    /// There is none; the device says when.
    Idle,
    /// It is being made.
    Opening(Opening),
    /// It came about, or not; the next turn tells the device.
    Opened(io::Result<Link>),
    /// It carries.
    Linked(Link),
}

type Opening = Pin<Box<dyn Future<Output = io::Result<Link>> + Send>>;

impl Port {
    /// A port that connects as soon as it is driven.
    pub fn new(endpoint: Endpoint, epoch: Epoch) -> Self {
        let mut port = Self {
            endpoint,
            epoch,
            way: Way::Idle,
            deadline: None,
            attempts: 0,
            is_parked: false,
            ended: None,
        };
        port.open();
        port
    }

    /// The origin of the device's time.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The collector.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Goes to another collector, or by another transport; the stream goes on.
    pub fn redirect(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
        self.attempts = 0;
        self.open();
    }

    /// Carries everything that can be carried without waiting, and hands each event on. Returns false once the device has
    /// ended and its last bytes have left.
    pub fn turn(&mut self, device: &mut Device, mut on_event: impl FnMut(Event)) -> bool {
        let now = self.epoch.now();
        self.take_opened(device, now);
        device.handle_timeout(now);
        let mut carried = Ok(());
        if let Way::Linked(link) = &mut self.way {
            carried = link.read(device, now).and_then(|()| link.write(device, now));
        }
        if let Err(error) = carried {
            tracing::debug!(collector = %self.endpoint, %error, "connection lost");
            self.way = Way::Idle;
            device.disconnected(now);
        }
        while let Some(event) = device.poll_event() {
            self.heed(&event);
            on_event(event);
        }
        if device.is_closed() {
            return self.bids_farewell();
        }
        match device.poll_timeout() {
            Some((at, _)) => self.deadline = self.epoch.moment(at),
            None if !self.is_parked => self.deadline = None,
            None => {} // Set when it was parked.
        }
        true
    }

    /// Waits until a turn has something to do: bytes, a deadline, a connection.
    pub async fn wait(&mut self) {
        let deadline = self.deadline;
        let due = async move {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        match &mut self.way {
            Way::Opened(_) => {}
            Way::Idle => {
                due.await;
                if std::mem::take(&mut self.is_parked) {
                    self.open();
                }
            }
            Way::Opening(opening) => {
                // The device's own deadlines wait: there is no transport that they could be about.
                let opened = opening.await;
                self.way = Way::Opened(opened);
            }
            Way::Linked(link) => {
                tokio::select! {
                    () = link.ready() => {}
                    () = due => {}
                }
            }
        }
    }

    fn open(&mut self) {
        self.is_parked = false;
        let opening = Link::open(self.endpoint.clone(), self.attempts);
        self.attempts = self.attempts.wrapping_add(1);
        self.way = Way::Opening(Box::pin(opening));
    }

    fn take_opened(&mut self, device: &mut Device, now: Instant) {
        if !matches!(self.way, Way::Opened(_)) {
            return;
        }
        match std::mem::replace(&mut self.way, Way::Idle) {
            Way::Opened(Ok(link)) => {
                device.connect(now, link.transport());
                self.way = Way::Linked(link);
            }
            Way::Opened(Err(error)) => {
                tracing::debug!(collector = %self.endpoint, %error, "no connection");
                device.disconnected(now);
            }
            other => self.way = other,
        }
    }

    fn heed(&mut self, event: &Event) {
        match event {
            Event::NeedConnect => self.open(),
            Event::Lost { reason, retry_at } => {
                let udp = self.endpoint.transport == Transport::Udp;
                if udp && *reason == LostReason::Silence {
                    self.open(); // The name may mean another address by now.
                } else if !udp || retry_at.is_none() {
                    self.way = Way::Idle;
                }
                if retry_at.is_none() {
                    self.is_parked = true;
                    self.deadline = tokio::time::Instant::now().checked_add(PARKED_WAIT);
                }
            }
            _ => {}
        }
    }

    /// Whether the last bytes are still to leave.
    fn bids_farewell(&mut self) -> bool {
        let ended = *self.ended.get_or_insert_with(tokio::time::Instant::now);
        self.deadline = ended.checked_add(FAREWELL_WAIT);
        let leaves = matches!(&self.way, Way::Linked(link) if !link.is_drained());
        leaves && ended.elapsed() < FAREWELL_WAIT
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
