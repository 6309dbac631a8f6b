//! Messages encoded again, from parts that are built anew: a view over the old bytes would prove nothing.

use senda_wire::{
    Ack, Causes, ChannelSpec, Counts, Data, Frame, Head, List, Message, Presence, Ranges, Schema,
    SkipCause, Window, encode_row, encode_sparse_row,
};

/// Any message; rows as they came.
pub(crate) fn message(frame: &Frame<'_>, message: &Message<'_>) -> Vec<u8> {
    let mut parts = vec![0; 65_535];
    let parts = &mut parts[..];
    let rebuilt = match *message {
        Message::Config(mut config) => {
            config.settings = list(config.settings, parts);
            Message::Config(config)
        }
        Message::Command(mut command) => {
            command.arguments = list(command.arguments, parts);
            Message::Command(command)
        }
        Message::Alert(mut alert) => {
            alert.values = list(alert.values, parts);
            Message::Alert(alert)
        }
        Message::Done(mut done) => {
            done.results = list(done.results, parts);
            Message::Done(done)
        }
        Message::Ack(Ack { window: Some(Window { ranges, .. }) }) => {
            let all: Vec<_> = ranges.iter().collect();
            let ranges = Ranges::build(frame.seq, &all, parts).unwrap();
            let Message::Ack(Ack { window: Some(window) }) = *message else { unreachable!() };
            Message::Ack(Ack { window: Some(Window { ranges, ..window }) })
        }
        Message::Counts(counts) => rebuilt_counts(counts, parts),
        other => other,
    };
    encode(frame, &rebuilt)
}

/// ROWS, SPARSE, ROWS_U: each row from its values.
pub(crate) fn data(
    frame: &Frame<'_>,
    message: &Message<'_>,
    data: &Data<'_>,
    schema: &Schema<'_>,
    presence: Presence,
) -> Vec<u8> {
    let mut body = Vec::new();
    let mut rows = data.rows(schema, presence).unwrap();
    while let Some(row) = rows.next_row().unwrap() {
        if data.head.count > 1 {
            body.extend(row.time_offset.to_be_bytes());
        }
        let values: Vec<_> = row.values().collect();
        let mut out = vec![0; schema.bitmap_len() + schema.row_max()];
        let len = match presence {
            Presence::All => {
                let values: Vec<_> = values.into_iter().map(Option::unwrap).collect();
                encode_row(schema, &values, &mut out).unwrap()
            }
            Presence::Bitmap => encode_sparse_row(schema, &values, &mut out).unwrap(),
        };
        body.extend(&out[..len]);
    }
    let data = Data { rows: &body, ..*data };
    let rebuilt = match message {
        Message::Rows(_) => Message::Rows(data),
        Message::RowsU(_) => Message::RowsU(data),
        Message::Sparse(_) => Message::Sparse(data),
        other => panic!("{other:?}"),
    };
    encode(frame, &rebuilt)
}

/// A schema description.
pub(crate) fn schema(schema: &Schema<'_>) -> Vec<u8> {
    let labels: Vec<Vec<&str>> = schema.channels().map(|c| c.labels().collect()).collect();
    let channels: Vec<_> = schema
        .channels()
        .zip(&labels)
        .map(|(channel, labels)| ChannelSpec {
            name: channel.name,
            value_type: channel.value_type,
            exponent: channel.exponent,
            counter: channel.counter,
            elements: channel.elements,
            max_len: channel.max_len,
            unit: channel.unit,
            labels,
        })
        .collect();
    let mut out = vec![0; 16_384];
    Schema::encode(schema.name(), &channels, &mut out).unwrap().to_vec()
}

fn list<'a>(list: List<'_>, out: &'a mut [u8]) -> List<'a> {
    let values: Vec<_> = list.iter().collect();
    List::build(&values, out).unwrap()
}

/// Causes that this version does not know can't be built: those stay a view.
fn rebuilt_counts<'a>(counts: Counts<'a>, out: &'a mut [u8]) -> Message<'a> {
    let known = |(cause, count)| Some((SkipCause::from_code(cause)?, count));
    let causes: Option<Vec<_>> = counts.causes.iter().map(known).collect();
    let causes = causes.map_or(counts.causes, |causes| Causes::build(&causes, out).unwrap());
    Message::Counts(Counts { causes, ..counts })
}

fn encode(frame: &Frame<'_>, message: &Message<'_>) -> Vec<u8> {
    let head = Head { session: frame.session, seq: frame.seq, flags: frame.flags };
    let mut out = vec![0; 65_535];
    let len = message.encode(head, &mut out).unwrap();
    out.truncate(len);
    out
}
