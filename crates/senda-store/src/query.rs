//! Samples, landed and filed alike, with values as the devices sent them.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Statement, ToSql, params};
use senda_wire::{Channel, Clock, Schema, ValueType};

use crate::catalog::{KEY_COLUMNS, Table, load_tables};
use crate::clock::ClockState;
use crate::filing::{FLAG_ESTIMATED, stored_clock};
use crate::inbox::{BlobReader, Entry, Item, Said, read_body};
use crate::reader::Stop;
use crate::rows::{DataMessage, LandedRow, read_row};
use crate::{EventRecord, Reader, StoreError, Value};

/// Which samples to show.
#[derive(Clone, Debug)]
pub struct Query {
    /// Of this device alone.
    pub device: Option<String>,
    /// Samples that have a value for this channel, and that value alone.
    pub channel: Option<String>,
    /// From this time on, in microseconds since 1970.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// At most this many.
    pub limit: usize,
    /// Where there are more: the newest rather than the oldest.
    pub newest: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self { device: None, channel: None, since: None, until: None, limit: 1_000, newest: true }
    }
}

/// One sample.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The device.
    pub device: Arc<str>,
    /// Its stream.
    pub stream: u64,
    /// The row's number; below zero for an unacknowledged one (ROWS_U).
    pub row: i64,
    /// The best estimate of when it was taken, in microseconds since 1970.
    pub time: i64,
    /// True when the device's clock could not be believed.
    pub estimated: bool,
    /// What the device's clock said; `None` where it has none.
    pub device_time: Option<i64>,
    /// Kind of that clock.
    pub clock: Clock,
    /// When it arrived.
    pub received: i64,
    /// What was measured.
    pub table: Arc<TableInfo>,
    /// A value for each channel of `table`; `None` where there is none (SPARSE, or another version of the schema).
    pub values: Vec<Option<Value>>,
}

/// What the samples of a table have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableInfo {
    /// The view's name in the database; the schema's, for samples that are not filed.
    pub name: String,
    /// Its channels, or the one that was asked for.
    pub channels: Vec<ChannelInfo>,
}

/// What is known of a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: String,
    /// Its unit, or empty.
    pub unit: String,
    /// Type of the value, or of a vector's elements.
    pub value_type: ValueType,
    /// value = raw × 10^exponent.
    pub exponent: i8,
    /// 1, or elements of a vector.
    pub elements: u8,
    /// True for a counter.
    pub counter: bool,
    /// Labels of an enum8.
    pub labels: Vec<Arc<str>>,
}

impl Reader {
    /// The samples that `query` asks for, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]: among others when it takes longer than [`Reader::stop_when`] allows.
    pub fn query(&self, query: &Query) -> Result<Vec<Sample>, StoreError> {
        let limit = query.limit.min(LIMIT_MAX);
        self.read(|conn| {
            let mut found = Found { query, limit, samples: Vec::new() };
            let mut filed = Filed::new(conn);
            for table in load_tables(conn)? {
                filed.read_table(&table, &mut found)?;
            }
            found.cut();
            // Filed and landed are cut each for itself: a run that is half filed has rows in both.
            let mut landed = Found { query, limit, samples: Vec::new() };
            Landed::new(conn, &self.stop)?.read_inbox(&mut landed)?;
            landed.cut();
            found.samples.append(&mut landed.samples);
            found.cut();
            Ok(found.samples)
        })
    }
}

/// Samples that were found so far.
pub(crate) struct Found<'q> {
    pub(crate) query: &'q Query,
    pub(crate) limit: usize,
    pub(crate) samples: Vec<Sample>,
}

impl Found<'_> {
    fn takes(&self, time: i64) -> bool {
        self.query.since.is_none_or(|since| time >= since)
            && self.query.until.is_none_or(|until| time < until)
    }

    fn takes_device(&self, device: &str) -> bool {
        self.query.device.as_deref().is_none_or(|wanted| wanted == device)
    }

    fn takes_channel(&self, channel: &str) -> bool {
        self.query.channel.as_deref().is_none_or(|wanted| wanted == channel)
    }

    fn push(&mut self, sample: Sample) {
        if self.query.channel.is_some() && sample.values.iter().all(Option::is_none) {
            return;
        }
        self.samples.push(sample);
        if self.samples.len() > 2 * self.limit + 1_000 {
            self.cut();
        }
    }

    /// Sorts, takes out what is there twice, and leaves as many as are wanted.
    fn cut(&mut self) {
        fn key(sample: &Sample) -> (i64, &str, u64, i64) {
            (sample.time, &*sample.device, sample.stream, sample.row)
        }
        self.samples.sort_by(|a, b| key(a).cmp(&key(b)));
        self.samples.dedup_by(|a, b| key(a) == key(b));
        let excess = self.samples.len().saturating_sub(self.limit);
        if self.query.newest {
            self.samples.drain(..excess);
        } else {
            self.samples.truncate(self.limit);
        }
    }
}

