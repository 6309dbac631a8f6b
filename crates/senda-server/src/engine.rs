//! The engine thread: every session, one `poll` over the UDP socket and the wake-up.
//!
//! One turn: sleep until something is there or a timer is due; read datagrams; take what connections and the store
//! sent; fire timers; hand events to the store; send. Each part is bounded, so that none starves the others.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rand::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use senda_keeper::{Answer, Desk, Request, config_order};
use senda_session::Instant;
use senda_session::collector::{
    self, Collector, Downlink, Event, Notice, Now, Outcome, Peer, StreamState, Token, Transmit,
};
use senda_wire::MessageType;
use tokio::sync::{mpsc as async_mpsc, watch};

use crate::Config;
use crate::drops;
use crate::live::{Live, LiveSession};
use crate::settings::{Desired, DesiredSet};
use crate::stats::Stats;
use crate::store;
use crate::tcp::{Output, Reading};
use crate::trace::{Direction, TraceSink};
use crate::udp::Udp;
use crate::wake::Waker;

/// Batches of datagrams in one turn: 512 datagrams, a few hundred microseconds of work.
const BATCHES_A_TURN: usize = 16;
/// Inputs of connections and of the store in one turn.
const INPUTS_A_TURN: usize = 1024;
/// A draining engine gives up on the store after this time.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// What other threads tell the engine.
pub(crate) enum Input {
    /// A connection was accepted.
    Connected { number: u64, remote: SocketAddr, output: async_mpsc::Sender<Output> },
    /// Bytes of a connection.
    Bytes { number: u64, bytes: Vec<u8> },
    /// A connection ended.
    Disconnected { number: u64 },
    /// The store's answer.
    Answer(Answer),
    /// Whether the store takes rows.
    Accepting(bool),
    /// Something to send to a device, if it is here.
    Order(Arc<str>, Downlink),
    /// What devices should be set to has changed.
    Desired(Arc<DesiredSet>),
    /// Drain, then end.
    Stop,
}

/// Everything that the engine thread owns.
pub(crate) struct Engine {
    collector: Collector,
    udp: Option<Udp>,
    waker: Waker,
    inputs: mpsc::Receiver<Input>,
    tcp_inputs: async_mpsc::Receiver<Input>,
    requests: mpsc::Sender<store::Request>,
    connections: HashMap<u64, (SocketAddr, async_mpsc::Sender<Output>)>,
    reading: watch::Sender<Reading>,
    /// Bytes on their way to the disk at which connections are no longer read.
    pause_at: usize,
    desired: Arc<DesiredSet>,
    live: Arc<Live>,
    /// HELLOs that wait for the store, and what is on its way to devices.
    desk: Desk,
    trace: Option<Box<dyn TraceSink>>,
    stats: Arc<Stats>,
    epoch: std::time::Instant,
    /// Since when the engine drains.
    stopping: Option<std::time::Instant>,
}

