//! Schemas as the devices described them, and the tables, columns and views that hold their rows.
//!
//! Schemas of one name share a table as long as the channels that they have in common agree in type, exponent, number
//! of elements, unit and labels (which may be added to); channels that are new add columns. A schema that disagrees
//! gets a table of its own: `greenhouse_2`.
//!
//! The table `_greenhouse` holds values bit for bit; the view `greenhouse` over it is what people read: decimals,
//! labels, device names.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use rusqlite::{Connection, params};
use senda_wire::{Channel, Schema, ValueType};

use crate::StoreError;
use crate::database::OWN_NAMES;

/// A schema description, once however many streams declare it.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) id: i64,
    pub(crate) bytes: Arc<[u8]>,
    /// Where its rows go; `None` until filing has made it.
    pub(crate) binding: Option<Arc<Binding>>,
}

/// Where the rows of one description go.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) table: i64,
    /// `INSERT` with the key's columns and those of the description, channel by channel, element by element.
    pub(crate) insert: String,
}

/// A table of readings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) id: i64,
    /// The view's name.
    pub(crate) name: String,
    /// The schema's name.
    pub(crate) schema: String,
    pub(crate) columns: Vec<Column>,
    in_readings: bool,
}

/// A column of a table: a channel, or an element of one.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) channel: String,
    pub(crate) element: u8,
    pub(crate) elements: u8,
    pub(crate) value_type: ValueType,
    pub(crate) exponent: i8,
    pub(crate) counter: bool,
    pub(crate) unit: String,
    pub(crate) labels: Vec<Arc<str>>,
}

/// All descriptions and tables. Bounded by [`schemas_max`](crate::Options::schemas_max).
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    descriptions: HashMap<i64, Description>,
    by_bytes: HashMap<Arc<[u8]>, i64>,
    tables: Vec<Table>,
    last_id: i64,
}

impl Catalog {
    /// Reads it from the database.
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut catalog = Self { tables: load_tables(conn)?, ..Self::default() };
        let mut statement = conn.prepare("SELECT id, bytes, tbl FROM descriptions")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, bytes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let schema = Schema::decode(&bytes)
                .map_err(|error| StoreError::corrupt(format!("description {id}: {error:?}")))?;
            let table: Option<i64> = row.get(2)?;
            let binding = match table.and_then(|table| catalog.table(table)) {
                Some(table) => Some(Arc::new(bind(table, &schema)?)),
                None => None,
            };
            catalog.insert(Description { id, bytes: bytes.into(), binding });
        }
        Ok(catalog)
    }

    pub(crate) fn len(&self) -> usize {
        self.descriptions.len()
    }

    /// The id of a description that is known.
    pub(crate) fn id_of(&self, bytes: &[u8]) -> Option<i64> {
        self.by_bytes.get(bytes).copied()
    }

    pub(crate) fn description(&self, id: i64) -> Option<&Description> {
        self.descriptions.get(&id)
    }

    pub(crate) fn table(&self, id: i64) -> Option<&Table> {
        self.tables.iter().find(|table| table.id == id)
    }

    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Adds a description that is not known; the caller writes it down.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> i64 {
        let id = self.last_id + 1;
        self.insert(Description { id, bytes: bytes.into(), binding: None });
        id
    }

    fn insert(&mut self, description: Description) {
        self.last_id = self.last_id.max(description.id);
        self.by_bytes.insert(Arc::clone(&description.bytes), description.id);
        self.descriptions.insert(description.id, description);
    }

    /// Makes sure that a description has its table and columns. Within the caller's transaction; when that fails, the
    /// catalog has to be loaded anew.
    pub(crate) fn lay_out(&mut self, conn: &Connection, id: i64) -> Result<(), StoreError> {
        let Some(description) = self.descriptions.get(&id) else {
            return Err(StoreError::corrupt(format!("no description {id}")));
        };
        if description.binding.is_some() {
            return Ok(());
        }
        let bytes = Arc::clone(&description.bytes);
        let schema = Schema::decode(&bytes)
            .map_err(|error| StoreError::corrupt(format!("description {id}: {error:?}")))?;
        let found = self.tables.iter().position(|table| table.can_take(&schema));
        let index = match found {
            Some(index) => index,
            None => self.name_table(conn, schema.name().as_str())?,
        };
        if self.tables[index].add_columns(conn, &schema, found.is_none())? {
            self.tables[index].write_view(conn, found.is_none())?;
            self.write_readings(conn)?;
        }
        let table = &self.tables[index];
        conn.execute("UPDATE descriptions SET tbl = ?2 WHERE id = ?1", params![id, table.id])?;
        let binding = Arc::new(bind(table, &schema)?);
        if let Some(description) = self.descriptions.get_mut(&id) {
            description.binding = Some(binding);
        }
        Ok(())
    }

    /// Names a new table; its index. [`Table::add_columns`] makes it.
    fn name_table(&mut self, conn: &Connection, schema: &str) -> Result<usize, StoreError> {
        let taken = |name: &str| {
            OWN_NAMES.contains(&name) || self.tables.iter().any(|table| table.name == name)
        };
        // SQLite keeps such names for itself.
        let is_kept = schema.starts_with("sqlite_") || schema.starts_with("pragma_");
        let stem = if is_kept { format!("schema_{schema}") } else { schema.to_owned() };
        let name = first_free(&stem, taken);
        conn.execute("INSERT INTO tables (name, schema) VALUES (?1, ?2)", params![name, schema])?;
        let id = conn.last_insert_rowid();
        let table =
            Table { id, name, schema: schema.to_owned(), columns: Vec::new(), in_readings: false };
        self.tables.push(table);
        Ok(self.tables.len() - 1)
    }

    /// Makes the view `readings` anew. SQLite takes 500 terms in a compound select, so it leaves tables out beyond.
    fn write_readings(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let (mut terms, mut left_out) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for table in &mut self.tables {
            let term = table.readings_term();
            table.in_readings =
                terms.len() < READINGS_TERMS_MAX && bytes + term.len() <= READINGS_BYTES_MAX;
            conn.prepare_cached("UPDATE tables SET in_readings = ?2 WHERE id = ?1")?
                .execute(params![table.id, table.in_readings])?;
            if table.in_readings {
                bytes += term.len();
                terms.push(term);
            } else {
                left_out.push(table.name.as_str());
            }
        }
        let note = if left_out.is_empty() {
            String::new()
        } else {
            left_out.truncate(20);
            format!("/* leaves out {}, ...: see tables.in_readings */ ", left_out.join(", "))
        };
        conn.execute_batch(&format!(
            "DROP VIEW IF EXISTS readings;
             CREATE VIEW readings (time, device, channel, unit, value) AS {note}{}",
            terms.join(" UNION ALL ")
        ))
    }
}

