//! What is on its way between the engine and the devices, as far as the store has to know: HELLOs that wait for their stream,
//! and orders that must not be on their way twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use senda_session::collector::{
    Collector, Downlink, Notice, Now, Outcome, Settings, StreamState, Token,
};
use senda_wire::{BodyError, MessageType};

use crate::{Conclusion, Request};

/// Beside the engine: turns its events into requests for the store, and the store's orders into messages, each once.
///
/// Give it each event in its order. Before [`Desk::order`] every event of the engine has to be taken, so that what has just
/// ended without leaving is not taken for being on its way.
#[derive(Debug, Default)]
pub struct Desk {
    /// What is on its way to devices: of an ALERT, which of its states, in order.
    ordered: BTreeMap<(Arc<str>, u8, u32), VecDeque<bool>>,
    /// Devices for which more may wait in the store than what is on its way.
    waiting_for: BTreeSet<Arc<str>>,
    /// HELLOs that wait for the store: device, stream, software.
    opening: BTreeMap<Token, (Arc<str>, u64, String)>,
    /// Software of the devices that are welcomed in this turn.
    software: BTreeMap<(Arc<str>, u64), String>,
}

impl Desk {
    /// [`Event::Open`](senda_session::collector::Event::Open).
    pub fn open(
        &mut self,
        token: Token,
        device: Arc<str>,
        stream: u64,
        software: String,
    ) -> Request {
        self.opening.insert(token, (device.clone(), stream, software));
        Request::Open { token, device, stream }
    }

    /// [`Answer::Stream`](crate::Answer::Stream), without its orders: tells the engine. `desired` says how a device should be
    /// configured. Returns the device; what waits for it is to be ordered after that.
    pub fn take_stream(
        &mut self,
        collector: &mut Collector,
        now: Now,
        token: Token,
        state: Option<StreamState>,
        desired: impl FnOnce(&str) -> Option<Settings>,
    ) -> Option<Arc<str>> {
        let opening = self.opening.remove(&token);
        let Some(mut state) = state else {
            collector.handle_stream_failed(token);
            return None;
        };
        let Some((device, stream, software)) = opening else {
            collector.handle_stream(now, token, state);
            return None;
        };
        state.config = desired(&device);
        self.software.insert((device.clone(), stream), software);
        collector.handle_stream(now, token, state);
        Some(device)
    }

    /// [`Event::Notice`](senda_session::collector::Event::Notice). `transport` is `udp` or `tcp`.
    pub fn notice(
        &mut self,
        device: Arc<str>,
        stream: u64,
        transport: &'static str,
        notice: Notice,
    ) -> Request {
        let key = (device, stream);
        let software = self.software.remove(&key).unwrap_or_default();
        let (device, stream) = key;
        Request::Notice { device, stream, transport, software, notice }
    }

    /// The turn is over: a HELLO that was replaced meanwhile was not welcomed.
    pub fn end_turn(&mut self) {
        self.software.clear();
    }

    /// [`Event::Outcome`](senda_session::collector::Event::Outcome): an order has come to its end, or has only just left.
    pub fn conclude(
        &mut self,
        device: Arc<str>,
        kind: MessageType,
        id: u32,
        outcome: Outcome,
    ) -> Request {
        let key = (device, kind.code(), id);
        let ends = outcome != Outcome::Sent;
        let raised = match self.ordered.get_mut(&key) {
            Some(states) if ends => states.pop_front(),
            Some(states) => states.front().copied(),
            None => None,
        };
        if self.ordered.get(&key).is_some_and(VecDeque::is_empty) {
            self.ordered.remove(&key);
        }
        let (device, raised) = (key.0, raised.unwrap_or(false));
        let took = matches!(outcome, Outcome::Done { .. } | Outcome::Expired);
        if took && kind != MessageType::Config && !self.has_ordered(&device) {
            // A session holds so many orders: there may be more.
            self.wait_for(device.clone());
        }
        Request::Conclude(Conclusion { device, kind, id, raised, outcome })
    }

    /// More may wait in the store for this device.
    pub fn wait_for(&mut self, device: Arc<str>) {
        self.waiting_for.insert(device);
    }

    /// What is to be asked after the events: what did not leave waits again.
    pub fn take_waiting(&mut self) -> impl Iterator<Item = Request> + use<> {
        std::mem::take(&mut self.waiting_for).into_iter().map(|device| Request::Orders { device })
    }

    /// Sends something to a device, unless it is on its way there already.
    ///
    /// # Errors
    /// [`BodyError`]: it can't be written.
    pub fn order(
        &mut self,
        collector: &mut Collector,
        now: Now,
        device: &Arc<str>,
        order: Downlink,
    ) -> Result<(), BodyError> {
        let raised = order.kind == MessageType::Alert && order.body.get(12) == Some(&1); // Spec §5.19.
        let key = (device.clone(), order.kind.code(), order.id);
        let states = self.ordered.entry(key.clone()).or_default();
        if states.contains(&raised) {
            return Ok(());
        }
        states.push_back(raised);
        let sent = collector.handle_down(now, device, order);
        if sent.is_err() {
            self.ordered.remove(&key);
        }
        sent
    }

    fn has_ordered(&self, device: &Arc<str>) -> bool {
        let of_device = (device.clone(), u8::MIN, u32::MIN)..=(device.clone(), u8::MAX, u32::MAX);
        self.ordered.range(of_device).next().is_some()
    }
}

/// The CONFIG that asks a device for these settings. The newest takes the place of what has not left.
pub fn config_order(settings: &Settings) -> Downlink {
    let body = [&settings.revision.to_be_bytes()[..], &settings.list].concat();
    Downlink { kind: MessageType::Config, id: settings.revision, body, ttl: None }
}
