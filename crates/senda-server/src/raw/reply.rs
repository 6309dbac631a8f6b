//! What a device is told of its record.

use senda_struct::{Format, Value};

use super::recipe::{Recipe, compile};
use super::{RawError, RawReply, ReplyValue, Statuses};
use crate::engine::utc_us;

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// On disk.
    Stored,
    /// On disk from an earlier time.
    Repeated,
    /// It does not fit.
    Refused,
    /// The store can't take it now.
    Busy,
}

/// A reply, compiled.
#[derive(Clone, Debug)]
pub struct Reply {
    format: Format,
    values: Vec<Source>,
    statuses: Statuses,
    /// Told where the settings say nothing, in milliseconds.
    pub(super) interval_ms: u32,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
enum Source {
    Constant(Value),
    /// Index of the record's value, and what stands for it where the record could not be read.
    Echo(usize, Value),
    Status,
    IntervalMs,
    IntervalS,
    /// UTC, in so many microseconds.
    Time(i64),
}

/// What a reply says beside the record.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What became of it.
    pub status: Status,
    /// The time, in microseconds since 1970.
    pub now_us: i64,
    /// What the device's interval should be, in milliseconds.
    pub interval_ms: u32,
}

impl Reply {
    /// Compiles it for records of `recipe`.
    pub(super) fn new(told: &RawReply, recipe: &Recipe) -> Result<Self, RawError> {
        let format = compile("reply", &told.format)?;
        if format.size() > REPLY_BYTES_MAX {
            let (size, most) = (format.size(), REPLY_BYTES_MAX);
            return Err(RawError::Reply(format!("it has {size} bytes; {most} at most are sent")));
        }
        // What a value looks like where there is none: all zero.
        let zeros = recipe.format().unpack(&vec![0; recipe.format().size()]).unwrap_or_default();
        let source = |value: &ReplyValue| match value {
            ReplyValue::Constant(value) => Ok(Source::Constant(value.clone())),
            ReplyValue::Named(name) => match (recipe.value_of(name), own(name)) {
                (Some(index), None) => {
                    Ok(Source::Echo(index, zeros.get(index).cloned().unwrap_or(Value::Int(0))))
                }
                (None, Some(own)) => Ok(own),
                // A device's own status must not look like the collector's word that the record is stored.
                (Some(_), Some(_)) => Err(RawError::Reply(format!(
                    "{{{name}}} is a field, and the collector's own word too; give the field another name"
                ))),
                (None, None) => Err(RawError::Reply(format!(
                    "there is no field {name:?}; status, interval_ms, interval_s, time_us, time_ms and time_s are known too"
                ))),
            },
        };
        let values = told.values.iter().map(source).collect::<Result<_, _>>()?;
        let this = Self { format, values, statuses: told.status, interval_ms: told.interval_ms };
        // Each status once, with the time of today, so that a number that does not fit is found now.
        for status in [Status::Stored, Status::Repeated, Status::Refused, Status::Busy] {
            let facts = Facts { status, now_us: utc_us(), interval_ms: told.interval_ms };
            this.pack(None, facts)
                .map_err(|source| RawError::ReplyValues { format: told.format.clone(), source })?;
        }
        Ok(this)
    }

    /// Bytes of every reply.
    pub fn size(&self) -> usize {
        self.format.size()
    }

    /// Its format.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The reply to a record with these values, or to one that could not be read.
    ///
    /// # Errors
    /// [`senda_struct::PackError`]: an echoed value that the format can't have.
    pub fn pack(
        &self,
        record: Option<&[Value]>,
        facts: Facts,
    ) -> Result<Vec<u8>, senda_struct::PackError> {
        let values: Vec<Value> = self
            .values
            .iter()
            .map(|source| match source {
                Source::Constant(value) => value.clone(),
                Source::Echo(index, zero) => {
                    record.and_then(|record| record.get(*index)).unwrap_or(zero).clone()
                }
                Source::Status => Value::Int(self.code(facts.status).into()),
                Source::IntervalMs => Value::Int(facts.interval_ms.into()),
                Source::IntervalS => Value::Int((facts.interval_ms.div_ceil(1_000)).into()),
                Source::Time(unit) => Value::Int(facts.now_us.div_euclid(*unit).into()),
            })
            .collect();
        self.format.pack(&values)
    }

    const fn code(&self, status: Status) -> i64 {
        match status {
            Status::Stored => self.statuses.stored,
            Status::Repeated => self.statuses.repeated,
            Status::Refused => self.statuses.refused,
            Status::Busy => self.statuses.busy,
        }
    }
}

/// What the collector itself calls so.
fn own(name: &str) -> Option<Source> {
    Some(match name {
        "status" => Source::Status,
        "interval_ms" => Source::IntervalMs,
        "interval_s" => Source::IntervalS,
        "time_us" => Source::Time(1),
        "time_ms" => Source::Time(1_000),
        "time_s" => Source::Time(1_000_000),
        _ => return None,
    })
}

/// Bytes of a reply: what a datagram may have.
const REPLY_BYTES_MAX: usize = 65_507;

impl Status {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::raw::{Raw, RawField, RawReply, ReplyValue, Statuses};

    /// Why a listener with these fields can't have this reply.
    fn refused(fields: &[&str], format: &str, value: &str) -> Option<String> {
        let fields: Vec<RawField> = fields.iter().map(|name| RawField::new(*name)).collect();
        let mut raw = Raw::new("w", "B".repeat(fields.len()), fields);
        raw.reply = Some(RawReply {
            format: format.into(),
            values: vec![ReplyValue::Named(value.into())],
            status: Statuses::default(),
            interval_ms: 1_000,
        });
        raw.compile().err().map(|error| error.to_string())
    }

    /// A device must not take its own 0 for the collector's.
    #[test]
    fn a_name_that_is_a_fields_and_the_collectors_own_is_refused() {
        for name in ["status", "interval_ms", "interval_s", "time_us", "time_ms", "time_s"] {
            let error = refused(&["id", name], ">q", name).expect("it could be either");
            assert!(error.contains(name) && error.contains("another name"), "{error}");
            assert_eq!(refused(&["id", name], ">q", "id"), None, "nobody asks for it");
            assert_eq!(refused(&["id"], ">q", name), None);
        }
    }

    #[test]
    fn a_clock_that_the_format_can_not_have_today_is_found_before_the_first_record() {
        assert_eq!(refused(&["id"], ">I", "time_s"), None);
        assert!(refused(&["id"], ">I", "time_ms").is_some_and(|error| error.contains(">I")));
        assert!(refused(&["id"], ">i", "time_us").is_some());
    }
}
