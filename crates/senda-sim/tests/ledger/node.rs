//! A device with its links, and what it says of itself.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;
use senda_session::device::{
    Closing, Config, Device, DropPolicy, Event, QueueLimits, SchemaId, Transport,
};
use senda_sim::faults::{Conditions, Link};
use senda_wire::{ChannelSpec, Clock, Identifier, Schema, ValueType};

/// What a device says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) made: u64,
    pub(crate) acked: u64,
    /// Row numbers that were given, to rows and COUNTS.
    pub(crate) numbers: u64,
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) up: Link,
    pub(crate) down: Link,
    pub(crate) boots: u32,
    /// Datagrams that the device sent, and that arrived.
    pub(crate) datagrams: u64,
    pub(crate) delivered: u64,
    device: Device,
    schema: SchemaId,
    rng: Pcg64Mcg,
    /// What earlier boots said.
    before: Told,
    next_row: Instant,
    burst: u32,
}

impl Node {
    pub(crate) fn new(seed: u64, index: u64, conditions: Conditions) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed << 8 | (index + 1));
        let name = format!("gh-{index}");
        let (device, schema) = boot(&name, &mut rng);
        let port = u16::try_from(5_000 + index).expect("few devices");
        Self {
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            up: Link::new(conditions, rng.random()),
            down: Link::new(conditions, rng.random()),
            boots: 0,
            datagrams: 0,
            delivered: 0,
            name,
            device,
            schema,
            rng,
            before: Told::default(),
            next_row: Instant(0),
            burst: 0,
        }
    }

    /// Rows, timers and bytes that are due.
    pub(crate) fn turn(&mut self, now: Instant, making: bool) {
        if now == Instant(0) {
            self.device.connect(now, Transport::Udp);
        }
        while let Some(datagram) = self.down.poll(now) {
            self.device.handle_input(now, &datagram);
        }
        if making && now >= self.next_row {
            for _ in 0..=std::mem::take(&mut self.burst) {
                self.make_row(now);
            }
            self.next_row = now + Duration::from_millis(self.rng.random_range(20..400));
        }
        self.device.handle_timeout(now);
        let mut buffer = [0; 1_200];
        while let Some(len) = self.device.poll_transmit(now, &mut buffer) {
            self.datagrams += 1;
            self.up.send(now, buffer[..len].to_vec());
        }
        while let Some(event) = self.device.poll_event() {
            assert!(!matches!(event, Event::NewStream(_)), "nobody copied this device");
        }
    }

    pub(crate) fn next_moment(&self, now: Instant) -> Instant {
        let timer = self.device.poll_timeout().map(|(at, _)| at);
        let links = [self.up.next_wakeup(), self.down.next_wakeup()];
        let row = Some(self.next_row).filter(|row| *row > now);
        let all = links.into_iter().chain([timer, row]).flatten();
        all.min().unwrap_or(now + Duration::from_secs(1))
    }

    /// The next turn makes more rows than the queue holds.
    pub(crate) fn burst(&mut self) {
        self.burst = 80;
    }

    /// The device loses its memory.
    pub(crate) fn reboot(&mut self, now: Instant) {
        self.before = self.told();
        self.boots += 1;
        (self.device, self.schema) = boot(&self.name, &mut self.rng);
        self.device.connect(now, Transport::Udp);
    }

    /// No more rows: all is told, then it says goodbye.
    pub(crate) fn end(&mut self, now: Instant) {
        self.device.push_new_counts(now).expect("room, as the oldest go");
        self.device.close(Closing::WhenFlushed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.device.is_closed()
    }

    /// What all boots say together.
    pub(crate) fn told(&self) -> Told {
        let stats = self.device.stats();
        Told {
            made: self.before.made + stats.made,
            acked: self.before.acked + stats.acked,
            numbers: self.before.numbers + u64::from(self.device.next_row()),
        }
    }

    fn make_row(&mut self, now: Instant) {
        let value: i16 = self.rng.random();
        let time_us = i64::try_from(now.0).expect("an hour or two");
        let value = value.to_be_bytes();
        let pushed = self.device.push(now, self.schema, Clock::Monotonic, time_us, &value);
        pushed.expect("room, as the oldest go");
    }
}

fn boot(name: &str, rng: &mut Pcg64Mcg) -> (Device, SchemaId) {
    let mut config = Config::new(name);
    config.queue = QueueLimits { rows: 50, bytes: 1 << 16, policy: DropPolicy::DropOldest };
    config.counts_every = Some(Duration::from_secs(rng.random_range(1..10)));
    config.window_messages = [1, 4, 64][rng.random_range(0..3)];
    config.rejoin_jitter = Duration::from_millis(100);
    let mut device = Device::new(config, rng.random()).expect("a good configuration");
    let name = |text| Identifier::new(text).expect("the grammar of names");
    let channels = [ChannelSpec::new(name("temperature"), ValueType::I16)];
    let mut room = [0; 64];
    let schema = Schema::encode(name("greenhouse"), &channels, &mut room).expect("a schema");
    let schema = device.declare(schema).expect("a schema");
    (device, schema)
}
