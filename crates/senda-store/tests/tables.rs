//! What people see: tables, columns, names and views, in plain SQL.

mod common;

use common::{NOW, SECOND, channel, declare, describe, land, landing, open, sql};
use senda_store::{Options, Outcome, Reader, What, Writer};
use senda_wire::ValueType::{Bool, F32, F64, I16, I64, Text, U8, U64};
use senda_wire::{ChannelSpec, Schema, Value, encode_row};

/// One row in ROWS form.
fn one_row(id: u16, description: &[u8], row: u32, values: &[Value<'_>]) -> What {
    let schema = Schema::decode(description).unwrap();
    let mut buffer = [0; 1_200];
    let len = encode_row(&schema, values, &mut buffer).unwrap();
    let body = common::body(id, 3, NOW + i64::from(row) * SECOND, &[(0, buffer[..len].to_vec())]);
    What::Rows { first: row, count: 1, sparse: false, schema: id, body, refused: vec![] }
}

/// Lands and files one row of a schema, in a stream of its own.
fn store(writer: &mut Writer, stream: u64, description: &[u8], values: &[Value<'_>]) {
    let batch = [
        landing("gh-7", stream, NOW, declare(0, description.to_vec())),
        landing("gh-7", stream, NOW, one_row(0, description, 0, values)),
    ];
    for verdict in writer.land(&batch, NOW) {
        assert_eq!(verdict.outcome, Outcome::Stored);
    }
    writer.file_all(NOW).unwrap();
}

#[test]
fn the_select_of_the_first_page_of_the_manual_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let greenhouse = describe(
        "greenhouse",
        &[channel("temperature", I16, -2, 1, "Cel"), channel("humidity", U8, 0, 1, "%RH")],
    );
    store(&mut writer, 0x9F3C, &greenhouse, &[Value::I16(2_150), Value::U8(61)]);
    assert_eq!(
        sql(dir.path(), "select time, temperature from greenhouse where device = 'gh-7'"),
        format!("{NOW}|21.5")
    );
    assert_eq!(
        sql(
            dir.path(),
            "select device, utc, humidity, stream, row, received, clock, estimated from greenhouse"
        ),
        format!("gh-7|2023-11-14T22:13:20.000000Z|61|0000000000009f3c|0|{NOW}|utc_synced|0")
    );
    assert_eq!(
        sql(dir.path(), "select time, device, channel, unit, value from readings order by channel"),
        format!("{NOW}|gh-7|humidity|%RH|61\n{NOW}|gh-7|temperature|Cel|21.5")
    );
}

#[test]
fn every_type_has_the_column_form_that_the_manual_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let mut state = channel("state", senda_wire::ValueType::Enum8, 0, 1, "");
    state.labels = &["closed", "open"];
    let description = describe(
        "forms",
        &[
            channel("flag", Bool, 0, 1, ""),
            channel("big", U64, 0, 1, ""),
            channel("low", I64, 0, 1, ""),
            channel("scaled", I64, -3, 1, ""),
            channel("kilo", I16, 3, 1, ""),
            channel("nan", F64, 0, 1, ""),
            channel("zero", F32, 0, 1, ""),
            channel("whole", F64, 0, 1, ""),
            channel("note", Text, 0, 1, ""),
            state,
            channel("accel", F32, 0, 3, ""),
        ],
    );
    let accel: Vec<u8> =
        [0.5f32, f32::INFINITY, -2.0].into_iter().flat_map(f32::to_be_bytes).collect();
    let values = [
        Value::Bool(true),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::I64(-1_500),
        Value::I16(7),
        Value::F64(f64::NAN),
        Value::F32(-0.0),
        Value::F64(3.0),
        Value::Text("grün"),
        Value::Enum(1),
        Value::Vector(senda_wire::Vector::new(F32, &accel).unwrap()),
    ];
    store(&mut writer, 1, &description, &values);
    assert_eq!(
        sql(
            dir.path(),
            "select flag, big, low, scaled, kilo, nan, zero, whole, note, state, accel_0, accel_1, accel_2 from forms"
        ),
        "1|1.8446744073709552e19|-9223372036854775808|-1.5|7000.0|NULL|0.0|3.0|grün|open|0.5|inf|-2.0"
    );
    // The table below the view keeps the bits.
    assert_eq!(
        sql(dir.path(), "select big, scaled, kilo, nan, zero, typeof(whole), state from _forms"),
        "-1|-1500|7|7ff8000000000000|80000000|real|1"
    );
}

