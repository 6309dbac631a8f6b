//! What a device's session makes of a clock that drifts, steps or begins at 1970: the truth is known here.

use proptest::prelude::*;
use senda_session::Instant;
use senda_session::device::{Config, Device, Event, Transport};
use senda_sim::clock::{ASK_EVERY, ClockKind, Clocks, DeviceClock, Ppm};
use senda_wire::registry::{MESSAGE_MAX, encoding};
use senda_wire::{Clock, Durability, Frame, Head, Message, Options, Suite, Time, TimeReq, Welcome};

const START: i64 = 1_767_225_600_000_000;

/// One device, its clock, and a collector whose answers take their time, in virtual time.
struct Bench {
    device: Device,
    clock: DeviceClock,
    now: Instant,
    /// What the collector was told, and when.
    told: Vec<(Instant, TimeReq)>,
}

impl Bench {
    fn new(clocks: &Clocks, number: u32) -> Self {
        let now = Instant(1_000_000);
        let clock = DeviceClock::new(clocks, number, 5, START, now);
        let mut config = Config::new("gh-7");
        config.time_every = Some(ASK_EVERY);
        let mut device = Device::new(config, [1; 32]).unwrap();
        device.set_clock(clock.device_time(now), clock.kind(), clock.base_us());
        device.connect(clock.device_time(now), Transport::Tcp);
        Self { device, clock, now, told: Vec::new() }
    }

    fn utc(&self) -> i64 {
        START + i64::try_from(self.now.0).unwrap()
    }

    fn device_now(&self) -> Instant {
        self.clock.device_time(self.now)
    }

    fn say(&mut self, session: u32, seq: u32, message: &Message<'_>) {
        let mut bytes = vec![0; MESSAGE_MAX];
        let len = message.encode(Head { session, seq, flags: 0 }, &mut bytes).unwrap();
        self.device.handle_input(self.device_now(), &bytes[..len]);
    }

    /// Says what the device waits for; requests for the time are on their way for these times, or get lost.
    fn serve(&mut self, up_us: u64, down_us: u64, is_lost: bool) {
        let mut bytes = vec![0; MESSAGE_MAX];
        while let Some(len) = self.device.poll_transmit(self.device_now(), &mut bytes) {
            let mut rest = &bytes[..len];
            while let Ok(frame) = Frame::decode(rest, MESSAGE_MAX) {
                rest = &rest[frame.bytes.len()..];
                match Message::decode(&frame).unwrap() {
                    Message::Hello(hello) => {
                        let seq = u32::try_from(hello.nonce & u64::from(u32::MAX)).unwrap();
                        self.say(7, seq, &Message::Welcome(welcome()));
                    }
                    Message::TimeReq(request) => {
                        self.told.push((self.now, request));
                        self.now.0 += up_us;
                        let utc = self.utc();
                        self.now.0 += down_us;
                        let time = Time { t1: request.t1, t2: utc, t3: utc };
                        if !is_lost {
                            self.say(7, frame.seq, &Message::Time(time));
                        }
                    }
                    Message::Ping(ping) => self.say(7, frame.seq, &Message::Pong(ping)),
                    _ => {}
                }
            }
        }
    }

    /// What the session does not know: how wrong its estimate is.
    fn error(&self) -> Option<(u64, u32)> {
        let (offset, uncertainty) = self.device.time_offset(self.device_now())?;
        let error = (self.utc() - self.clock.reading(self.now)).abs_diff(offset);
        Some((error, uncertainty))
    }

    fn wait(&mut self, us: u64) {
        self.now.0 += us;
        self.clock.advance(self.now);
        self.device.handle_timeout(self.device_now());
    }
}

