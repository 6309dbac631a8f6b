//! An uplink's sockets: connects, carries bytes and deadlines.
//!
//! ```text
//!   loop { port.turn(&mut uplink, |event| ..) ; port.wait().await }
//!          never waits                           never touches the uplink
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use senda_session::Instant;
use tokio::time::sleep_until;

use crate::Endpoint;
use crate::link::Link;
use crate::sample::unix_us;
use crate::uplink::{Event, LinkId, LinkOrder, Uplink};

/// What is left of a farewell may take so long to leave.
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

    /// What to add to [`Epoch::now`] to get Unix microseconds, for [`Uplink::set_clock`].
    pub fn utc_base_us(&self) -> i64 {
        unix_us(SystemTime::now()).saturating_sub_unsigned(self.now().0)
    }

    fn moment(&self, at: Instant) -> Option<tokio::time::Instant> {
        self.0.checked_add(Duration::from_micros(at.0))
    }
}

/// 32 random bytes from the operating system's generator, for [`Uplink::new`].
pub fn device_seed() -> [u8; 32] {
    rand::random()
}

/// Drives one uplink over real sockets. It has no task, no thread and no lock: whoever owns the uplink calls it.
///
/// Call [`Port::turn`] after each change to the uplink and whenever [`Port::wait`] returns; [`Port::wait`] may be cancelled
/// at any time, so it stands well in a `select!`.
pub struct Port {
    endpoints: Vec<Endpoint>,
    epoch: Epoch,
    ways: Vec<(LinkId, Way)>,
    /// When the uplink wants a turn even if nothing arrives.
    deadline: Option<tokio::time::Instant>,
    attempts: usize,
    /// When the uplink had ended.
    ended: Option<tokio::time::Instant>,
}

/// Where a connection is; in order of the flow.
enum Way {
    /// It is being made.
    Opening(Opening),
    /// It came about, or not; the next turn tells the uplink.
    Opened(io::Result<Link>),
    /// It carries.
    Linked(Link),
    /// Its last bytes are still to leave, but not after this moment.
    Leaving(Link, tokio::time::Instant),
}

type Opening = Pin<Box<dyn Future<Output = io::Result<Link>> + Send>>;

impl Port {
    /// A port to a collector that has these addresses, one for each transport at most. The uplink's settings have to agree.
    pub fn new(endpoints: Vec<Endpoint>, epoch: Epoch) -> Self {
        Self { endpoints, epoch, ways: Vec::new(), deadline: None, attempts: 0, ended: None }
    }

    /// The origin of the uplink's time.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The collector's addresses.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Carries everything that can be carried without waiting, and hands each event on. Returns false once the uplink has
    /// ended and its last bytes have left.
    pub fn turn(&mut self, uplink: &mut Uplink, mut on_event: impl FnMut(Event)) -> bool {
        let now = self.epoch.now();
        self.take_opened(uplink, now);
        uplink.handle_timeout(now);
        self.read(uplink, now);
        loop {
            self.write(uplink, now);
            let mut is_quiet = true;
            while let Some(order) = uplink.poll_link() {
                is_quiet = false;
                self.obey(order);
            }
            while let Some(event) = uplink.poll_event() {
                is_quiet = false;
                on_event(event);
            }
            if is_quiet {
                break;
            }
        }
        if uplink.is_closed() {
            return self.bids_farewell();
        }
        let due = uplink.poll_timeout().and_then(|(at, _)| self.epoch.moment(at));
        let leaving = self.ways.iter().filter_map(|(_, way)| match way {
            Way::Leaving(_, until) => Some(*until),
            _ => None,
        });
        self.deadline = due.into_iter().chain(leaving).min();
        true
    }

