//! `--from csv`: a header, columns whose types are guessed, one row a line.

use std::collections::HashSet;

use jiff::tz::TimeZone;

use super::feed::{Translate, short};
use super::guess::{Room, Tally};
use super::kind::{Dialect, Kind};
use super::lines::Line;
use super::names;
use super::options::{Options, TimeChoice};
use super::records::{Record, Records, guess_delimiter};
use super::shape::{Column, Row, schema};
use super::when::{Form, PLAUSIBLE_FROM_US};
use crate::UsageError;

/// Headers of a time column, as names; the first that holds times is taken.
pub(super) const TIME_NAMES: [&str; 11] = [
    "time",
    "timestamp",
    "datetime",
    "date_time",
    "utc",
    "ts",
    "time_utc",
    "date",
    "fecha_hora",
    "fecha",
    "epoch",
];
/// Headers of a date and of a time of day that belong together.
const TIME_PAIRS: [[&str; 2]; 2] = [["date", "time"], ["fecha", "hora"]];
/// Lines that the delimiter is guessed from.
const DELIMITER_LINES: usize = 10;

/// A CSV file that was understood.
pub(super) struct Table {
    records: Records,
    /// The next record is the header.
    header_comes: bool,
    /// For each cell of a record, the index of its column, if it has one.
    places: Vec<Option<usize>>,
    columns: Vec<Column>,
    time: Option<TimeColumn>,
    dialect: Dialect,
}

/// Where the time is: in one cell, or in two that are joined by a space.
struct TimeColumn {
    cells: Vec<usize>,
    header: String,
    form: Form,
}

/// What the lines were found to hold.
pub(super) struct Survey {
    pub(super) table: Table,
    /// For people: what was guessed.
    pub(super) words: Vec<String>,
    /// First and last time, microseconds, where the time column was seen to have them.
    pub(super) span: Option<(i64, i64)>,
}

/// The cells of one column of the file.
struct Seen {
    header: String,
    unit: String,
    name: String,
    tally: Tally,
}

/// A time column that may be.
struct Candidate {
    cells: Vec<usize>,
    tally: Tally,
}

impl Survey {
    /// Looks at lines, `all` or only the first of them, and decides what they are.
    pub(super) fn of(
        lines: impl Iterator<Item = std::io::Result<Line>>,
        all: bool,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let mut lines = lines.peekable();
        let mut first = Vec::new();
        while first.len() < DELIMITER_LINES
            && let Some(line) = lines.next()
        {
            first.push(line?);
        }
        let texts = first.iter().filter_map(|line| line.text.as_deref().ok());
        let delimiter = options.delimiter.unwrap_or_else(|| guess_delimiter(texts));
        let dialect = Dialect {
            decimal_comma: delimiter == b';',
            zone: options.zone.clone(),
            nothing: options.nothing.clone(),
        };
        let mut look =
            Look { records: Records::new(delimiter), dialect, options, seen: None, rows: 0 };
        for line in first {
            look.take(line)?;
        }
        for line in lines {
            look.take(line?)?;
        }
        look.end()?;
        look.decide(delimiter, all)
    }
}

/// A survey under way.
struct Look<'o> {
    records: Records,
    dialect: Dialect,
    options: &'o Options,
    seen: Option<(Vec<Seen>, Vec<Candidate>)>,
    rows: u64,
}

