//! Properties of the codec: valid messages of every type, then damaged ones, then any bytes.

mod parts;

use parts::{any_parts, any_table, wire};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{
    Data, EncodeError, Frame, Head, Message, MessageType, Ping, Presence, Schema, crc32, walk,
};

proptest! {
    /// Spec §5: a message decodes to itself, and encodes to the bytes that it came from.
    #[test]
    fn any_message_survives_both_ways(parts in any_parts()) {
        parts.with(|message, head| -> Result<(), TestCaseError> {
            let bytes = parts.bytes();
            let frame = Frame::decode_datagram(&bytes).unwrap();
            prop_assert_eq!(frame.bytes.len(), bytes.len());
            prop_assert_eq!((frame.session, frame.seq, frame.flags), (head.session, head.seq, head.flags));
            let decoded = Message::decode(&frame);
            prop_assert_eq!(&decoded, &Ok(*message));
            let mut again = vec![0; bytes.len()];
            prop_assert_eq!(decoded.unwrap().encode(head, &mut again), Ok(bytes.len()));
            prop_assert_eq!(again, bytes);
            Ok(())
        })?;
    }

    /// Spec §4.3a: rows of any schema come back bit for bit, absent ones absent.
    #[test]
    fn rows_come_back_bit_for_bit(table in any_table(), sparse: bool) {
        let presence = if sparse { Presence::Bitmap } else { Presence::All };
        let description = table.description();
        let schema = Schema::decode(&description).unwrap();
        let (body, stated) = table.rows(presence);
        let data = Data { head: table.head(0), rows: &body };
        let mut rows = data.rows(&schema, presence).unwrap();
        for values in stated {
            let row = rows.next_row().unwrap().unwrap();
            prop_assert_eq!(row.bad_channel, None);
            let decoded: Vec<_> = row.values().map(|v| v.map(|v| wire(&v))).collect();
            prop_assert_eq!(decoded, values);
        }
        prop_assert!(rows.next_row().unwrap().is_none());
    }

    /// Spec §5.7b: rows that end too early or go on too long are refused as a whole.
    #[test]
    fn rows_of_another_length_are_refused_as_a_whole(table in any_table(), sparse: bool, cut: Index) {
        let presence = if sparse { Presence::Bitmap } else { Presence::All };
        let description = table.description();
        let schema = Schema::decode(&description).unwrap();
        let (mut body, _) = table.rows(presence);
        let head = table.head(0);
        let shorter = Data { head, rows: &body[..cut.index(body.len())] };
        prop_assert!(shorter.check(&schema, presence, |_| ()).is_err());
        body.push(0);
        let longer = Data { head, rows: &body };
        prop_assert!(longer.check(&schema, presence, |_| ()).is_err());
    }

    /// A buffer that is too small is told what it takes, and that suffices.
    #[test]
    fn a_small_buffer_is_told_what_it_takes(parts in any_parts(), len: Index) {
        let whole = parts.bytes().len();
        let mut small = vec![0; len.index(whole)];
        let error = parts.with(|message, head| message.encode(head, &mut small)).unwrap_err();
        prop_assert_eq!(error, EncodeError::BufferTooSmall { needed: whole });
        let mut exact = vec![0; whole];
        prop_assert_eq!(parts.with(|message, head| message.encode(head, &mut exact)), Ok(whole));
    }

    /// Spec §3.4: a byte that changed on the way is never read as a message. CRC-32 finds each burst of up to 32 bits, so
    /// this is certain, but for `length`: it moves the window of the CRC, and a wrong one fits by chance, 1 in 2^32.
    #[test]
    fn a_changed_byte_is_refused(parts in any_parts(), at: Index, change in 1..=255u8) {
        let mut bytes = parts.bytes();
        *at.get_mut(&mut bytes) ^= change;
        prop_assert!(Frame::decode_datagram(&bytes).is_err());
    }

    /// Spec §3.4: nor is one that is cut, nor one behind the messages that were taken.
    #[test]
    fn a_cut_message_is_refused(parts in any_parts(), len: Index) {
        let bytes = parts.bytes();
        let cut = &bytes[..len.index(bytes.len())];
        prop_assert!(Frame::decode_datagram(cut).is_err());
        let datagram = [&bytes[..], cut].concat();
        let first = Frame::decode_datagram(&datagram).unwrap();
        prop_assert_eq!(first.bytes, &bytes[..]);
        prop_assert!(Frame::decode_datagram(&datagram[first.bytes.len()..]).is_err());
    }

    /// Spec §3.6: half a message on a stream says how much is missing, whatever comes behind it.
    #[test]
    fn half_a_message_on_a_stream_waits(parts in any_parts(), len: Index) {
        let bytes = parts.bytes();
        let len = len.index(bytes.len());
        let Err(senda_wire::FrameError::Incomplete { missing }) = Frame::decode(&bytes[..len], MESSAGE_MAX) else {
            return Err(TestCaseError::fail("not incomplete"));
        };
        let wanted = if len < 12 { 12 } else { bytes.len() };
        prop_assert_eq!(len + missing, wanted);
    }

    /// A body of any bytes behind a right header, and a right body that was changed in a few places, never panics.
    #[test]
    fn any_body_is_safe(parts in any_parts(), body in vec(any::<u8>(), 0..200), code: u8, seq: u32) {
        take_body(code, seq, &body, &parts.table.description());
        take_body(parts.message_type.code(), seq, &body, &parts.table.description());
    }

    /// As above, with bodies that were right before: these reach deeper.
    #[test]
    fn any_damaged_body_is_safe(
        parts in any_parts(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        cut: Option<Index>,
    ) {
        let mut bytes = parts.bytes();
        bytes.truncate(bytes.len() - 4);
        let mut body = bytes.split_off(12);
        for (at, value) in changes {
            if !body.is_empty() {
                *at.get_mut(&mut body) = value;
            }
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len() + 1));
        }
        take_body(parts.message_type.code(), 0, &body, &parts.table.description());
    }

    /// Any bytes at all, with or without the right first byte, are no frame, and are told so.
    #[test]
    fn any_bytes_are_safe(mut bytes in vec(any::<u8>(), 0..100), first in select(vec![0xA1, 0xB1, 0xF5, 0x00])) {
        take_bytes(&bytes);
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        take_bytes(&bytes);
    }

    /// A schema description of any bytes, or one that was changed, is taken or refused.
    #[test]
    fn any_description_is_safe(
        table in any_table(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let mut description = table.description();
        for (at, value) in changes {
            *at.get_mut(&mut description) = value;
        }
        take_schema(&description, &bytes);
        take_schema(&bytes, &description);
    }
}

