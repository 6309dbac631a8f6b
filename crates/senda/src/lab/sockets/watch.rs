//! `senda lab sockets --watch`: a line for each change, as soon as it is seen.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use unicode_width::UnicodeWidthStr;

use super::diag::{Ends, Kernel, Protocol, Socket, State};
use super::filter::Filter;
use super::owner::{Owner, owners};
use super::timeline::{Change, Event, Key, Timeline, key};
use super::{Args, Format, table};
use crate::lab::language::Language;
use crate::signal::Stop;

/// Watches until Ctrl-C, SIGTERM or the end of `--duration`.
pub(super) fn run(args: &Args, filter: &Filter, language: Language) -> anyhow::Result<ExitCode> {
    let mut watch = Watch {
        filter,
        // Before the first look: whatever ends from now on is told of. A kernel that does not tell is no reason not to look.
        ends: Ends::open(filter.query).ok(),
        kernel: Kernel::open()?,
        timeline: Timeline::default(),
        owners: HashMap::new(),
        printer: Printer::new(args, language),
    };
    let mut pace = Pace::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let stop = runtime.context("start a timer")?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let end = async {
            match args.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let (at, present) = (pace.look(), watch.look()?);
        // Said only now: what happens from here on is seen to happen.
        watch.printer.begin(args.every)?;
        watch.tell(at, &present)?;
        let mut ticks = tokio::time::interval(args.every);
        // Looks that take long are not made up for: they would only take the processor.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok::<_, anyhow::Error>(Stop::Interrupted),
                _ = terminate.recv() => return Ok(Stop::Terminated),
                () = &mut end => return Ok(Stop::Elapsed),
                _ = ticks.tick() => {
                    let at = pace.look();
                    let changes = watch.look()?;
                    watch.tell(at, &changes)?;
                }
            }
        }
    })?;
    watch.printer.end(&pace, watch.ends.is_none_or(|ends| ends.lost))?;
    Ok(if stop == Stop::Interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

/// Most sockets that are listed because they were there before; a timeline is of what happens.
const PRESENT_MAX: usize = 20;

type Owners = HashMap<Key, Vec<Owner>>;

struct Watch<'w> {
    filter: &'w Filter,
    kernel: Kernel,
    ends: Option<Ends>,
    timeline: Timeline,
    /// Of sockets that are there, as they were found: in TIME-WAIT they have none any more.
    owners: Owners,
    printer: Printer,
}

impl Watch<'_> {
    fn look(&mut self) -> anyhow::Result<Vec<Change>> {
        let look = self.kernel.sockets(self.filter.query)?;
        let ended = self.ends.as_mut().map(Ends::take).transpose();
        let ended = ended.context("read which sockets ended")?.unwrap_or_default();
        let mut changes = self.timeline.advance(look, ended);
        changes.retain(|change| self.filter.takes_addresses(&change.socket));
        self.learn_owners();
        Ok(changes)
    }

    /// Prints what the filters take.
    fn tell(&mut self, at: Duration, changes: &[Change]) -> io::Result<()> {
        let mut taken: Vec<_> = changes.iter().filter(|change| self.takes(change)).collect();
        let present = taken.iter().filter(|change| change.event == Event::Present).count();
        if present > PRESENT_MAX && self.printer.format == Format::Text {
            taken.retain(|change| change.event != Event::Present);
            self.printer.leave_out(present)?;
        }
        for change in taken {
            self.printer.change(at, change, owners_of(&change.socket, &self.owners))?;
        }
        // Not before the last line of those that are gone.
        self.owners.retain(|key, _| self.timeline.knows(key));
        Ok(())
    }

    fn takes(&self, change: &Change) -> bool {
        let (filter, socket) = (self.filter, &change.socket);
        let in_states = match change.event {
            Event::Changed { from } => filter.takes_state(from) || filter.takes_state(socket.state),
            _ => filter.takes_state(socket.state),
        };
        in_states && filter.takes_owners(owners_of(socket, &self.owners))
    }

    /// Looks through /proc only when there is a socket that it has not looked for, for that takes longer than a look.
    /// A connection gets its inode by `accept`, later than it appears.
    fn learn_owners(&mut self) {
        let sockets = self.timeline.sockets().filter(|socket| socket.inode != 0);
        let sockets = sockets.filter(|socket| self.filter.takes_addresses(socket));
        let new: Vec<(Key, u64)> = sockets
            .map(|socket| (key(socket), socket.inode))
            .filter(|(key, _)| !self.owners.contains_key(key))
            .collect();
        let mut found = owners(&new.iter().map(|(_, inode)| *inode).collect());
        for (key, inode) in new {
            self.owners.insert(key, found.remove(&inode).unwrap_or_default());
        }
    }
}

