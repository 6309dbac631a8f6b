//! Many messages, on a schedule or as fast as they are answered.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::super::language::Language;
use super::super::signals::{self, Signals};
use super::payload::{Answer, Payload};
use super::single::{self, closed_early};
use super::summary::Summary;
use super::tally::{Kind, Tally};
use super::wire::Wire;
use super::{Args, nobody_listens};
use crate::signal::Stop;
use crate::text::Format;

/// Answers that are shown, unless they come slowly enough for eyes.
const SHOWN_MAX: u64 = 100;
const SLOW: Duration = Duration::from_millis(100);
/// Steps until signals are looked at again.
const TURN: u32 = 64;

pub(super) async fn run(
    args: &Args,
    payload: Payload,
    targets: &[SocketAddr],
    language: Language,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let wire = tokio::select! {
        stop = signals.next() => return Ok(signals::exit_code(stop)),
        wire = single::connect(args, targets, payload.len(), language) => wire?,
    };
    let target = wire.peer()?;
    let mut ping = Ping {
        tally: Tally::new(args.timeout, args.under_way_max()),
        schedule: args.schedule(),
        payload,
        wire,
        start: Instant::now(),
        last_answer: Duration::ZERO,
        next_in_stream: 0,
        held_back: 0,
        is_full: false,
        full_until: Duration::ZERO,
        shown: 0,
        shown_max: args.shown_max(),
        target,
        language,
    };
    let end = ping.carry(&mut signals).await?;
    ping.finish(&end, args.format)?;
    match end {
        End::Stopped(stop) => Ok(signals::exit_code(stop)),
        End::Refused => Err(nobody_listens(target, true, language)),
        End::Failed(error) if error.kind() == ErrorKind::UnexpectedEof => {
            let (unfinished, len) = (ping.wire.unfinished(), ping.payload.len());
            Err(closed_early(target, unfinished, len, language))
        }
        End::Failed(error) => Err(anyhow::Error::new(error).context(target)),
        End::Done => ping.verdict(),
    }
}

impl Args {
    fn shown_max(&self) -> u64 {
        match (self.quiet || self.format == Format::Json, self.interval) {
            (true, _) => 0,
            (false, Some(interval)) if interval >= SLOW => u64::MAX,
            (false, _) => SHOWN_MAX,
        }
    }
}

/// When messages are due.
pub(super) struct Schedule {
    /// None: no end.
    count: Option<u64>,
    /// None: as soon as there is room.
    interval: Option<Duration>,
}

impl Schedule {
    pub(super) const fn new(count: Option<u64>, interval: Option<Duration>) -> Self {
        Self { count, interval }
    }

    /// When message `number` is due; none if it is not to be sent.
    fn due(&self, number: u64) -> Option<Duration> {
        if self.count.is_some_and(|count| number >= count) {
            return None;
        }
        let interval = self.interval.unwrap_or_default().as_nanos();
        let nanos = u64::try_from(interval.saturating_mul(number.into())).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(nanos))
    }
}

/// Why a ping is over.
enum End {
    /// Each message has its fate.
    Done,
    Stopped(Stop),
    /// UDP: nobody listens, and nobody ever did.
    Refused,
    Failed(io::Error),
}

struct Ping {
    tally: Tally,
    schedule: Schedule,
    payload: Payload,
    wire: Wire,
    start: Instant,
    last_answer: Duration,
    /// Number of the message whose answer comes next in a stream.
    next_in_stream: u64,
    /// Messages that left after they were due, since too much was under way.
    held_back: u64,
    /// There was no room for a message.
    is_full: bool,
    /// Until then whatever was due had to wait: there is room since.
    full_until: Duration,
    shown: u64,
    shown_max: u64,
    target: SocketAddr,
    language: Language,
}

