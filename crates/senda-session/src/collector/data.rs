//! Data messages become landings: checked, within the window, within the budget. Spec §5.4 to §5.12, §8.1.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use senda_wire::registry::{SCHEMA_BYTES_MAX, SCHEMAS_MAX};
use senda_wire::{
    Data, Declare, ErrorCode, Frame, Message, MessageType, Presence, Report, RowFault, Schema,
    crc32,
};

use super::event::{DropReason, Event, Token, What};
use super::input::{body_of, wants_ack_now};
use super::session::Session;
use super::{Collector, Now};
use crate::Instant;

/// Bytes that a landing costs beside its body: a share of the maps that hold it.
const LANDING_OVERHEAD: usize = 128;
/// A REPORT goes out after that many fire-and-forget messages. Spec §7.8.
const REPORT_EVERY: u32 = 64;

/// A landing without a verdict.
#[derive(Debug)]
pub(super) struct Landed {
    /// The session that it came in; another one may serve the stream by now.
    pub(super) session: u32,
    pub(super) device: Arc<str>,
    pub(super) stream: u64,
    /// Type code and seq of the message, for a NACK.
    pub(super) kind: u8,
    pub(super) seq: u32,
    pub(super) rows: (u32, u32),
    /// CRC-32 of a schema description, for DECLARED.
    pub(super) schema_crc: Option<u32>,
    /// Nobody waits for the verdict.
    pub(super) quiet: bool,
    pub(super) ack_now: bool,
    pub(super) arrived: Instant,
    pub(super) bytes: usize,
}

impl Collector {
    /// ROWS or SPARSE. Every row is checked before any lands. Spec §5.7a.
    pub(super) fn read_rows(&mut self, now: Now, frame: &Frame<'_>, data: &Data<'_>) {
        let (id, kind) = (frame.session, frame.code);
        let (first, count, schema) = (frame.seq, data.head.count, data.head.schema);
        let rows = (first, u32::from(count));
        let Some(description) = self.description(id, schema) else {
            let text = "not declared in this stream: DECLARE it, then send the rows again";
            return self.nack(id, first, kind, ErrorCode::UNKNOWN_SCHEMA, rows, text); // Spec §5.4b.
        };
        let sparse = frame.message_type() == Some(MessageType::Sparse);
        let presence = if sparse { Presence::Bitmap } else { Presence::All };
        match check_rows(data, &description, presence) {
            Ok(refused) => {
                let body = body_of(frame);
                let what = What::Rows { first, count, sparse, schema, body, refused };
                self.land(now, frame, first, count.into(), what);
            }
            Err(RowFault::Layout(error)) => {
                if let Some(peer) = self.sessions.get(&id).map(|session| session.peer) {
                    self.drop(peer, DropReason::Body { kind, error });
                }
                self.land_unreadable(now, frame, count);
            }
            Err(_) => {
                let text = "more values or bytes than WELCOME allows in one message: split it";
                self.nack(id, first, kind, ErrorCode::TOO_BIG, rows, text); // Spec §12.1a.
            }
        }
    }

    /// All rows of a message are refused, for its body can't be read. Spec §5.7b.
    pub(super) fn land_unreadable(&mut self, now: Now, frame: &Frame<'_>, count: u16) {
        let what =
            What::Unreadable { first: frame.seq, count, kind: frame.code, body: body_of(frame) };
        self.land(now, frame, frame.seq, count.into(), what);
    }

