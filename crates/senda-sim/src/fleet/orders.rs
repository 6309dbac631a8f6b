//! What a device does with a CONFIG, a COMMAND and an ALERT. Spec §5.16 to §5.20, §7.7.
//!
//! | command | arguments | it answers |
//! |---|---|---|
//! | `identify` | | who it is and how it is |
//! | `reboot` | | OK, and then it boots: a new stream, an empty queue, settings at their defaults |
//! | `set-interval` | `5s`, seconds, or `interval_ms=` | the interval in force, until a CONFIG or a reboot |
//! | `read-now` | | the row that it took, value by value |
//! | `echo-args` | anything | all of it again |
//! | `fail` | | FAILED, always |

use senda_session::Instant;
use senda_session::device::{AlertDetail, Argument, DoneError, OwnedValue, Ticket, Transport};
use senda_wire::registry::ARGS_MAX;
use senda_wire::{DoneStatus, Value};

use super::member::{Member, SOFTWARE, Turn};
use super::settings::{self, Settings};
use super::{Answer, Happening};
use crate::profile::Channel;

impl Member {
    /// Applies the desired state, or refuses it as a whole.
    pub(super) fn on_config(
        &mut self,
        ticket: Ticket,
        revision: u32,
        desired: &[Argument],
        turn: &mut Turn<'_>,
    ) {
        let channels = self.instrument.profile().channels();
        let (settings, answer) = Settings::read(&self.defaults, channels, desired);
        if let Some(settings) = settings {
            self.apply(settings, turn.now);
            turn.figures.configured += 1;
        }
        let answer = self.answer(ticket, answer);
        self.tell(turn, &Happening::Config { revision, settings: desired, answer: &answer });
    }

    /// Executes a command. What it does is done before the answer leaves, but for a reboot.
    pub(super) fn on_command(
        &mut self,
        ticket: Ticket,
        id: u32,
        name: &str,
        arguments: &[Argument],
        turn: &mut Turn<'_>,
    ) {
        let answer = match name {
            "identify" => self.identify(turn),
            "reboot" => {
                self.wants_reboot = true;
                Answer::new(DoneStatus::Ok, "rebooting")
            }
            "set-interval" => self.set_interval(arguments, turn),
            "read-now" => self.read_now(turn),
            "echo-args" => {
                Answer { results: arguments.to_vec(), ..Answer::new(DoneStatus::Ok, "") }
            }
            "fail" => Answer::new(DoneStatus::Failed, "this command fails every time"),
            _ => Answer::new(
                DoneStatus::Unknown,
                "known: identify, reboot, set-interval, read-now, echo-args, fail",
            ),
        };
        turn.figures.commands += 1;
        let answer = self.answer(ticket, answer);
        self.tell(turn, &Happening::Command { id, name, arguments, answer: &answer });
    }

    /// Shows an alert to whoever watches the fleet.
    pub(super) fn on_alert(&mut self, ticket: Ticket, alert: &AlertDetail, turn: &mut Turn<'_>) {
        turn.figures.alerts += 1;
        self.answer(ticket, Answer::new(DoneStatus::Ok, ""));
        self.tell(turn, &Happening::Alert(alert));
    }

    /// Says DONE; what was said.
    fn answer(&mut self, ticket: Ticket, answer: Answer) -> Answer {
        let Answer { status, text, results } = &answer;
        match self.device.done(ticket, *status, text, results) {
            Err(DoneError::Encode(_)) => {
                let status = *status;
                let answer = Answer::new(status, "the results do not fit one message");
                // It can only be stale, as below.
                let _ = self.device.done(ticket, status, &answer.text, &[]);
                answer
            }
            // Stale: the session that asked is gone, and with it whoever waits for the answer.
            _ => answer,
        }
    }

    fn identify(&self, turn: &Turn<'_>) -> Answer {
        let profile = self.instrument.profile();
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let channels = u16::try_from(profile.channels().len()).unwrap_or(u16::MAX);
        let results = vec![
            Argument::new("name", profile.device_name(self.index)),
            Argument::new("profile", profile.schema().name().as_str()),
            Argument::new("software", SOFTWARE),
            Argument::new(
                "uptime_s",
                self.clock
                    .device_time(turn.now)
                    .since(self.clock.device_time(self.booted))
                    .as_secs(),
            ),
            Argument::new("boots", self.boots),
            Argument::new("stream", format!("{:016x}", self.device.stream())),
            Argument::new("next_row", self.device.next_row()),
            Argument::new("transport", transport),
            Argument::new("channels", channels),
            interval_result(profile.interval_us()),
            Argument::new("clock", self.clock.kind().name()),
            Argument::new("time", OwnedValue::Time(self.clock.reading(turn.now))),
        ];
        Answer { results, ..Answer::new(DoneStatus::Ok, "") }
    }

    fn set_interval(&mut self, arguments: &[Argument], turn: &Turn<'_>) -> Answer {
        match settings::interval(arguments) {
            Ok((interval, is_clamped)) => {
                self.apply(Settings { interval, ..self.settings.clone() }, turn.now);
                let status = if is_clamped { DoneStatus::Clamped } else { DoneStatus::Ok };
                let results = vec![interval_result(self.instrument.profile().interval_us())];
                Answer { results, ..Answer::new(status, "") }
            }
            Err(text) => Answer::new(DoneStatus::Refused, &text),
        }
    }

    /// Takes a sample beside the schedule; it is queued and sent as all are.
    fn read_now(&mut self, turn: &mut Turn<'_>) -> Answer {
        // Not after a sample that is overdue: times in a stream go up.
        let t_us = self.now_us(turn.now).min(self.instrument.next_due() - 1);
        let channels = self.instrument.profile().channels();
        let mut results = Vec::new();
        let pushed = self.push_sample(turn, t_us, |place, value| {
            results.push(result(&channels[place], value));
        });
        match pushed {
            Ok(row) => {
                self.device.flush();
                results.insert(0, Argument::new("row", row));
                let moment = Instant(u64::try_from(t_us - self.start_us).unwrap_or(0));
                let time = OwnedValue::Time(self.clock.reading(moment));
                results.insert(1, Argument::new("time", time));
                let left_out = results.len().saturating_sub(ARGS_MAX);
                results.truncate(ARGS_MAX);
                let text = match left_out {
                    0 => String::new(),
                    more => format!("{more} more channels are in row {row}"),
                };
                Answer { results, ..Answer::new(DoneStatus::Ok, &text) }
            }
            Err(error) => Answer::new(DoneStatus::Failed, &error.to_string()),
        }
    }
}

fn interval_result(interval_us: i64) -> Argument {
    let ms = u32::try_from(interval_us / 1_000).unwrap_or(u32::MAX);
    Argument::new("interval_ms", ms)
}

/// A channel's value as a typed value: an enum travels as its label. Spec §4.4.
fn result(channel: &Channel, value: &Value<'_>) -> Argument {
    let value = match value {
        Value::Enum(index) => {
            let label = channel.labels.get(usize::from(*index));
            label.map_or("", String::as_str).into()
        }
        other => OwnedValue::from(*other),
    };
    Argument::scaled(&channel.name, value, channel.exponent)
}
