//! One session of one device, for one stream.
//!
//! ```text
//!   declare, push --> [ queue ] --poll_transmit--> bytes        bytes --handle_input--> [ ACK, NACK ] --> events
//! ```
//!
//! # The whole loop
//! ```
//! use senda_session::Instant;
//! use senda_session::device::{Config, Device, Transport};
//! use senda_wire::{ChannelSpec, Clock, Identifier, Schema, ValueType};
//!
//! let mut device = Device::new(Config::new("gh-7"), [7; 32]).unwrap();
//! let name = |text| Identifier::new(text).unwrap();
//! let mut room = [0; 64];
//! let channels = [ChannelSpec::new(name("humidity"), ValueType::U8)];
//! let schema = device.declare(Schema::encode(name("greenhouse"), &channels, &mut room).unwrap()).unwrap();
//!
//! let now = Instant(0);
//! device.push(now, schema, Clock::None, 0, &[61]).unwrap();
//! device.connect(now, Transport::Udp);
//! let mut datagram = [0; 1200];
//! while let Some(len) = device.poll_transmit(now, &mut datagram) {
//!     assert_eq!(datagram[1], 0x01, "HELLO leaves in {len} bytes");
//! }
//! while let Some(event) = device.poll_event() {
//!     println!("{event:?}");
//! }
//! let (deadline, owner) = device.poll_timeout().unwrap();
//! println!("call handle_timeout at {deadline:?}, for {owner:?}");
//! ```

mod clock; // what the device's clock is worth
mod config; // what the caller decides; limits
mod delivery; // ACK, NACK, time-outs: the fate of rows
mod downlink; // CONFIG, COMMAND, ALERT, DONE
mod error; // why a row or a schema is not taken
mod event; // what the application hears of
mod flights; // messages on their way; round trips, losses, congestion
mod handshake; // HELLO to WELCOME, CLOSE, new streams
mod queue; // rows as encoded bytes
mod receive; // bytes to messages
mod schemas; // DECLARE until DECLARED
mod session; // what lasts as long as a session
mod timers; // one table of deadlines
mod transmit; // messages to bytes
mod unacked; // rows without a promise
mod value; // typed values that own their bytes

use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::ROW_MAX;
use senda_wire::{Clock, ErrorCode, Schema, SkipCause};

pub use config::{
    Batch, Config, ConfigError, DropPolicy, EVENTS_MAX, QUEUE_BYTES_MAX, QUEUE_ROWS_MAX,
    QueueLimits, Transport, WINDOW_MESSAGES_MAX,
};
pub use downlink::DoneError;
pub use error::{DeclareError, PushError};
pub use event::{Acked, AlertDetail, Event, LostReason, NewStream, Ticket, Welcomed};
pub use schemas::SchemaId;
pub use timers::Timer;
pub use value::{Argument, OwnedValue};

use crate::{Entropy, Instant};
use clock::ClockSync;
use downlink::Downlink;
use event::Events;
use flights::{Flights, Path};
use handshake::Attempt;
use queue::{Kind, Queue};
use schemas::{Declared, Schemas, Slot, SparseRow};
use session::{Asked, Session};
use timers::Timers;
use unacked::{Unacked, UnackedQueue};