impl Table {
    /// Name of the table that holds the values, quoted.
    pub(crate) fn base(&self) -> String {
        format!("\"_{}\"", self.name)
    }

    /// The column of an element of a channel.
    pub(crate) fn column(&self, channel: &str, element: u8) -> Option<&Column> {
        self.columns.iter().find(|column| column.channel == channel && column.element == element)
    }

    /// True when rows of `schema` can go here, perhaps after columns were added.
    fn can_take(&self, schema: &Schema<'_>) -> bool {
        let agrees = |channel: Channel<'_>| {
            self.column(channel.name.as_str(), 0).is_none_or(|column| column.agrees_with(&channel))
        };
        self.schema == schema.name().as_str()
            && schema.channels().all(agrees)
            && self.columns.len() + self.missing(schema) <= COLUMNS_MAX
    }

    /// Columns that `schema` would add.
    fn missing(&self, schema: &Schema<'_>) -> usize {
        let new =
            schema.channels().filter(|channel| self.column(channel.name.as_str(), 0).is_none());
        new.map(|channel| usize::from(channel.elements)).sum()
    }

    /// Adds the columns and labels that `schema` has and this table has not; true when columns were added.
    fn add_columns(
        &mut self,
        conn: &Connection,
        schema: &Schema<'_>,
        is_new: bool,
    ) -> Result<bool, StoreError> {
        let mut names: HashSet<String> =
            self.columns.iter().map(|column| column.name.clone()).collect();
        let before = self.columns.len();
        for channel in schema.channels() {
            if self.column(channel.name.as_str(), 0).is_none() {
                for element in 0..channel.elements {
                    let column = add_column(conn, self, &channel, element, &mut names)?;
                    self.columns.push(column);
                }
            }
            let Some(column) =
                self.columns.iter_mut().find(|column| column.channel == channel.name.as_str())
            else {
                continue;
            };
            for (value, label) in (0i64..).zip(channel.labels()).skip(column.labels.len()) {
                conn.prepare_cached("INSERT INTO labels VALUES (?1, ?2, ?3)")?
                    .execute(params![column.id, value, label])?;
                column.labels.push(label.into());
            }
        }
        let added = &self.columns[before..];
        if is_new {
            self.create(conn)?;
        } else {
            for column in added {
                conn.execute_batch(&format!(
                    "ALTER TABLE {} ADD COLUMN {}",
                    self.base(),
                    column.definition()
                ))?;
            }
        }
        Ok(!added.is_empty())
    }

    fn create(&self, conn: &Connection) -> rusqlite::Result<()> {
        let columns: Vec<String> = self.columns.iter().map(Column::definition).collect();
        conn.execute_batch(&format!(
            "CREATE TABLE {} (
    device INTEGER NOT NULL,
    time INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    row INTEGER NOT NULL,
    device_time INTEGER,
    delay INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    {},
    PRIMARY KEY (device, time, stream, row)
) WITHOUT ROWID",
            self.base(),
            columns.join(",\n    ")
        ))
    }

    /// Makes the view for people anew.
    fn write_view(&self, conn: &Connection, is_new: bool) -> rusqlite::Result<()> {
        let mut columns = String::new();
        for column in &self.columns {
            let _ = write!(columns, "\n    {} AS \"{}\",", column.pleasant(), column.name);
        }
        let (name, base) = (&self.name, self.base());
        if !is_new {
            conn.execute_batch(&format!("DROP VIEW \"{name}\""))?;
        }
        conn.execute_batch(&format!(
            "CREATE VIEW \"{name}\" AS SELECT
    d.name AS device,
    r.time AS time,
    strftime('%Y-%m-%dT%H:%M:%S', r.time / 1000000, 'unixepoch') || printf('.%06dZ', r.time % 1000000) AS utc,{columns}
    (SELECT printf('%016x', stream) FROM streams WHERE id = r.stream) AS stream,
    r.row AS row,
    CASE WHEN r.flags & 3 THEN coalesce(r.device_time, r.time) END AS device_time,
    r.time + r.delay AS received,
    CASE r.flags & 3 WHEN 0 THEN 'none' WHEN 1 THEN 'monotonic' WHEN 2 THEN 'utc_unsynced' ELSE 'utc_synced' END AS clock,
    r.flags >> 2 & 1 AS estimated
FROM {base} r JOIN devices d ON d.id = r.device"
        ))
    }

    /// This table's part of the view `readings`.
    fn readings_term(&self) -> String {
        let mut arms = String::new();
        for column in &self.columns {
            let _ = write!(arms, " WHEN {} THEN v.\"{}\"", column.id, column.name);
        }
        format!(
            "SELECT time, device, channel, unit, value FROM (SELECT v.time AS time, v.device AS device, c.name AS channel, \
             c.unit AS unit, CASE c.id{arms} END AS value FROM \"{}\" v JOIN channels c ON c.tbl = {}) WHERE value IS NOT NULL",
            self.name, self.id
        )
    }
}