impl Ping {
    async fn carry(&mut self, signals: &mut Signals) -> anyhow::Result<End> {
        let mut steps = 0_u32;
        loop {
            self.tally.expire(self.start.elapsed());
            let due = self.send_what_is_due();
            if due.is_none() && self.wire.is_free() && self.tally.waiting() == 0 {
                return Ok(End::Done);
            }
            let moved = match self.step() {
                Ok(moved) => moved?,
                Err(error) => match self.judge(error) {
                    Some(end) => return Ok(end),
                    None => true,
                },
            };
            steps += 1;
            if moved && steps < TURN {
                continue;
            }
            steps = 0;
            // Room for the next one comes with an answer or an expiry, not with time.
            let due = due.filter(|_| self.has_room());
            let wake = earlier(due, self.tally.next_expiry());
            tokio::select! {
                biased;
                stop = signals.next() => return Ok(End::Stopped(stop)),
                () = tokio::task::yield_now(), if moved => {} // The runtime looks for signals.
                () = sleep_until(self.start, wake), if !moved && wake.is_some() => {}
                ready = self.wire.ready(), if !moved => {
                    if let Some(end) = ready.err().and_then(|error| self.judge(error)) {
                        return Ok(end);
                    }
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.wire.is_free() && self.tally.has_room()
    }

    /// Hands the next message to the wire, if it is due and has room. Returns when the one after that is due.
    fn send_what_is_due(&mut self) -> Option<Duration> {
        let now = self.start.elapsed();
        let has_room = self.has_room();
        if std::mem::replace(&mut self.is_full, !has_room) && has_room {
            self.full_until = now;
        }
        let due = self.schedule.due(self.tally.counts().sent)?;
        if due > now || !has_room {
            return Some(due);
        }
        self.held_back += u64::from(self.schedule.interval.is_some() && due < self.full_until);
        let number = self.tally.sent(now);
        self.wire.put(self.payload.message(number));
        self.schedule.due(number + 1)
    }

    /// Sends and receives what can be, at most a message each way. The outer error is the socket's, the inner one that of
    /// standard output. True when anything moved.
    fn step(&mut self) -> io::Result<anyhow::Result<bool>> {
        let flushed = self.wire.flush()?;
        let Some(bytes) = self.wire.receive()? else { return Ok(Ok(flushed)) };
        let now = self.start.elapsed();
        let answer = if self.wire.is_udp() {
            self.payload.read_datagram(&bytes)
        } else {
            self.next_in_stream += 1;
            self.payload.read_stream(self.next_in_stream - 1, &bytes)
        };
        self.last_answer = now;
        let number = match answer {
            Answer::Intact(number) | Answer::Damaged(number) => number,
            Answer::Foreign => 0,
        };
        let kind = self.tally.answered(answer, now);
        Ok(self.show(number, kind, bytes.len()).map(|()| true))
    }

    /// What an error of the socket means; none where the next try may do better.
    fn judge(&self, error: io::Error) -> Option<End> {
        if !self.wire.is_udp() || error.kind() != ErrorKind::ConnectionRefused {
            return Some(End::Failed(error));
        }
        // Somebody who has answered may be there again.
        (!self.tally.is_answered()).then_some(End::Refused)
    }

    fn show(&mut self, number: u64, kind: Kind, len: usize) -> anyhow::Result<()> {
        if self.shown >= self.shown_max {
            return Ok(());
        }
        self.shown += 1;
        let (language, target) = (self.language, self.target);
        let from = language.choose("bytes de", "bytes from");
        let (name, remark) = (language.choose("tiempo", "time"), remark(kind, language));
        let mut out = io::stdout().lock();
        match kind {
            Kind::InTime(time) | Kind::Late(time) => {
                let ms = time.as_secs_f64() * 1e3;
                writeln!(out, "{len} {from} {target}: seq={number} {name}={ms:.3} ms{remark}")?;
            }
            Kind::Damaged | Kind::Duplicate => {
                writeln!(out, "{len} {from} {target}: seq={number}{remark}")?;
            }
            Kind::Foreign => writeln!(out, "{len} {from} {target}:{remark}")?,
        }
        if self.shown == self.shown_max {
            let further = language
                .choose("(las siguientes solo se cuentan)", "(further ones are only counted)");
            writeln!(out, "{further}")?;
        }
        Ok(())
    }

    /// Prints the summary.
    fn finish(&mut self, end: &End, format: Format) -> anyhow::Result<()> {
        if !matches!(end, End::Stopped(_)) {
            self.tally.give_up(); // Nothing comes any more; when stopped, something might have.
        }
        let summary = Summary {
            target: self.target,
            is_udp: self.wire.is_udp(),
            message_len: self.payload.len(),
            counts: self.tally.counts(),
            waiting: self.tally.waiting(),
            held_back: self.held_back,
            times: self.tally.times(),
            elapsed: self.last_answer,
        };
        let mut out = io::stdout().lock();
        match format {
            Format::Text => writeln!(out, "{}", summary.text(self.language))?,
            Format::Json => writeln!(out, "{}", summary.json())?,
        }
        Ok(out.flush()?)
    }

    fn verdict(&self) -> anyhow::Result<ExitCode> {
        let (language, target, counts) = (self.language, self.target, self.tally.counts());
        if !self.tally.is_answered() {
            let nothing = language.choose("no contestó nada", "answered nothing");
            anyhow::bail!("{target} {nothing}");
        }
        if counts.damaged > 0 {
            let other = language.choose(
                "devolvió algo distinto de lo enviado: allí no hay un servidor de eco",
                "returned other bytes than were sent: there is no echo server",
            );
            anyhow::bail!("{target} {other}");
        }
        single::surplus(target, &self.wire, language).map_or(Ok(ExitCode::SUCCESS), Err)
    }
}

fn remark(kind: Kind, language: Language) -> &'static str {
    match kind {
        Kind::InTime(_) => "",
        Kind::Late(_) => language.choose(" (tarde)", " (late)"),
        Kind::Damaged => language.choose(" (¡alterado!)", " (damaged!)"),
        Kind::Duplicate => language.choose(" (¡repetido!)", " (duplicate!)"),
        Kind::Foreign => language.choose(" (no es una respuesta nuestra)", " (no answer of ours)"),
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// For ever where there is no moment.
async fn sleep_until(start: Instant, moment: Option<Duration>) {
    match moment.and_then(|moment| start.checked_add(moment)) {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_their_interval_however_late_the_last_one_was() {
        let schedule = Schedule::new(Some(3), Some(Duration::from_millis(200)));
        let due = [0, 1, 2, 3].map(|number| schedule.due(number).map(|due| due.as_millis()));
        assert_eq!(due, [Some(0), Some(200), Some(400), None]);
        let at_once = Schedule::new(None, None);
        assert_eq!(at_once.due(u64::MAX), Some(Duration::ZERO));
        let far = Schedule::new(None, Some(Duration::from_secs(3_600)));
        assert_eq!(far.due(u64::MAX), Some(Duration::from_nanos(u64::MAX)));
    }
}
