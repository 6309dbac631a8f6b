//! Lines of CSV to records. What a quote means is csv-core's business; which lines belong together is asked of it.
//!
//! A quoted cell may hold line ends, so a quote that somebody forgot would swallow the rest of the file. When it is still
//! open after 100 lines or 64 KiB, or closes in a record of another length, its first line is bad and the next begins anew.

use std::collections::VecDeque;

use super::lines::{LINE_BYTES_MAX, Line};

/// Lines of one record.
const RECORD_LINES_MAX: usize = 100;
/// Cells of one record.
const CELLS_MAX: usize = 4_096;

/// The cells of a record, or why it is none, with the number of its first line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) cells: Result<Vec<String>, String>,
}

/// Joins lines to records.
pub(super) struct Records {
    parser: Parser,
    /// Cells that every record has.
    width: Option<usize>,
    /// Lines of the record that is not whole yet.
    open: VecDeque<(u64, String)>,
}

/// What some lines together are.
enum Parsed {
    Whole(Vec<String>),
    /// A quote is open.
    Open,
    TooMany,
}

impl Records {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { parser: Parser::new(delimiter), width: None, open: VecDeque::new() }
    }

    /// From now on a record has so many cells.
    pub(super) const fn set_width(&mut self, width: usize) {
        self.width = Some(width);
    }

    /// Takes a line; calls `found` for each record that is whole now. Empty lines are none.
    pub(super) fn push(&mut self, line: Line, found: &mut impl FnMut(Record)) {
        match line.text {
            Ok(text) => self.take(VecDeque::from([(line.number, text)]), found),
            Err(why) => {
                self.end(found);
                found(Record { line: line.number, cells: Err(why) });
            }
        }
    }

    /// No more lines: what is open stays open.
    pub(super) fn end(&mut self, found: &mut impl FnMut(Record)) {
        while !self.open.is_empty() {
            let rest = self.give_up_first("it has a quote that is not closed", found);
            self.take(rest, found);
        }
    }

    fn take(&mut self, mut lines: VecDeque<(u64, String)>, found: &mut impl FnMut(Record)) {
        while let Some((number, text)) = lines.pop_front() {
            if self.open.is_empty() && text.trim().is_empty() {
                continue;
            }
            self.open.push_back((number, text));
            let bytes: usize = self.open.iter().map(|(_, text)| text.len() + 1).sum();
            let texts = self.open.iter().map(|(_, text)| text.as_str());
            let rest = match self.parser.parse(texts) {
                Parsed::Whole(cells) => {
                    let fits = self.width.is_none_or(|width| width == cells.len());
                    if fits || self.open.len() == 1 {
                        found(self.record(cells));
                        self.open.clear();
                        continue;
                    }
                    self.give_up_first("it has a quote that is not closed", found)
                }
                Parsed::Open if self.open.len() < RECORD_LINES_MAX && bytes <= LINE_BYTES_MAX => {
                    continue;
                }
                Parsed::Open => self.give_up_first("it has a quote that is not closed", found),
                Parsed::TooMany => self.give_up_first("it has more than 4,096 cells", found),
            };
            for line in rest.into_iter().rev() {
                lines.push_front(line);
            }
        }
    }

    fn record(&self, cells: Vec<String>) -> Record {
        let line = self.open.front().map_or(0, |(number, _)| *number);
        let cells = match self.width {
            Some(width) if width != cells.len() => {
                Err(format!("it has {} cells instead of {width}", cells.len()))
            }
            _ => Ok(cells),
        };
        Record { line, cells }
    }

    /// The first open line is bad; the others are returned, to be looked at anew.
    fn give_up_first(
        &mut self,
        why: &str,
        found: &mut impl FnMut(Record),
    ) -> VecDeque<(u64, String)> {
        if let Some((line, _)) = self.open.pop_front() {
            found(Record { line, cells: Err(why.to_owned()) });
        }
        std::mem::take(&mut self.open)
    }
}

/// The delimiter with which the first lines have most cells: , ; tab or |. The comma, when they have one cell each.
pub(super) fn guess_delimiter<'l>(lines: impl Iterator<Item = &'l str> + Clone) -> u8 {
    let cells = |delimiter: u8| {
        let mut parser = Parser::new(delimiter);
        let lengths = lines.clone().take(10).map(|line| match parser.parse([line].into_iter()) {
            Parsed::Whole(cells) => cells.len(),
            Parsed::Open | Parsed::TooMany => 1,
        });
        lengths.sum::<usize>()
    };
    let all = [b',', b';', b'\t', b'|'].into_iter().rev();
    all.max_by_key(|delimiter| cells(*delimiter)).unwrap_or(b',')
}

/// csv-core, and room for what it finds. To make one costs more than a line.
struct Parser {
    reader: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Parser {
    fn new(delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, bytes: Vec::new(), ends: vec![0; 64] }
    }