    /// ROWS_U: seen counters are dropped, the rest is stored if it can be. Spec §7.8.
    pub(super) fn read_unacked(&mut self, now: Now, frame: &Frame<'_>, data: &Data<'_>) {
        let id = frame.session;
        let Some(description) = self.description(id, data.head.schema) else {
            return self.nack_message(
                frame,
                ErrorCode::UNKNOWN_SCHEMA,
                "this schema is not declared in this stream",
            );
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (peer, counters) = (session.peer, &mut session.counters);
        let new = counters.insert(frame.seq);
        let report = Report {
            received: counters.received,
            duplicates: counters.duplicates,
            missing: counters.missing(),
        };
        let highest = counters.highest();
        if new {
            match check_rows(data, &description, Presence::All) {
                Ok(refused) => {
                    let (counter, count, schema) = (frame.seq, data.head.count, data.head.schema);
                    let body = body_of(frame);
                    self.land_quietly(
                        now,
                        id,
                        What::Unacked { counter, count, schema, body, refused },
                    );
                }
                Err(_) => self.drop(peer, DropReason::Refused { code: ErrorCode::BAD_BODY.0 }),
            }
        } else {
            self.drop(peer, DropReason::Duplicate);
        }
        if report.received.wrapping_add(report.duplicates).is_multiple_of(REPORT_EVERY) {
            self.send(id, highest, &Message::Report(report));
        }
    }

    /// A part of a schema description; with the last one it lands. Spec §5.4.
    pub(super) fn read_declare(&mut self, now: Now, frame: &Frame<'_>, declare: &Declare<'_>) {
        let schema = match u16::try_from(frame.seq) {
            Ok(schema) if usize::from(schema) < SCHEMAS_MAX => schema,
            _ => return self.nack_message(frame, ErrorCode::BAD_SCHEMA, "schema ids are 0 to 63"),
        };
        if self.schema_bytes + declare.bytes.len() > self.config.schema_bytes_max {
            return self.nack_message(frame, ErrorCode::BUSY, "no room for schemas at the moment");
        }
        let Some(session) = self.sessions.get_mut(&frame.session) else {
            return;
        };
        let before = session.schema_bytes();
        let mut assembly = session.take_assembly(schema, declare.crc, declare.parts.into());
        if let Some(part) = assembly.parts.get_mut(usize::from(declare.part)) {
            *part = Some(declare.bytes.to_vec());
        }
        let (len, whole) = (assembly.len(), assembly.parts.iter().all(Option::is_some));
        let mut description = Vec::new();
        if whole {
            description = assembly.parts.into_iter().flatten().flatten().collect();
        } else if len <= SCHEMA_BYTES_MAX {
            session.keep_assembly(assembly);
        }
        self.schema_bytes = self.schema_bytes + session.schema_bytes() - before;
        if len > SCHEMA_BYTES_MAX {
            let text = "the description is longer than 16,384 bytes";
            self.nack_message(frame, ErrorCode::BAD_SCHEMA, text);
        } else if whole {
            self.declare(now, frame, schema, declare.crc, description);
        }
    }

    fn declare(
        &mut self,
        now: Now,
        frame: &Frame<'_>,
        schema: u16,
        crc: u32,
        description: Vec<u8>,
    ) {
        if crc32(&description) != crc {
            return self.nack_message(
                frame,
                ErrorCode::BAD_SCHEMA,
                "the description's CRC-32 is not the one stated",
            );
        }
        if let Err(error) = Schema::decode(&description) {
            return self.nack_message(frame, ErrorCode::BAD_SCHEMA, &format!("{error}"));
        }
        let known = self.description(frame.session, schema);
        if known.is_some_and(|known| *known != *description) {
            let text = "this id has another content in this stream: take a new id";
            return self.nack_message(frame, ErrorCode::SCHEMA_CONFLICT, text); // Spec §5.4a.
        }
        if !self.has_room() {
            let text = "the collector can't take more at the moment";
            return self.nack_message(frame, ErrorCode::BUSY, text);
        }
        let Some(landed) = self.landed(now, frame, (0, 0), description.len()) else {
            return;
        };
        // Rows that follow may use it at once: they reach the disk after it. Spec §5.4.
        self.keep_schema(frame.session, schema, description.clone().into());
        let what = What::Declare { id: schema, description };
        self.push_landing(now, Landed { schema_crc: Some(crc), ..landed }, what);
    }

    fn keep_schema(&mut self, id: u32, schema: u16, description: Arc<[u8]>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.schema_bytes += description.len();
            let before = session.schemas.insert(schema, description);
            self.schema_bytes -= before.map_or(0, |before| before.len());
        }
    }