    /// Waits until a turn has something to do: bytes, a deadline, a connection.
    pub async fn wait(&mut self) {
        if self.ways.iter().any(|(_, way)| matches!(way, Way::Linked(link) if link.has_more())) {
            tokio::task::yield_now().await; // The others of the thread have their turn first.
            return;
        }
        let deadline = self.deadline;
        let due = async move {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let ways = &mut self.ways;
        let moved = std::future::poll_fn(|context| {
            let mut any = Poll::Pending;
            for (_, way) in ways.iter_mut() {
                if way.poll(context).is_ready() {
                    any = Poll::Ready(());
                }
            }
            any
        });
        tokio::select! {
            () = moved => {}
            () = due => {}
        }
    }

    fn take_opened(&mut self, uplink: &mut Uplink, now: Instant) {
        for index in (0..self.ways.len()).rev() {
            if !matches!(self.ways[index].1, Way::Opened(_)) {
                continue;
            }
            let (id, way) = self.ways.swap_remove(index);
            match way {
                Way::Opened(Ok(link)) => {
                    self.ways.push((id, Way::Linked(link)));
                    uplink.handle_opened(now, id);
                }
                Way::Opened(Err(error)) => {
                    tracing::debug!(collectors = ?self.endpoints, %error, "no connection");
                    uplink.handle_broken(now, id);
                }
                other => self.ways.push((id, other)),
            }
        }
    }

    fn read(&mut self, uplink: &mut Uplink, now: Instant) {
        self.carry(uplink, now, |uplink, id, link| {
            link.read(|bytes| uplink.handle_input(now, id, bytes))
        });
    }

    fn write(&mut self, uplink: &mut Uplink, now: Instant) {
        self.carry(uplink, now, |uplink, id, link| {
            link.write(|out| uplink.poll_transmit(now, id, out))
        });
        self.ways.retain_mut(|(_, way)| match way {
            Way::Leaving(link, until) => {
                let is_well = link.write(|_| None).is_ok();
                is_well && !link.is_drained() && tokio::time::Instant::now() < *until
            }
            _ => true,
        });
    }

    /// Does something with each link that carries; an error means that it is gone.
    fn carry(
        &mut self,
        uplink: &mut Uplink,
        now: Instant,
        mut act: impl FnMut(&mut Uplink, LinkId, &mut Link) -> io::Result<()>,
    ) {
        let mut broken = Vec::new();
        for (id, way) in &mut self.ways {
            if let Way::Linked(link) = way
                && let Err(error) = act(uplink, *id, link)
            {
                tracing::debug!(collectors = ?self.endpoints, %error, "connection lost");
                broken.push(*id);
            }
        }
        for id in broken {
            self.ways.retain(|(known, _)| *known != id);
            uplink.handle_broken(now, id);
        }
    }

    fn obey(&mut self, order: LinkOrder) {
        match order {
            LinkOrder::Open { id, transport } => {
                let endpoint = self.endpoints.iter().find(|end| end.transport == transport);
                let way = match endpoint {
                    Some(endpoint) => {
                        Way::Opening(Box::pin(Link::open(endpoint.clone(), self.attempts)))
                    }
                    None => Way::Opened(Err(io::ErrorKind::AddrNotAvailable.into())),
                };
                self.attempts = self.attempts.wrapping_add(1);
                self.ways.push((id, way));
            }
            LinkOrder::Close { id } => {
                let Some(index) = self.ways.iter().position(|(known, _)| *known == id) else {
                    return;
                };
                if let (id, Way::Linked(link)) = self.ways.swap_remove(index)
                    && !link.is_drained()
                {
                    let until = tokio::time::Instant::now() + FAREWELL_WAIT;
                    self.ways.push((id, Way::Leaving(link, until)));
                }
            }
        }
    }

    /// Whether the last bytes are still to leave.
    fn bids_farewell(&mut self) -> bool {
        let ended = *self.ended.get_or_insert_with(tokio::time::Instant::now);
        self.deadline = ended.checked_add(FAREWELL_WAIT);
        let leaves = self.ways.iter().any(|(_, way)| match way {
            Way::Linked(link) | Way::Leaving(link, _) => !link.is_drained(),
            Way::Opening(_) | Way::Opened(_) => false,
        });
        leaves && ended.elapsed() < FAREWELL_WAIT
    }
}

impl Way {
    /// Ready when a turn has something to do with it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Opened(_) => Poll::Ready(()),
            Self::Opening(opening) => opening.as_mut().poll(context).map(|opened| {
                *self = Self::Opened(opened);
            }),
            Self::Linked(link) | Self::Leaving(link, _) => link.poll_ready(context),
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
