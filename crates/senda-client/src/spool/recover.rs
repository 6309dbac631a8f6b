//! Reads what is there: all segments, in order, past what is damaged.
//!
//! The newest segment that begins with a whole snapshot says what is known of streams; frames after that are added to it. Rows are
//! what all segments hold.

use std::collections::BTreeMap;
use std::io;

use super::book::{Book, Stream};
use super::format::{HEADER_LEN, Item, NUMBER_MAX, as_u64, file_name, file_number};
use super::segment::Segment;
use super::types::{Damage, DamageKind, Options};
use super::walk::Walk;
use super::{SpoolError, Storage};

/// Copies of damaged segments that are kept.
const KEPT_MAX: usize = 2;
/// What the name of such a copy ends with.
const KEPT_SUFFIX: &str = ".damaged";
/// Bytes that are copied at once.
const COPY_WINDOW: usize = 256 << 10;

/// What was there.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) book: Book,
    pub(super) segments: BTreeMap<u32, Segment>,
    /// The newest segment that begins with a whole snapshot.
    pub(super) base: Option<u32>,
    /// The last boot that wrote.
    pub(super) boot: u32,
    /// Number of the next segment.
    pub(super) next_number: u32,
    pub(super) damage: Vec<Damage>,
    /// Every description that was found.
    schemas: Book,
    /// Copies of damaged segments.
    kept: Vec<String>,
}

/// Reads all segments.
///
/// # Errors
/// [`SpoolError::List`], [`SpoolError::Exhausted`]
pub(super) fn recover(storage: &mut impl Storage, options: &Options) -> Result<Found, SpoolError> {
    let names = storage.list().map_err(SpoolError::List)?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| file_number(name)).collect();
    numbers.sort_unstable();
    let last = numbers.last().copied().unwrap_or(0);
    if last >= NUMBER_MAX {
        return Err(SpoolError::Exhausted { name: file_name(last) });
    }
    let mut found = Found { next_number: last + 1, ..Found::default() };
    found.kept = names.into_iter().filter(|name| name.ends_with(KEPT_SUFFIX)).collect();
    for number in numbers {
        if let Err(error) = found.read_segment(storage, number, options) {
            let what = DamageKind::Unreadable { error: error.to_string() };
            found.damage.push(Damage { name: file_name(number), ignored: 0, unknown: 0, what });
        }
    }
    found.complete();
    Ok(found)
}

impl Found {
    fn read_segment(
        &mut self,
        storage: &mut impl Storage,
        number: u32,
        options: &Options,
    ) -> io::Result<()> {
        let skips_max = options.skips_max();
        let mut walk = Walk::new(number, file_name(number), 0, u64::MAX);
        let header = walk.header(storage)?;
        let (mut segment, mut snapshot, mut unknown) = (Segment::default(), Book::default(), 0);
        let mut is_beginning = header.is_some();
        while let Some((offset, item)) = walk.next(storage)? {
            match &item {
                Item::Row(row) => segment.add(row.stream, row.row, offset),
                Item::Schema { stream, schema, description } => {
                    self.schemas.describe(*stream, *schema, description);
                }
                Item::Unknown => unknown += 1,
                _ => {}
            }
            self.book.apply(&item, skips_max);
            if is_beginning {
                snapshot.apply(&item, skips_max);
                if item == Item::Begun {
                    is_beginning = false;
                    if walk.ignored == 0 {
                        self.book = std::mem::take(&mut snapshot);
                        self.base = Some(number);
                    }
                }
            }
        }
        segment.bytes = walk.offset();
        segment.end = walk.offset() - walk.ignored_since;
        self.boot = self.boot.max(header.unwrap_or(0));
        self.judge(storage, number, header.is_some(), &walk, unknown);
        self.segments.insert(number, segment);
        Ok(())
    }

    /// Says what was wrong with a segment, and keeps a copy if more than its tail was.
    fn judge(
        &mut self,
        storage: &mut impl Storage,
        number: u32,
        has_header: bool,
        walk: &Walk,
        unknown: u64,
    ) {
        let length = walk.offset();
        if walk.ignored == 0 && unknown == 0 && (has_header || length == 0) {
            return;
        }
        // Zeros alone are blocks that were never written: of a segment whose beginning was not synced, for example.
        let has_beginning = has_header || length < as_u64(HEADER_LEN) || !walk.has_ignored_data;
        let is_tail = walk.ignored == walk.ignored_since && has_beginning;
        let name = file_name(number);
        let what = if is_tail {
            DamageKind::TornTail
        } else {
            DamageKind::Middle { kept: self.keep(storage, &name, length) }
        };
        self.damage.push(Damage { name, ignored: walk.ignored, unknown, what });
    }

    /// Copies a segment to where it stays.
    fn keep(&mut self, storage: &mut impl Storage, name: &str, length: u64) -> Option<String> {
        let copy = format!("{name}{KEPT_SUFFIX}");
        if self.kept.contains(&copy) {
            return Some(copy);
        }
        if self.kept.len() >= KEPT_MAX {
            return None;
        }
        if copy_file(storage, name, &copy, length).is_err() {
            // Half a copy is worth nothing, and the original is still there.
            let _ = storage.remove(&copy);
            return None;
        }
        self.kept.push(copy.clone());
        Some(copy)
    }

    /// Brings together what segments hold and what is known of streams.
    fn complete(&mut self) {
        for segment in self.segments.values() {
            for (stream, extent) in &segment.extents {
                self.book.reach(*stream, extent.last.saturating_add(1));
            }
        }
        let streams: Vec<u64> = self.book.iter().map(|(stream, _)| stream).collect();
        for stream in streams {
            let is_held = self.segments.values().any(|s| s.extents.contains_key(&stream));
            if self.book.get(stream).is_some_and(Stream::is_settled) && !is_held {
                self.book.forget(stream);
                continue;
            }
            let schemas = self.schemas.get(stream).map(|s| s.schemas.clone()).unwrap_or_default();
            for (schema, description) in schemas {
                self.book.describe(stream, schema, &description);
            }
        }
        self.schemas = Book::default();
    }
}

fn copy_file(storage: &mut impl Storage, from: &str, to: &str, length: u64) -> io::Result<()> {
    let mut offset = 0;
    while offset < length {
        let bytes = storage.read_at(from, offset, COPY_WINDOW)?;
        if bytes.is_empty() {
            break;
        }
        storage.append(to, &bytes)?;
        offset += as_u64(bytes.len());
    }
    storage.sync(to)
}