/// One session of one device, for one stream; it outlives connections, collectors and silence.
///
/// Bytes and `now` go in; bytes, deadlines and events come out. After each call that takes `now`, drain
/// [`Device::poll_transmit`], then [`Device::poll_event`], then arm a timer for [`Device::poll_timeout`]. `now` never goes
/// back. Nothing here is fatal: bad input is counted, and a lost session is followed by another one.
#[derive(Clone, Debug)]
pub struct Device {
    config: Config,
    entropy: Entropy,
    stream: u64,
    state: State,
    transport: Option<Transport>,
    timers: Timers,
    queue: Queue,
    schemas: Schemas,
    flights: Flights,
    path: Path,
    downlink: Downlink,
    clock: ClockSync,
    unacked: UnackedQueue,
    events: Events,
    stats: Stats,
    ledger: Ledger,
    /// Part of a message that is not whole yet (TCP).
    received: Vec<u8>,
    /// PONGs to send: seq and token.
    pongs: Vec<(u32, u64)>,
    /// A CLOSE to send: session and code.
    farewell: Option<(u32, ErrorCode)>,
    closing: Option<Closing>,
    /// Rows below it don't wait for company.
    flush_below: u32,
    /// The mark that the last event spoke of.
    last_mark: u32,
    /// The stream is an old one that ends before this row. Spec §6.5.
    ends: Option<u32>,
    /// Tries to get a session that failed, in a row.
    failures: u32,
    /// When a HELLO was given up that may still arrive. Spec §6.7b.
    abandoned: Option<Instant>,
}

/// Where the session is; in order of the flow.
#[derive(Clone, Debug)]
enum State {
    /// No transport, and none asked for: `connect` begins.
    Parked,
    /// A timer runs to the next try.
    Waiting,
    /// HELLO is out.
    Greeting(Attempt),
    /// WELCOME came.
    Serving(Session),
    /// After `close`.
    Closed,
}

/// How to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closing {
    /// Once everything is acknowledged.
    WhenFlushed,
    /// At once; what is unacknowledged is lost with this value, unless a spool has it.
    Now,
}

/// What a session has counted since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Rows that got a number.
    pub made: u64,
    /// Of those, durable.
    pub acked: u64,
    /// Of those, refused for good by the collector.
    pub refused: u64,
    /// Of those, given up, by cause: index is the code of [`SkipCause`] - 1.
    pub skipped: [u64; 4],
    /// Rows that found the queue full (policy: refuse), which got no number.
    pub turned_away: u64,
    /// Rows left behind with their stream, for whoever kept them ([`Device::leave_stream`]).
    pub left: u64,
    /// Data messages sent, repeats among them.
    pub sent_messages: u64,
    /// Rows in ROWS and SPARSE sent, repeats among them.
    pub sent_rows: u64,
    /// Data messages that held something sent before.
    pub resent_messages: u64,
    /// Data messages acknowledged.
    pub landed_messages: u64,
    /// Data messages found lost by later ones (UDP).
    pub lost_messages: u64,
    /// Time-outs of data and DECLARE (UDP).
    pub timeouts: u64,
    /// NACKs received.
    pub nacks: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Rows sent without acknowledgement.
    pub unacked_sent: u64,
    /// Rows without acknowledgement that never left.
    pub unacked_dropped: u64,
    /// Datagrams, or streams, that were no messages. Spec §3.7, checks 1 to 5.
    pub bad_frames: u64,
    /// Messages of other sessions, or that answer nothing.
    pub stray: u64,
    /// Messages whose body breaks its layout or its ranges. Spec §5.26.
    pub malformed: u64,
    /// Messages of types that are unknown, or not for a device. Spec §5.25.
    pub unknown: u64,
    /// Events that nobody polled in time.
    pub lost_events: u64,
    /// Smoothed round trip of the current session, commit included.
    pub rtt: Option<Duration>,
    /// Messages that may fly at once, as the path allows (UDP).
    pub cwnd: u32,
}

impl Stats {
    fn count_unusable(&mut self, known: bool) {
        if known {
            self.malformed += 1;
        } else {
            self.unknown += 1;
        }
    }
}

/// What COUNTS says: of the current stream alone.
#[derive(Clone, Copy, Debug, Default)]
struct Ledger {
    made: u64,
    skipped: [u64; 4],
    /// What the latest COUNTS said, and its row number.
    told: (u64, [u64; 4]),
    told_row: Option<u32>,
    /// When that was; before the first, when the first row was made.
    told_at: Option<Instant>,
}