fn welcome() -> Welcome<'static> {
    Welcome {
        nonce: 1,
        next_row: 0,
        high_row: 0,
        server_time: START,
        window_rows: 4_096,
        max_msg: 16_384,
        encodings: encoding::ROWS,
        durability: Durability::Fsync,
        suite: Suite::Open,
        commit_interval_ms: 0,
        keepalive_s: 86_400,
        ack_every: 1,
        ack_delay_ms: 0,
        max_channels: 256,
        max_schemas: 64,
        max_elements: 64,
        max_values: 16_384,
        max_decoded: 262_144,
        options: Options::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Spec §13.3: at every moment, on paths that are slow one way and lose answers, with an oscillator up to 100 ppm wrong.
    #[test]
    fn the_truth_is_within_the_uncertainty_that_the_device_states(
        number in 0u32..1_000,
        monotonic: bool,
        ppm in 0.0f64..100.0,
        steps in prop::collection::vec((1u64..20_000_000, 0u64..200_000, 0u64..200_000, any::<bool>()), 20..200),
    ) {
        let kind = if monotonic { ClockKind::Monotonic } else { ClockKind::Unsynced };
        let clocks = Clocks { kind, drift: Ppm::new(ppm).unwrap(), ..Clocks::default() };
        let mut bench = Bench::new(&clocks, number);
        bench.serve(0, 0, false);
        for (wait, up, down, is_lost) in steps {
            bench.wait(wait);
            bench.serve(up, down, is_lost);
            if let Some((error, uncertainty)) = bench.error() {
                // A microsecond for rounding, here and there.
                prop_assert!(error <= u64::from(uncertainty) + 2, "{error} us, not {uncertainty} us");
            }
        }
        // The same for what the collector heard.
        for (at, told) in &bench.told {
            let truth = START + i64::try_from(at.0).unwrap() - bench.clock.reading(*at);
            let known = told.uncertainty != u32::MAX;
            prop_assert!(!known || truth.abs_diff(told.offset) <= u64::from(told.uncertainty) + 2);
        }
    }
}

#[test]
fn the_collector_hears_of_an_offset_within_seconds_and_then_now_and_then() {
    let clocks = Clocks { kind: ClockKind::Monotonic, ..Clocks::default() };
    let mut bench = Bench::new(&clocks, 1);
    for _ in 0..600 {
        bench.serve(10_000, 10_000, false);
        bench.wait(1_000_000);
    }
    let known = |(_, told): &&(Instant, TimeReq)| told.uncertainty != u32::MAX;
    let first = bench.told.iter().find(known).expect("an offset").0;
    assert!(first.0 <= 5_000_000, "{first:?}");
    let exchanges = bench.told.len();
    assert!((20..=30).contains(&exchanges), "{exchanges} in ten minutes");
}

/// Spec §13.3: samples of another clock are worth nothing.
#[test]
fn a_clock_that_steps_begins_anew() {
    let step = Some(std::time::Duration::from_secs(60));
    let clocks = Clocks { kind: ClockKind::Unsynced, step, ..Clocks::default() };
    let mut bench = Bench::new(&clocks, 1);
    bench.serve(5_000, 5_000, false);
    let mut steps = 0;
    for _ in 0..300 {
        bench.now.0 += 1_000_000;
        if bench.clock.advance(bench.now) {
            steps += 1;
            bench.device.set_clock(bench.device_now(), bench.clock.kind(), bench.clock.base_us());
            assert_eq!(bench.error(), None, "nothing is known of the new clock");
        }
        bench.device.handle_timeout(bench.device_now());
        bench.serve(5_000, 5_000, false);
        if let Some((error, uncertainty)) = bench.error() {
            assert!(error <= u64::from(uncertainty), "{error} {uncertainty}");
        }
    }
    assert!(steps > 5);
}

#[test]
fn a_clock_from_1970_is_right_after_one_answer() {
    let clocks = Clocks { kind: ClockKind::Unsynced, from_1970: true, ..Clocks::default() };
    let mut bench = Bench::new(&clocks, 1);
    assert_eq!((bench.clock.kind(), bench.clock.reading(bench.now)), (Clock::UtcUnsynced, 0));
    bench.serve(0, 0, false);
    bench.wait(1);
    bench.serve(3_000, 3_000, false);
    let offset = std::iter::from_fn(|| bench.device.poll_event()).find_map(|event| match event {
        Event::Time { offset_us, .. } => Some(offset_us),
        _ => None,
    });
    assert!(bench.clock.set(offset.expect("an answer")));
    assert!(bench.clock.reading(bench.now).abs_diff(bench.utc()) <= 3_000);
}
