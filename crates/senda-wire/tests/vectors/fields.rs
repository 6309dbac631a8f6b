//! Decoded messages in the form of the vectors' `fields`. Spec §17.

use senda_wire::{
    Channel, Data, Frame, List, Message, Options, Presence, Schema, Value, ValueType, crc32,
};
use toml::{Table, Value as Toml};

use crate::hex;

/// The fields of the header.
pub(crate) fn header(frame: &Frame<'_>) -> Table {
    table([
        ("flags", number(frame.flags.into())),
        ("session", number(frame.session.into())),
        ("seq", number(frame.seq.into())),
    ])
}

/// The fields of the body, but for rows.
pub(crate) fn body(message: &Message<'_>) -> Table {
    match *message {
        Message::Hello(_) | Message::Welcome(_) => opening(message),
        Message::Retry { cookie } => table([("cookie", Toml::String(hex(cookie)))]),
        Message::Declare(declare) => table([
            ("part", number(declare.part.into())),
            ("parts", number(declare.parts.into())),
            ("crc", number(declare.crc.into())),
            ("bytes", Toml::String(hex(declare.bytes))),
        ]),
        Message::Declared { crc } => table([("crc", number(crc.into()))]),
        Message::Close(close) => table([
            ("code", number(close.code.0.into())),
            ("retry_after_ms", number(close.retry_after_ms.into())),
            ("text", text(close.text)),
        ]),
        Message::Rows(data)
        | Message::RowsU(data)
        | Message::Sparse(data)
        | Message::Columns(data)
        | Message::ColumnsU(data) => table([
            ("schema_id", number(data.head.schema.into())),
            ("clock", number(data.head.clock.code().into())),
            ("t0", number(data.head.t0.into())),
        ]),
        Message::Counts(_) | Message::Skip(_) | Message::Report(_) => ledger(message),
        Message::Ack(_) | Message::Nack(_) => answer(message),
        Message::TimeReq(request) => table([
            ("t1", number(request.t1.into())),
            ("offset", number(request.offset.into())),
            ("uncertainty", number(request.uncertainty.into())),
            ("clock", number(request.clock.code().into())),
        ]),
        Message::Time(time) => table([
            ("t1", number(time.t1.into())),
            ("t2", number(time.t2.into())),
            ("t3", number(time.t3.into())),
        ]),
        Message::Ping(ping) | Message::Pong(ping) => table([("token", number(ping.token.into()))]),
        _ => control(message),
    }
}

fn opening(message: &Message<'_>) -> Table {
    match *message {
        Message::Hello(hello) => table([
            ("stream", number(hello.stream.into())),
            ("nonce", number(hello.nonce.into())),
            ("next_row", number(hello.next_row.into())),
            ("oldest_row", number(hello.oldest_row.into())),
            ("keepalive_s", number(hello.keepalive_s.into())),
            ("max_msg", number(hello.max_msg.into())),
            ("ack_every", number(hello.ack_every.into())),
            ("ack_delay_ms", number(hello.ack_delay_ms.into())),
            ("suite", number(hello.suite.code().into())),
            ("downlink", number(hello.downlink.into())),
            ("encodings", number(hello.encodings.into())),
            ("config_rev", number(hello.config_rev.into())),
            ("last_command_id", number(hello.last_command_id.into())),
            ("device", text(hello.device.as_str())),
            ("cookie", Toml::String(hex(hello.cookie))),
            ("options", options(hello.options)),
        ]),
        Message::Welcome(welcome) => table([
            ("nonce", number(welcome.nonce.into())),
            ("next_row", number(welcome.next_row.into())),
            ("high_row", number(welcome.high_row.into())),
            ("server_time", number(welcome.server_time.into())),
            ("window_rows", number(welcome.window_rows.into())),
            ("max_msg", number(welcome.max_msg.into())),
            ("encodings", number(welcome.encodings.into())),
            ("durability", number(welcome.durability.code().into())),
            ("suite", number(welcome.suite.code().into())),
            ("commit_interval_ms", number(welcome.commit_interval_ms.into())),
            ("keepalive_s", number(welcome.keepalive_s.into())),
            ("ack_every", number(welcome.ack_every.into())),
            ("ack_delay_ms", number(welcome.ack_delay_ms.into())),
            ("max_channels", number(welcome.max_channels.into())),
            ("max_schemas", number(welcome.max_schemas.into())),
            ("max_elements", number(welcome.max_elements.into())),
            ("max_values", number(welcome.max_values.into())),
            ("max_decoded", number(welcome.max_decoded.into())),
            ("options", options(welcome.options)),
        ]),
        _ => panic!("{message:?}"),
    }
}

fn ledger(message: &Message<'_>) -> Table {
    match *message {
        Message::Counts(counts) => {
            let entry = |(cause, count): (u8, u64)| {
                table([("cause", number(cause.into())), ("count", number(count.into()))])
            };
            let causes = counts.causes.iter().map(entry).map(Toml::Table).collect();
            table([("made", number(counts.made.into())), ("causes", Toml::Array(causes))])
        }
        Message::Skip(skip) => {
            table([("count", number(skip.count.into())), ("cause", number(skip.cause.into()))])
        }
        Message::Report(report) => table([
            ("received", number(report.received.into())),
            ("duplicates", number(report.duplicates.into())),
            ("missing", number(report.missing.into())),
        ]),
        _ => panic!("{message:?}"),
    }
}