impl Ledger {
    /// A ledger that begins with so many rows, of which nobody need be told.
    fn new(made: u64) -> Self {
        Self { made, told: (made, [0; 4]), ..Self::default() }
    }
}

impl Device {
    /// A device that is not connected. Whoever knows `seed` knows its nonces: draw it from the operating system, or from a
    /// scenario.
    ///
    /// # Errors
    /// [`ConfigError`]: the first field that is outside its range.
    pub fn new(config: Config, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.check()?;
        let mut entropy = Entropy::new(seed);
        let drawn = entropy.u64();
        Ok(Self {
            stream: config.stream.unwrap_or(drawn), // Spec §2.3a.
            entropy,
            state: State::Parked,
            transport: None,
            timers: Timers::default(),
            queue: Queue::new(config.first_row, config.queue),
            schemas: Schemas::default(),
            flights: Flights::default(),
            path: Path::new(),
            downlink: Downlink::new(config.config_rev, config.last_command_id),
            clock: ClockSync::default(),
            unacked: UnackedQueue::default(),
            events: Events::default(),
            stats: Stats::default(),
            ledger: Ledger::new(config.first_row.into()),
            received: Vec::new(),
            pongs: Vec::new(),
            farewell: None,
            closing: None,
            flush_below: 0,
            last_mark: config.first_row,
            ends: config.ends,
            failures: 0,
            abandoned: None,
            config,
        })
    }

    /// Makes a schema known. The same description again gives the same id.
    ///
    /// # Errors
    /// [`DeclareError`]
    pub fn declare(&mut self, description: &[u8]) -> Result<SchemaId, DeclareError> {
        if let Some(known) = self.schemas.find(description) {
            return Ok(known);
        }
        let schema = Schema::decode(description).map_err(DeclareError::Schema)?;
        self.schemas.add(&schema).ok_or(DeclareError::TooMany)
    }

    /// Queues a row, in ROWS form, and returns its number. `time_us` is by the clock of kind `clock`; with
    /// [`Clock::None`] only the difference between rows counts.
    ///
    /// # Errors
    /// [`PushError`]: the row has no number, and nothing has changed.
    pub fn push(
        &mut self,
        now: Instant,
        schema: SchemaId,
        clock: Clock,
        time_us: i64,
        row: &[u8],
    ) -> Result<u32, PushError> {
        self.check_row(schema, row)?;
        self.enqueue(now, Kind::Row, schema, clock, time_us, row)
    }

    /// As [`Device::push`], for a row in SPARSE form, in which channels may be absent: the presence bitmap, then the fields
    /// that are there, as [`senda_wire::encode_sparse_row`] writes them. Spec §5.8.
    ///
    /// A collector that does not read SPARSE can't have a row in which something is absent: [`Event::Dropped`] says so, and
    /// SKIP(REJECTED) tells the collector. A row in which nothing is absent travels as ROWS.
    ///
    /// # Errors
    /// As [`Device::push`].
    pub fn push_sparse(
        &mut self,
        now: Instant,
        schema: SchemaId,
        clock: Clock,
        time_us: i64,
        row: &[u8],
    ) -> Result<u32, PushError> {
        let slot = self.open_slot(schema)?;
        match slot.accepts_sparse(row).ok_or(PushError::BadRow)? {
            SparseRow::Full(row) => self.enqueue(now, Kind::Row, schema, clock, time_us, row),
            SparseRow::Partial => {
                let number = self.enqueue(now, Kind::Sparse, schema, clock, time_us, row)?;
                if matches!(&self.state, State::Serving(session) if !session.reads_sparse) {
                    self.reject_sparse();
                }
                Ok(number)
            }
        }
    }