/// Spec §3.4, by trying all: of these messages no single bit or byte can change unnoticed, `length` included.
#[test]
fn every_changed_byte_of_these_messages_is_refused() {
    let mut tried = 0;
    for bytes in small_messages() {
        for at in 0..bytes.len() {
            for change in 1..=255 {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                let seen = Frame::decode_datagram(&damaged);
                assert!(seen.is_err(), "byte {at} ^ {change:#x} of {bytes:02x?}: {seen:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100_000, "only {tried} changes were tried");
}

/// Spec §3.4: the same with more messages behind it in the datagram, so that a greater `length` finds bytes to cover.
#[test]
fn every_changed_length_in_a_full_datagram_is_refused() {
    let mut datagram = Vec::new();
    for bytes in small_messages() {
        if datagram.len() + bytes.len() <= 1_200 {
            datagram.extend(bytes);
        }
    }
    let own = Frame::decode_datagram(&datagram).unwrap().bytes.len();
    for length in (0..=u16::MAX).filter(|length| usize::from(*length) != own) {
        datagram[2..4].copy_from_slice(&length.to_be_bytes());
        assert!(Frame::decode_datagram(&datagram).is_err(), "length {length}");
    }
}

/// A message of each type, from fixed parts.
fn small_messages() -> Vec<Vec<u8>> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found = std::collections::BTreeMap::new();
    for _ in 0..600 {
        let parts = any_parts().new_tree(&mut runner).unwrap().current();
        let bytes = parts.bytes();
        if bytes.len() <= 300 {
            found.entry(parts.message_type).or_insert(bytes);
        }
    }
    assert_eq!(found.len(), MessageType::ALL.len() - 1, "every type but SEALED");
    let mut ping = vec![0; 24];
    let head = Head { session: 0x51B2_7E04, seq: 1, flags: 0 };
    Message::Ping(Ping { token: 0 }).encode(head, &mut ping).unwrap();
    found.into_values().chain([ping]).collect()
}

fn take_bytes(bytes: &[u8]) {
    let _ = Frame::is_foreign_hello(bytes);
    let _ = Frame::decode(bytes, 1_200);
    if let Ok(frame) = Frame::decode_datagram(bytes) {
        assert_eq!(
            crc32(&frame.bytes[..frame.bytes.len() - 4]).to_be_bytes(),
            frame.bytes[frame.bytes.len() - 4..]
        );
    }
}

/// Decodes, checks rows and walks. What decodes must encode to the same bytes.
fn take_body(code: u8, seq: u32, body: &[u8], description: &[u8]) {
    let schema = Schema::decode(description).unwrap();
    let mut bytes = vec![0xA1, code, 0, 0, 0, 0, 0, 1];
    bytes.extend(seq.to_be_bytes());
    bytes.extend(body);
    let length = u16::try_from(bytes.len() + 4).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes.extend(crc32(&bytes).to_be_bytes());
    let frame = Frame::decode_datagram(&bytes).unwrap();

    let mut end = 0;
    let walked = walk(&frame, Some(&schema), &mut |visit| {
        assert_eq!(visit.offset, end);
        end += visit.len;
        assert!(!visit.value.to_string().chars().any(char::is_control));
    });
    assert_eq!(end, bytes.len());

    let Ok(message) = Message::decode(&frame) else { return };
    let mut again = vec![0; bytes.len()];
    let head = Head { session: 1, seq, flags: 1 };
    match message.encode(head, &mut again) {
        Ok(len) => assert_eq!(again[..len], bytes),
        Err(error) => assert_eq!(error, EncodeError::Unsupported),
    }
    match message {
        Message::Rows(data) | Message::RowsU(data) => take_rows(&data, &schema, Presence::All),
        Message::Sparse(data) => take_rows(&data, &schema, Presence::Bitmap),
        _ => assert_eq!(walked, Ok(()), "what decodes has the layout of its table"),
    }
}

fn take_rows(data: &Data<'_>, schema: &Schema<'_>, presence: Presence) {
    let mut refused = Vec::new();
    if data.check(schema, presence, |row| refused.push(row)).is_ok() {
        assert!(refused.is_sorted() && refused.iter().all(|row| *row < data.head.count));
    }
}

fn take_schema(description: &[u8], bytes: &[u8]) {
    let Ok(schema) = Schema::decode(description) else { return };
    assert_eq!(schema.channels().count(), schema.len());
    for presence in [Presence::All, Presence::Bitmap] {
        let clock = senda_wire::Clock::UtcSynced;
        let head = senda_wire::DataHead { schema: 0, clock, count: 2, t0: 0 };
        take_rows(&Data { head, rows: bytes }, &schema, presence);
    }
}
