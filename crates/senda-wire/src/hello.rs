//! Opening a session: HELLO and WELCOME. Spec §5.1 and §5.3.

use crate::check::{in_range, read_rest, registered};
use crate::registry::{
    COOKIE_MAX, DATAGRAM_MAX, KEEPALIVE_MAX_S, MAX_MSG_MIN, NAME_MAX, OptionCode, encoding,
};
use crate::{
    BodyError, DeviceName, Durability, EncodeError, Options, Reader, Suite, TimeReq, Writer,
};

/// ACK_EVERY of HELLO and WELCOME: data messages for each ACK. Spec §5.1.
const ACK_EVERY_MAX: u32 = 1_024;

/// HELLO, `'>QQIIIHHHBBHII'` and three variable parts. Spec §5.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello<'a> {
    /// Drawn at random at every boot.
    pub stream: u64,
    /// Drawn at random for each new session.
    pub nonce: u64,
    /// The row number that the device gives next.
    pub next_row: u32,
    /// The oldest row that it still holds.
    pub oldest_row: u32,
    /// Seconds, 1 to 86,400.
    pub keepalive_s: u32,
    /// Longest message that the device takes, bytes, from 256.
    pub max_msg: u16,
    /// Data messages for each ACK, 1 to 1,024.
    pub ack_every: u16,
    /// Milliseconds after which an ACK is due anyway.
    pub ack_delay_ms: u16,
    /// Protection of the session.
    pub suite: Suite,
    /// Bits of [`registry::downlink`](crate::registry::downlink).
    pub downlink: u8,
    /// Bits of [`registry::encoding`](crate::registry::encoding).
    pub encodings: u16,
    /// Revision of the CONFIG in force, 0 for none.
    pub config_rev: u32,
    /// Highest command id that it has begun to execute, 0 for none.
    pub last_command_id: u32,
    /// The device's name.
    pub device: DeviceName<'a>,
    /// From RETRY, or empty.
    pub cookie: &'a [u8],
    /// To the end of the body.
    pub options: Options<'a>,
}

impl<'a> Hello<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let stream = body.u64("stream")?;
        let nonce = body.u64("nonce")?;
        let next_row = body.u32("next_row")?;
        let oldest_row = in_range("oldest_row", body.u32("oldest_row")?, 0, next_row)?;
        let keepalive_s = in_range("keepalive_s", body.u32("keepalive_s")?, 1, KEEPALIVE_MAX_S)?;
        let max_msg = body.u16("max_msg")?;
        if usize::from(max_msg) < MAX_MSG_MIN {
            return Err(BodyError::Range { field: "max_msg", value: max_msg.into() });
        }
        let ack_every = body.u16("ack_every")?;
        in_range("ack_every", ack_every.into(), 1, ACK_EVERY_MAX)?;
        let ack_delay_ms = body.u16("ack_delay_ms")?;
        let suite = registered("suite", body.u8("suite")?, Suite::from_code)?;
        let downlink = body.u8("downlink")?; // Unknown bits are ignored. Spec §5.1.
        let encodings = body.u16("encodings")?;
        check_encodings(encodings)?;
        Ok(Self {
            stream,
            nonce,
            next_row,
            oldest_row,
            keepalive_s,
            max_msg,
            ack_every,
            ack_delay_ms,
            suite,
            downlink,
            encodings,
            config_rev: body.u32("config_rev")?,
            last_command_id: body.u32("last_command_id")?,
            device: DeviceName::new(body.text8("device")?)
                .ok_or(BodyError::Text { field: "device" })?,
            cookie: read_cookie(body, 0)?,
            options: check_options(Options::new(read_rest(body))?)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&self.stream.to_be_bytes());
        out.put(&self.nonce.to_be_bytes());
        out.put(&self.next_row.to_be_bytes());
        out.put(&self.oldest_row.to_be_bytes());
        out.put(&self.keepalive_s.to_be_bytes());
        out.put(&self.max_msg.to_be_bytes());
        out.put(&self.ack_every.to_be_bytes());
        out.put(&self.ack_delay_ms.to_be_bytes());
        out.put(&[self.suite.code(), self.downlink]);
        out.put(&self.encodings.to_be_bytes());
        out.put(&self.config_rev.to_be_bytes());
        out.put(&self.last_command_id.to_be_bytes());
        out.put8(self.device.as_str().as_bytes(), "device")?;
        out.put8(self.cookie, "cookie")?;
        out.put(self.options.bytes());
        Ok(())
    }
}