    /// Sends a row once, without number, acknowledgement or promise. Spec §7.8.
    ///
    /// # Errors
    /// [`PushError`]; never [`PushError::Full`]: the oldest that waits goes.
    pub fn push_unacked(
        &mut self,
        schema: SchemaId,
        clock: Clock,
        time_us: i64,
        row: &[u8],
    ) -> Result<(), PushError> {
        self.check_row(schema, row)?;
        let message = Unacked { schema: schema.0, clock, time_us, row: row.into() };
        if self.unacked.push(message) {
            self.stats.unacked_dropped += 1;
        }
        Ok(())
    }

    /// Queues the device's own ledger: rows made and given up in this stream so far. Takes a row number. Spec §5.11.
    ///
    /// # Errors
    /// [`PushError::Full`], [`PushError::StreamFull`], [`PushError::Closed`]
    pub fn push_counts(&mut self, now: Instant) -> Result<u32, PushError> {
        if self.closing.is_some() {
            return Err(PushError::Closed);
        }
        let mut body = Vec::with_capacity(8 + 9 * SkipCause::ALL.len());
        self.make_room(now, body.capacity())?;
        body.extend_from_slice(&self.ledger.made.to_be_bytes());
        for (cause, count) in SkipCause::ALL.iter().zip(self.ledger.skipped) {
            if count > 0 {
                body.push(cause.code());
                body.extend_from_slice(&count.to_be_bytes());
            }
        }
        let number = self.queue.push(now, Kind::Counts, 0, Clock::None, 0, &body);
        let Ledger { made, skipped, .. } = self.ledger;
        self.ledger.told = (made, skipped);
        self.ledger.told_row = Some(number);
        self.ledger.told_at = Some(now);
        self.arm_persist(now);
        Ok(number)
    }

    /// Queues a COUNTS of an earlier boot again, as [`Device::queued_counts`] gave it to a spool. Spec §5.11, §6.5.
    ///
    /// # Errors
    /// As [`Device::push_counts`]; [`PushError::BadRow`]: it is no body of COUNTS.
    pub fn push_kept_counts(&mut self, now: Instant, body: &[u8]) -> Result<u32, PushError> {
        if self.closing.is_some() {
            return Err(PushError::Closed);
        }
        let (entries, rest) = body.get(8..).ok_or(PushError::BadRow)?.as_chunks::<9>();
        let is_ascending = entries.is_sorted_by(|[a, ..], [b, ..]| a < b);
        let are_known = entries.iter().all(|[code, ..]| SkipCause::from_code(*code).is_some());
        if !(rest.is_empty() && is_ascending && are_known) {
            return Err(PushError::BadRow);
        }
        self.make_room(now, body.len())?;
        let number = self.queue.push(now, Kind::Counts, 0, Clock::None, 0, body);
        self.arm_persist(now);
        Ok(number)
    }

    /// What a COUNTS that is queued under this number says, for a spool: `None` if the number is another record's.
    pub fn queued_counts(&self, row: u32) -> Option<Vec<u8>> {
        let record = self.queue.get(self.queue.index_of(row))?;
        if record.first != row || record.kind != Kind::Counts {
            return None;
        }
        let mut body = Vec::with_capacity(record.len());
        self.queue.copy_bytes(record, &mut body);
        Some(body)
    }

    /// Queues a SKIP for the next `count` numbers, from 1: rows that a spool no longer has. Returns the first of them.
    /// Spec §5.12, §6.5.
    ///
    /// # Errors
    /// [`PushError::Full`], [`PushError::StreamFull`], [`PushError::Closed`]; a `count` of 0 is [`PushError::BadRow`].
    pub fn skip(&mut self, now: Instant, count: u32, cause: SkipCause) -> Result<u32, PushError> {
        if self.closing.is_some() {
            return Err(PushError::Closed);
        }
        let last = count.checked_sub(1).ok_or(PushError::BadRow)?;
        let end = self.ends.unwrap_or(ROW_MAX + 1);
        if self.queue.next_row().checked_add(last).is_none_or(|last| last >= end) {
            return Err(PushError::StreamFull);
        }
        self.make_room(now, 0)?;
        let first = self.queue.push_skip(now, count, cause);
        self.stats.made += u64::from(count);
        self.ledger.made += u64::from(count);
        self.note_dropped(first, count, cause);
        self.arm_persist(now);
        Ok(first)
    }