    pub(super) fn forget_schema(&mut self, id: u32, schema: u32) {
        if let Some(session) = self.sessions.get_mut(&id)
            && let Ok(schema) = u16::try_from(schema)
        {
            let before = session.schemas.remove(&schema);
            self.schema_bytes -= before.map_or(0, |before| before.len());
        }
    }

    /// Hands rows to the store, if window and budget allow. `count` rows from `first` on.
    pub(super) fn land(&mut self, now: Now, frame: &Frame<'_>, first: u32, count: u32, what: What) {
        let (id, rows) = (frame.session, (first, count));
        if !self.has_room() {
            let text = "the collector can't take more at the moment";
            self.nack(id, frame.seq, frame.code, ErrorCode::BUSY, rows, text);
            return self.tell_window(now, id);
        }
        // A SKIP is no row on its way: it may reach as far as the device lost rows. Spec §8.1a.
        let is_skip = matches!(what, What::Skip { .. });
        let end = first.saturating_add(count);
        let in_window = |session: &Session| session.is_in_window(end, self.config.window_rows);
        if !is_skip && !self.sessions.get(&id).is_some_and(in_window) {
            let text = "beyond the window";
            return self.nack(id, frame.seq, frame.code, ErrorCode::WINDOW, rows, text);
        }
        let refused = if let What::Rows { refused, .. } = &what { refused.len() * 2 } else { 0 };
        let Some(landed) = self.landed(now, frame, rows, frame.body.len() + refused) else {
            return;
        };
        self.counters.landed += 1;
        self.counters.rows += if is_skip { 0 } else { u64::from(count) };
        self.push_landing(now, landed, what);
    }

    /// Hands something to the store for which nobody waits; dropped when there is no room.
    pub(super) fn land_quietly(&mut self, now: Now, id: u32, what: What) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        if !self.has_room() {
            return self.drop(session.peer, DropReason::Refused { code: ErrorCode::BUSY.0 });
        }
        let body = if let What::Unacked { body, .. } = &what { body.len() } else { 0 };
        let landed = Landed {
            session: id,
            device: session.device.clone(),
            stream: session.stream,
            kind: 0,
            seq: 0,
            rows: (0, 0),
            schema_crc: None,
            quiet: true,
            ack_now: false,
            arrived: now.instant,
            bytes: body + LANDING_OVERHEAD,
        };
        self.push_landing(now, landed, what);
    }

    /// True while the store takes rows and the budget for what is on its way is not used up.
    fn has_room(&self) -> bool {
        self.accepting && self.landing_bytes < self.config.landing_bytes_max
    }

    fn landed(&self, now: Now, frame: &Frame<'_>, rows: (u32, u32), body: usize) -> Option<Landed> {
        let session = self.sessions.get(&frame.session)?;
        Some(Landed {
            session: frame.session,
            device: session.device.clone(),
            stream: session.stream,
            kind: frame.code,
            seq: frame.seq,
            rows,
            schema_crc: None,
            quiet: false,
            ack_now: wants_ack_now(frame),
            arrived: now.instant,
            bytes: body + LANDING_OVERHEAD,
        })
    }

    fn push_landing(&mut self, now: Now, landed: Landed, what: What) {
        let token: Token = self.token();
        let (device, stream) = (landed.device.clone(), landed.stream);
        self.landing_bytes += landed.bytes;
        self.landed.insert(token, landed);
        self.events.push_back(Event::Land { token, device, stream, received_us: now.utc_us, what });
    }

    fn description(&self, id: u32, schema: u16) -> Option<Arc<[u8]>> {
        self.sessions.get(&id)?.schemas.get(&schema).cloned()
    }
}

/// The indexes of the rows with a BAD_VALUE.
fn check_rows(
    data: &Data<'_>,
    description: &[u8],
    presence: Presence,
) -> Result<Vec<u16>, RowFault> {
    let schema = Schema::decode_accepted(description)
        .expect("descriptions are checked when they are declared");
    let mut refused = Vec::new();
    data.check(&schema, presence, |index| refused.push(index))?;
    Ok(refused)
}