#[test]
fn an_additive_change_adds_columns_and_a_conflicting_one_makes_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let temperature = channel("temperature", F64, 0, 1, "Cel");
    store(&mut writer, 1, &describe("air", &[temperature]), &[Value::F64(1.0)]);
    store(
        &mut writer,
        2,
        &describe("air", &[channel("co2", U8, 0, 1, "ppm"), temperature]),
        &[Value::U8(4), Value::F64(2.0)],
    );
    store(
        &mut writer,
        3,
        &describe("air", &[channel("temperature", F64, 0, 1, "K")]),
        &[Value::F64(3.0)],
    );
    store(
        &mut writer,
        4,
        &describe("air", &[channel("temperature", I16, -1, 1, "Cel")]),
        &[Value::I16(40)],
    );
    store(
        &mut writer,
        5,
        &describe("air", &[channel("temperature", F64, 0, 1, "K")]),
        &[Value::F64(5.0)],
    );
    assert_eq!(sql(dir.path(), "select temperature, co2 from air order by 1"), "1.0|NULL\n2.0|4");
    assert_eq!(sql(dir.path(), "select temperature from air_2 order by 1"), "3.0\n5.0");
    assert_eq!(sql(dir.path(), "select temperature from air_3"), "4.0");
    // It is the same after a restart.
    drop(writer);
    let mut writer = open(dir.path());
    store(
        &mut writer,
        6,
        &describe("air", &[temperature, channel("dust", F32, 0, 1, "")]),
        &[Value::F64(6.0), Value::F32(0.5)],
    );
    assert_eq!(
        sql(dir.path(), "select temperature, co2, dust from air order by 1"),
        "1.0|NULL|NULL\n2.0|4|NULL\n6.0|NULL|0.5"
    );
}

#[test]
fn labels_may_be_added_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let door = |labels: &'static [&'static str]| {
        let state =
            ChannelSpec { labels, ..channel("state", senda_wire::ValueType::Enum8, 0, 1, "") };
        describe("door", &[state])
    };
    store(&mut writer, 1, &door(&["closed"]), &[Value::Enum(0)]);
    store(&mut writer, 2, &door(&["closed", "open"]), &[Value::Enum(1)]);
    store(&mut writer, 3, &door(&["zu", "auf"]), &[Value::Enum(1)]);
    assert_eq!(sql(dir.path(), "select state from door order by stream"), "closed\nopen");
    assert_eq!(sql(dir.path(), "select state from door_2"), "auf");
}

#[test]
fn names_that_are_ours_or_sqls_are_safe() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let names = [
        "select",
        "order",
        "readings",
        "devices",
        "inbox",
        "sqlite_x",
        "main",
        "temp",
        "greenhouse_2",
        "pragma_table_list",
        "json_each",
        "dbstat",
        "sqlite_schema",
    ];
    for (stream, name) in (0..).zip(names) {
        let channels = ["time", "device", "row", "flags", "value", "group", "rowid", "_"]
            .map(|name| name.trim_matches('_'));
        let channels: Vec<_> = channels
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| channel(name, U8, 0, 1, ""))
            .collect();
        let values: Vec<_> = (1..).zip(&channels).map(|(value, _)| Value::U8(value)).collect();
        store(&mut writer, stream, &describe(name, &channels), &values);
    }
    for name in [
        "select",
        "order",
        "readings_2",
        "devices_2",
        "inbox_2",
        "schema_sqlite_x",
        "main",
        "temp",
        "greenhouse_2",
        "schema_pragma_table_list",
        "json_each",
        "dbstat",
        "schema_sqlite_schema",
    ] {
        let select = format!(
            "select device, time_2, device_2, row_2, flags_2, value, \"group\", \"rowid\" from \"{name}\""
        );
        assert_eq!(sql(dir.path(), &select), "gh-7|1|2|3|4|5|6|7", "{name}");
    }
    assert_eq!(sql(dir.path(), "select count(*) from readings where channel = 'value'"), "13");
}