/// Reads tables.
pub(crate) struct Filed<'c> {
    conn: &'c Connection,
    streams: HashMap<i64, (Arc<str>, u64)>,
}

impl<'c> Filed<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self { conn, streams: HashMap::new() }
    }

    /// The statement that reads all of one device from a table, for [`Filed::sample`].
    pub(crate) fn prepare(
        &self,
        table: &Table,
    ) -> Result<(Arc<TableInfo>, Statement<'c>), StoreError> {
        let query = Query::default();
        let all = Found { query: &query, limit: 0, samples: Vec::new() };
        let (info, columns) = describe_table(table, &all);
        let list: String = columns.iter().map(|column| format!(", \"{column}\"")).collect();
        let sql = format!("SELECT {SAMPLE}{list} FROM {} WHERE device = ?1", table.base());
        Ok((Arc::new(info), self.conn.prepare(&sql)?))
    }

    fn read_table(&mut self, table: &Table, found: &mut Found<'_>) -> Result<(), StoreError> {
        let (info, columns) = describe_table(table, found);
        if info.channels.is_empty() {
            return Ok(());
        }
        let device: Option<i64> = match &found.query.device {
            None => None,
            Some(name) => {
                let mut select =
                    self.conn.prepare_cached("SELECT id FROM devices WHERE name = ?1")?;
                let Some(id) = select.query_row([name], |row| row.get(0)).optional()? else {
                    return Ok(());
                };
                Some(id)
            }
        };
        let info = Arc::new(info);
        let mut statement = self.conn.prepare(&select_samples(
            table,
            &columns,
            device.is_some(),
            found.query.newest,
        ))?;
        let since = found.query.since.unwrap_or(i64::MIN);
        let until = found.query.until.unwrap_or(i64::MAX);
        let limit = i64::try_from(found.limit).unwrap_or(i64::MAX);
        let bound: [&dyn ToSql; 4] = [&since, &until, &limit, &device];
        let mut rows = statement.query(&bound[..if device.is_some() { 4 } else { 3 }])?;
        while let Some(row) = rows.next()? {
            found.push(self.sample(row, &info)?);
        }
        Ok(())
    }

    pub(crate) fn sample(
        &mut self,
        row: &Row<'_>,
        info: &Arc<TableInfo>,
    ) -> Result<Sample, StoreError> {
        let (time, delay, flags): (i64, i64, u8) = (row.get(1)?, row.get(5)?, row.get(6)?);
        let (device, stream) = self.stream(row.get(2)?)?;
        let clock = Clock::from_code(flags & 3).unwrap_or(Clock::None);
        let device_time: Option<i64> = row.get(4)?;
        let mut column = KEY_COLUMNS;
        let mut values = Vec::with_capacity(info.channels.len());
        for channel in &info.channels {
            let mut elements = Vec::with_capacity(usize::from(channel.elements));
            for _ in 0..channel.elements {
                elements.extend(Value::from_column(
                    row.get_ref(column)?,
                    channel.value_type,
                    &channel.labels,
                ));
                column += 1;
            }
            values.push(match channel.elements {
                1 => elements.pop(),
                _ if elements.is_empty() => None,
                _ => Some(Value::Vector(elements)),
            });
        }
        Ok(Sample {
            device,
            stream,
            row: row.get(3)?,
            time,
            estimated: flags & FLAG_ESTIMATED != 0,
            device_time: if clock == Clock::None { None } else { device_time.or(Some(time)) },
            clock,
            received: time.wrapping_add(delay),
            table: Arc::clone(info),
            values,
        })
    }

    fn stream(&mut self, id: i64) -> Result<(Arc<str>, u64), StoreError> {
        if let Some((device, stream)) = self.streams.get(&id) {
            return Ok((Arc::clone(device), *stream));
        }
        let mut select = self.conn.prepare_cached(
            "SELECT d.name, s.stream FROM streams s JOIN devices d ON d.id = s.device WHERE s.id = ?1",
        )?;
        let (device, stream): (String, i64) =
            select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let known = (Arc::from(device), stream.cast_unsigned());
        self.streams.insert(id, (Arc::clone(&known.0), known.1));
        Ok(known)
    }
}

