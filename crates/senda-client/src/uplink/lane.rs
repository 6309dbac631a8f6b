//! One session and the socket that carries it: what it takes to open, lose, move and close one.
//!
//! ```text
//!   open() --> opening --opened()--> carries --broken(), Lost--> (none) --NeedConnect--> open()
//!                                      |  open() of the other transport: both, until the new one is there
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use senda_session::Instant;
use senda_session::device::{Device, Event, LostReason, Transport};

use super::types::{LinkId, LinkOrder};
use crate::path::Fates;

/// After CLOSE 407 with nothing to wait for the session does not come back by itself; an uplink does, after this time.
const PARKED_WAIT: Duration = Duration::from_secs(60);

/// A socket and its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) transport: Transport,
}

/// The names of links, and what the driver has to do with them.
#[derive(Debug, Default)]
pub(super) struct Links {
    next: u64,
    pub(super) orders: VecDeque<LinkOrder>,
}

impl Links {
    pub(super) fn open(&mut self, transport: Transport) -> Link {
        let id = LinkId(self.next);
        self.next += 1;
        self.orders.push_back(LinkOrder::Open { id, transport });
        Link { id, transport }
    }

    pub(super) fn close(&mut self, link: Link) {
        self.orders.push_back(LinkOrder::Close { id: link.id });
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) device: Device,
    carries: Option<Link>,
    opening: Option<Link>,
    /// When to connect again after the collector sent the session away.
    parked: Option<Instant>,
    /// What had become of messages at the last look.
    seen: Fates,
}

/// What became of a link that broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Broken {
    /// It is none of this lane's.
    Foreign,
    /// It never came about.
    Opening(Transport),
    /// It carried the session.
    Carrier,
}

impl Lane {
    /// A lane that connects over this transport.
    pub(super) fn new(device: Device, transport: Transport, links: &mut Links) -> Self {
        let opening = Some(links.open(transport));
        Self { device, carries: None, opening, parked: None, seen: Fates::default() }
    }

    /// What carries the session, if anything does.
    pub(super) const fn link(&self) -> Option<Link> {
        self.carries
    }

    pub(super) fn is_carried_by(&self, id: LinkId) -> bool {
        self.carries.is_some_and(|link| link.id == id)
    }

    pub(super) const fn parked(&self) -> Option<Instant> {
        self.parked
    }

    /// Makes a new link, to go over to when it is there.
    pub(super) fn open(&mut self, transport: Transport, links: &mut Links) {
        self.parked = None;
        match self.opening {
            Some(opening) if opening.transport == transport => return,
            Some(opening) => links.close(opening),
            None => {}
        }
        self.opening = Some(links.open(transport));
    }

    /// A link is there. True if it is this lane's.
    pub(super) fn opened(&mut self, now: Instant, id: LinkId, links: &mut Links) -> bool {
        let Some(link) = self.opening.take_if(|link| link.id == id) else { return false };
        self.adopt(now, link, links);
        true
    }

    /// Goes over to a link that is open already.
    pub(super) fn adopt(&mut self, now: Instant, link: Link, links: &mut Links) {
        for old in [self.carries.replace(link), self.opening.take()].into_iter().flatten() {
            links.close(old);
        }
        self.device.connect(now, link.transport);
    }

    /// A link is gone, or could not be made.
    pub(super) fn broken(&mut self, now: Instant, id: LinkId) -> Broken {
        let broken = if let Some(link) = self.opening.take_if(|link| link.id == id) {
            Broken::Opening(link.transport)
        } else if self.carries.take_if(|link| link.id == id).is_some() {
            Broken::Carrier
        } else {
            return Broken::Foreign;
        };
        if self.carries.is_none() {
            self.device.disconnected(now);
        }
        broken
    }

    /// What the session's events mean for its link. `on`: the transport of the day.
    pub(super) fn heed(&mut self, now: Instant, event: &Event, on: Transport, links: &mut Links) {
        match event {
            Event::NeedConnect if self.opening.is_none() => self.open(on, links),
            Event::Lost { reason, retry_at } => {
                let udp = self.carries.is_some_and(|link| link.transport == Transport::Udp);
                if udp && *reason == LostReason::Silence && self.opening.is_none() {
                    self.open(on, links); // The name may mean another address by now.
                } else if !udp || retry_at.is_none() {
                    self.let_go(links);
                }
                if retry_at.is_none() {
                    self.parked = Some(now + PARKED_WAIT);
                }
            }
            _ => {}
        }
    }

    /// The wait after CLOSE 407 may be over.
    pub(super) fn unpark(&mut self, now: Instant, on: Transport, links: &mut Links) {
        if self.parked.is_some_and(|at| at <= now) {
            self.open(on, links);
        }
    }

    fn let_go(&mut self, links: &mut Links) {
        if let Some(link) = self.carries.take() {
            links.close(link);
        }
    }

    /// Closes its links.
    pub(super) fn close(&mut self, links: &mut Links) {
        self.let_go(links);
        if let Some(link) = self.opening.take() {
            links.close(link);
        }
    }

    /// What became of messages since the last look.
    pub(super) fn fates(&mut self) -> Fates {
        let stats = self.device.stats();
        let all = Fates {
            landed: stats.landed_messages,
            lost: stats.lost_messages,
            timeouts: stats.timeouts,
        };
        let before = std::mem::replace(&mut self.seen, all);
        Fates {
            landed: all.landed - before.landed,
            lost: all.lost - before.lost,
            timeouts: all.timeouts - before.timeouts,
        }
    }
}
