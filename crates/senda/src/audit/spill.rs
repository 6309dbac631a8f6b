//! Sorts more than fits into memory: sorted runs in a temporary file, merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Bytes of one run, which is what is in memory while records come.
const RUN_BYTES: usize = 32 << 20;
/// Bytes read at once from each run while they are merged.
const READ_BYTES: usize = 64 << 10;
/// Key, tag and length before a record's bytes.
const HEAD: usize = 13;

/// What records are sorted by: stream and row, and whatever tells two of them apart.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    pub(super) stream: u32,
    pub(super) row: u32,
    pub(super) tag: u8,
}

/// Takes records in any order, and gives them back sorted by key.
#[derive(Debug, Default)]
pub(super) struct Spill {
    bytes: Vec<u8>,
    index: Vec<(Key, usize)>,
    file: Option<File>,
    /// Where the runs in the file end; each begins where the one before ends.
    ends: Vec<u64>,
}

impl Spill {
    /// Takes one record.
    pub(super) fn push(&mut self, key: Key, record: &[u8]) -> io::Result<()> {
        let at = self.bytes.len();
        self.bytes.extend(key.stream.to_be_bytes());
        self.bytes.extend(key.row.to_be_bytes());
        self.bytes.push(key.tag);
        let len = u32::try_from(record.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(record);
        self.index.push((key, at));
        if self.bytes.len() + self.index.len() * size_of::<(Key, usize)>() >= RUN_BYTES {
            self.end_run()?;
        }
        Ok(())
    }

    /// Gives all records, ascending; those with one key in no particular order.
    pub(super) fn into_sorted(mut self) -> io::Result<Sorted> {
        self.end_run()?;
        let mut sorted = Sorted { file: self.file, runs: Vec::new(), heap: BinaryHeap::new() };
        let mut start = 0;
        for (number, end) in self.ends.into_iter().enumerate() {
            sorted.runs.push(Run { at: start, end, buffer: Vec::new(), used: 0 });
            sorted.refill(number)?;
            start = end;
        }
        Ok(sorted)
    }

    fn end_run(&mut self) -> io::Result<()> {
        if self.index.is_empty() {
            return Ok(());
        }
        self.index.sort_unstable();
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?, // It has no name: it goes with the process.
        };
        let mut out = io::BufWriter::new(&file);
        for (_, at) in &self.index {
            let record = &self.bytes[*at..];
            let len = HEAD + length(record);
            out.write_all(&record[..len])?;
        }
        out.flush()?;
        drop(out);
        let start = self.ends.last().copied().unwrap_or(0);
        self.ends.push(start + self.bytes.len() as u64);
        self.file = Some(file);
        self.bytes.clear();
        self.index.clear();
        Ok(())
    }
}

/// The merged runs.
#[derive(Debug)]
pub(super) struct Sorted {
    file: Option<File>,
    runs: Vec<Run>,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
}

/// A run in the file, and what is in memory of it.
#[derive(Debug)]
struct Run {
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl Sorted {
    /// The next record: its bytes go into `record`. `None` after the last one.
    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> io::Result<Option<Key>> {
        let Some(Reverse((key, number))) = self.heap.pop() else { return Ok(None) };
        let run = &mut self.runs[number];
        let held = &run.buffer[run.used..];
        let len = HEAD + length(held);
        record.clear();
        record.extend_from_slice(&held[HEAD..len]);
        run.used += len;
        self.refill(number)?;
        Ok(Some(key))
    }

    /// Makes sure that the run's next record is in memory, and enters it into the heap.
    fn refill(&mut self, number: usize) -> io::Result<()> {
        let (Some(file), Some(run)) = (&self.file, self.runs.get_mut(number)) else {
            return Ok(());
        };
        let mut wanted = HEAD;
        loop {
            let held = run.buffer.len() - run.used;
            if held >= HEAD {
                wanted = HEAD + length(&run.buffer[run.used..]);
            }
            if held >= wanted {
                let key = key_of(&run.buffer[run.used..]);
                self.heap.push(Reverse((key, number)));
                return Ok(());
            }
            if run.at == run.end {
                return Ok(());
            }
            run.buffer.drain(..run.used);
            run.used = 0;
            let left = usize::try_from(run.end - run.at).unwrap_or(usize::MAX);
            let more = left.min(READ_BYTES.max(wanted));
            let from = run.buffer.len();
            run.buffer.resize(from + more, 0);
            file.read_exact_at(&mut run.buffer[from..], run.at)?;
            run.at += more as u64;
        }
    }
}

fn length(record: &[u8]) -> usize {
    usize::try_from(be_u32(&record[9..13])).unwrap_or(usize::MAX)
}

fn key_of(record: &[u8]) -> Key {
    Key { stream: be_u32(&record[..4]), row: be_u32(&record[4..8]), tag: record[8] }
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_one_run_comes_back_sorted_and_whole() {
        let mut spill = Spill::default();
        let mut random: u64 = 1;
        let mut expected = Vec::new();
        // About three runs, one record longer than what is read at once.
        for number in 0..400_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let row = u32::try_from(random >> 40).unwrap();
            let key = Key { stream: row % 5, row, tag: 0 };
            let record = match number {
                7 => vec![9; 3 * READ_BYTES],
                _ => number.to_be_bytes().repeat(8 + (number as usize % 20)),
            };
            spill.push(key, &record).unwrap();
            expected.push((key, record));
        }
        assert!(!spill.ends.is_empty(), "more than one run");
        let mut sorted = spill.into_sorted().unwrap();
        let (mut found, mut record) = (Vec::new(), Vec::new());
        while let Some(key) = sorted.next(&mut record).unwrap() {
            assert!(found.last().is_none_or(|(last, _)| *last <= key));
            found.push((key, record.clone()));
        }
        found.sort();
        expected.sort();
        assert!(found == expected);
    }

    #[test]
    fn nothing_sorted_is_nothing() {
        let mut sorted = Spill::default().into_sorted().unwrap();
        assert_eq!(sorted.next(&mut Vec::new()).unwrap(), None);
    }
}
