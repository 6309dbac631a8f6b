//! A fleet of one, and a collector that does as it is told.

pub(crate) mod collector;

use std::net::SocketAddr;
use std::time::Duration;

use collector::Order;
use senda_session::device::Argument;
use senda_sim::Profile;
use senda_sim::faults::Conditions;
use senda_sim::fleet::Plan;

/// A device that samples every 10 ms, over UDP.
pub(crate) fn one_device(profile: &str, collector: SocketAddr) -> Plan {
    Plan {
        tcp: None,
        udp: Some(collector),
        devices: 1,
        profiles: vec![Profile::load(profile).expect("a profile")],
        interval: Some(Duration::from_millis(10)),
        seed: 1,
        start_us: 1_767_225_600_000_000,
        count: None,
        // Nothing waits for it unless a test fails.
        duration: Some(Duration::from_secs(30)),
        patience: Duration::from_millis(300),
        conditions: Conditions::default(),
        clocks: senda_sim::clock::Clocks::default(),
        window_messages: 64,
        start_jitter: Duration::ZERO,
        rejoin_jitter: Duration::ZERO,
        boot: [7; 32],
        journal: None,
    }
}

/// A CONFIG with an interval.
pub(crate) fn config(revision: u32, interval_ms: u32) -> Order {
    Order::config(revision, &[Argument::new("interval_ms", interval_ms)])
}
