//! Rows with values that may be absent, and the schemas that carry them.
//!
//! A value that is absent is not sent (SPARSE): the store has NULL there. A schema has every channel so far. When another
//! comes, a new schema of the same name has it too, and the store adds a column (docs/store.md, "When a schema changes").
//! Where all channels together are too many for one row, a schema has those of the row that needs it. A stream has at most 64
//! schemas; a row that would need another is a bad line.

use senda_client::{Channel, Client, Declared, Reading, Sample, Schema, ValueType};
use senda_wire::registry::{CHANNELS_MAX, ROW_BYTES_MAX, SCHEMAS_MAX};

use super::kind::{self, Kind, TEXT_BYTES_MAX};

/// A channel of the input.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// SenML, or empty.
    pub(super) unit: String,
    pub(super) counter: bool,
    /// Most bytes of a text that was seen.
    pub(super) longest: usize,
}

impl Column {
    /// A channel without a unit.
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind, unit: String::new(), counter: false, longest: 0 }
    }

    fn has_text(&self) -> bool {
        matches!(self.kind.value_type, ValueType::Text | ValueType::Blob)
    }

    fn channel(&self, max_len: u16) -> Channel {
        let channel = Channel::new(&self.name, self.kind.value_type).exponent(self.kind.exponent);
        let channel = channel.elements(self.kind.elements).unit(&self.unit);
        let channel = if self.has_text() { channel.max_len(max_len) } else { channel };
        if self.counter { channel.counter() } else { channel }
    }
}

/// What one line, or one look at this machine, found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Microseconds since 1970; `None`: now.
    pub(super) time_us: Option<i64>,
    /// Index of a column, ascending, and its value.
    pub(super) values: Vec<(usize, Reading)>,
}

/// The schemas of one name.
#[derive(Debug)]
pub(super) struct Shapes {
    name: String,
    /// With the columns that each has, ascending. The newest is the last.
    declared: Vec<(Vec<usize>, Declared)>,
}

impl Shapes {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), declared: Vec::new() }
    }

    /// The schema and the sample for a row, or why it can't be sent.
    pub(super) fn sample(
        &mut self,
        client: &Client,
        columns: &[Column],
        row: Row,
    ) -> Result<(Declared, Sample), String> {
        if row.values.is_empty() {
            return Err("it has no values".to_owned());
        }
        let present: Vec<usize> = row.values.iter().map(|(column, _)| *column).collect();
        let at = match self.declared.iter().rposition(|(all, _)| has_all(all, &present)) {
            Some(at) => at,
            None => self.declare(client, columns, &present)?,
        };
        let (all, declared) = &self.declared[at];
        let is_whole = all.len() == present.len();
        let mut sample = if is_whole { Sample::new() } else { Sample::partial() };
        for (column, value) in row.values {
            sample = sample.set(&columns[column].name, value);
        }
        Ok((declared.clone(), row.time_us.into_iter().fold(sample, Sample::at_us)))
    }

    /// Declares a schema with all columns, or with those present.
    fn declare(
        &mut self,
        client: &Client,
        columns: &[Column],
        present: &[usize],
    ) -> Result<usize, String> {
        let whole: Vec<usize> = (0..columns.len()).collect();
        let of = |chosen: &[usize]| {
            let chosen: Vec<&Column> = chosen.iter().map(|column| &columns[*column]).collect();
            schema(&self.name, &chosen)
        };
        let (chosen, schema) = match of(&whole) {
            Ok(schema) => (whole, schema),
            Err(_) => (present.to_vec(), of(present)?),
        };
        let declared = client.declare(&schema).map_err(|_| {
            format!("it would need another schema; a stream has no more than {SCHEMAS_MAX}")
        })?;
        self.declared.push((chosen, declared));
        Ok(self.declared.len() - 1)
    }
}

/// Both ascending.
fn has_all(columns: &[usize], present: &[usize]) -> bool {
    present.iter().all(|column| columns.binary_search(column).is_ok())
}

/// A schema of these channels, its texts as long as a row allows.
pub(super) fn schema(name: &str, columns: &[&Column]) -> Result<Schema, String> {
    if columns.len() > CHANNELS_MAX {
        return Err(format!("{} channels are more than {CHANNELS_MAX}", columns.len()));
    }
    let fixed: usize = columns
        .iter()
        .map(|column| kind::width(column.kind.value_type) * usize::from(column.kind.elements))
        .sum();
    let longest: Vec<usize> =
        columns.iter().filter(|column| column.has_text()).map(|column| column.longest).collect();
    let mut shares = share(ROW_BYTES_MAX.saturating_sub(fixed), &longest).into_iter();
    if fixed + longest.iter().map(least).sum::<usize>() > ROW_BYTES_MAX {
        return Err(format!(
            "{} channels need more than the {ROW_BYTES_MAX} bytes of a row; --only CHANNEL,... sends some of them",
            columns.len()
        ));
    }
    columns
        .iter()
        .fold(Schema::new(name), |schema, column| {
            let max_len = if column.has_text() { shares.next().unwrap_or(1) } else { 0 };
            schema.with(column.channel(max_len))
        })
        .build()
        .map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

/// Shares bytes among texts: what each has needed, and the rest in equal parts, up to 255.
fn share(bytes: usize, longest: &[usize]) -> Vec<u16> {
    let mut spare = bytes.saturating_sub(longest.iter().map(least).sum());
    let mut order: Vec<usize> = (0..longest.len()).collect();
    // Those with the least to gain go first: what they leave is shared by the others.
    order.sort_by_key(|text| std::cmp::Reverse(longest[*text]));
    let mut shares = vec![0; longest.len()];
    for (served, text) in order.iter().enumerate() {
        let needed = least(&longest[*text]);
        let extra = (spare / (longest.len() - served)).min(TEXT_BYTES_MAX - needed);
        spare -= extra;
        shares[*text] = u16::try_from(needed + extra).unwrap_or(1);
    }
    shares
}

/// What a text needs.
fn least(longest: &usize) -> usize {
    (*longest).clamp(1, TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_share_what_a_row_has_and_keep_what_they_need() {
        assert_eq!(share(1_000, &[3, 7]), [255, 255]);
        assert_eq!(share(300, &[200, 3]), [248, 52]);
        assert_eq!(share(10, &[5, 5]), [5, 5]);
        let shares = share(1_000, &[0; 10]);
        assert!(shares.iter().all(|share| *share == 100), "{shares:?}");
    }

    #[test]
    fn a_schema_that_no_row_can_hold_says_what_to_do() {
        let text = |name: &str| Column {
            longest: 250,
            ..Column::new(name, Kind::new(ValueType::Text, 0))
        };
        let (a, b, c, d, e) = (text("a"), text("b"), text("c"), text("d"), text("e"));
        assert!(schema("s", &[&a, &b, &c, &d]).is_ok());
        let error = schema("s", &[&a, &b, &c, &d, &e]).unwrap_err();
        assert!(error.contains("--only"), "{error}");
    }
}
