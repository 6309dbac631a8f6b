//! A scenario from a seed alone: any mixture of everything that can go wrong.

use std::num::NonZeroU64;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64Mcg;

use super::scenario::{
    Burst, Carrier, ClockSettings, CollectorSettings, DeviceSettings, Fault, Kind, Scenario,
    StoreSettings, Weather, What,
};
use crate::clock::Ppm;
use crate::faults::{Delay, Probability, Rate, Reorder};
use crate::{derive_seed, seed};

/// Rows of all devices together, more or less: what a world costs.
const ROWS: u64 = 600;

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        let random = &mut seed::generator(derive_seed(seed, 0, "world scenario"));
        let devices: u32 = *[1, 1, 2, 3, 4, 6, 9, 20].choose(random).unwrap_or(&1);
        let seconds = *[20, 60, 180, 600, 3_600].choose(random).unwrap_or(&60);
        let rows = (ROWS / u64::from(devices)).max(20);
        let mut scenario = Self {
            devices,
            duration: Duration::from_secs(seconds),
            interval: Duration::from_micros(seconds * 1_000_000 / rows),
            transport: *[Carrier::Udp, Carrier::Udp, Carrier::Tcp, Carrier::Mixed]
                .choose(random)
                .unwrap_or(&Carrier::Mixed),
            network: if random.random_bool(0.3) { calm(random) } else { weather(random) },
            clocks: clocks(random),
            collector: collector(random),
            store: store(random),
            device: device(random),
            commands_every: random
                .random_bool(0.4)
                .then(|| Duration::from_secs(seconds / random.random_range(2..20)).max(SECOND)),
            settings_every: random
                .random_bool(0.2)
                .then(|| Duration::from_secs(seconds / random.random_range(2..8)).max(SECOND)),
            fault: Vec::new(),
        };
        let count = *[0, 1, 2, 3, 5, 8, 12].choose(random).unwrap_or(&2);
        scenario.fault = (0..count).map(|_| fault(random, seconds, devices)).collect();
        scenario
    }
}

fn calm(random: &mut Pcg64Mcg) -> Weather {
    let mean = Duration::from_millis(random.random_range(1..40));
    Weather { delay: Delay::new(mean, mean / 2).unwrap_or_default(), ..Weather::default() }
}

fn weather(random: &mut Pcg64Mcg) -> Weather {
    let mean = Duration::from_millis(*[1, 10, 50, 200, 600].choose(random).unwrap_or(&10));
    let jitter = mean.mul_f64(random.random_range(0.0..=1.0));
    let reorder = Reorder { probability: share(random, 0.3), by: mean * 2 };
    Weather {
        loss: share(random, 0.3),
        dup: share(random, 0.2),
        reorder,
        delay: Delay::new(mean, jitter).unwrap_or_default(),
        rate: random
            .random_bool(0.2)
            .then(|| NonZeroU64::new(random.random_range(20_000..2_000_000)).map(Rate::new))
            .flatten(),
        burst: random.random_bool(0.25).then(|| Burst {
            enter: Probability::new(random.random_range(0.001..0.05)).unwrap_or_default(),
            leave: Probability::new(random.random_range(0.02..0.5)).unwrap_or_default(),
            loss: Probability::new(random.random_range(0.5..=1.0)).unwrap_or_default(),
        }),
        damage: if random.random_bool(0.3) { share(random, 0.05) } else { Probability::default() },
        mtu: random.random_bool(0.1).then_some(1_200),
    }
}

fn share(random: &mut Pcg64Mcg, most: f64) -> Probability {
    if random.random_bool(0.3) {
        return Probability::default();
    }
    Probability::new(random.random_range(0.0..most)).unwrap_or_default()
}

fn clocks(random: &mut Pcg64Mcg) -> ClockSettings {
    let kinds =
        [Kind::Synced, Kind::Unsynced, Kind::Monotonic, Kind::None, Kind::Mixed, Kind::Mixed];
    ClockSettings {
        kind: *kinds.choose(random).unwrap_or(&Kind::Mixed),
        drift: Ppm::new(*[0.0, 20.0, 100.0].choose(random).unwrap_or(&0.0)).unwrap_or_default(),
        step: random.random_bool(0.2).then(|| Duration::from_secs(random.random_range(1..7_200))),
        from_1970: random.random_bool(0.2),
    }
}