/// The statement that reads `columns` of a table: parameters since, until, limit, and device if there is one.
fn select_samples(table: &Table, columns: &[&str], one_device: bool, newest: bool) -> String {
    let list: String = columns.iter().map(|column| format!(", \"{column}\"")).collect();
    // Each device is looked up by key: none reads the times outside the range.
    let device = if one_device { "device = ?4" } else { "device IN (SELECT id FROM devices)" };
    let order = if newest { "DESC" } else { "ASC" };
    format!(
        "SELECT {SAMPLE}{list} FROM {}
         WHERE {device} AND time >= ?1 AND time < ?2 ORDER BY time {order}, stream {order}, row {order} LIMIT ?3",
        table.base()
    )
}

/// The channels that are asked for, and their columns.
fn describe_table<'t>(table: &'t Table, found: &Found<'_>) -> (TableInfo, Vec<&'t str>) {
    let mut info = TableInfo { name: table.name.clone(), channels: Vec::new() };
    let mut names = Vec::new();
    let first = table
        .columns
        .iter()
        .filter(|column| column.element == 0 && found.takes_channel(&column.channel));
    for column in first {
        for element in 0..column.elements {
            names.extend(table.column(&column.channel, element).map(|column| column.name.as_str()));
        }
        info.channels.push(ChannelInfo {
            name: column.channel.clone(),
            unit: column.unit.clone(),
            value_type: column.value_type,
            exponent: column.exponent,
            elements: column.elements,
            counter: column.counter,
            labels: column.labels.clone(),
        });
    }
    (info, names)
}

/// Reads the inbox.
pub(crate) struct Landed<'c> {
    conn: &'c Connection,
    stop: &'c Stop,
    /// The last entry of the run of filing that may be under way.
    run: i64,
    parts: LandedParts,
}

/// What is known of streams and schemas, as far as the inbox was read.
#[derive(Debug, Default)]
pub(crate) struct LandedParts {
    pub(crate) streams: HashMap<(Arc<str>, u64), LandedStream>,
    descriptions: HashMap<i64, Arc<[u8]>>,
    infos: HashMap<i64, Arc<TableInfo>>,
}

/// What the inbox and the tables say of a stream, as far as the inbox was read.
#[derive(Debug, Default)]
pub(crate) struct LandedStream {
    clock: Option<ClockState>,
    schemas: HashMap<u16, i64>,
}

impl<'c> Landed<'c> {
    pub(crate) fn new(conn: &'c Connection, stop: &'c Stop) -> Result<Self, StoreError> {
        Self::resume(conn, stop, LandedParts::default())
    }

    /// Goes on with what was learnt before.
    pub(crate) fn resume(
        conn: &'c Connection,
        stop: &'c Stop,
        parts: LandedParts,
    ) -> Result<Self, StoreError> {
        let run = conn
            .query_row("SELECT last FROM filing WHERE done > 0", [], |row| row.get(0))
            .optional()?;
        Ok(Self {
            conn,
            stop,
            // No run is under way: whatever the tables say of clocks holds.
            run: run.unwrap_or(0),
            parts,
        })
    }

    pub(crate) fn into_parts(self) -> LandedParts {
        self.parts
    }