fn owners_of<'o>(socket: &Socket, owners: &'o Owners) -> &'o [Owner] {
    owners.get(&key(socket)).map_or(&[], Vec::as_slice)
}

/// When the looks were.
struct Pace {
    start: Instant,
    last: Instant,
    looks: u64,
    longest: Duration,
}

impl Pace {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, last: start, looks: 0, longest: Duration::ZERO }
    }

    /// The time of a look that begins.
    fn look(&mut self) -> Duration {
        let now = Instant::now();
        if self.looks > 0 {
            self.longest = self.longest.max(now - self.last);
        }
        self.looks += 1;
        self.last = now;
        now - self.start
    }
}

struct Printer {
    format: Format,
    language: Language,
    explain: bool,
    explained: HashSet<(State, Protocol)>,
    changes: u64,
    /// How long a line may be.
    room: usize,
    /// The widest addresses so far, local and peer's.
    widths: [usize; 2],
}

impl Printer {
    fn new(args: &Args, language: Language) -> Self {
        Self {
            format: args.format,
            language,
            explain: args.explain,
            explained: HashSet::new(),
            changes: 0,
            room: table::width_of_stdout(),
            widths: ["127.0.0.1:65432".len(); 2],
        }
    }

    /// The first line on standard output, by which a script knows that it looks.
    fn begin(&mut self, every: Duration) -> io::Result<()> {
        let ms = every.as_secs_f64() * 1e3;
        match self.format {
            Format::Json => print(&json!({ "event": "watching", "every_ms": ms }).to_string()),
            Format::Text => {
                say(&match self.language {
                    Language::Es => format!(
                        "senda: miro cada {ms} ms; lo que dure menos se me puede escapar. Ctrl-C para terminar."
                    ),
                    Language::En => format!(
                        "senda: looking every {ms} ms; what takes less may be missed. Ctrl-C ends."
                    ),
                })?;
                let [time, local, peer, what] = self.language.choose(
                    ["Segundos", "Local", "Remota", "Qué pasa"],
                    ["Seconds", "Local", "Peer", "What happens"],
                );
                let line = self.line(time, "", local, peer, what);
                print(&line)
            }
        }
    }

    fn leave_out(&self, present: usize) -> io::Result<()> {
        say(&match self.language {
            Language::Es => format!(
                "senda: ya había {present} sockets, demasiados para una lista; con --port, --state o --process salen"
            ),
            Language::En => format!(
                "senda: {present} sockets were there already, too many to list; --port, --state or --process show them"
            ),
        })
    }

