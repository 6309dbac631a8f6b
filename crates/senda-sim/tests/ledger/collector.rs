//! A collector without threads and sockets: the real engine before the real store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use senda_session::Instant;
use senda_session::collector::{
    Collector, Config, Event, Fate, Mark, Now, Peer, StreamState, Token, Verdict, What,
};
use senda_store::{Landing, Options, Outcome, Writer};

/// Microseconds since 1970 when the world begins.
const BEGIN: i64 = 1_767_225_600_000_000;

/// What all engines of a world counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) datagrams: u64,
    pub(crate) bad_frames: u64,
    pub(crate) other_versions: u64,
}

pub(crate) struct Host {
    dir: PathBuf,
    engine: Collector,
    writer: Option<Writer>,
    landings: Vec<(Token, Landing)>,
    counts: Counts,
}

impl Host {
    pub(crate) fn new(dir: PathBuf, seed: u64) -> Self {
        let writer = Some(open(&dir, Instant(0)));
        let engine = engine(Instant(0), seed);
        Self { dir, engine, writer, landings: Vec::new(), counts: Counts::default() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn receive(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) {
        self.counts.datagrams += 1;
        self.engine.handle_datagram(at(now), remote, None, datagram);
    }

    /// Timers, and one commit for what waits.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.engine.handle_timeout(at(now));
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Land { token, device, stream, received_us, what } => {
                    let what = translate(what);
                    self.landings
                        .push((token, Landing { device, stream, received: received_us, what }));
                }
                Event::Open { token, device, stream, .. } => {
                    self.commit(now);
                    let state = self.writer().stream(&device, stream, at(now).utc_us);
                    let state = state.expect("the marks of a stream");
                    let schemas = state.schemas.into_iter().map(|(id, text)| (id, text.to_vec()));
                    let mark = Mark { next_row: state.next_row, ranges: state.ranges };
                    let state = StreamState { mark, schemas: schemas.collect(), config: None };
                    self.engine.handle_stream(at(now), token, state);
                }
                Event::Drop { reason, .. } => {
                    use senda_session::collector::DropReason::{Frame, Hello};
                    match reason {
                        Frame(_) => self.counts.bad_frames += 1,
                        Hello { .. } => self.counts.other_versions += 1,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        self.commit(now);
    }

    pub(crate) fn transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let transmit = self.engine.poll_transmit()?;
        let Peer::Udp { remote, .. } = transmit.peer else { return None };
        Some((remote, transmit.bytes))
    }

    pub(crate) fn next_moment(&self) -> Option<Instant> {
        self.engine.poll_timeout().map(|(at, _)| at)
    }

    pub(crate) fn file(&mut self, now: Instant, budget: usize) {
        self.writer().file(at(now).utc_us, budget).expect("filing");
    }

    pub(crate) fn file_all(&mut self, now: Instant) {
        self.writer().file_all(at(now).utc_us).expect("filing");
    }

    /// The process ends: what has not landed is gone. The files stay as they are.
    pub(crate) fn stop(&mut self) {
        self.landings.clear();
        self.writer = None;
    }

    pub(crate) fn start(&mut self, dir: PathBuf, now: Instant, seed: u64) {
        self.writer = Some(open(&dir, now));
        self.dir = dir;
        self.engine = engine(now, seed);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn commit(&mut self, now: Instant) {
        if self.landings.is_empty() {
            return;
        }
        let (tokens, batch): (Vec<Token>, Vec<Landing>) = self.landings.drain(..).unzip();
        let verdicts = self.writer().land(&batch, at(now).utc_us);
        let verdicts: Vec<_> = tokens.into_iter().zip(verdicts.into_iter().map(judge)).collect();
        self.engine.handle_durable(at(now), verdicts);
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("open between stop and start alone")
    }
}

fn engine(now: Instant, seed: u64) -> Collector {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Collector::new(Config::default(), bytes, now)
}

fn open(dir: &Path, now: Instant) -> Writer {
    let options = Options { filing_delay: 0, streams_cached_max: 1, ..Options::default() };
    Writer::open(dir, options, at(now).utc_us).expect("the store opens")
}

fn at(now: Instant) -> Now {
    let since = i64::try_from(now.0).expect("an hour or two");
    Now { instant: now, utc_us: BEGIN + since }
}

/// The engine's words in the store's. Every 29th row is refused: no device of ours makes one that has to be.
fn translate(what: What) -> senda_store::What {
    use senda_store::What as To;
    match what {
        What::Rows { first, count, sparse, schema, body, .. } => {
            let refused = (0..count).filter(|index| (first + u32::from(*index)) % 29 == 7);
            let refused = refused.map(|index| (index, 301)).collect();
            To::Rows { first, count, sparse, schema, body, refused }
        }
        What::Skip { first, count, cause } => To::Skip { first, count, cause },
        What::Counts { row, made, causes } => To::Counts { row, made, causes },
        What::Declare { id, description } => To::Declare { id, description },
        What::Clock(clock) => To::Clock {
            offset_us: clock.offset,
            uncertainty_us: clock.uncertainty,
            kind: clock.clock.code(),
        },
        What::Unreadable { .. } | What::Unacked { .. } => {
            unreachable!("no device of ours sends it, and damage does not pass the CRC")
        }
    }
}

fn judge(verdict: senda_store::Verdict) -> Verdict {
    let fate = match verdict.outcome {
        Outcome::Stored | Outcome::PartlyDuplicate => Fate::Stored,
        Outcome::Duplicate => Fate::Duplicate,
        Outcome::Window => Fate::NoRange,
        Outcome::UnknownSchema => Fate::NoSchema,
        Outcome::Conflict | Outcome::TooManySchemas => Fate::Conflict,
        Outcome::Invalid | Outcome::Failed(_) => Fate::Failed,
    };
    let mark = Mark { next_row: verdict.next_row, ranges: verdict.ranges };
    Verdict { fate, mark, refused: verdict.refused }
}
