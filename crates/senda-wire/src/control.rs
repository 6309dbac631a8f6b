//! From collector to device: settings, commands, alerts, and their outcome. Spec §5.16 to §5.20.

use crate::check::{in_range, registered};
use crate::registry::NAME_MAX;
use crate::{BodyError, DoneStatus, EncodeError, List, MessageType, Reader, Writer};

/// CONFIG, `'>I'` and a list. Spec §5.17.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config<'a> {
    /// Of the desired state, from 1.
    pub revision: u32,
    /// The whole desired state. Spec §5.16.
    pub settings: List<'a>,
}

impl<'a> Config<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let revision = in_range("revision", body.u32("revision")?, 1, u32::MAX)?;
        let settings = List::read(body)?;
        if settings.iter().any(|setting| setting.name.is_empty()) {
            return Err(BodyError::Text { field: "name" });
        }
        Ok(Self { revision, settings })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.revision.to_be_bytes());
        self.settings.write(out);
    }
}

/// COMMAND, `'>II'`, name and a list. Spec §5.18.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Command<'a> {
    /// From 1, growing for each device.
    pub id: u32,
    /// Remaining time to live, milliseconds.
    pub ttl_ms: u32,
    /// `[a-z][a-z0-9_-]{0,62}`.
    pub name: &'a str,
    /// Typed arguments.
    pub arguments: List<'a>,
}

impl<'a> Command<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let id = in_range("id", body.u32("id")?, 1, u32::MAX)?;
        let ttl_ms = body.u32("ttl_ms")?;
        let name = body.text8("name")?;
        if !is_command_name(name) {
            return Err(BodyError::Text { field: "name" });
        }
        Ok(Self { id, ttl_ms, name, arguments: List::read(body)? })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&self.id.to_be_bytes());
        out.put(&self.ttl_ms.to_be_bytes());
        out.put8(self.name.as_bytes(), "name")?;
        self.arguments.write(out);
        Ok(())
    }
}

/// ALERT, `'>IqBB'`, three texts and a list. Spec §5.19.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Alert<'a> {
    /// The same for raising and clearing.
    pub id: u32,
    /// Microseconds UTC.
    pub time: i64,
    /// Raised or cleared.
    pub raised: bool,
    /// 0 information, 1 warning, 2 critical.
    pub severity: u8,
    /// Schema that the rule is about, or empty.
    pub schema: &'a str,
    /// Channel that the rule is about, or empty.
    pub channel: &'a str,
    /// For people.
    pub text: &'a str,
    /// Such as `value` and `threshold`.
    pub values: List<'a>,
}

impl<'a> Alert<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let id = body.u32("id")?;
        let time = body.i64("time")?;
        let state = body.u8("state")?;
        in_range("state", state.into(), 0, 1)?;
        let severity = body.u8("severity")?;
        in_range("severity", severity.into(), 0, 2)?;
        Ok(Self {
            id,
            time,
            raised: state == 1,
            severity,
            schema: body.text8("schema")?,
            channel: body.text8("channel")?,
            text: body.text8("text")?,
            values: List::read(body)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&self.id.to_be_bytes());
        out.put(&self.time.to_be_bytes());
        out.put(&[u8::from(self.raised), self.severity]);
        out.put8(self.schema.as_bytes(), "schema")?;
        out.put8(self.channel.as_bytes(), "channel")?;
        out.put8(self.text.as_bytes(), "text")?;
        self.values.write(out);
        Ok(())
    }
}

/// DONE, `'>BIB'`, text and a list. The frame's seq is the control number that it answers. Spec §5.20.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Done<'a> {
    /// CONFIG, COMMAND or ALERT.
    pub answered: MessageType,
    /// Revision of the CONFIG, id of the COMMAND or ALERT.
    pub id: u32,
    /// How it went.
    pub status: DoneStatus,
    /// For people; may be empty.
    pub text: &'a str,
    /// Typed results.
    pub results: List<'a>,
}

impl<'a> Done<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let code = body.u8("type")?;
        let answered = MessageType::from_code(code)
            .filter(|kind| {
                matches!(kind, MessageType::Config | MessageType::Command | MessageType::Alert)
            })
            .ok_or(BodyError::Range { field: "type", value: code.into() })?;
        Ok(Self {
            answered,
            id: body.u32("id")?,
            status: registered("status", body.u8("status")?, DoneStatus::from_code)?,
            text: body.text8("text")?,
            results: List::read(body)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&[self.answered.code()]);
        out.put(&self.id.to_be_bytes());
        out.put(&[self.status.code()]);
        out.put8(self.text.as_bytes(), "text")?;
        self.results.write(out);
        Ok(())
    }
}

/// Spec §5.18.
fn is_command_name(name: &str) -> bool {
    let rest_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(rest_good)
}
