//! One commit, and what follows from it.

use senda_session::collector::{Mark, StreamState, Token};
use senda_store::{Landing, Verdict, Writer};

use crate::batch::Waiter;
use crate::words::translate;
use crate::{Answer, Batch, Change};

/// Owns the writer and carries out batches. It never waits for anything but the disk.
#[derive(Debug)]
pub struct Keeper {
    writer: Writer,
}

/// What follows from a commit, in order. Each stands for itself: a caller may pass it on at once.
#[derive(Debug)]
pub enum Effect<'a, W> {
    /// The landings were decided: for those who count. The verdicts are in the order of the landings. Comes first.
    Landed(&'a [Landing], &'a [Verdict]),
    /// For the engine.
    Answer(Answer),
    /// For somebody else who waited.
    Verdict(W, Verdict),
    /// For people who watch.
    Changed(Change),
}

impl Keeper {
    /// Takes over the store.
    pub const fn new(writer: Writer) -> Self {
        Self { writer }
    }

    /// The store: to file, to sweep, to ask.
    pub const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The store: to file, to sweep, to ask.
    pub const fn writer_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Gives the store back.
    pub fn into_writer(self) -> Writer {
        self.writer
    }

    /// Carries out a batch at `now`, microseconds since 1970. `out` gets the effects as they happen: what
    /// one says of the store is on the disk by then.
    ///
    /// All landings are one transaction with one sync; nothing is answered before it. A commit that fails is answered by
    /// [`Fate::Failed`](senda_session::collector::Fate::Failed) for each landing, and the rest is carried out all the same.
    pub fn commit<W>(&mut self, batch: Batch<W>, now: i64, out: &mut impl FnMut(Effect<'_, W>)) {
        let verdicts = if batch.landings.is_empty() {
            Vec::new()
        } else {
            self.writer.land(&batch.landings, now)
        };
        out(Effect::Landed(&batch.landings, &verdicts));
        let mut answers = Vec::new();
        for (waiter, verdict) in batch.waiting.into_iter().zip(verdicts) {
            match waiter {
                Waiter::Nobody => {}
                Waiter::Engine(token) => answers.push((token, translate(verdict))),
                Waiter::Other(other) => out(Effect::Verdict(other, verdict)),
            }
        }
        if !answers.is_empty() {
            out(Effect::Answer(Answer::Verdicts(answers)));
        }
        self.take_steps(batch.steps, now, out);
        for (token, device, stream) in batch.opens {
            let answer = self.open(token, &device, stream, now);
            out(Effect::Answer(answer));
        }
        for device in batch.waiting_for {
            let orders = self.orders(&device, now);
            if !orders.is_empty() {
                out(Effect::Answer(Answer::Orders(device, orders)));
            }
        }
    }

    fn open(&mut self, token: Token, device: &str, stream: u64, now: i64) -> Answer {
        let state = match self.writer.stream(device, stream, now) {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(%error, "can't read the state of a stream");
                return Answer::Stream(token, None, Vec::new());
            }
        };
        let mark = Mark { next_row: state.next_row, ranges: state.ranges };
        let schemas = state.schemas.into_iter();
        let schemas = schemas.map(|(id, description)| (id, description.to_vec())).collect();
        let state = StreamState { mark, schemas, config: None };
        Answer::Stream(token, Some(state), self.orders(device, now))
    }
}