/// WELCOME, `'>QIIqIHHBBHIHHHHHII'` and options. Spec §5.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Welcome<'a> {
    /// The collector's, random.
    pub nonce: u64,
    /// First row that is not resolved.
    pub next_row: u32,
    /// Highest resolved row + 1.
    pub high_row: u32,
    /// Microseconds UTC when this WELCOME was first made.
    pub server_time: i64,
    /// Rows that may be on their way. Spec §8.1.
    pub window_rows: u32,
    /// Longest message that the collector takes on this transport, bytes, from 1,200.
    pub max_msg: u16,
    /// Bits of [`registry::encoding`](crate::registry::encoding).
    pub encodings: u16,
    /// What an ACK means.
    pub durability: Durability,
    /// Protection of the session.
    pub suite: Suite,
    /// Milliseconds that the collector may gather before it commits.
    pub commit_interval_ms: u16,
    /// Seconds.
    pub keepalive_s: u32,
    /// Data messages for each ACK.
    pub ack_every: u16,
    /// Milliseconds after which an ACK is due anyway.
    pub ack_delay_ms: u16,
    /// Channels in a schema.
    pub max_channels: u16,
    /// Schemas in a stream.
    pub max_schemas: u16,
    /// Elements in a vector.
    pub max_elements: u16,
    /// Values in a data message.
    pub max_values: u32,
    /// Bytes of a decoded data message.
    pub max_decoded: u32,
    /// To the end of the body.
    pub options: Options<'a>,
}

impl<'a> Welcome<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let nonce = body.u64("nonce")?;
        let next_row = body.u32("next_row")?;
        let high_row = in_range("high_row", body.u32("high_row")?, next_row, u32::MAX)?;
        let server_time = body.i64("server_time")?;
        let window_rows = body.u32("window_rows")?;
        let max_msg = body.u16("max_msg")?;
        if usize::from(max_msg) < DATAGRAM_MAX {
            return Err(BodyError::Range { field: "max_msg", value: max_msg.into() });
        }
        let encodings = body.u16("encodings")?;
        check_encodings(encodings)?;
        Ok(Self {
            nonce,
            next_row,
            high_row,
            server_time,
            window_rows,
            max_msg,
            encodings,
            durability: registered("durability", body.u8("durability")?, Durability::from_code)?,
            suite: registered("suite", body.u8("suite")?, Suite::from_code)?,
            commit_interval_ms: body.u16("commit_interval_ms")?,
            keepalive_s: in_range("keepalive_s", body.u32("keepalive_s")?, 1, KEEPALIVE_MAX_S)?,
            ack_every: body.u16("ack_every")?,
            ack_delay_ms: body.u16("ack_delay_ms")?,
            max_channels: body.u16("max_channels")?,
            max_schemas: body.u16("max_schemas")?,
            max_elements: body.u16("max_elements")?,
            max_values: body.u32("max_values")?,
            max_decoded: body.u32("max_decoded")?,
            options: Options::new(read_rest(body))?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.nonce.to_be_bytes());
        out.put(&self.next_row.to_be_bytes());
        out.put(&self.high_row.to_be_bytes());
        out.put(&self.server_time.to_be_bytes());
        out.put(&self.window_rows.to_be_bytes());
        out.put(&self.max_msg.to_be_bytes());
        out.put(&self.encodings.to_be_bytes());
        out.put(&[self.durability.code(), self.suite.code()]);
        out.put(&self.commit_interval_ms.to_be_bytes());
        out.put(&self.keepalive_s.to_be_bytes());
        for field in [
            self.ack_every,
            self.ack_delay_ms,
            self.max_channels,
            self.max_schemas,
            self.max_elements,
        ] {
            out.put(&field.to_be_bytes());
        }
        out.put(&self.max_values.to_be_bytes());
        out.put(&self.max_decoded.to_be_bytes());
        out.put(self.options.bytes());
    }
}

pub(crate) fn read_cookie<'a>(body: &mut Reader<'a>, least: usize) -> Result<&'a [u8], BodyError> {
    let cookie = body.bytes8("cookie")?;
    if cookie.len() < least || cookie.len() > COOKIE_MAX {
        return Err(BodyError::Range { field: "cookie", value: cookie.len() as u64 });
    }
    Ok(cookie)
}

/// ROWS is always among them; bits of later versions may be. Spec §5.1.
fn check_encodings(bits: u16) -> Result<(), BodyError> {
    if bits & encoding::ROWS == 0 {
        return Err(BodyError::Range { field: "encodings", value: bits.into() });
    }
    Ok(())
}

/// The options that this version knows have a form of their own; others are skipped. Spec §5.1.
fn check_options(options: Options<'_>) -> Result<Options<'_>, BodyError> {
    let mut after_noise = false;
    for option in options.iter() {
        if after_noise {
            return Err(BodyError::Order { field: "options" }); // NOISE is always the last one.
        }
        match OptionCode::from_code(option.code) {
            Some(OptionCode::Clock) => drop(TimeReq::from_option(option.value)?),
            Some(OptionCode::Software) => check_software(option.value)?,
            Some(OptionCode::Noise) => after_noise = true,
            Some(OptionCode::Pad) | None => {}
        }
    }
    Ok(options)
}

/// UTF-8, at most 63 bytes. Spec §5.1.
fn check_software(value: &[u8]) -> Result<(), BodyError> {
    match core::str::from_utf8(value) {
        Ok(name) if name.len() <= NAME_MAX => Ok(()),
        _ => Err(BodyError::Text { field: "options" }),
    }
}