    fn change(&mut self, at: Duration, change: &Change, owners: &[Owner]) -> io::Result<()> {
        let language = self.language;
        let Change { event, socket } = change;
        self.changes += u64::from(*event != Event::Present);
        if self.format == Format::Json {
            let mut object = table::object(socket, owners, language);
            object["event"] = event.name().into();
            object["ms"] = milliseconds(at).into();
            if let Event::Changed { from } = event {
                object["from"] = from.rfc_name().into();
                object["skipped"] = (!from.leads_to(socket.state)).into();
            }
            return print(&object.to_string());
        }
        let time = format!("{:.3}", at.as_secs_f64());
        let (local, peer) = (table::local(socket), table::peer(socket));
        let room = self.room;
        let mut line = |with_rfc| {
            let what = self.what(change, owners, with_rfc);
            self.line(&time, table::protocol(socket), &local, &peer, &what)
        };
        let wide = line(true);
        let is_wide = wide.width() <= room;
        print(&if is_wide { wide } else { line(false) })?;
        let is_news = !matches!(event, Event::Gone | Event::Missed);
        let (state, protocol) = (socket.state, socket.protocol);
        if is_news && (self.explain || !is_wide) && self.explained.insert((state, protocol)) {
            let mut out = io::stdout().lock();
            if self.explain {
                table::write_explanation(&mut out, state, protocol, language)?;
            } else if language == Language::Es {
                writeln!(out, "         RFC 9293: {}", state.label(language))?;
            }
            out.flush()?;
        }
        Ok(())
    }

    fn what(&self, change: &Change, owners: &[Owner], with_rfc: bool) -> String {
        let language = self.language;
        let state = change.socket.state;
        let label = if with_rfc { state.label(language) } else { state.name(language).to_owned() };
        let owner = match owners {
            [] => String::new(),
            some => format!(" {}", table::process(some)),
        };
        match (change.event, language) {
            (Event::Present, Language::Es) => format!("ya estaba: {label}{owner}"),
            (Event::Present, Language::En) => format!("was there: {label}{owner}"),
            (Event::Appeared, Language::Es) => format!("aparece: {label}{owner}"),
            (Event::Appeared, Language::En) => format!("appears: {label}{owner}"),
            (Event::Changed { from }, _) => {
                let arrow = if from.leads_to(state) { "→" } else { "→ … →" };
                format!("{} {arrow} {label}", from.name(language))
            }
            (Event::Gone, Language::Es) => format!("desaparece; era {label}"),
            (Event::Gone, Language::En) => format!("gone; was {label}"),
            (Event::Missed, Language::Es) => "vino y se fue entre dos miradas".to_owned(),
            (Event::Missed, Language::En) => "came and went between two looks".to_owned(),
        }
    }

    /// Columns that grow with what is in them, for what comes is not known.
    fn line(&mut self, time: &str, protocol: &str, local: &str, peer: &str, what: &str) -> String {
        let padded = [local, peer].into_iter().zip(&mut self.widths).map(|(text, width)| {
            *width = (*width).max(text.width());
            format!("{text}{}", " ".repeat(*width - text.width()))
        });
        let ends = padded.collect::<Vec<_>>().join(" ");
        format!("{time:>8} {protocol:<4} {ends}  {what}")
    }

    /// How far it may be trusted.
    fn end(&self, pace: &Pace, lost: bool) -> io::Result<()> {
        let (changes, looks) = (self.changes, pace.looks);
        let longest = milliseconds(pace.longest);
        let plural = if changes == 1 { "" } else { "s" };
        say(&match self.language {
            Language::Es => format!(
                "senda: {changes} cambio{plural} en {looks} miradas; entre dos pasaron como mucho {longest} ms: un estado más \
                 corto puede haberse escapado"
            ),
            Language::En => format!(
                "senda: {changes} change{plural} in {looks} looks, at most {longest} ms between two: a shorter state may have \
                 been missed"
            ),
        })?;
        if lost {
            say(self.language.choose(
                "senda: el núcleo no pudo contar todos los finales: puede faltar alguna línea «vino y se fue»",
                "senda: the kernel could not tell of every end: some \"came and went\" may be missing",
            ))?;
        }
        Ok(())
    }
}

/// Talk.
fn say(text: &str) -> io::Result<()> {
    table::write_folded(&mut io::stderr(), text)
}

/// With three digits after the point.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A line, at once.
fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
