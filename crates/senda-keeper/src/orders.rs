//! What waits for devices, and what became of it.

use std::time::Duration;

use senda_session::collector::{Downlink, Outcome};
use senda_store::{AlertRecord, CommandEnd, CommandRecord, CommandState, HelloReport, StoreError};
use senda_wire::{DoneStatus, MessageType, registry};

use crate::alert::alert_body;
use crate::batch::Step;
use crate::{Answer, Change, Conclusion, Effect, Keeper};

/// An ALERT that a device has not answered within this time, in microseconds, is not sent to it any more.
pub const ALERT_TTL_US: i64 = 7 * 24 * 3_600 * 1_000_000;
/// What fits a device that takes the shortest messages that HELLO may offer.
const ALERT_BODY_MAX: usize = registry::MAX_MSG_MIN - registry::HEADER_LEN - registry::CRC_LEN;

/// The COMMAND of a record; `None` when its time is over at `now`, microseconds since 1970.
pub fn command_order(record: &CommandRecord, now: i64) -> Option<Downlink> {
    let left = u64::try_from(record.expires.saturating_sub(now)).ok().filter(|left| *left > 0)?;
    let mut body = record.id.to_be_bytes().to_vec();
    body.extend([0; 4]); // ttl_ms is filled in when it is sent.
    body.push(u8::try_from(record.name.len()).ok()?);
    body.extend_from_slice(record.name.as_bytes());
    body.extend_from_slice(&record.arguments);
    Some(Downlink {
        kind: MessageType::Command,
        id: record.id,
        body,
        ttl: Some(Duration::from_micros(left)),
    })
}

/// The ALERT of a record, short enough for any device. Spec §5.19.
pub fn alert_order(record: &AlertRecord) -> Option<Downlink> {
    let body = alert_body(record, ALERT_BODY_MAX)?;
    Some(Downlink { kind: MessageType::Alert, id: record.id, body, ttl: None })
}

impl Keeper {
    /// Keeps what happens to orders, in its order; HELLOs in a row take one transaction.
    pub(crate) fn take_steps<W>(
        &mut self,
        steps: Vec<Step>,
        now: i64,
        out: &mut impl FnMut(Effect<'_, W>),
    ) {
        let mut hellos = Vec::new();
        for step in steps {
            match step {
                Step::Hello(hello) => hellos.push(hello),
                Step::Record(token, device, id) => {
                    self.note_hellos(&mut hellos, now);
                    let (recorded, change) = self.record(&device, id, now);
                    let answer = Effect::Answer(Answer::Recorded(token, recorded));
                    for effect in change.map(Effect::Changed).into_iter().chain([answer]) {
                        out(effect);
                    }
                }
                Step::Conclude(conclusion) => {
                    self.note_hellos(&mut hellos, now);
                    if let Some(change) = self.conclude(&conclusion, now) {
                        out(Effect::Changed(change));
                    }
                }
            }
        }
        self.note_hellos(&mut hellos, now);
    }

    fn note_hellos(&mut self, hellos: &mut Vec<HelloReport>, now: i64) {
        if let Err(error) = self.writer_mut().note_hellos(hellos, now) {
            tracing::error!(%error, "what HELLOs said of orders is not noted");
        }
        hellos.clear();
    }

    /// Notes durably that a command is about to leave; false: it must not. Spec §7.7d.
    fn record(&mut self, device: &str, id: u32, now: i64) -> (bool, Option<Change>) {
        match self.writer_mut().command_sent(device, id, now) {
            Ok(true) => (true, self.changed_command(device, id, now)),
            Ok(false) => (false, None),
            Err(error) => {
                tracing::error!(%error, device, id, "a command can't be noted, so it is not sent");
                (false, None)
            }
        }
    }

    /// What waits for a device: commands, and alerts that it has not answered.
    pub(crate) fn orders(&mut self, device: &str, now: i64) -> Vec<Downlink> {
        let writer = self.writer_mut();
        let commands = writer.queued_commands(device, now);
        let alerts = writer.untold_alerts(device, now.saturating_sub(ALERT_TTL_US), now);
        match (commands, alerts) {
            (Ok(commands), Ok(alerts)) => {
                let commands = commands.iter().filter_map(|command| command_order(command, now));
                commands.chain(alerts.iter().filter_map(alert_order)).collect()
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, device, "what waits for a device waits on");
                Vec::new()
            }
        }
    }

    /// Keeps what became of an order.
    fn conclude(&mut self, conclusion: &Conclusion, now: i64) -> Option<Change> {
        self.try_conclude(conclusion, now).unwrap_or_else(|error| {
            let Conclusion { device, kind, id, .. } = conclusion;
            // A command stays `sent`, and becomes `unknown` at the next start.
            tracing::error!(%error, device = &**device, kind = kind.name(), id, "an outcome is not kept");
            None
        })
    }

    fn try_conclude(
        &mut self,
        conclusion: &Conclusion,
        now: i64,
    ) -> Result<Option<Change>, StoreError> {
        let Conclusion { device, kind, id, raised, outcome } = conclusion;
        tracing::debug!(device = &**device, kind = kind.name(), id, ?outcome, "sent down");
        match (kind, outcome) {
            (MessageType::Command, Outcome::Done { status, text, results }) => {
                let end = command_end(*status, text, results);
                self.end_command(device, *id, command_state(*status), &end, now)
            }
            (MessageType::Command, Outcome::Expired) => {
                self.end_command(device, *id, CommandState::Expired, &CommandEnd::default(), now)
            }
            (MessageType::Command, Outcome::Unknown) => {
                self.end_command(device, *id, CommandState::Unknown, &CommandEnd::default(), now)
            }
            (MessageType::Command, Outcome::NoTaker) => {
                self.writer_mut().command_unsent(device, *id, now).map(|()| None)
            }
            (MessageType::Config, Outcome::Done { status, text, results }) => {
                let end = command_end(*status, text, results);
                self.writer_mut().note_config(device, *id, &end, now)?;
                Ok(Some(Change::Config {
                    device: device.clone(),
                    revision: *id,
                    status: status.code(),
                    text: text.clone(),
                }))
            }
            (MessageType::Alert, Outcome::Done { .. }) => {
                self.writer_mut().alert_told(*id, *raised, now).map(|()| None)
            }
            _ => Ok(None),
        }
    }

    fn end_command(
        &mut self,
        device: &str,
        id: u32,
        state: CommandState,
        end: &CommandEnd,
        now: i64,
    ) -> Result<Option<Change>, StoreError> {
        let ended = self.writer_mut().command_ended(device, id, state, end, now)?;
        Ok(ended.map(|record| Change::Command(Box::new(record))))
    }

    fn changed_command(&mut self, device: &str, id: u32, now: i64) -> Option<Change> {
        match self.writer_mut().command(device, id, now) {
            Ok(record) => record.map(|record| Change::Command(Box::new(record))),
            Err(error) => {
                tracing::warn!(%error, device, id, "a command that can't be shown");
                None
            }
        }
    }
}

fn command_end(status: DoneStatus, text: &str, results: &[u8]) -> CommandEnd {
    CommandEnd { status: Some(status.code()), text: text.to_owned(), results: results.to_vec() }
}

/// Done says nothing of success: the status does.
const fn command_state(status: DoneStatus) -> CommandState {
    match status {
        DoneStatus::Refused | DoneStatus::Unknown => CommandState::Refused,
        DoneStatus::Expired => CommandState::Expired,
        _ => CommandState::Done,
    }
}
