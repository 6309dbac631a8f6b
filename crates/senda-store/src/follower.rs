//! What has just landed, decoded: for whoever wants to see readings as they come.

use std::path::Path;

use crate::query::{Found, Landed, LandedParts};
use crate::{EventRecord, OpenError, Query, Reader, Sample, StoreError};

/// Decodes what [`Writer::take_landed`](crate::Writer::take_landed) gives, commit by commit. It reads the store beside the
/// writer, for schemas and clocks that it has not seen itself; it never holds up a landing.
#[derive(Debug)]
pub struct Follower {
    reader: Reader,
    parts: LandedParts,
}

/// One commit, decoded.
#[derive(Debug, Default)]
pub struct Followed {
    /// Rows that were new and good, in the order of their messages.
    pub samples: Vec<Sample>,
    /// Events, in order.
    pub events: Vec<EventRecord>,
}

impl Follower {
    /// Begins with what is in the store now.
    ///
    /// # Errors
    /// [`OpenError`], as [`Reader::open`].
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_on(dir, None)
    }

    /// As [`Follower::open`], on the VFS of [`Options::vfs`](crate::Options).
    #[doc(hidden)]
    pub fn open_on(dir: &Path, vfs: Option<&str>) -> Result<Self, OpenError> {
        Ok(Self { reader: Reader::open_on(dir, vfs)?, parts: LandedParts::default() })
    }

    /// Decodes one landed blob. Blobs must come in the order of their commits; some may be left out.
    ///
    /// # Errors
    /// [`StoreError`]: this one can't be read. The next one may be.
    pub fn decode(&mut self, blob: &[u8]) -> Result<Followed, StoreError> {
        if self.parts.streams.is_empty() || self.parts.streams.len() > STREAMS_MAX {
            self.learn()?;
        }
        let query = Query { limit: usize::MAX / 4, ..Query::default() };
        let parts = std::mem::take(&mut self.parts);
        let mut found = Found { query: &query, limit: query.limit, samples: Vec::new() };
        let (parts, events) = self.reader.read(|conn| {
            let mut landed = Landed::resume(conn, &self.reader.stop, parts)?;
            let mut events = Vec::new();
            landed.read_blob(blob, &mut found, &mut |event| events.push(event))?;
            Ok((landed.into_parts(), events))
        })?;
        self.parts = parts;
        Ok(Followed { samples: found.samples, events })
    }

    /// Learns of schemas that have landed and are not filed.
    fn learn(&mut self) -> Result<(), StoreError> {
        let query = Query { limit: 0, ..Query::default() };
        let mut found = Found { query: &query, limit: 0, samples: Vec::new() };
        let parts = self.reader.read(|conn| {
            let mut landed = Landed::new(conn, &self.reader.stop)?;
            landed.read_inbox(&mut found)?;
            Ok(landed.into_parts())
        })?;
        self.parts = parts;
        Ok(())
    }
}

/// Streams whose schemas are in memory; beyond it all of them are forgotten and learnt again.
const STREAMS_MAX: usize = 65_536;