    /// What these lines are, from the beginning of a record on.
    fn parse<'l>(&mut self, lines: impl Iterator<Item = &'l str>) -> Parsed {
        self.reader.reset();
        let (mut written, mut cells) = (0, 0);
        for line in lines {
            if self.bytes.len() < written + line.len() {
                self.bytes.resize(written + line.len(), 0);
            }
            for mut input in [line.as_bytes(), b"\n"] {
                while !input.is_empty() {
                    let (result, read, wrote, ended) = self.reader.read_record(
                        input,
                        &mut self.bytes[written..],
                        &mut self.ends[cells..],
                    );
                    input = &input[read..];
                    written += wrote;
                    cells += ended;
                    let grown = self.bytes.len() + 64;
                    match result {
                        csv_core::ReadRecordResult::Record => {
                            return whole(&self.bytes, &self.ends[..cells]);
                        }
                        csv_core::ReadRecordResult::OutputFull => self.bytes.resize(grown, 0),
                        csv_core::ReadRecordResult::OutputEndsFull if cells >= CELLS_MAX => {
                            return Parsed::TooMany;
                        }
                        csv_core::ReadRecordResult::OutputEndsFull => {
                            self.ends.resize(2 * cells, 0);
                        }
                        csv_core::ReadRecordResult::InputEmpty
                        | csv_core::ReadRecordResult::End => {}
                    }
                }
            }
        }
        Parsed::Open
    }
}

fn whole(bytes: &[u8], ends: &[usize]) -> Parsed {
    let starts = std::iter::once(&0).chain(ends);
    let cells = starts.zip(ends).map(|(start, end)| {
        // Delimiters and quotes are ASCII: cells are cut between characters.
        String::from_utf8_lossy(&bytes[*start..*end]).into_owned()
    });
    Parsed::Whole(cells.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], width: Option<usize>) -> Vec<(u64, Result<Vec<String>, String>)> {
        let mut records = Records { width, ..Records::new(b',') };
        let mut all = Vec::new();
        let mut found = |record: Record| all.push((record.line, record.cells));
        for (number, text) in (1..).zip(lines) {
            records.push(Line { number, text: Ok((*text).to_owned()) }, &mut found);
        }
        records.end(&mut found);
        all
    }

    fn cells(cells: &[&str]) -> Result<Vec<String>, String> {
        Ok(cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn quotes_hold_delimiters_quotes_and_line_ends() {
        let records = read(&["a,\"b,\"\"c\"\"\"", "", "\"x", "", "y\",z", "1,"], Some(2));
        assert_eq!(records[0], (1, cells(&["a", "b,\"c\""])));
        assert_eq!(records[1], (3, cells(&["x\n\ny", "z"])));
        assert_eq!(records[2], (6, cells(&["1", ""])));
        assert_eq!(records.len(), 3);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line_only() {
        let mut lines = vec!["1,2", "\"3,4"];
        lines.extend(vec!["5,6"; 300]);
        let records = read(&lines, Some(2));
        assert_eq!(records.len(), 302);
        assert!(records[1].1.as_ref().unwrap_err().contains("quote"));
        assert_eq!(records[1].0, 2);
        assert_eq!(records[301], (302, cells(&["5", "6"])));
        // It seems to close, in a record that is none.
        let records = read(&["\"3,4", "5,6", "7,\"8\""], Some(2));
        assert_eq!(records.iter().filter(|(_, cells)| cells.is_ok()).count(), 2);
        // The end comes first.
        let records = read(&["1,\"2", "3,4"], Some(2));
        assert_eq!(records[1], (2, cells(&["3", "4"])));
    }

    #[test]
    fn a_pipe_with_an_open_quote_does_not_wait_for_its_end() {
        let mut records = Records { width: Some(2), ..Records::new(b',') };
        let mut found = 0;
        for number in 1..=RECORD_LINES_MAX as u64 {
            let text = if number == 1 { "\"1,2" } else { "3,4" };
            records.push(Line { number, text: Ok(text.into()) }, &mut |_| found += 1);
        }
        assert_eq!((found, records.open.len()), (100, 0));
    }

    #[test]
    fn a_record_of_another_length_is_named_with_both() {
        let records = read(&["1,2,3"], Some(2));
        assert_eq!(records[0].1, Err("it has 3 cells instead of 2".to_owned()));
        assert!(read(&[&",".repeat(5_000)], Some(2))[0].1.is_err());
    }

    #[test]
    fn the_delimiter_is_the_one_that_makes_cells() {
        let guess = |lines: &[&'static str]| guess_delimiter(lines.iter().copied());
        assert_eq!(guess(&["a,b", "1,2"]), b',');
        assert_eq!(guess(&["a;b;c", "1,5;2,5;3"]), b';');
        assert_eq!(guess(&["a\tb", "1\t2"]), b'\t');
        assert_eq!(guess(&["a|b", "1|2"]), b'|');
        assert_eq!(guess(&["temperature", "21"]), b',');
        assert_eq!(guess(&["\"a;b;c\",d"]), b',');
    }
}