impl Look<'_> {
    fn take(&mut self, line: Line) -> anyhow::Result<()> {
        let mut found = Vec::new();
        self.records.push(line, &mut |record| found.push(record));
        found.into_iter().try_for_each(|record| self.record(record))
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let mut found = Vec::new();
        self.records.end(&mut |record| found.push(record));
        found.into_iter().try_for_each(|record| self.record(record))
    }

    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        let Some((seen, candidates)) = &mut self.seen else {
            let cells = record.cells.map_err(|why| {
                anyhow::anyhow!("the header, line {}, can't be read: {why}", record.line)
            })?;
            self.records.set_width(cells.len());
            self.seen = Some(headers(&cells, self.options)?);
            return if self.options.has_header {
                Ok(())
            } else {
                self.record(Record { line: record.line, cells: Ok(cells) })
            };
        };
        let Ok(cells) = record.cells else { return Ok(()) };
        self.rows += 1;
        for (column, cell) in seen.iter_mut().zip(&cells) {
            if let Some(content) = self.dialect.content(cell) {
                column.tally.add(content, &self.dialect);
            }
        }
        for candidate in candidates {
            if let Some(time) = time_text(&candidate.cells, &cells, &self.dialect) {
                candidate.tally.add(&time, &self.dialect);
            }
        }
        Ok(())
    }

    fn decide(self, delimiter: u8, all: bool) -> anyhow::Result<Survey> {
        let Some((seen, candidates)) = self.seen else {
            anyhow::bail!("there is not one line in it")
        };
        anyhow::ensure!(self.rows > 0, "there is a header and not one row after it");
        let (time, span, why) = choose_time(&seen, candidates, self.options, &self.dialect)?;
        let room = if all && !self.options.wide { Room::Least } else { Room::Wide };
        let mut words = vec![introduction(self.rows, all, delimiter, &seen, self.options)];
        words.push(match &time {
            Some(time) => {
                let form = time.form.describe(&self.dialect.zone);
                format!("  time from {:?}: {form}", time.header)
            }
            None => format!("  no time column ({why}): rows are dated when they are read"),
        });
        let (mut places, mut columns) = (Vec::new(), Vec::new());
        for (cell, seen) in seen.iter().enumerate() {
            let is_time = time.as_ref().is_some_and(|time| time.cells.contains(&cell));
            let (place, word) = match (is_time, self.options.wants(&seen.name)) {
                (true, _) => (None, None),
                (_, false) => (None, None),
                _ => column(seen, room, all, self.options, &mut columns),
            };
            places.push(place);
            words.extend(word);
        }
        anyhow::ensure!(!columns.is_empty(), "no column is left to send");
        // It fails now rather than at every line.
        let all_columns: Vec<&Column> = columns.iter().collect();
        schema("sample", &all_columns).map_err(|why| UsageError(format!("the columns: {why}")))?;
        let mut records = Records::new(delimiter);
        records.set_width(seen.len());
        let header_comes = self.options.has_header;
        let table = Table { records, header_comes, places, columns, time, dialect: self.dialect };
        Ok(Survey { table, words, span })
    }
}

/// Names, units, and the columns that may be the time.
fn headers(cells: &[String], options: &Options) -> anyhow::Result<(Vec<Seen>, Vec<Candidate>)> {
    let mut taken = HashSet::new();
    let mut seen = Vec::new();
    for (number, cell) in (1..).zip(cells) {
        let (header, unit) =
            if options.has_header { names::split_unit(cell) } else { ("", String::new()) };
        let name = names::fit(header).unwrap_or_else(|| format!("c{number}"));
        let name = names::unique(&name, &taken);
        taken.insert(name.clone());
        seen.push(Seen { header: header.to_owned(), unit, name, tally: Tally::default() });
    }
    options.check_names(seen.iter().map(|seen| seen.name.as_str()))?;
    let place = |name: &str| seen.iter().position(|seen| seen.header == name || seen.name == name);
    let candidates: Vec<Vec<usize>> = match &options.time {
        TimeChoice::None => Vec::new(),
        TimeChoice::Named(names) => {
            let found = names.split('+').map(|name| {
                place(name).ok_or_else(|| {
                    let known: Vec<&str> = seen.iter().map(|seen| seen.name.as_str()).collect();
                    UsageError(format!(
                        "--time {names}: no column is {name:?}; there are {}",
                        known.join(", ")
                    ))
                })
            });
            vec![found.collect::<Result<_, _>>()?]
        }
        TimeChoice::Guess => {
            let pairs =
                TIME_PAIRS.iter().filter_map(|[date, time]| Some(vec![place(date)?, place(time)?]));
            let single = TIME_NAMES.iter().filter_map(|name| Some(vec![place(name)?]));
            pairs.chain(single).collect()
        }
    };
    let candidates =
        candidates.into_iter().map(|cells| Candidate { cells, tally: Tally::default() });
    let candidates = candidates.collect();
    Ok((seen, candidates))
}

/// The time column, first and last time, and why there is none.
type ChosenTime = (Option<TimeColumn>, Option<(i64, i64)>, String);

/// The first candidate that holds times.
fn choose_time(
    seen: &[Seen],
    candidates: Vec<Candidate>,
    options: &Options,
    dialect: &Dialect,
) -> anyhow::Result<ChosenTime> {
    let mut why = "none is called time, timestamp, date ...".to_owned();
    for Candidate { cells, tally } in candidates {
        let header =
            cells.iter().map(|cell| seen[*cell].header.as_str()).collect::<Vec<_>>().join(" ");
        let is_named = matches!(options.time, TimeChoice::Named(_));
        let form = match &options.time_format {
            Some(format) => Some(Form::Custom(format.clone())),
            None => Form::guess(&tally),
        };
        let Some(form) = form else {
            why = format!(
                "{header:?} holds no times that are known here; --time-format can say how they are written"
            );
            anyhow::ensure!(!is_named, UsageError(format!("--time: {why}")));
            continue;
        };
        let span = tally.span(&form, dialect);
        if !is_named && span.is_some_and(|(_, last)| last < PLAUSIBLE_FROM_US) {
            why = format!(
                "{header:?} would be times before 2000; --time {} takes it all the same",
                seen[cells[0]].name
            );
            continue;
        }
        return Ok((Some(TimeColumn { cells, header, form }), span, String::new()));
    }
    Ok((None, None, why))
}