impl Engine {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one end of something that `Server::start` joins"
    )]
    pub(crate) fn new(
        config: Config,
        udp: Option<Udp>,
        waker: Waker,
        inputs: mpsc::Receiver<Input>,
        tcp_inputs: async_mpsc::Receiver<Input>,
        requests: mpsc::Sender<store::Request>,
        reading: watch::Sender<Reading>,
        stats: Arc<Stats>,
        (desired, live): (Arc<DesiredSet>, Arc<Live>),
    ) -> Self {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let pause_at = config.engine.landing_bytes_max / 2;
        stats.set_kernel_drops(udp.as_ref().and_then(drops::dropped));
        let engine = collector::Config { trace: config.trace.is_some(), ..config.engine };
        Self {
            collector: Collector::new(engine, seed, Instant(0)),
            udp,
            waker,
            inputs,
            tcp_inputs,
            requests,
            connections: HashMap::new(),
            reading,
            pause_at,
            desired,
            live,
            desk: Desk::default(),
            trace: config.trace,
            stats,
            epoch: std::time::Instant::now(),
            stopping: None,
        }
    }

    pub(crate) fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        self.stats.running.store(true, Ordering::Relaxed);
        self.stats.accepting.store(true, Ordering::Relaxed);
        std::thread::Builder::new().name("senda-engine".into()).spawn(move || {
            while self.turn() {}
            self.stats.running.store(false, Ordering::Relaxed);
        })
    }

    /// One turn; false after the last one.
    fn turn(&mut self) -> bool {
        let udp_ready = self.sleep();
        if udp_ready {
            self.read_datagrams();
        }
        self.waker.acknowledge();
        let more = self.take_inputs();
        let now = self.now();
        self.collector.handle_timeout(now);
        self.perform();
        let (counters, landing) = (self.collector.counters(), self.collector.landing_bytes());
        self.stats.set_engine(counters, self.collector.sessions(), landing);
        self.set_reading(landing);
        if more {
            self.waker.wake();
        }
        !self.has_drained()
    }

    /// Sleeps until something is there; true when datagrams are.
    fn sleep(&self) -> bool {
        let now = self.now().instant;
        let until = self.collector.poll_timeout().map(|(at, _)| at.since(now));
        let drain = self.stopping.map(|_| Duration::from_millis(10));
        let timeout = until.into_iter().chain(drain).min().map(|left| {
            // Rounded up to a millisecond, so that a timer that is almost due does not spin.
            let left = left.max(Duration::from_millis(1)).min(Duration::from_secs(3600));
            Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut fds = vec![PollFd::new(&self.waker, PollFlags::IN)];
        fds.extend(self.udp.as_ref().map(|udp| PollFd::new(udp, PollFlags::IN)));
        // An interrupted sleep is a short one.
        let _ = poll(&mut fds, timeout.as_ref());
        fds.get(1).is_some_and(|fd| !fd.revents().is_empty())
    }

    fn read_datagrams(&mut self) {
        let Some(mut udp) = self.udp.take() else {
            return;
        };
        for _ in 0..BATCHES_A_TURN {
            let now = self.now();
            let collector = &mut self.collector;
            let count = udp.receive(|remote, local, datagram| {
                collector.handle_datagram(now, remote, local, datagram);
            });
            if count == 0 {
                break;
            }
        }
        self.stats.set_kernel_drops(drops::dropped(&udp));
        self.udp = Some(udp);
    }

    /// Takes what is queued, up to a bound; true when more may be there.
    fn take_inputs(&mut self) -> bool {
        for _ in 0..INPUTS_A_TURN {
            // The store first: verdicts free room for what connections bring.
            let input = self.inputs.try_recv().ok().or_else(|| self.tcp_inputs.try_recv().ok());
            match input {
                Some(input) => self.take(input),
                None => return false,
            }
        }
        true
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connected { number, remote, output } => {
                self.connections.insert(number, (remote, output));
                self.collector.handle_connected(now, number);
            }
            Input::Bytes { number, bytes } => {
                self.collector.handle_stream_bytes(now, number, &bytes);
            }
            Input::Disconnected { number } => {
                self.collector.handle_disconnected(number);
                self.connections.remove(&number);
            }
            Input::Answer(answer) => self.take_answer(now, answer),
            Input::Order(device, order) => self.order(now, &device, order),
            Input::Desired(desired) => self.change_desired(now, desired),
            Input::Accepting(accepting) => {
                self.stats.accepting.store(accepting, Ordering::Relaxed);
                self.collector.set_accepting(now, accepting);
            }
            Input::Stop => {
                self.stopping = Some(std::time::Instant::now());
                self.stats.accepting.store(false, Ordering::Relaxed);
                let _ = self.reading.send_replace(Reading::Stop);
                self.read_datagrams(); // What the system has received already.
            }
        }
    }

    fn take_answer(&mut self, now: Now, answer: Answer) {
        match answer {
            Answer::Verdicts(verdicts) => self.collector.handle_durable(now, verdicts),
            Answer::Stream(token, state, orders) => self.take_stream(now, token, state, orders),
            Answer::Recorded(token, recorded) => {
                self.collector.handle_recorded(now, token, recorded);
            }
            Answer::Orders(device, orders) => {
                orders.into_iter().for_each(|order| self.order(now, &device, order));
            }
        }
    }

    fn take_stream(
        &mut self,
        now: Now,
        token: Token,
        state: Option<StreamState>,
        orders: Vec<Downlink>,
    ) {
        let desired = &self.desired;
        let device = self.desk.take_stream(&mut self.collector, now, token, state, |device| {
            desired.of(device).map(Desired::settings)
        });
        if let Some(device) = device {
            orders.into_iter().for_each(|order| self.order(now, &device, order));
        }
    }

    /// Sends something to a device, unless it is on its way there already.
    fn order(&mut self, now: Now, device: &Arc<str>, order: Downlink) {
        // What has just ended without leaving is not on its way any more.
        self.perform_events();
        if let Err(error) = self.desk.order(&mut self.collector, now, device, order) {
            tracing::error!(%error, device = &**device, "an order that can't be written");
        }
    }

    /// Sends a CONFIG. The newest takes the place of what has not left, so that it may be on its way already.
    fn order_config(&mut self, now: Now, device: &Arc<str>, wanted: &Desired) {
        let order = config_order(&wanted.settings());
        if let Err(error) = self.collector.handle_down(now, device, order) {
            tracing::error!(%error, device = &**device, "settings that can't be written");
        }
    }

    /// Tells the devices that are here what they should be set to now, where it differs from what they are.
    fn change_desired(&mut self, now: Now, desired: Arc<DesiredSet>) {
        self.perform_events(); // Who has just come is here.
        for (device, live) in self.live.matching(|device| desired.of(device).is_some()) {
            let Some(wanted) = desired.of(&device) else { continue };
            if live.config_rev != wanted.revision() {
                self.order_config(now, &device, wanted);
            }
        }
        self.desired = desired;
    }

    /// An order has come to its end, or has only just left.
    fn conclude(&mut self, device: Arc<str>, kind: MessageType, id: u32, outcome: Outcome) {
        if kind == MessageType::Config && matches!(outcome, Outcome::Done { .. }) {
            self.live.note_config(&device, id);
            self.check_config(&device, id);
        }
        let request = self.desk.conclude(device, kind, id, outcome);
        self.request(request);
    }

    /// A device has answered a CONFIG: another one may be desired since it left.
    fn check_config(&mut self, device: &Arc<str>, revision: u32) {
        let desired = self.desired.clone();
        if let Some(wanted) = desired.of(device).filter(|wanted| wanted.revision() != revision) {
            self.order_config(self.now(), device, wanted);
        }
    }

    /// Carries out what the engine wants done.
    fn perform(&mut self) {
        self.perform_events();
        while let Some(transmit) = self.collector.poll_transmit() {
            self.transmit(&transmit);
            self.perform_events(); // A connection that takes no more ends.
        }
        self.desk.end_turn();
    }

    fn perform_events(&mut self) {
        while let Some(event) = self.collector.poll_event() {
            self.perform_event(event);
        }
        // After what became of the orders before: what did not leave waits again.
        for request in self.desk.take_waiting() {
            self.request(request);
        }
    }

    fn perform_event(&mut self, event: Event) {
        match event {
            Event::Open { token, device, stream, software } => {
                let request = self.desk.open(token, device, stream, software);
                self.request(request);
            }
            Event::Land { token, device, stream, received_us, what } => {
                self.request(Request::Land { token, device, stream, received_us, what });
            }
            Event::Record { token, device, command_id } => {
                self.request(Request::Record { token, device, command_id });
            }
            Event::Outcome { device, kind, id, outcome } => {
                self.conclude(device, kind, id, outcome);
            }
            Event::Notice { device, stream, peer, notice } => {
                self.log_notice(&device, stream, peer, notice);
                let transport = transport_of(peer);
                self.note_presence(&device, stream, transport, notice);
                let request = self.desk.notice(device, stream, transport, notice);
                self.request(request);
            }
            Event::Received { peer, bytes } => self.trace_message(Direction::Up, peer, &bytes),
            Event::Drop { peer, reason } => {
                let remote = self.remote(peer);
                tracing::debug!(?remote, %reason, section = reason.section(), "dropped");
                if let Some(trace) = &mut self.trace {
                    trace.dropped(
                        transport_of(peer),
                        remote,
                        &reason.to_string(),
                        reason.section(),
                    );
                }
            }
            Event::Disconnect(number) => {
                // What was queued for the connection goes first.
                while let Some(transmit) = self.collector.poll_transmit() {
                    self.transmit(&transmit);
                }
                if let Some((_, output)) = self.connections.get(&number) {
                    let _ = output.try_send(Output::Close);
                }
            }
        }
    }

    fn note_presence(
        &mut self,
        device: &Arc<str>,
        stream: u64,
        transport: &'static str,
        notice: Notice,
    ) {
        match notice {
            Notice::Welcomed { config_rev, downlink, .. } => {
                let session = LiveSession { stream, transport, since_us: utc_us() };
                self.live.begin(device, session, config_rev, downlink);
            }
            Notice::Replaced | Notice::Displaced | Notice::Left | Notice::TimedOut => {
                if self.live.end(device, stream) {
                    // What that session did not get is for one that lives.
                    self.desk.wait_for(device.clone());
                }
            }
            Notice::TwoStreams { .. } | Notice::Snapshot { .. } | Notice::Moved => {}
        }
    }

    fn transmit(&mut self, transmit: &Transmit) {
        self.trace_message(Direction::Down, transmit.peer, &transmit.bytes);
        match transmit.peer {
            Peer::Udp { remote, local } => {
                let sent = self.udp.as_ref().map(|udp| udp.send(remote, local, &transmit.bytes));
                if let Some(Err(error)) = sent {
                    // As if the network had lost it: the device asks again.
                    Stats::add(&self.stats.sends_failed, 1);
                    tracing::debug!(%remote, %error, "datagram not sent");
                }
            }
            Peer::Tcp(number) => {
                if let Some((_, output)) = self.connections.get(&number)
                    && output.try_send(Output::Bytes(transmit.bytes.clone())).is_err()
                {
                    // The device does not read its answers: without its queue the connection ends.
                    self.connections.remove(&number);
                    self.collector.handle_disconnected(number);
                }
            }
        }
    }

    fn request(&self, request: Request) {
        // The store thread ends after this one, but for a panic, and then nothing can be done here.
        let _ = self.requests.send(store::Request::Engine(request));
    }

    /// Connections are not read while much is on its way to the disk. Spec §3.6.
    fn set_reading(&self, landing: usize) {
        let wanted = if landing > self.pause_at { Reading::Pause } else { Reading::Go };
        self.reading.send_if_modified(|reading| {
            let changes = *reading != Reading::Stop && *reading != wanted;
            if changes {
                *reading = wanted;
            }
            changes
        });
    }

    /// True when the engine was told to stop and nothing is on its way any more.
    fn has_drained(&mut self) -> bool {
        let Some(since) = self.stopping else {
            return false;
        };
        if self.collector.is_busy() && since.elapsed() < DRAIN_TIME {
            return false;
        }
        let now = self.now();
        self.collector.close_all(now);
        self.perform();
        for (_, output) in self.connections.values() {
            let _ = output.try_send(Output::Close);
        }
        true
    }

    fn remote(&self, peer: Peer) -> Option<SocketAddr> {
        match peer {
            Peer::Udp { remote, .. } => Some(remote),
            Peer::Tcp(number) => self.connections.get(&number).map(|(remote, _)| *remote),
        }
    }

    fn trace_message(&mut self, direction: Direction, peer: Peer, bytes: &[u8]) {
        let remote = self.remote(peer);
        if let Some(trace) = &mut self.trace {
            trace.message(direction, transport_of(peer), remote, bytes);
        }
    }

    fn log_notice(&self, device: &str, stream: u64, peer: Peer, notice: Notice) {
        let remote = self.remote(peer);
        tracing::debug!(device, stream = %format_args!("{stream:016x}"), ?remote, ?notice, "session");
    }

    fn now(&self) -> Now {
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { instant: Instant(micros), utc_us: utc_us() }
    }
}

/// Microseconds since 1970.
pub(crate) fn utc_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

const fn transport_of(peer: Peer) -> &'static str {
    match peer {
        Peer::Udp { .. } => "udp",
        Peer::Tcp(_) => "tcp",
    }
}