    /// Goes on in a stream of its own and forgets what is unacknowledged in this one: a spool has it, and drains it later
    /// as an old stream. The session goes with the stream. Returns the stream that was left, and its mark. Spec §6.5.
    pub fn leave_stream(&mut self, now: Instant) -> (u64, u32) {
        let left = (self.stream, self.mark());
        if let State::Serving(session) = &self.state {
            self.farewell = Some((session.id, ErrorCode::GOING));
        }
        self.stats.left += self.queue.clear();
        self.begin_next_stream(now);
        left
    }

    /// As [`Device::push_counts`], if [`Config::counts_every`] is set and the ledger says more than the latest COUNTS did: for
    /// an orderly end, before `flush` or `close`. Spec §5.11b.
    ///
    /// # Errors
    /// As [`Device::push_counts`].
    pub fn push_new_counts(&mut self, now: Instant) -> Result<Option<u32>, PushError> {
        let Ledger { made, skipped, told, .. } = self.ledger;
        if self.config.counts_every.is_none() || told == (made, skipped) {
            return Ok(None);
        }
        self.push_counts(now).map(Some)
    }

    /// Rows queued so far leave without waiting for company.
    pub fn flush(&mut self) {
        self.flush_below = self.queue.next_row();
    }

    /// Changes how rows are gathered: the setting `batch_rows`. Spec §5.16.
    pub fn set_batch(&mut self, batch: Batch) {
        self.config.batch = Batch { rows: batch.rows.max(1), ..batch };
        self.timers.stop(Timer::Batch);
    }

    /// Says what the device's clock is worth: its microseconds are `now` + `base_us`. For TIME_REQ and for HELLO.
    pub fn set_clock(&mut self, now: Instant, clock: Clock, base_us: i64) {
        self.clock.set(Some((clock, base_us)));
        if self.config.time_every.is_some() && matches!(self.state, State::Serving(_)) {
            self.timers.start(Timer::Time, now);
        }
    }

    /// Says what a clock is worth that no longer runs, of an earlier boot: UTC minus it, microseconds. Its microseconds are
    /// `now` + `base_us`, as if it had gone on. HELLO says it, and so does a TIME_REQ when a session is open. Spec §13.3.
    pub fn state_offset(
        &mut self,
        now: Instant,
        clock: Clock,
        base_us: i64,
        offset_us: i64,
        uncertainty_us: u32,
    ) {
        self.clock.set(Some((clock, base_us)));
        self.clock.state(now, offset_us, uncertainty_us);
        self.clock.due = matches!(self.state, State::Serving(_));
    }