/// Adds the channel of a column. Returns its index, and what to say of it.
fn column(
    seen: &Seen,
    room: Room,
    all: bool,
    options: &Options,
    columns: &mut Vec<Column>,
) -> (Option<usize>, Option<String>) {
    let guess = seen.tally.guess(room);
    let (kind, strays) = match (options.kind_of(&seen.name), guess) {
        (Some(kind), _) => (kind, 0),
        (None, Some(guess)) => (guess.kind, guess.strays),
        (None, None) if all => {
            return (
                None,
                Some(format!(
                    "  {:<20} {:?} is empty everywhere: left out",
                    seen.name, seen.header
                )),
            );
        }
        (None, None) => (Kind::new(senda_client::ValueType::Text, 0), 0),
    };
    let unit = options.unit_of(&seen.name).unwrap_or(&seen.unit).to_owned();
    let strays = match strays {
        0 => String::new(),
        strays => format!("; {strays} of {} cells are something else: bad lines", seen.tally.cells),
    };
    let option = format!("--type {}={}", seen.name, kind.as_option());
    let word = format!("  {:<20} from {:?}: {option}  {unit}{strays}", seen.name, seen.header);
    let counter = options.is_counter(&seen.name);
    let longest = seen.tally.longest;
    columns.push(Column { unit, counter, longest, ..Column::new(&seen.name, kind) });
    (Some(columns.len() - 1), Some(word.trim_end().to_owned()))
}

fn introduction(rows: u64, all: bool, delimiter: u8, seen: &[Seen], options: &Options) -> String {
    let which = if all { "all" } else { "the first" };
    let delimiter = match delimiter {
        b'\t' => "tabs".to_owned(),
        other => format!("{:?}", char::from(other)),
    };
    let is_data = |seen: &Seen| super::number::parse(&seen.header).is_some();
    let hint = match options.has_header && seen.iter().any(is_data) {
        true => "; its header looks like data: --no-header if there is none",
        false => "",
    };
    format!("{} columns between {delimiter}, types from {which} {rows} rows{hint}", seen.len())
}

/// The text of the time; `None` when a part of it is missing.
fn time_text<'c>(
    places: &[usize],
    cells: &'c [String],
    dialect: &Dialect,
) -> Option<std::borrow::Cow<'c, str>> {
    let part = |place: &usize| dialect.content(cells.get(*place)?);
    match places {
        [place] => part(place).map(Into::into),
        [date, time] => Some(format!("{} {}", part(date)?, part(time)?).into()),
        _ => None,
    }
}

impl Table {
    fn row(&self, cells: &[String]) -> Result<Row, String> {
        let mut row = Row { time_us: self.time(cells, &self.dialect.zone)?, values: Vec::new() };
        for (place, cell) in self.places.iter().zip(cells) {
            let (Some(place), Some(content)) = (*place, self.dialect.content(cell)) else {
                continue;
            };
            let Column { name, kind, .. } = &self.columns[place];
            let value = kind.read(content, &self.dialect).ok_or_else(|| {
                format!("column {name}: {} is no {}", short(content), kind.describe())
            })?;
            row.values.push((place, value));
        }
        Ok(row)
    }

    fn time(&self, cells: &[String], zone: &TimeZone) -> Result<Option<i64>, String> {
        let Some(time) = &self.time else { return Ok(None) };
        let text = time_text(&time.cells, cells, &self.dialect)
            .ok_or_else(|| format!("column {}: there is no time in it", time.header))?;
        let us = time.form.read(&text, zone).ok_or_else(|| {
            format!(
                "column {}: {} is no time ({})",
                time.header,
                short(&text),
                time.form.describe(zone)
            )
        })?;
        Ok(Some(us))
    }

    /// Whether rows have times of their own.
    pub(super) const fn has_times(&self) -> bool {
        self.time.is_some()
    }

    fn found(&mut self, records: Vec<Record>, found: &mut Vec<(u64, Result<Row, String>)>) {
        for Record { line, cells } in records {
            if std::mem::take(&mut self.header_comes) {
                continue;
            }
            found.push((line, cells.and_then(|cells| self.row(&cells))));
        }
    }
}