#[test]
fn columns_of_a_vector_give_way_to_a_channel_of_that_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let description = describe("v", &[channel("a_1", U8, 0, 1, ""), channel("a", U8, 0, 2, "")]);
    let vector = Value::Vector(senda_wire::Vector::new(U8, &[8, 9]).unwrap());
    store(&mut writer, 1, &description, &[Value::U8(7), vector]);
    assert_eq!(sql(dir.path(), "select a_1, a_0, a_1_2 from v"), "7|8|9");
}

#[test]
fn a_table_ends_where_sqlite_has_no_more_columns() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for part in 0..3u8 {
        let names: Vec<String> = (0..16).map(|number| format!("c{part}_{number}")).collect();
        let channels: Vec<_> = names.iter().map(|name| channel(name, U8, 0, 64, "")).collect();
        let bytes = [part; 64];
        let vector = Value::Vector(senda_wire::Vector::new(U8, &bytes).unwrap());
        store(&mut writer, part.into(), &describe("wide", &channels), &[vector; 16]);
    }
    assert_eq!(sql(dir.path(), "select name from tables order by id"), "wide\nwide_2\nwide_3");
    assert_eq!(sql(dir.path(), "select c0_15_63 from wide"), "0");
    assert_eq!(sql(dir.path(), "select c2_15_63 from wide_3"), "2");
}

#[test]
fn one_device_and_one_hour_is_looked_up_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0, 2.0]));
    writer.file_all(NOW).unwrap();
    let hour = format!("device = 'gh-7' and time >= {NOW} and time < {}", NOW + 3_600 * SECOND);
    for select in [
        format!("select time, temperature from greenhouse where {hour}"),
        format!("select avg(temperature) from greenhouse where {hour}"),
        format!("select time, value from readings where {hour} and channel = 'temperature'"),
    ] {
        let plan = sql(dir.path(), &format!("explain query plan {select}"));
        assert!(
            plan.contains("SEARCH r USING PRIMARY KEY (device=? AND time>? AND time<?)"),
            "{select}\n{plan}"
        );
        assert!(!plan.contains("SCAN r"), "{select}\n{plan}");
    }
    assert_eq!(
        sql(dir.path(), &format!("select temperature from greenhouse where {hour}")),
        "1.0\n2.0"
    );
}

#[test]
fn the_view_of_all_readings_stays_within_sqlites_terms_and_says_what_it_leaves_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for stream in 0..503u64 {
        let description = describe(&format!("s{stream}"), &[channel("x", U8, 0, 1, "")]);
        let batch = [
            landing("d", stream, NOW, declare(0, description.clone())),
            landing("d", stream, NOW, one_row(0, &description, 0, &[Value::U8(1)])),
        ];
        writer.land(&batch, NOW);
    }
    writer.file_all(NOW).unwrap();
    assert_eq!(sql(dir.path(), "select count(*) from readings"), "500");
    assert_eq!(sql(dir.path(), "select count(*) from tables where not in_readings"), "3");
    let text = sql(dir.path(), "select sql from sqlite_schema where name = 'readings'");
    assert!(text.contains("leaves out"), "{}", &text[..200]);
    drop(writer);
    open(dir.path());
}