fn collector(random: &mut Pcg64Mcg) -> CollectorSettings {
    let millis = |most| Duration::from_millis(most);
    CollectorSettings {
        commit_interval: millis(*[0, 1, 5, 20].choose(random).unwrap_or(&5)),
        sync_time: millis(*[0, 1, 3, 30, 300].choose(random).unwrap_or(&3)),
        window_rows: *[1, 3, 20, 200, 16_384].choose(random).unwrap_or(&16_384),
        landing_bytes_max: *[4_096, 32 << 10, 32 << 20, 32 << 20]
            .choose(random)
            .unwrap_or(&(32 << 20)),
    }
}

fn store(random: &mut Pcg64Mcg) -> StoreSettings {
    StoreSettings {
        filing_delay: Duration::from_millis(*[0, 200, 2_000, 10_000].choose(random).unwrap_or(&0)),
        filing_rows: *[1, 7, 50, 500].choose(random).unwrap_or(&500),
        checkpoint_pages: *[1, 10, 100, 1_000].choose(random).unwrap_or(&100),
        streams_cached_max: *[1, 3, 65_536].choose(random).unwrap_or(&65_536),
        inbox_bytes_max: *[20_000, 256 << 20, 256 << 20].choose(random).unwrap_or(&(256 << 20)),
        retention: random
            .random_bool(0.05)
            .then(|| Duration::from_secs(random.random_range(10..600))),
    }
}

fn device(random: &mut Pcg64Mcg) -> DeviceSettings {
    let rare = |random: &mut Pcg64Mcg, chance, most| {
        if random.random_bool(chance) { share(random, most) } else { Probability::default() }
    };
    DeviceSettings {
        queue_rows: *[4, 20, 100, 10_000, 10_000].choose(random).unwrap_or(&10_000),
        window_messages: *[1, 4, 64].choose(random).unwrap_or(&64),
        batch_rows: *[1, 1, 3, 16].choose(random).unwrap_or(&1),
        batch_delay: Duration::from_millis(*[50, 2_000].choose(random).unwrap_or(&50)),
        ack_every: *[1, 1, 4, 32].choose(random).unwrap_or(&1),
        ack_delay: Duration::from_millis(*[0, 0, 100, 1_500].choose(random).unwrap_or(&0)),
        keepalive: Duration::from_secs(*[1, 5, 30, 300].choose(random).unwrap_or(&30)),
        sparse: rare(random, 0.4, 0.5),
        spoilt: rare(random, 0.3, 0.1),
        counts_every: *[0, 0, 5, 40].choose(random).unwrap_or(&0),
    }
}

fn fault(random: &mut Pcg64Mcg, seconds: u64, devices: u32) -> Fault {
    let what = *KINDS.choose(random).unwrap_or(&What::PowerCut);
    let micros = seconds * 1_000_000;
    let is_crash = matches!(what, What::CollectorKilled | What::PowerCut);
    let longest = (micros / 4).max(1_000_000);
    Fault {
        at: Duration::from_micros(random.random_range(0..micros)),
        what,
        device: random.random_bool(0.6).then(|| random.random_range(0..devices)),
        lasts: Duration::from_micros(random.random_range(100_000..=longest)),
        step: (is_crash && random.random_bool(0.7)).then(|| random.random_range(1..60)),
        weather: (what == What::Weather).then(|| weather(random)),
        by: match what {
            What::SlowSync => random.random_range(0.05..5.0),
            _ => random.random_range(-4_000.0..4_000.0),
        },
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// The more often a kind stands here, the more often it is drawn.
const KINDS: [What; 30] = [
    What::Weather,
    What::Weather,
    What::CollectorKilled,
    What::CollectorKilled,
    What::CollectorKilled,
    What::PowerCut,
    What::PowerCut,
    What::PowerCut,
    What::PowerCut,
    What::CollectorStopped,
    What::Backup,
    What::Restore,
    What::CollectorClock,
    What::DiskFull,
    What::SyncFails,
    What::SyncFails,
    What::SlowSync,
    What::DeviceCrash,
    What::DeviceCrash,
    What::DeviceCloned,
    What::DeviceCopied,
    What::SchemaChange,
    What::Move,
    What::Move,
    What::Rebind,
    What::Cut,
    What::UdpBlocked,
    What::LinesBreak,
    What::LinesForgotten,
    What::Stranger,
];