    /// Fires each timer that is due at `now`. Calling early or twice changes nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Hello => self.on_hello_timer(now),
                Timer::Connect => self.events.push(Event::NeedConnect),
                Timer::Resend => self.on_resend_timer(now),
                Timer::Declare => self.on_declare_timer(now),
                Timer::Ping => self.on_ping_timer(now),
                Timer::Keepalive => self.on_keepalive_timer(now),
                Timer::Silence => self.give_session_up(now),
                Timer::Persist => self.on_persist_timer(now),
                Timer::Time => self.on_time_timer(now),
                // What they held back leaves by `poll_transmit`.
                Timer::Hold | Timer::Pace | Timer::Batch => {}
            }
        }
        self.arm_persist(now);
    }

    /// The earliest deadline, and the timer that set it.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// What the application should know next, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// True when every row is durable or resolved.
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty()
    }

    /// What waits for its acknowledgement: rows, COUNTS and runs of skipped rows.
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Of those, the rows.
    pub fn pending_rows(&self) -> usize {
        self.queue.rows()
    }

    /// True when a row of so many bytes would be queued without any other being given up.
    pub fn has_room(&self, row_len: usize) -> bool {
        self.queue.has_room(row_len)
    }

    /// True while rows wait for the window, for congestion, for the pace or for a session: not for company alone.
    pub fn is_held_back(&mut self) -> bool {
        let State::Serving(session) = &self.state else { return !self.queue.is_empty() };
        let end = session.window_end();
        let Some(index) = self.queue.first_unsent() else { return false };
        let is_beyond = self.queue.get(index).is_some_and(|record| record.first >= end);
        is_beyond
            || self.flights.len() >= self.flights_max()
            || self.timers.runs(Timer::Hold)
            || self.timers.runs(Timer::Pace)
    }

    /// True while a session is open.
    pub fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving(_))
    }

    /// True after `close`, once nothing more is to be sent.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The stream that rows are numbered in.
    pub const fn stream(&self) -> u64 {
        self.stream
    }

    /// The id of the open session: a gateway finds the device of a datagram by it.
    pub fn session(&self) -> Option<u32> {
        match &self.state {
            State::Serving(session) => Some(session.id),
            _ => None,
        }
    }

    /// Low half of the nonce of the HELLO that is out: `seq` of what answers it, as `session` is 0 there or new.
    pub fn greeting(&self) -> Option<u32> {
        match &self.state {
            State::Greeting(attempt) => Some(attempt.answer_seq()),
            _ => None,
        }
    }

    /// The number that the next row gets.
    pub const fn next_row(&self) -> u32 {
        self.queue.next_row()
    }

    /// The number after the last row of the stream, as far as it is known: above [`Device::next_row`] while an old stream is
    /// not loaded to its end ([`Config::ends`]), or when the collector has seen more of it than the spool kept.
    pub fn stream_end(&self) -> u32 {
        self.end_row()
    }

    /// Every row below it is durable or resolved, as far as this device knows.
    pub fn mark(&self) -> u32 {
        self.queue.first_open()
    }

    /// Revision of the CONFIG in force; keep it across restarts if the settings are kept.
    pub const fn config_rev(&self) -> u32 {
        self.downlink.config_rev
    }

    /// Highest command id that was begun; keep it across restarts.
    pub const fn last_command_id(&self) -> u32 {
        self.downlink.last_command_id
    }

    /// True when the collector has more for a device that would sleep.
    pub const fn should_stay_awake(&self) -> bool {
        self.downlink.more
    }

    /// Best estimate of UTC minus the device's clock, and its uncertainty, which grows with its age; microseconds. Spec §13.3.
    pub fn time_offset(&self, now: Instant) -> Option<(i64, u32)> {
        self.clock.estimate(now)
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        Stats {
            rtt: self.path.srtt(),
            cwnd: self.path.cwnd(),
            lost_events: self.events.lost,
            ..self.stats
        }
    }

    fn check_row(&self, schema: SchemaId, row: &[u8]) -> Result<(), PushError> {
        if self.open_slot(schema)?.accepts(row) { Ok(()) } else { Err(PushError::BadRow) }
    }

    /// The schema, if rows of it may be queued.
    fn open_slot(&self, schema: SchemaId) -> Result<&Slot, PushError> {
        if self.closing.is_some() {
            return Err(PushError::Closed);
        }
        let slot = self.schemas.get(schema.0).ok_or(PushError::UnknownSchema)?;
        match slot.state {
            Declared::Refused(code) => Err(PushError::SchemaRefused(code)),
            _ => Ok(slot),
        }
    }

    /// Queues a row that was checked, and gives it its number.
    fn enqueue(
        &mut self,
        now: Instant,
        kind: Kind,
        schema: SchemaId,
        clock: Clock,
        time_us: i64,
        row: &[u8],
    ) -> Result<u32, PushError> {
        self.make_room(now, row.len())?;
        let number = self.queue.push(now, kind, schema.0, clock, time_us, row);
        self.stats.made += 1;
        self.ledger.made += 1;
        self.push_due_counts(now);
        self.arm_persist(now);
        Ok(number)
    }

    /// The ledger goes along with the first row that is made so long after the latest COUNTS; not while that one waits for
    /// its acknowledgement, so that a device without a collector does not fill its queue with them. Spec §5.11b.
    fn push_due_counts(&mut self, now: Instant) {
        let Some(every) = self.config.counts_every else { return };
        let since = *self.ledger.told_at.get_or_insert(now);
        let waits = self.ledger.told_row.is_some_and(|row| self.queue.holds_counts(row));
        if now.since(since) >= every && !waits {
            // Without room for it, it comes with a later row.
            let _ = self.push_counts(now);
        }
    }

    /// Makes room for a record with so many bytes, as the policy says.
    fn make_room(&mut self, now: Instant, len: usize) -> Result<(), PushError> {
        if self.ends.is_some_and(|ends| self.queue.next_row() >= ends) {
            return Err(PushError::StreamFull);
        }
        if self.queue.next_row() > ROW_MAX {
            if !self.queue.is_empty() {
                return Err(PushError::StreamFull);
            }
            self.begin_next_stream(now);
        }
        if self.queue.has_room(len) {
            return Ok(());
        }
        if self.config.queue.policy == DropPolicy::RefuseNew || !self.queue.can_ever_hold(len) {
            self.stats.turned_away += 1;
            return Err(PushError::Full);
        }
        while !self.queue.has_room(len) {
            match self.queue.drop_oldest() {
                Some((row, was_row)) => {
                    self.flights.forget(row, row + 1);
                    // A COUNTS is none of the rows made, until its number is one of those given up.
                    self.ledger.made += u64::from(!was_row);
                    self.note_dropped(row, 1, SkipCause::Overflow); // Spec §14, case 5.
                }
                // Nothing but skips is left, and they are one now.
                None if !self.queue.has_room(len) => return Err(PushError::Full),
                None => self.flights.clear(),
            }
        }
        Ok(())
    }

    /// Spec §2.3c: every number of the stream is given and settled. The session goes with it.
    fn begin_next_stream(&mut self, now: Instant) {
        match (&self.state, self.transport) {
            (State::Serving(_) | State::Greeting(_), Some(transport)) => {
                self.begin_stream();
                self.connect(now, transport);
            }
            _ => {
                let timers = core::mem::take(&mut self.timers);
                self.begin_stream();
                self.timers = timers;
            }
        }
    }

    /// Something is said at least every keepalive; a little earlier, so that a fleet does not speak in one instant.
    fn keepalive_wait(&mut self) -> Duration {
        let keepalive = match &self.state {
            State::Serving(session) => session.keepalive,
            _ => self.config.keepalive,
        };
        self.entropy.between(keepalive - keepalive / 10, keepalive)
    }

    fn on_keepalive_timer(&mut self, now: Instant) {
        let token = self.entropy.u64();
        let wait = self.keepalive_wait();
        let State::Serving(session) = &mut self.state else { return };
        match &mut session.ping {
            // It is repeated by its own timer (UDP), or the transport has it (TCP).
            Some(ping) => ping.due |= self.transport == Some(Transport::Tcp),
            none => {
                session.ping_counter = session.ping_counter.wrapping_add(1);
                *none = Some(Asked { seq: session.ping_counter, token, tries: 0, due: true });
            }
        }
        self.timers.set(Timer::Keepalive, now + wait);
    }

    fn on_time_timer(&mut self, now: Instant) {
        let Some(every) = self.config.time_every else { return };
        if self.clock.is_set() {
            self.clock.due = true;
            self.timers.set(Timer::Time, now + self.clock.next_wait(every));
        }
    }
}
