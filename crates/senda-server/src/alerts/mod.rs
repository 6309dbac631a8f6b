//! Alerts: rules over the rows that are stored, and the way outwards.
//!
//! ```text
//!   committed rows --> Watcher::observe --+                       +--> the alerts table (to_record), ALERT to the device (alert_body)
//!   the clock -------> Watcher::tick -----+--> Transition --------+
//!   people ----------> acknowledge, close-+                       +--> Report --> Outward: webhooks, programs --> Outcome
//! ```
//!
//! [`Watcher`] is pure: no clock, no I/O; what it gives out is data. [`Outward`](outward::Outward) has threads of its own, so that
//! no slow receiver holds up anything else. What each rule means, with its edge cases, stands in `docs/alerts.md`.

pub mod outward; // webhooks and programs

mod message; // a transition as the store keeps it
mod quantity; // a value with type and unit: as number, text, JSON
mod rule; // what to watch for, and what makes no sense
mod state; // one rule on one value: hysteresis, holding, rates
mod text; // what people read
mod transition; // what happens to alerts
mod watched; // one rule on one device: transitions and dues
mod watcher; // all rules on all devices

pub use message::to_record;
pub use quantity::Quantity;
pub use rule::{Condition, Expected, Hold, Problem, Rule, RuleError, Severity, Side, check_rules};
pub use senda_keeper::alert_body;
pub use transition::{Change, Complaint, Key, Seen, Standing, Transition};
pub use watcher::{STATES_MAX, Watcher};
