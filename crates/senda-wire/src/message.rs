//! One type for each message, and the sum of them. Spec §5.

use crate::check::{in_range, read_rest};
use crate::frame::encode_frame;
use crate::hello::read_cookie;
use crate::registry::{CRC_LEN, HEADER_LEN, SCHEMAS_MAX};
use crate::{
    Ack, Alert, BodyError, Close, Command, Config, Counts, Data, Declare, Done, EncodeError, Frame,
    Head, Hello, MessageType, Nack, Ping, Reader, Report, Skip, Time, TimeReq, Welcome, Writer,
};

/// A decoded message. COLUMNS (behind the head) and SEALED bodies are left as they came; so are types that this
/// version does not know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message<'a> {
    /// Opens or resumes a session. Spec §5.1.
    Hello(Hello<'a>),
    /// The cookie to say HELLO with. Spec §5.2.
    Retry {
        /// 1 to 64 bytes.
        cookie: &'a [u8],
    },
    /// The session's terms. Spec §5.3.
    Welcome(Welcome<'a>),
    /// A schema description, or a part of one. Spec §5.4.
    Declare(Declare<'a>),
    /// The schema is stored. Spec §5.5.
    Declared {
        /// CRC-32 of the whole description.
        crc: u32,
    },
    /// The session is over. Spec §5.6.
    Close(Close<'a>),
    /// Samples. Spec §5.7.
    Rows(Data<'a>),
    /// Samples with absent channels. Spec §5.8.
    Sparse(Data<'a>),
    /// Compressed samples; only the head is read. Spec §5.9.
    Columns(Data<'a>),
    /// Samples without acknowledgement. Spec §5.10.
    RowsU(Data<'a>),
    /// Compressed samples without acknowledgement; only the head is read. Spec §5.10.
    ColumnsU(Data<'a>),
    /// The device's ledger. Spec §5.11.
    Counts(Counts<'a>),
    /// Rows that will never come. Spec §5.12.
    Skip(Skip),
    /// What is durable. Spec §5.13.
    Ack(Ack<'a>),
    /// What is refused. Spec §5.14.
    Nack(Nack<'a>),
    /// What arrived of the unacknowledged kinds. Spec §5.15.
    Report(Report),
    /// Desired settings. Spec §5.17.
    Config(Config<'a>),
    /// Something to do, at most once. Spec §5.18.
    Command(Command<'a>),
    /// A rule was raised or cleared. Spec §5.19.
    Alert(Alert<'a>),
    /// The outcome of one of the three. Spec §5.20.
    Done(Done<'a>),
    /// Asks for the time. Spec §5.21.
    TimeReq(TimeReq),
    /// The time. Spec §5.22.
    Time(Time),
    /// Are you there? Spec §5.23.
    Ping(Ping),
    /// Yes. Spec §5.23.
    Pong(Ping),
    /// Encrypted messages, as they came, behind a counter of 8 bytes. Spec §5.24.
    Sealed(&'a [u8]),
    /// A type that this version does not know. Spec §5.25.
    Unknown {
        /// Its code.
        code: u8,
    },
}

impl<'a> Message<'a> {
    /// Reads the body of a frame. Spec §3.7, check 8.
    ///
    /// # Errors
    /// [`BodyError`]: the first field that breaks the layout or the ranges of the type. Spec §5.26.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, BodyError> {
        let Some(message_type) = frame.message_type() else {
            return Ok(Self::Unknown { code: frame.code });
        };
        check_header(message_type, frame.session, frame.seq)?;
        let mut reader = Reader::new(frame.body);
        let body = &mut reader;
        let message = match message_type {
            MessageType::Hello => Self::Hello(Hello::read(body)?),
            MessageType::Retry => Self::Retry { cookie: read_cookie(body, 1)? },
            MessageType::Welcome => Self::Welcome(Welcome::read(body)?),
            MessageType::Declare => Self::Declare(Declare::read(body)?),
            MessageType::Declared => Self::Declared { crc: body.u32("crc")? },
            MessageType::Close => Self::Close(Close::read(body)?),
            MessageType::Rows => Self::Rows(read_data(frame, body, true)?),
            MessageType::Sparse => Self::Sparse(read_data(frame, body, true)?),
            MessageType::Columns => Self::Columns(read_data(frame, body, true)?),
            MessageType::RowsU => Self::RowsU(read_data(frame, body, false)?),
            MessageType::ColumnsU => Self::ColumnsU(read_data(frame, body, false)?),
            MessageType::Counts => Self::Counts(Counts::read(frame.seq, body)?),
            MessageType::Skip => Self::Skip(Skip::read(frame.seq, body)?),
            MessageType::Ack => Self::Ack(Ack::read(frame.seq, body)?),
            MessageType::Nack => Self::Nack(Nack::read(body)?),
            MessageType::Report => Self::Report(Report::read(body)?),
            MessageType::Config => Self::Config(Config::read(body)?),
            MessageType::Command => Self::Command(Command::read(body)?),
            MessageType::Alert => Self::Alert(Alert::read(body)?),
            MessageType::Done => Self::Done(Done::read(body)?),
            MessageType::TimeReq => Self::TimeReq(TimeReq::read(body)?),
            MessageType::Time => Self::Time(Time::read(body)?),
            MessageType::Ping => Self::Ping(Ping { token: body.u64("token")? }),
            MessageType::Pong => Self::Pong(Ping { token: body.u64("token")? }),
            MessageType::Sealed => Self::Sealed(read_sealed(body)?),
        };
        reader.finish()?; // Spec §5a.
        Ok(message)
    }

    /// Writes the whole message, CRC-32 trailer included, and returns its length.
    ///
    /// What was written is read again, so that no rule stands twice and no malformed message leaves: the peer would
    /// skip it without a word (spec §5.26), which is hard to find.
    ///
    /// # Errors
    /// [`EncodeError`]; after [`EncodeError::BufferTooSmall`] the message fits a buffer of that size.
    /// [`EncodeError::Invalid`] when a field is outside the range that the specification gives.
    pub fn encode(&self, head: Head, out: &mut [u8]) -> Result<usize, EncodeError> {
        let code = self.message_type().ok_or(EncodeError::Unsupported)?.code();
        let len = encode_frame(head, code, out, |body| self.write(body))?;
        let (bytes, Head { session, seq, flags }) = (&out[..len], head);
        let body = &bytes[HEADER_LEN..len - CRC_LEN];
        let written = Frame { flags, code, session, seq, body, bytes };
        Message::decode(&written).map_err(EncodeError::Invalid)?;
        Ok(len)
    }

    /// The message's type; `None` for [`Message::Unknown`].
    pub const fn message_type(&self) -> Option<MessageType> {
        Some(match self {
            Self::Hello(_) => MessageType::Hello,
            Self::Retry { .. } => MessageType::Retry,
            Self::Welcome(_) => MessageType::Welcome,
            Self::Declare(_) => MessageType::Declare,
            Self::Declared { .. } => MessageType::Declared,
            Self::Close(_) => MessageType::Close,
            Self::Rows(_) => MessageType::Rows,
            Self::Sparse(_) => MessageType::Sparse,
            Self::Columns(_) => MessageType::Columns,
            Self::RowsU(_) => MessageType::RowsU,
            Self::ColumnsU(_) => MessageType::ColumnsU,
            Self::Counts(_) => MessageType::Counts,
            Self::Skip(_) => MessageType::Skip,
            Self::Ack(_) => MessageType::Ack,
            Self::Nack(_) => MessageType::Nack,
            Self::Report(_) => MessageType::Report,
            Self::Config(_) => MessageType::Config,
            Self::Command(_) => MessageType::Command,
            Self::Alert(_) => MessageType::Alert,
            Self::Done(_) => MessageType::Done,
            Self::TimeReq(_) => MessageType::TimeReq,
            Self::Time(_) => MessageType::Time,
            Self::Ping(_) => MessageType::Ping,
            Self::Pong(_) => MessageType::Pong,
            Self::Sealed(_) => MessageType::Sealed,
            Self::Unknown { .. } => return None,
        })
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Hello(hello) => hello.write(out)?,
            Self::Retry { cookie } => out.put8(cookie, "cookie")?,
            Self::Welcome(welcome) => welcome.write(out),
            Self::Declare(declare) => declare.write(out),
            Self::Declared { crc } => out.put(&crc.to_be_bytes()),
            Self::Close(close) => close.write(out)?,
            Self::Rows(data) | Self::Sparse(data) | Self::RowsU(data) => data.write(out)?,
            Self::Columns(data) | Self::ColumnsU(data) => data.write(out)?,
            Self::Counts(counts) => counts.write(out)?,
            Self::Skip(skip) => skip.write(out),
            Self::Ack(ack) => ack.write(out)?,
            Self::Nack(nack) => nack.write(out)?,
            Self::Report(report) => report.write(out),
            Self::Config(config) => config.write(out),
            Self::Command(command) => command.write(out)?,
            Self::Alert(alert) => alert.write(out)?,
            Self::Done(done) => done.write(out)?,
            Self::TimeReq(request) => request.write(out),
            Self::Time(time) => time.write(out),
            Self::Ping(ping) | Self::Pong(ping) => out.put(&ping.token.to_be_bytes()),
            Self::Sealed(_) | Self::Unknown { .. } => return Err(EncodeError::Unsupported),
        }
        Ok(())
    }
}

/// Reads the head of a data body. Reliable kinds have row numbers, which end below 2^32 - 1. Spec §5.7.
fn read_data<'a>(
    frame: &Frame<'_>,
    body: &mut Reader<'a>,
    numbered: bool,
) -> Result<Data<'a>, BodyError> {
    let data = Data::decode(read_rest(body))?;
    if numbered {
        in_range("seq", frame.seq, 0, u32::MAX - u32::from(data.head.count))?;
    }
    Ok(data)
}

/// A counter of 8 bytes and the ciphertext. Spec §5.24 and §10.4.
fn read_sealed<'a>(body: &mut Reader<'a>) -> Result<&'a [u8], BodyError> {
    let whole = read_rest(body);
    Reader::new(whole).u64("counter")?;
    Ok(whole)
}

/// What the types ask of the header's own fields. Spec §5.1 to §5.5.
fn check_header(message_type: MessageType, session: u32, seq: u32) -> Result<(), BodyError> {
    let good = match message_type {
        MessageType::Welcome => session != 0, // Spec §5.3.
        MessageType::Declare | MessageType::Declared => {
            let id = usize::try_from(seq).unwrap_or(usize::MAX);
            return if id < SCHEMAS_MAX { Ok(()) } else { Err(range("seq", seq)) }; // Spec §4.2.
        }
        _ => true,
    };
    if good { Ok(()) } else { Err(range("session", session)) }
}

fn range(field: &'static str, value: u32) -> BodyError {
    BodyError::Range { field, value: value.into() }
}
