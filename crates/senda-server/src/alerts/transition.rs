//! What happens to alerts, and what is known of them from before.

use std::sync::Arc;

use super::quantity::Quantity;
use super::rule::Severity;

/// Which alert: one rule on one value of one device.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// The device.
    pub device: Arc<str>,
    /// The schema; empty for an absence rule without one.
    pub schema: Arc<str>,
    /// The channel, or an element of a vector, such as `accel[2]`; empty for absence.
    pub channel: Arc<str>,
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Change {
    /// The condition holds.
    Raised,
    /// It still does, and nobody has acknowledged it.
    Reminder,
    /// It no longer does.
    Cleared,
    /// Someone closed it by hand.
    Closed,
    /// The condition of one that was closed by hand is over. Nobody needs to be told; from here on it can be raised again.
    Over,
}

impl Change {
    /// As in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Reminder => "reminder",
            Self::Cleared => "cleared",
            Self::Closed => "closed",
            Self::Over => "over",
        }
    }

    /// True when the alert stands after it.
    pub const fn is_raised(self) -> bool {
        matches!(self, Self::Raised | Self::Reminder)
    }
}

/// An alert was raised, cleared, ...
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Which.
    pub key: Key,
    /// What happened.
    pub change: Change,
    /// How bad.
    pub severity: Severity,
    /// Time of the sample (but not after its reception), or when the absence began to count; µs since 1970.
    pub time: i64,
    /// For people; at most 255 bytes, no control characters.
    pub text: String,
    /// What was seen, if it is known: the value, the rate, or the seconds of an absence.
    pub value: Option<Quantity>,
    /// What it was compared with: where it raises.
    pub threshold: Option<Quantity>,
}

/// An alert that stood when the collector ended, from the store.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub key: Key,
    /// How bad it was.
    pub severity: Severity,
    /// When it was raised, µs since 1970.
    pub time: i64,
    /// What was said then.
    pub text: String,
    /// Someone acknowledged it.
    pub acknowledged: bool,
    /// Someone closed it, and its condition was not over since.
    pub closed: bool,
}

/// The newest row of a device and schema, from the store.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The device.
    pub device: Arc<str>,
    /// The schema.
    pub schema: Arc<str>,
    /// Its time, µs since 1970.
    pub time: i64,
    /// Its reception, µs since 1970.
    pub received: i64,
}

/// What a rule can't do. For the operator's log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Complaint {
    /// The channel's values can't be compared with what the rule says. Said once for each rule.
    #[error(
        "alert {:?} does not work on channel {:?} of schema {:?} (device {:?}): it has {what}; change the rule's \
         condition or its channel",
        key.rule, key.channel, key.schema, key.device
    )]
    Unfit {
        /// Where.
        key: Key,
        /// What the channel has.
        what: &'static str,
    },
    /// There is more to watch than the limit. Said once.
    #[error(
        "alerts watch {limit} values already and can't watch all of device {device:?}, nor what comes later; narrow the \
         rules' device patterns"
    )]
    Crowded {
        /// The first that is not watched.
        device: Arc<str>,
        /// The limit.
        limit: usize,
    },
}