    pub(crate) fn read_inbox(&mut self, found: &mut Found<'_>) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare("SELECT bytes FROM inbox ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if self.stop.is_due() {
                return Err(StoreError::Sqlite(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT),
                    Some("the query took too long".to_owned()),
                )));
            }
            let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
            self.read_blob(bytes, found, &mut |_| {})?;
        }
        Ok(())
    }

    /// Reads one entry of the inbox; what happened in it goes to `visit`.
    pub(crate) fn read_blob(
        &mut self,
        bytes: &[u8],
        found: &mut Found<'_>,
        visit: &mut dyn FnMut(EventRecord),
    ) -> Result<(), StoreError> {
        // `None`: a stream of a device that was not asked for.
        let mut streams: Vec<Option<(Arc<str>, u64)>> = Vec::new();
        let mut reader = BlobReader::new(bytes)?;
        while let Some(item) = reader.next()? {
            match item {
                Item::Stream(device, stream) => {
                    let key = found.takes_device(device).then(|| (Arc::from(device), stream));
                    if let Some(key) =
                        key.as_ref().filter(|key| !self.parts.streams.contains_key(key))
                    {
                        let known = self.load_stream(&key.0, stream)?;
                        self.parts.streams.insert(key.clone(), known);
                    }
                    streams.push(key);
                }
                Item::Entry(index, entry) => {
                    if let Some(Some(key)) = streams.get(index) {
                        if let Said::Event { kind, text } = entry.said {
                            visit(EventRecord {
                                time: entry.received,
                                device: Some(key.0.to_string()),
                                stream: key.1,
                                kind: kind.to_owned(),
                                text: text.to_owned(),
                            });
                        }
                        self.read_entry(key, &entry, found)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn load_stream(&self, device: &str, stream: u64) -> Result<LandedStream, StoreError> {
        let id: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT s.id FROM devices d JOIN streams s ON s.device = d.id WHERE d.name = ?1 AND s.stream = ?2",
            )?
            .query_row(params![device, stream.cast_signed()], |row| row.get(0))
            .optional()?;
        let Some(id) = id else { return Ok(LandedStream::default()) };
        let mut schemas =
            self.conn.prepare_cached("SELECT id, description FROM schemas WHERE stream = ?1")?;
        let schemas = schemas.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(LandedStream {
            clock: stored_clock(self.conn, id, self.run)?,
            schemas: schemas.collect::<Result<_, _>>()?,
        })
    }

    fn read_entry(
        &mut self,
        key: &(Arc<str>, u64),
        entry: &Entry<'_>,
        found: &mut Found<'_>,
    ) -> Result<(), StoreError> {
        let Some(stream) = self.parts.streams.get_mut(key) else { return Ok(()) };
        match &entry.said {
            Said::Schema { id, description } => {
                stream.schemas.insert(*id, *description);
            }
            Said::Clock { offset, uncertainty, kind } => {
                stream.clock =
                    ClockState::hear(stream.clock, *offset, *uncertainty, *kind, entry.received);
            }
            _ => {}
        }
        let Some((body, presence, numbering)) = entry.said.data() else { return Ok(()) };
        let clock = stream.clock;
        let Ok(data) = read_body(body) else { return Ok(()) };
        let Some(&description) = stream.schemas.get(&data.head.schema) else { return Ok(()) };
        let message = DataMessage { body, presence, numbering, received: entry.received, clock };
        self.read_rows(key, description, &message, found)
    }

    fn read_rows(
        &mut self,
        key: &(Arc<str>, u64),
        description: i64,
        message: &DataMessage<'_>,
        found: &mut Found<'_>,
    ) -> Result<(), StoreError> {
        let bytes = self.description(description)?;
        let Ok(schema) = Schema::decode(&bytes) else { return Ok(()) };
        let info = self
            .parts
            .infos
            .entry(description)
            .or_insert_with(|| Arc::new(describe_schema(&schema, found)));
        if info.channels.is_empty() {
            return Ok(());
        }
        let channels: Vec<Channel<'_>> = schema.channels().collect();
        let mut wanted: Vec<LandedRow> = Vec::new();
        let readable = message.rows(&schema, |row| {
            if row.refused.is_none() && found.takes(row.dated.time) {
                wanted.push(row);
            }
        });
        if readable.is_err() {
            return Ok(()); // Filing puts it into the table `unreadable`.
        }
        for row in wanted {
            let mut values = Vec::with_capacity(info.channels.len());
            read_row::<StoreError>(
                &message.body[row.start..row.end],
                message.presence,
                &channels,
                |channel, value| {
                    if let Some(known) =
                        info.channels.iter().find(|known| known.name == channel.name.as_str())
                    {
                        values.push(value.map(|value| Value::from_wire(&value, &known.labels)));
                    }
                    Ok(())
                },
            )?;
            found.push(Sample {
                device: Arc::clone(&key.0),
                stream: key.1,
                row: row.row,
                time: row.dated.time,
                estimated: row.dated.estimated,
                device_time: row.device_time,
                clock: row.clock,
                received: message.received,
                table: Arc::clone(info),
                values,
            });
        }
        Ok(())
    }

    fn description(&mut self, id: i64) -> Result<Arc<[u8]>, StoreError> {
        if let Some(bytes) = self.parts.descriptions.get(&id) {
            return Ok(Arc::clone(bytes));
        }
        let mut select =
            self.conn.prepare_cached("SELECT bytes FROM descriptions WHERE id = ?1")?;
        let bytes: Vec<u8> = select.query_row([id], |row| row.get(0))?;
        let bytes: Arc<[u8]> = bytes.into();
        self.parts.descriptions.insert(id, Arc::clone(&bytes));
        Ok(bytes)
    }
}

fn describe_schema(schema: &Schema<'_>, found: &Found<'_>) -> TableInfo {
    let wanted = schema.channels().filter(|channel| found.takes_channel(channel.name.as_str()));
    let channels = wanted.map(|channel| ChannelInfo {
        name: channel.name.as_str().to_owned(),
        unit: channel.unit.to_owned(),
        value_type: channel.value_type,
        exponent: channel.exponent,
        elements: channel.elements,
        counter: channel.counter,
        labels: channel.labels().map(Arc::from).collect(),
    });
    TableInfo { name: schema.name().as_str().to_owned(), channels: channels.collect() }
}

/// What [`Filed::sample`] reads before the channels.
const SAMPLE: &str = "device, time, stream, row, device_time, delay, flags";
/// Most samples that one query gives.
const LIMIT_MAX: usize = 1_000_000;
