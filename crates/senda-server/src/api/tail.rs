//! What is being stored, as server-sent events: `reading`, `event`, `command`, `alert`, `config`, `left-out`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::problem::Problem;
use super::{Shared, alerts, commands, readings, status_name};
use crate::feed::Item;
use crate::json;
use crate::settings::matches;

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// A device name, in which `*` stands for any characters.
    device: Option<String>,
    /// Name of the schema.
    schema: Option<String>,
    /// Readings with a value for this channel, and that value alone.
    channel: Option<String>,
    /// Comma-separated kinds; all of them unless told otherwise.
    kinds: Option<String>,
}

/// Follows what is stored from now on. It never ends by itself; who reads too slowly is told how much was left out.
pub(super) async fn tail(
    State(control): Shared,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let filter = Filter::new(query?.0)?;
    tracing::info!(device = filter.which.device, kinds = filter.which.kinds, "following");
    let wants_readings = filter.wants("reading") || filter.wants("event");
    let follower = Follower {
        filter,
        items: wants_readings.then(|| control.feed.subscribe()),
        changes: control.feed.subscribe_changes(),
        ready: Vec::new(),
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    // The first bytes tell the client that it is heard, before anything happens.
    let first = stream::once(async { Ok(Event::default().comment("following")) });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(stream::StreamExt::chain(first, events)).keep_alive(alive))
}

struct Follower {
    filter: Filter,
    items: Option<Receiver<Arc<Vec<Item>>>>,
    changes: Receiver<Arc<Item>>,
    /// What is to be said next, the last first.
    ready: Vec<Event>,
}

impl Follower {
    /// The next event; `None` when the collector stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Some(event);
            }
            let items = async {
                match &mut self.items {
                    Some(items) => items.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                items = items => match items {
                    Ok(items) => {
                        self.ready = items.iter().rev().filter_map(|item| self.filter.event(item)).collect();
                    }
                    Err(RecvError::Lagged(commits)) => self.ready.push(left_out(commits)),
                    Err(RecvError::Closed) => return None,
                },
                change = self.changes.recv() => match change {
                    Ok(item) => self.ready.extend(self.filter.event(&item)),
                    Err(RecvError::Lagged(changes)) => self.ready.push(left_out(changes)),
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

fn left_out(commits: u64) -> Event {
    event("left-out", &json!({"commits": commits}))
}

fn event(kind: &str, data: &Json) -> Event {
    Event::default().event(kind).data(data.to_string())
}

struct Filter {
    which: Which,
    kinds: Option<Vec<String>>,
}

impl Filter {
    fn new(which: Which) -> Result<Self, Problem> {
        let kinds: Option<Vec<String>> =
            which.kinds.as_ref().map(|kinds| kinds.split(',').map(str::to_owned).collect());
        let unknown = kinds.iter().flatten().find(|kind| !KINDS.contains(&kind.as_str()));
        match unknown {
            Some(kind) => {
                Err(Problem::invalid(format!("kinds has {kind:?}; there are {}", KINDS.join(", "))))
            }
            None => Ok(Self { which, kinds }),
        }
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
    }

    fn takes(&self, device: Option<&str>) -> bool {
        let pattern = self.which.device.as_deref();
        pattern.is_none_or(|pattern| device.is_some_and(|device| matches(pattern, device)))
    }

    fn event(&self, item: &Item) -> Option<Event> {
        let (kind, device) = match item {
            Item::Reading(sample) => ("reading", Some(&*sample.device)),
            Item::Event(event) => ("event", event.device.as_deref()),
            Item::Command(command) => ("command", Some(&*command.device)),
            Item::Alert(alert) => ("alert", Some(&*alert.device)),
            Item::Config { device, .. } => ("config", Some(&**device)),
        };
        if !self.wants(kind) || !self.takes(device) {
            return None;
        }
        let data = match item {
            Item::Reading(sample) => self.reading(sample)?,
            Item::Event(event) => readings::event_json(event),
            Item::Command(command) => commands::to_json(command),
            Item::Alert(alert) => alerts::to_json(alert),
            Item::Config { device, revision, status, text } => json!({
                "device": &**device, "revision": revision, "status": status_name(*status), "text": text,
            }),
        };
        Some(event(kind, &data))
    }

    fn reading(&self, sample: &senda_store::Sample) -> Option<Json> {
        if self.which.schema.as_ref().is_some_and(|schema| *schema != sample.table.name) {
            return None;
        }
        let mut data = json::sample(sample);
        if let Some(channel) = &self.which.channel {
            let value = data["values"].get(channel)?.clone();
            data["values"] = json!({ channel: value });
            if let Some(units) = data["units"].as_object_mut() {
                units.retain(|name, _| name == channel);
            }
        }
        Some(data)
    }
}

const KINDS: [&str; 5] = ["reading", "event", "command", "alert", "config"];
