//! The store thread's part in what goes to the devices: what waits for whom, and what became of it.

use std::sync::Arc;

use senda_session::collector::{Downlink, Outcome, Token};
use senda_store::{CommandEnd, CommandState, HelloReport, StoreError};
use senda_wire::{DoneStatus, MessageType};

use crate::control::{ALERT_TTL_US, alert_order, command_order};
use crate::engine::Input;
use crate::feed::Item;
use crate::store::Keeper;

/// Something that happens to orders.
pub(crate) enum Step {
    /// A command is about to be sent.
    Record(Token, Arc<str>, u32),
    /// A device said what it has.
    Hello(HelloReport),
    /// An order came to its end.
    Conclude(Conclusion),
}

/// What became of something sent down.
pub(crate) struct Conclusion {
    pub(crate) device: Arc<str>,
    pub(crate) kind: MessageType,
    pub(crate) id: u32,
    /// Of an ALERT: it said that the condition holds.
    pub(crate) raised: bool,
    pub(crate) outcome: Outcome,
}

impl Keeper {
    /// Keeps what happens to orders, in its order; HELLOs in a row take one transaction.
    pub(crate) fn take_steps(&mut self, steps: Vec<Step>, now: i64) {
        let mut hellos = Vec::new();
        for step in steps {
            if let Step::Hello(hello) = step {
                hellos.push(hello);
                continue;
            }
            self.note_hellos(&std::mem::take(&mut hellos), now);
            match step {
                Step::Record(token, device, id) => {
                    let recorded = self.record(&device, id, now);
                    self.tell(Input::Recorded(token, recorded));
                }
                Step::Conclude(conclusion) => self.conclude(&conclusion, now),
                Step::Hello(_) => {}
            }
        }
        self.note_hellos(&hellos, now);
    }

    fn note_hellos(&mut self, hellos: &[HelloReport], now: i64) {
        if let Err(error) = self.writer.note_hellos(hellos, now) {
            tracing::error!(%error, "what HELLOs said of orders is not noted");
        }
    }

    /// Notes durably that a command is about to leave; false: it must not. Spec §7.7d.
    fn record(&mut self, device: &str, id: u32, now: i64) -> bool {
        match self.writer.command_sent(device, id, now) {
            Ok(recorded) => {
                if recorded {
                    self.tell_command(device, id, now);
                }
                recorded
            }
            Err(error) => {
                tracing::error!(%error, device, id, "a command can't be noted, so it is not sent");
                false
            }
        }
    }

    /// What waits for a device: commands, and alerts that it has not answered.
    pub(crate) fn orders(&mut self, device: &str, now: i64) -> Vec<Downlink> {
        let commands = self.writer.queued_commands(device, now);
        let alerts = self.writer.untold_alerts(device, now.saturating_sub(ALERT_TTL_US), now);
        match (commands, alerts) {
            (Ok(commands), Ok(alerts)) => {
                let commands = commands.iter().filter_map(command_order);
                commands.chain(alerts.iter().filter_map(alert_order)).collect()
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, device, "what waits for a device waits on");
                Vec::new()
            }
        }
    }

    /// Keeps what became of an order.
    fn conclude(&mut self, conclusion: &Conclusion, now: i64) {
        if let Err(error) = self.try_conclude(conclusion, now) {
            let Conclusion { device, kind, id, .. } = conclusion;
            // A command stays `sent`, and becomes `unknown` at the next start.
            tracing::error!(%error, device = &**device, kind = kind.name(), id, "an outcome is not kept");
        }
    }

    fn try_conclude(&mut self, conclusion: &Conclusion, now: i64) -> Result<(), StoreError> {
        let Conclusion { device, kind, id, raised, outcome } = conclusion;
        tracing::debug!(device = &**device, kind = kind.name(), id, ?outcome, "sent down");
        match (kind, outcome) {
            (MessageType::Command, Outcome::Done { status, text, results }) => {
                let end = CommandEnd {
                    status: Some(status.code()),
                    text: text.clone(),
                    results: results.clone(),
                };
                self.end_command(device, *id, command_state(*status), &end, now)
            }
            (MessageType::Command, Outcome::Expired) => {
                self.end_command(device, *id, CommandState::Expired, &CommandEnd::default(), now)
            }
            (MessageType::Command, Outcome::Unknown) => {
                self.end_command(device, *id, CommandState::Unknown, &CommandEnd::default(), now)
            }
            (MessageType::Command, Outcome::NoTaker) => {
                self.writer.command_unsent(device, *id, now)
            }
            (MessageType::Config, Outcome::Done { status, text, results }) => {
                let end = CommandEnd {
                    status: Some(status.code()),
                    text: text.clone(),
                    results: results.clone(),
                };
                self.writer.note_config(device, *id, &end, now)?;
                self.feed.tell(Item::Config {
                    device: device.clone(),
                    revision: *id,
                    status: status.code(),
                    text: text.clone(),
                });
                Ok(())
            }
            (MessageType::Alert, Outcome::Done { .. }) => self.writer.alert_told(*id, *raised, now),
            _ => Ok(()),
        }
    }

    fn end_command(
        &mut self,
        device: &str,
        id: u32,
        state: CommandState,
        end: &CommandEnd,
        now: i64,
    ) -> Result<(), StoreError> {
        if let Some(record) = self.writer.command_ended(device, id, state, end, now)? {
            self.feed.tell(Item::Command(Box::new(record)));
        }
        Ok(())
    }

    fn tell_command(&mut self, device: &str, id: u32, now: i64) {
        match self.writer.command(device, id, now) {
            Ok(Some(record)) => self.feed.tell(Item::Command(Box::new(record))),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, device, id, "a command that can't be shown"),
        }
    }
}

/// Done says nothing of success: the status does.
const fn command_state(status: DoneStatus) -> CommandState {
    match status {
        DoneStatus::Refused | DoneStatus::Unknown => CommandState::Refused,
        DoneStatus::Expired => CommandState::Expired,
        _ => CommandState::Done,
    }
}
