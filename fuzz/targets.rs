//! What each fuzz target does with its input. `crates/senda-wire/tests/corpus.rs` includes this file by path and runs
//! it over the committed corpus, so that plain `cargo test` replays what fuzzing has found.

use senda_wire::{
    Clock, Data, DataHead, EncodeError, Frame, Head, Message, Presence, Schema, walk,
};

/// A datagram: message after message. What decodes encodes to the same bytes.
///
/// A body is also taken where the CRC is wrong: a fuzzer can't guess CRCs, and would never get past them.
pub(crate) fn frame(input: &[u8]) {
    let _ = Frame::is_foreign_hello(input);
    let mut rest = input;
    while let Ok(frame) = Frame::decode_datagram(rest) {
        rest = &rest[frame.bytes.len()..];
        take(&frame);
    }
    if let [first, code, _, _, rest @ ..] = input
        && let Some((numbers, body)) = rest.split_first_chunk::<8>()
    {
        let [session, seq] = [&numbers[..4], &numbers[4..]]
            .map(|half| half.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)));
        let flags = first & 0x0C | 0x01;
        take(&Frame { flags, code: *code, session, seq, body, bytes: input });
    }
}

/// A schema description; its largest row has a bound, and each channel can be read again.
pub(crate) fn schema(input: &[u8]) {
    let Ok(schema) = Schema::decode(input) else { return };
    assert_eq!(schema.bytes(), input);
    assert_eq!(schema.channels().count(), schema.len());
    let largest: usize = schema.channels().map(|channel| channel.size_max()).sum();
    assert!(schema.row_max() == largest && largest <= senda_wire::registry::ROW_BYTES_MAX);
}

/// A description's length (two bytes), the description, the rows (a byte) and their bytes, as ROWS and as SPARSE.
pub(crate) fn rows(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk() else { return };
    let Some((description, rest)) = rest.split_at_checked(u16::from_be_bytes(*len).into()) else {
        return;
    };
    let (Ok(schema), Some((count, rows))) = (Schema::decode(description), rest.split_first())
    else {
        return;
    };
    let head =
        DataHead { schema: 0, clock: Clock::UtcSynced, count: u16::from(*count).max(1), t0: 0 };
    let data = Data { head, rows };
    for presence in [Presence::All, Presence::Bitmap] {
        let mut refused = Vec::new();
        if data.check(&schema, presence, |row| refused.push(row)).is_ok() {
            read_all(&data, &schema, presence, &refused);
        }
    }
}

/// The rows that `check` took cover their bytes and have a value for each channel.
fn read_all(data: &Data<'_>, schema: &Schema<'_>, presence: Presence, refused: &[u16]) {
    let mut rows = data.rows(schema, presence).expect("checked");
    let mut count = 0;
    while let Some(row) = rows.next_row().expect("checked") {
        let values: Vec<_> = row.values().collect();
        assert_eq!(values.len(), schema.len());
        let bad = row.bad_channel.is_some();
        assert_eq!(bad, refused.contains(&row.index));
        let whole = presence == Presence::All && !bad;
        assert!(!whole || values.iter().all(Option::is_some));
        count += 1;
    }
    assert_eq!(count, data.head.count);
}

fn take(frame: &Frame<'_>) {
    let mut end = 0;
    let walked = walk(frame, None, &mut |visit| {
        assert_eq!(visit.offset, end);
        end += visit.len;
        assert!(!visit.value.to_string().chars().any(char::is_control));
    });
    assert_eq!(end, frame.bytes.len());
    let Ok(message) = Message::decode(frame) else { return };
    assert_eq!(walked, Ok(()));
    let head = Head { session: frame.session, seq: frame.seq, flags: frame.flags };
    let mut again = vec![0; 65_535];
    match message.encode(head, &mut again) {
        Ok(len) => assert_eq!(again[12..len - 4], *frame.body),
        Err(EncodeError::Unsupported | EncodeError::TooLong { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
