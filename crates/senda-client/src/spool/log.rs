//! The public face of a spool; `write.rs` has how it writes and removes, `read.rs` how it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::book::{Book, Descriptions};
use super::format::{Item, RowItem, check_schema, check_skip, frame_len};
use super::recover::{Found, recover};
use super::segment::Segment;
use super::types::{
    Appended, ClockState, Kind, Moment, Options, Record, Recovered, SPOOL_BYTES_MAX,
    SPOOL_BYTES_MIN, Skip, StreamState, Sync,
};
use super::write::Unsynced;
use super::{SpoolError, Storage};

/// Rows on disk until the collector has them. See the [module](super).
#[derive(Debug)]
pub struct Spool<S> {
    pub(super) storage: S,
    pub(super) options: Options,
    pub(super) boot: u32,
    pub(super) book: Book,
    /// All segments that can be read, by number.
    pub(super) segments: BTreeMap<u32, Segment>,
    /// The one that is appended to.
    pub(super) active: Option<u32>,
    /// The newest one whose beginning is safe: all that is known of streams stands there, and older segments may go.
    pub(super) base: Option<u32>,
    pub(super) next_number: u32,
    /// What a power cut would take.
    pub(super) unsynced: Unsynced,
    /// Files that are no use and could not be removed: name and bytes.
    pub(super) debris: Vec<(String, u64)>,
    /// What the next append has to tell.
    pub(super) told: Appended,
}

impl<S: Storage> Spool<S> {
    /// Reads what is there. Writes nothing but copies of damaged files; the first append begins a new segment.
    ///
    /// # Errors
    /// [`SpoolError::Options`], [`SpoolError::List`], [`SpoolError::Exhausted`]. Damage is no error: see [`Recovered::damage`].
    pub fn open(mut storage: S, options: Options) -> Result<(Self, Recovered), SpoolError> {
        if !(SPOOL_BYTES_MIN..=SPOOL_BYTES_MAX).contains(&options.bytes_max) {
            return Err(SpoolError::Options { field: "bytes_max" });
        }
        let found = recover(&mut storage, &options)?;
        let Found { book, segments, base, boot, next_number, damage, .. } = found;
        let mut spool = Self {
            storage,
            options,
            boot: boot.saturating_add(1),
            book,
            segments,
            active: None,
            base,
            next_number,
            unsynced: Unsynced::default(),
            debris: Vec::new(),
            told: Appended::default(),
        };
        spool.secure_base();
        let recovered = Recovered { boot: spool.boot, streams: spool.streams(), damage };
        Ok((spool, recovered))
    }

    /// Names a schema of a stream by the description of specification 4.2. It is on disk before the first row that uses it, in
    /// each segment anew. The same again changes nothing.
    ///
    /// # Errors
    /// [`SpoolError::Invalid`]: the id is above 63 or has another description, or that is too long. [`SpoolError::Write`] and
    /// [`SpoolError::Sync`] where older streams must make room for a new one.
    pub fn describe(
        &mut self,
        stream: u64,
        schema: u8,
        description: &[u8],
    ) -> Result<(), SpoolError> {
        check_schema(schema, description).map_err(invalid)?;
        self.enter(stream)?;
        if self.book.describe(stream, schema, description) {
            return Ok(());
        }
        Err(invalid("the schema's id has another description in this stream"))
    }

    /// Appends rows in one write: all of them, or none. Rows that are resolved or given up already are left out.
    ///
    /// Numbers of a stream ascend within a call, and should from call to call: a lower one begins a new segment. A row that is
    /// appended twice is given once.
    ///
    /// # Errors
    /// - [`SpoolError::Invalid`]: a row breaks a rule, its schema was not described, or all of them with their schemas have more
    ///   bytes than a segment (a 16th of the bound, at most 4 MiB). Nothing is appended.
    /// - [`SpoolError::Write`]: nothing is appended.
    /// - [`SpoolError::Sync`]: all of them are appended, and not safe from a power cut yet.
    pub fn append(&mut self, rows: &[Record]) -> Result<Appended, SpoolError> {
        let schemas = self.check(rows)?;
        for row in rows {
            self.enter(row.stream)?;
        }
        let wanted = |row: &&Record| self.book.get(row.stream).is_some_and(|s| s.wants(row.row));
        let rows: Vec<&Record> = rows.iter().filter(wanted).collect();
        if rows.is_empty() {
            return Ok(std::mem::take(&mut self.told));
        }
        let items: Vec<Item<'_>> = schemas
            .iter()
            .map(|(&(stream, schema), description)| Item::Schema { stream, schema, description })
            .chain(rows.iter().map(|row| Item::Row(RowItem::of(row))))
            .collect();
        let need: u64 = items.iter().map(frame_len).sum();
        if need > self.options.segment_bytes() {
            return Err(invalid("what is appended at once has more bytes than a segment"));
        }
        self.make_room(need)?;
        let number = self.segment_for(&rows)?;
        self.write(number, &items)?;
        for row in &rows {
            self.book.reach(row.stream, row.row + 1);
        }
        self.after_write(rows.len())
    }

