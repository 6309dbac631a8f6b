//! What is known of the devices at the moment: their sessions, and how fast they send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A session that is served now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LiveSession {
    pub(crate) stream: u64,
    /// `udp` or `tcp`.
    pub(crate) transport: &'static str,
    /// When it began, µs since 1970.
    pub(crate) since_us: i64,
}

/// A device, at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveDevice {
    pub(crate) sessions: Vec<LiveSession>,
    /// Bits of the downlink kinds that its latest session takes. Spec §12.2.
    pub(crate) downlink: u8,
    /// Revision of the CONFIG in force, as it said last.
    pub(crate) config_rev: u32,
    /// When its latest rows were stored, µs since 1970.
    pub(crate) last_us: Option<i64>,
    rate: Rate,
}

impl LiveDevice {
    /// Rows a second, over the last minute or so.
    pub(crate) fn rows_a_second(&self) -> f64 {
        self.rate.at(Instant::now())
    }
}

/// Shared by the engine (sessions), the store (rates) and the API (reads).
#[derive(Debug, Default)]
pub(crate) struct Live {
    devices: Mutex<HashMap<Arc<str>, LiveDevice>>,
}

impl Live {
    /// A session began.
    pub(crate) fn begin(
        &self,
        device: &Arc<str>,
        session: LiveSession,
        config_rev: u32,
        downlink: u8,
    ) {
        let mut devices = self.lock();
        let known = devices.entry(device.clone()).or_default();
        known.sessions.retain(|other| other.stream != session.stream);
        known.sessions.push(session);
        (known.config_rev, known.downlink) = (config_rev, downlink);
    }

    /// A session ended; true when the device has another.
    pub(crate) fn end(&self, device: &str, stream: u64) -> bool {
        let mut devices = self.lock();
        let mut lives = false;
        if let Some(known) = devices.get_mut(device) {
            known.sessions.retain(|session| session.stream != stream);
            lives = !known.sessions.is_empty();
        }
        // Devices that come and go for ever must not fill the memory: the store knows the others.
        if devices.len() > DEVICES_MAX {
            devices.retain(|_, device| !device.sessions.is_empty());
        }
        lives
    }

    /// The device answered a CONFIG.
    pub(crate) fn note_config(&self, device: &str, revision: u32) {
        if let Some(known) = self.lock().get_mut(device) {
            known.config_rev = revision;
        }
    }

    /// Rows were stored: device and number, for each message of one commit.
    pub(crate) fn note_rows<'a>(&self, now_us: i64, rows: impl Iterator<Item = (&'a str, u64)>) {
        let now = Instant::now();
        let mut devices = self.lock();
        for (device, count) in rows {
            if let Some(known) = devices.get_mut(device) {
                known.rate.add(now, count);
                known.last_us = Some(now_us);
            }
        }
    }

    /// One device.
    pub(crate) fn device(&self, name: &str) -> Option<LiveDevice> {
        self.lock().get(name).cloned()
    }

    /// The devices that have a session and match.
    pub(crate) fn matching(&self, matches: impl Fn(&str) -> bool) -> Vec<(Arc<str>, LiveDevice)> {
        let devices = self.lock();
        let live =
            devices.iter().filter(|(name, device)| !device.sessions.is_empty() && matches(name));
        live.map(|(name, device)| (name.clone(), device.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, LiveDevice>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events a second, weighted by age: what is a minute old counts a third.
#[derive(Clone, Debug, Default)]
struct Rate {
    value: f64,
    /// When the first event was, and the last.
    span: Option<(Instant, Instant)>,
}

impl Rate {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn add(&mut self, now: Instant, count: u64) {
        let first = self.span.map_or(now, |(first, _)| first);
        self.value = self.faded(now) + count as f64 / SPAN_S;
        self.span = Some((first, now));
    }

    fn faded(&self, now: Instant) -> f64 {
        self.span.map_or(0.0, |(_, last)| self.value * (-seconds(last, now) / SPAN_S).exp())
    }

    /// A rate that has just begun is extrapolated from what has been seen of it.
    fn at(&self, now: Instant) -> f64 {
        let Some((first, _)) = self.span else { return 0.0 };
        let seen = 1.0 - (-seconds(first, now).max(1.0) / SPAN_S).exp();
        self.faded(now) / seen
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// How long an event weighs in a rate, seconds.
const SPAN_S: f64 = 60.0;
/// Devices in memory; beyond it those without a session are forgotten here.
const DEVICES_MAX: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rate_settles_at_what_comes_and_fades_when_nothing_does() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        (0..600).for_each(|second| rate.add(at(second), 5));
        assert!((rate.at(at(600)) - 5.0).abs() < 0.1, "{}", rate.at(at(600)));
        let mut young = Rate::default();
        (0..10).for_each(|second| young.add(at(second), 5));
        assert!((young.at(at(10)) - 5.0).abs() < 0.5, "{}", young.at(at(10)));
        assert!(rate.at(at(660)) < 2.0);
        assert!(rate.at(at(1_200)) < 0.01);
    }

    #[test]
    fn a_session_of_the_same_stream_takes_the_place_of_the_older_one() {
        let live = Live::default();
        let device: Arc<str> = "gh-7".into();
        let session = |transport| LiveSession { stream: 1, transport, since_us: 0 };
        live.begin(&device, session("udp"), 0, 7);
        live.begin(&device, session("tcp"), 3, 7);
        let known = live.device("gh-7").unwrap();
        assert_eq!((known.sessions.len(), known.sessions[0].transport), (1, "tcp"));
        live.end("gh-7", 1);
        assert_eq!(live.matching(|_| true).len(), 0);
        assert_eq!(live.device("gh-7").unwrap().config_rev, 3);
    }
}