impl Translate for Table {
    fn take(&mut self, line: Line, found: &mut Vec<(u64, Result<Row, String>)>) {
        let mut records = Vec::new();
        self.records.push(line, &mut |record| records.push(record));
        self.found(records, found);
    }

    fn end(&mut self, found: &mut Vec<(u64, Result<Row, String>)>) {
        let mut records = Vec::new();
        self.records.end(&mut |record| records.push(record));
        self.found(records, found);
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Channels as name=type, and the rows: time, or `bad`.
    fn read(text: &str, options: &Options) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let lines = || {
            let texts = text.lines().zip(1..);
            texts.map(|(text, number)| Line { number, text: Ok(text.to_owned()) })
        };
        let Survey { mut table, .. } = Survey::of(lines().map(Ok), true, options)?;
        let mut found = Vec::new();
        lines().for_each(|line| table.take(line, &mut found));
        table.end(&mut found);
        let rows = found.into_iter().map(|(line, row)| match row {
            Ok(row) => format!("{line} {:?} {}", row.time_us, row.values.len()),
            Err(why) => format!("{line} bad {why}"),
        });
        let columns = table.columns.iter();
        let columns = columns.map(|column| format!("{}={}", column.name, column.kind.as_option()));
        Ok((columns.collect(), rows.collect()))
    }

    #[test]
    fn a_file_is_understood_with_times_units_and_bad_lines() {
        let text = "Time;Temp (°C);Door;Empty\n\
                    2026-01-31 12:00:00;21,5;true;\n\
                    2026-01-31 12:00:10;-0,25;false;\n\
                    2026-01-31 12:00:20;;true;\n\
                    2026-01-31 12:00:30;warm;true;\n\
                    2026-01-31 12:00:40;20;true;\n\
                    2026-01-31 12:00:50;20;true;\n\
                    2026-01-31 12:01:00;20;true\n";
        let (columns, rows) = read(text, &Options::default()).unwrap();
        assert_eq!(columns, ["temp=i16:-2", "door=bool"]);
        assert_eq!(rows[0], "2 Some(1769860800000000) 2");
        assert_eq!(rows[2], "4 Some(1769860820000000) 1", "an empty cell is absent");
        assert!(rows[3].starts_with("5 bad column temp: \"warm\" is no i16"), "{}", rows[3]);
        assert!(rows[6].starts_with("8 bad it has 3 cells"), "{}", rows[6]);
    }

    #[test]
    fn a_date_and_a_time_of_day_are_one_time() {
        let text = "date,time,x\n2026-01-31,12:00:00,1\n2026-01-31,12:00:01,2\n";
        let (columns, rows) = read(text, &Options::default()).unwrap();
        assert_eq!(columns, ["x=u8"]);
        assert_eq!(rows[1], "3 Some(1769860801000000) 1");
    }

    #[test]
    fn seconds_since_the_start_are_not_taken_for_1970() {
        let text = "time,x\n0,1\n1,2\n";
        let (columns, rows) = read(text, &Options::default()).unwrap();
        assert_eq!(columns, ["time=u8", "x=u8"]);
        assert_eq!(rows[0], "2 None 2");
        let named = Options { time: TimeChoice::Named("time".into()), ..Options::default() };
        assert_eq!(read(text, &named).unwrap().1[1], "3 Some(1000000) 1");
    }

    #[test]
    fn files_without_rows_and_names_that_are_not_there_are_errors() {
        let error = |text: &str, options: &Options| read(text, options).unwrap_err().to_string();
        assert!(error("a,b\n", &Options::default()).contains("header"));
        assert!(error("\n\n", &Options::default()).contains("not one line"));
        let named = Options { time: TimeChoice::Named("when".into()), ..Options::default() };
        assert!(error("a,b\n1,2\n", &named).contains("there are a, b"));
    }

    proptest! {
        /// Whatever the lines are, each is in a row or a bad line, and nothing panics.
        #[test]
        fn any_lines_are_rows_or_bad_lines(lines in prop::collection::vec("[a-z0-9,;\"\\PC -]{0,30}", 2..30)) {
            if let Ok((_, rows)) = read(&lines.join("\n"), &Options::default()) {
                let filled = lines.iter().filter(|line| !line.trim().is_empty()).count();
                prop_assert!(rows.len() < filled, "{} of {filled}", rows.len());
            }
        }
    }

    #[test]
    fn without_a_header_columns_are_numbered() {
        let options = Options { has_header: false, ..Options::default() };
        let (columns, rows) = read("1,open\n2,shut\n", &options).unwrap();
        assert_eq!(columns, ["c1=u8", "c2=text"]);
        assert_eq!(rows.len(), 2);
    }
}