#[test]
fn there_is_a_limit_to_the_number_of_schemas() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        common::open_with(dir.path(), Options { schemas_max: 2, ..Options::default() });
    let schema = |name: &str| declare(0, describe(name, &[channel("x", U8, 0, 1, "")]));
    assert_eq!(land(&mut writer, "d", 1, NOW, schema("a")).outcome, Outcome::Stored);
    assert_eq!(land(&mut writer, "d", 2, NOW, schema("b")).outcome, Outcome::Stored);
    assert_eq!(land(&mut writer, "d", 3, NOW, schema("c")).outcome, Outcome::TooManySchemas);
    assert_eq!(
        land(&mut writer, "d", 3, NOW, schema("a")).outcome,
        Outcome::Stored,
        "a known one costs nothing"
    );
}

#[test]
fn what_is_not_a_row_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let batch = [
        What::Skip { first: 0, count: 3, cause: 9 },
        What::Counts { row: 3, made: u64::MAX, causes: vec![(1, 2), (200, u64::MAX)] },
        What::RefusedMessage { first: 4, count: 2, code: 303, kind: 0x11, body: vec![1; 5_000] },
        What::Seen { transport: "udp".into(), software: "probe 1.2".into() },
        What::Event { kind: "displaced".into(), text: "by 10.0.0.7".into() },
        What::Clock { offset_us: -5, uncertainty_us: 9, kind: 1 },
    ];
    let batch = batch.map(|what| landing("gh-7", u64::MAX, NOW, what));
    assert!(writer.land(&batch, NOW).iter().all(|verdict| verdict.outcome == Outcome::Stored));
    writer.file_all(NOW).unwrap();
    let dir = dir.path();
    assert_eq!(sql(dir, "select first, last, cause from skips"), "0|3|9");
    assert_eq!(
        sql(dir, "select row, made, causes from counts"),
        "3|-1|{\"1\": 2, \"200\": 18446744073709551615}"
    );
    assert_eq!(
        sql(dir, "select first, last, code, message, length(bytes) from refused"),
        "4|6|303|17|2048"
    );
    assert_eq!(
        sql(dir, "select name, transport, software, first_seen from devices"),
        format!("gh-7|udp|probe 1.2|{NOW}")
    );
    assert_eq!(
        sql(dir, "select kind, text, time from events"),
        format!("displaced|by 10.0.0.7|{NOW}")
    );
    assert_eq!(
        sql(dir, "select stream, clock_offset, clock_uncertainty, mark from streams"),
        "-1|-5|9|6"
    );
    assert_eq!(
        sql(dir, "select stream, next_row, resolved, stored, refused, skipped, counts from ledger"),
        "ffffffffffffffff|6|6|0|2|3|1"
    );
}

#[test]
fn users_sql_can_not_write_or_reach_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let _writer = open(dir.path());
    let reader = Reader::open(dir.path()).unwrap();
    for bad in [
        "DELETE FROM devices",
        "CREATE TABLE x (y)",
        "ATTACH '/tmp/other.db' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO '/tmp/other.db'",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM devices",
    ] {
        assert!(reader.sql(bad, 10).is_err(), "{bad}");
    }
    assert_eq!(reader.sql("SELECT 1 UNION SELECT 2", 1).unwrap().rows.len(), 1);
    assert!(reader.sql("SELECT 1 UNION SELECT 2", 1).unwrap().is_cut);
}

#[test]
fn a_schema_that_sqlite_does_not_take_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let conn = rusqlite::Connection::open(dir.path().join("senda.db")).unwrap();
    conn.execute_batch("CREATE TABLE _clash (by_hand)").unwrap();
    for (stream, name) in (0..).zip(["clash", "good"]) {
        let description = describe(name, &[channel("x", U8, 0, 1, "")]);
        store(&mut writer, stream, &description, &[Value::U8(7)]);
    }
    assert_eq!(sql(dir.path(), "select x from good"), "7");
    assert_eq!(sql(dir.path(), "select why from unreadable"), "no table for its schema");
    assert_eq!(sql(dir.path(), "select name from tables"), "good");
}