impl Column {
    fn agrees_with(&self, channel: &Channel<'_>) -> bool {
        self.value_type == channel.value_type
            && self.exponent == channel.exponent
            && self.elements == channel.elements
            && self.unit == channel.unit
            // One list of labels is the beginning of the other.
            && self.labels.iter().zip(channel.labels()).all(|(ours, theirs)| **ours == *theirs)
    }

    /// Name and affinity. REAL: floats that happen to be whole stay floats.
    fn definition(&self) -> String {
        let affinity = match self.value_type {
            ValueType::F32 | ValueType::F64 => "REAL",
            ValueType::Text => "TEXT",
            ValueType::Blob => "BLOB",
            _ => "INTEGER",
        };
        format!("\"{}\" {affinity}", self.name)
    }

    /// The expression by which people see the value.
    fn pleasant(&self) -> String {
        let raw = format!("r.\"{}\"", self.name);
        let number = if self.value_type == ValueType::U64 {
            format!("CASE WHEN {raw} < 0 THEN {raw} + 18446744073709551616.0 ELSE {raw} END")
        } else {
            raw.clone()
        };
        match self.value_type {
            ValueType::F32 | ValueType::F64 => format!(
                "CASE typeof({raw}) WHEN 'blob' THEN CASE hex({raw}) WHEN '80000000' THEN 0.0 \
                 WHEN '8000000000000000' THEN 0.0 END ELSE {raw} END"
            ),
            ValueType::Enum8 => {
                format!("(SELECT label FROM labels WHERE channel = {} AND value = {raw})", self.id)
            }
            _ => match self.exponent {
                0 => number,
                exponent if exponent < 0 => format!("({number}) / 1e{}", exponent.unsigned_abs()),
                exponent => format!("({number}) * 1e{exponent}"),
            },
        }
    }
}