    /// Notes that rows will never come, and why. It wins over a row that is held, and is told until it is resolved. Rows that are
    /// resolved or given up already stay as they are. Beyond the number of runs that the bound allows (a 128th of a segment's
    /// bytes, in all streams) a run is not noted by its cause: rows that are held are sent after all, others are missing.
    ///
    /// # Errors
    /// [`SpoolError::Invalid`], [`SpoolError::Write`]: it is not noted. [`SpoolError::Sync`]: it is, and is not safe yet.
    pub fn skip(&mut self, skip: Skip) -> Result<Appended, SpoolError> {
        check_skip(&skip).map_err(invalid)?;
        self.note(skip.stream, &Item::Skip(skip))
    }

    /// Notes what was learnt of a stream's clock; the newest counts.
    ///
    /// # Errors
    /// As [`Spool::skip`].
    pub fn note_clock(&mut self, stream: u64, state: ClockState) -> Result<Appended, SpoolError> {
        self.note(stream, &Item::Clock { stream, state })
    }

    /// Notes a moment of the boot that a stream is of: at its beginning, now and then, and when UTC becomes known.
    ///
    /// # Errors
    /// As [`Spool::skip`].
    pub fn note_moment(&mut self, stream: u64, moment: Moment) -> Result<Appended, SpoolError> {
        self.note(stream, &Item::Moment { stream, moment })
    }

    /// Every row of the stream below `below` is resolved: the collector said so. Segments in which everything is resolved are
    /// removed. What can't be removed or noted now is later, so nothing is to be done about a failure.
    ///
    /// An old stream of which nothing is left is forgotten; one of this boot goes on. That the mark moved is written now and then:
    /// after a restart the mark may be old, and rows are sent again, which costs nothing but their bytes.
    pub fn resolve(&mut self, stream: u64, below: u32) {
        let Some(known) = self.book.get(stream) else { return };
        if below <= known.mark {
            return;
        }
        self.book.settle(stream, below);
        self.note_mark_if_due(stream);
        self.release();
        self.forget_if_done(stream);
    }

    /// Makes what was appended survive a power cut, and notes all marks. With [`Sync::Never`] it does nothing.
    ///
    /// # Errors
    /// [`SpoolError::Sync`]
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if self.options.sync == Sync::Never {
            return Ok(());
        }
        self.note_marks();
        self.flush()
    }

    /// True when a power cut would take nothing that was appended.
    pub fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Streams that have something to tell, oldest first.
    pub fn streams(&self) -> Vec<StreamState> {
        let open = self.book.iter().filter(|(_, stream)| !stream.is_settled());
        open.filter_map(|(stream, _)| self.stream(stream)).collect()
    }

    /// What is known of a stream.
    pub fn stream(&self, stream: u64) -> Option<StreamState> {
        let known = self.book.get(stream)?;
        let extents = self.segments.values().filter_map(|segment| segment.extents.get(&stream));
        let open = extents.filter(|extent| extent.last >= known.mark);
        let (mut first, mut rows) = (known.next_row, 0);
        for extent in open {
            first = first.min(extent.first.max(known.mark));
            rows += u64::from(extent.rows);
        }
        let skip = |(&first, &(end, cause))| Skip { stream, first, count: end - first, cause };
        Some(StreamState {
            stream,
            mark: known.mark,
            first,
            next_row: known.next_row,
            rows,
            schemas: known.schemas.iter().map(|(id, bytes)| (*id, bytes.to_vec())).collect(),
            skips: known.skips.iter().map(skip).collect(),
            clock: known.clock,
            moments: known.moments.clone(),
        })
    }

    /// True when no stream has anything to tell.
    pub fn is_empty(&self) -> bool {
        self.book.iter().all(|(_, stream)| stream.is_settled())
    }

    /// Bytes on disk, at most; never above [`Options::bytes_max`].
    pub fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.values().map(|segment| segment.bytes).sum();
        segments + self.debris.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// The storage, for whoever opens it again.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Checks rows before anything changes. Returns the schemas that they use.
    fn check(&self, rows: &[Record]) -> Result<Descriptions, SpoolError> {
        let mut schemas = Descriptions::new();
        let mut last: BTreeMap<u64, u32> = BTreeMap::new();
        for row in rows {
            RowItem::of(row).check().map_err(invalid)?;
            if last.insert(row.stream, row.row).is_some_and(|before| before >= row.row) {
                return Err(invalid("the rows of a stream are not in order of their numbers"));
            }
            if row.kind == Kind::Counts || schemas.contains_key(&(row.stream, row.schema)) {
                continue;
            }
            let known = self.book.get(row.stream).and_then(|s| s.schemas.get(&row.schema));
            let description = known.ok_or(invalid("a row's schema was not described"))?;
            schemas.insert((row.stream, row.schema), Arc::clone(description));
        }
        Ok(schemas)
    }

    /// Writes something that is known of a stream, and then knows it.
    fn note(&mut self, stream: u64, item: &Item<'_>) -> Result<Appended, SpoolError> {
        self.enter(stream)?;
        self.make_room(frame_len(item))?;
        let number = self.segment_for(&[])?;
        self.write(number, std::slice::from_ref(item))?;
        self.book.apply(item, self.options.skips_max());
        self.after_write(1)
    }
}

const fn invalid(what: &'static str) -> SpoolError {
    SpoolError::Invalid { what }
}