fn answer(message: &Message<'_>) -> Table {
    match *message {
        Message::Ack(ack) => ack.window.map_or_else(Table::new, |window| {
            let range = |range: senda_wire::Range| {
                table([("start", number(range.start.into())), ("end", number(range.end.into()))])
            };
            let ranges = window.ranges.iter().map(range).map(Toml::Table).collect();
            table([
                ("window_rows", number(window.window_rows.into())),
                ("ack_delay_ms", number(window.ack_delay_ms.into())),
                ("retry_after_ms", number(window.retry_after_ms.into())),
                ("ranges", Toml::Array(ranges)),
            ])
        }),
        Message::Nack(nack) => table([
            ("type", number(nack.refused_type.into())),
            ("code", number(nack.code.0.into())),
            ("first", number(nack.first.into())),
            ("count", number(nack.count.into())),
            ("retry_after_ms", number(nack.retry_after_ms.into())),
            ("text", text(nack.text)),
        ]),
        _ => panic!("{message:?}"),
    }
}

fn control(message: &Message<'_>) -> Table {
    match *message {
        Message::Config(config) => table([
            ("revision", number(config.revision.into())),
            ("settings", list(config.settings)),
        ]),
        Message::Command(command) => table([
            ("id", number(command.id.into())),
            ("ttl_ms", number(command.ttl_ms.into())),
            ("name", text(command.name)),
            ("arguments", list(command.arguments)),
        ]),
        Message::Alert(alert) => table([
            ("id", number(alert.id.into())),
            ("time", number(alert.time.into())),
            ("state", number(u8::from(alert.raised).into())),
            ("severity", number(alert.severity.into())),
            ("schema", text(alert.schema)),
            ("channel", text(alert.channel)),
            ("text", text(alert.text)),
            ("values", list(alert.values)),
        ]),
        Message::Done(done) => table([
            ("type", number(done.answered.code().into())),
            ("id", number(done.id.into())),
            ("status", number(done.status.code().into())),
            ("text", text(done.text)),
            ("results", list(done.results)),
        ]),
        _ => panic!("{message:?}"),
    }
}

/// The rows of ROWS, SPARSE and ROWS_U.
pub(crate) fn rows(data: &Data<'_>, schema: &Schema<'_>, presence: Presence) -> Toml {
    let mut rows = data.rows(schema, presence).unwrap();
    let mut shown = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        let values = if row.bad_channel.is_some() {
            text("refused")
        } else {
            Toml::Array(row.values().map(|v| v.map_or_else(|| text("absent"), value)).collect())
        };
        let time_offset = number(row.time_offset.into());
        shown.push(Toml::Table(table([("time_offset", time_offset), ("values", values)])));
    }
    Toml::Array(shown)
}

/// A schema description.
pub(crate) fn schema(schema: &Schema<'_>) -> Table {
    let channels = schema.channels().map(|c| Toml::Table(channel(&c))).collect();
    table([
        ("name", text(schema.name().as_str())),
        ("channels", Toml::Array(channels)),
        ("crc", number(crc32(schema.bytes()).into())),
    ])
}

fn channel(channel: &Channel<'_>) -> Table {
    let mut fields = table([
        ("type", text(channel.value_type.name())),
        ("exponent", number(channel.exponent.into())),
        ("flags", number(u8::from(channel.counter).into())),
        ("elements", number(channel.elements.into())),
        ("max_len", number(channel.max_len.into())),
        ("name", text(channel.name.as_str())),
        ("unit", text(channel.unit)),
    ]);
    if channel.value_type == ValueType::Enum8 {
        fields.insert("labels".into(), Toml::Array(channel.labels().map(text).collect()));
    }
    fields
}

fn options(options: Options<'_>) -> Toml {
    let entry = |option: senda_wire::HelloOption<'_>| {
        table([("type", number(option.code.into())), ("value", Toml::String(hex(option.value)))])
    };
    Toml::Array(options.iter().map(entry).map(Toml::Table).collect())
}

fn list(list: List<'_>) -> Toml {
    let entry = |entry: senda_wire::NamedValue<'_>| {
        table([
            ("name", text(entry.name)),
            ("type", text(entry.typed.value.value_type().name())),
            ("exponent", number(entry.typed.exponent.into())),
            ("elements", number(i128::try_from(entry.typed.value.elements()).unwrap())),
            ("value", value(entry.typed.value)),
        ])
    };
    Toml::Array(list.iter().map(entry).map(Toml::Table).collect())
}

fn value(value: Value<'_>) -> Toml {
    match value {
        Value::Bool(value) => Toml::Boolean(value),
        Value::U8(value) | Value::Enum(value) => number(value.into()),
        Value::U16(value) => number(value.into()),
        Value::U32(value) => number(value.into()),
        Value::U64(value) => number(value.into()),
        Value::I8(value) => number(value.into()),
        Value::I16(value) => number(value.into()),
        Value::I32(value) => number(value.into()),
        Value::I64(value) | Value::Time(value) => number(value.into()),
        Value::F32(value) => Toml::String(format!("0x{:08x}", value.to_bits())),
        Value::F64(value) => Toml::String(format!("0x{:016x}", value.to_bits())),
        Value::Text(value) => text(value),
        Value::Blob(value) => Toml::String(format!("hex:{}", hex(value))),
        Value::Vector(vector) => Toml::Array(vector.iter().map(self::value).collect()),
    }
}

/// A number in any of its forms; the comparison sees strings.
pub(crate) fn number(value: i128) -> Toml {
    Toml::String(value.to_string())
}

fn text(text: &str) -> Toml {
    Toml::String(text.into())
}

fn table<const N: usize>(entries: [(&str, Toml); N]) -> Table {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