pub(crate) fn load_tables(conn: &Connection) -> Result<Vec<Table>, StoreError> {
    let mut tables = Vec::new();
    let mut statement =
        conn.prepare("SELECT id, name, schema, in_readings FROM tables ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name, schema, in_readings) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        tables.push(Table { id, name, schema, columns: load_columns(conn, id)?, in_readings });
    }
    Ok(tables)
}

fn load_columns(conn: &Connection, table: i64) -> Result<Vec<Column>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, name, channel, element, elements, type, exponent, counter, unit FROM channels WHERE tbl = ?1 ORDER BY id",
    )?;
    let mut labels =
        conn.prepare_cached("SELECT label FROM labels WHERE channel = ?1 ORDER BY value")?;
    let mut columns = Vec::new();
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let code: u8 = row.get(5)?;
        let value_type = ValueType::from_code(code)
            .ok_or_else(|| StoreError::corrupt(format!("channel {id} has type {code}")))?;
        let labels = labels.query_map([id], |row| row.get::<_, String>(0).map(Arc::from))?;
        columns.push(Column {
            id,
            name: row.get(1)?,
            channel: row.get(2)?,
            element: row.get(3)?,
            elements: row.get(4)?,
            value_type,
            exponent: row.get(6)?,
            counter: row.get(7)?,
            unit: row.get(8)?,
            labels: labels.collect::<Result<_, _>>()?,
        });
    }
    Ok(columns)
}

fn add_column(
    conn: &Connection,
    table: &Table,
    channel: &Channel<'_>,
    element: u8,
    names: &mut HashSet<String>,
) -> Result<Column, StoreError> {
    let stem = match channel.elements {
        1 => channel.name.as_str().to_owned(),
        _ => format!("{}_{element}", channel.name),
    };
    let name = first_free(&stem, |name| names.contains(name) || OWN_COLUMNS.contains(&name));
    names.insert(name.clone());
    conn.prepare_cached(
        "INSERT INTO channels (tbl, name, channel, element, elements, type, exponent, counter, unit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        table.id,
        name,
        channel.name.as_str(),
        element,
        channel.elements,
        channel.value_type.code(),
        channel.exponent,
        channel.counter,
        channel.unit
    ])?;
    let column = Column {
        id: conn.last_insert_rowid(),
        name,
        channel: channel.name.as_str().to_owned(),
        element,
        elements: channel.elements,
        value_type: channel.value_type,
        exponent: channel.exponent,
        counter: channel.counter,
        unit: channel.unit.to_owned(),
        labels: Vec::new(),
    };
    Ok(column)
}

fn bind(table: &Table, schema: &Schema<'_>) -> Result<Binding, StoreError> {
    let mut columns = String::from("device, time, stream, row, device_time, delay, flags");
    let mut count = KEY_COLUMNS;
    for channel in schema.channels() {
        for element in 0..channel.elements {
            let column = table.column(channel.name.as_str(), element).ok_or_else(|| {
                StoreError::corrupt(format!(
                    "table {} has no column for {}",
                    table.name, channel.name
                ))
            })?;
            let _ = write!(columns, ", \"{}\"", column.name);
            count += 1;
        }
    }
    let marks = vec!["?"; count].join(", ");
    // A row that is there already is the same row: what landed is filed again after a crash between two slices.
    let insert = format!("INSERT OR IGNORE INTO {} ({columns}) VALUES ({marks})", table.base());
    Ok(Binding { table: table.id, insert })
}

/// `stem`, or `stem_2`, `stem_3`, ...: the first that is not taken.
fn first_free(stem: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number: u32| format!("{stem}_{number}"));
    std::iter::once(stem.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// Columns before those of the channels.
pub(crate) const KEY_COLUMNS: usize = 7;
/// Columns of our own, in the table or its view: channels with such a name get another one for their column.
const OWN_COLUMNS: &[&str] = &[
    "device",
    "time",
    "utc",
    "stream",
    "row",
    "device_time",
    "delay",
    "received",
    "flags",
    "clock",
    "estimated",
];
/// Most columns of channels in a table; SQLite takes 2,000 in all, in a table and in a view.
const COLUMNS_MAX: usize = 1_900;
/// Most terms of a compound select.
const READINGS_TERMS_MAX: usize = 500;
/// Every new connection reads the views' text.
const READINGS_BYTES_MAX: usize = 1 << 20;
