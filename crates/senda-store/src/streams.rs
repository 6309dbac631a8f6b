//! Marks and schemas of the streams in use: a bounded cache over the tables, and the only copy of what is still in
//! the inbox.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use senda_wire::Range;

use crate::StoreError;
use crate::marks::Marks;

/// What the writer knows of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) device: Arc<str>,
    pub(crate) stream: u64,
    /// Ids in the tables `devices` and `streams`, once filing has made them.
    pub(crate) ids: Option<Ids>,
    pub(crate) marks: Marks,
    /// Schema id to description id.
    pub(crate) schemas: BTreeMap<u16, i64>,
    /// Refused rows that are in the inbox.
    pub(crate) refused: Vec<(Range, u16)>,
    /// True when the table `refused` may have rows of this stream.
    pub(crate) has_refused: bool,
    /// The last inbox entry that mentions it; 0: none.
    pub(crate) last_inbox: i64,
    /// The blob being written that it is defined in, and its index there.
    pub(crate) blob: (u64, u32),
    used: u64,
}

/// Ids of a stream in the tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ids {
    pub(crate) device: i64,
    pub(crate) stream: i64,
}

/// The cache. Streams are referred to by slot, which stays the same until [`Streams::shrink`].
#[derive(Debug)]
pub(crate) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<usize>,
    index: HashMap<Arc<str>, BTreeMap<u64, usize>>,
    max: usize,
    /// Number of streams at which the next sweep is worth its while.
    sweep_at: usize,
    tick: u64,
}

impl Streams {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            max,
            sweep_at: max,
            tick: 0,
        }
    }

    /// The slot of a stream, read from the tables if it is not here.
    pub(crate) fn slot(
        &mut self,
        conn: &Connection,
        device: &str,
        stream: u64,
    ) -> Result<usize, StoreError> {
        self.tick += 1;
        let tick = self.tick;
        if let Some(&slot) = self.index.get(device).and_then(|streams| streams.get(&stream)) {
            self.get_mut(slot).used = tick;
            return Ok(slot);
        }
        let name = self
            .index
            .get_key_value(device)
            .map_or_else(|| Arc::from(device), |(name, _)| Arc::clone(name));
        let entry = Some(Stream { used: tick, ..load(conn, Arc::clone(&name), stream)? });
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot] = entry;
            slot
        } else {
            self.slots.push(entry);
            self.slots.len() - 1
        };
        self.index.entry(name).or_default().insert(stream, slot);
        Ok(slot)
    }

    pub(crate) fn get(&self, slot: usize) -> &Stream {
        self.slots[slot]
            .as_ref()
            .expect("slots are given out by `slot` and emptied by `shrink` alone")
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> &mut Stream {
        self.slots[slot]
            .as_mut()
            .expect("slots are given out by `slot` and emptied by `shrink` alone")
    }

    /// Number of streams here.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Forgets streams until half of the bound is left, those unused for longest first, where nothing of them is in the
    /// inbox after `filed`. Does nothing below the bound.
    pub(crate) fn shrink(&mut self, filed: i64) {
        if self.len() <= self.sweep_at {
            return;
        }
        let mut idle: Vec<(u64, usize)> = (0..)
            .zip(&self.slots)
            .filter_map(|(slot, entry)| entry.as_ref().map(|entry| (slot, entry)))
            .filter(|(_, entry)| entry.last_inbox <= filed)
            .map(|(slot, entry)| (entry.used, slot))
            .collect();
        idle.sort_unstable();
        let excess = self.len() - self.max / 2;
        for (_, slot) in idle.into_iter().take(excess) {
            self.forget_slot(slot);
        }
        // What is left beyond the bound is in the inbox, which has bounds of its own.
        self.sweep_at = self.max.max(self.len() + self.len() / 8);
    }

    /// As [`Streams::shrink`], after filing: what was kept for being in the inbox may go now.
    pub(crate) fn shrink_after_filing(&mut self, filed: i64) {
        self.sweep_at = self.max;
        self.shrink(filed);
    }

    /// Forgets a stream whose rows in the tables are deleted; false when it is in the inbox after `filed`.
    pub(crate) fn forget(&mut self, device: &str, stream: u64, filed: i64) -> bool {
        let Some(&slot) = self.index.get(device).and_then(|streams| streams.get(&stream)) else {
            return true;
        };
        if self.get(slot).last_inbox > filed {
            return false;
        }
        self.forget_slot(slot);
        true
    }

    fn forget_slot(&mut self, slot: usize) {
        let Some(entry) = self.slots[slot].take() else { return };
        self.free.push(slot);
        if let Some(streams) = self.index.get_mut(&entry.device) {
            streams.remove(&entry.stream);
            if streams.is_empty() {
                self.index.remove(&entry.device);
            }
        }
    }
}

fn load(conn: &Connection, device: Arc<str>, stream: u64) -> Result<Stream, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT s.device, s.id, s.mark, s.ranges FROM devices d JOIN streams s ON s.device = d.id
             WHERE d.name = ?1 AND s.stream = ?2",
        )?
        .query_row(params![&*device, stream.cast_signed()], |row| {
            let ids = Ids { device: row.get(0)?, stream: row.get(1)? };
            Ok((ids, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?))
        })
        .optional()?;
    let mut entry = Stream {
        device,
        stream,
        ids: None,
        marks: Marks::default(),
        schemas: BTreeMap::new(),
        refused: Vec::new(),
        has_refused: false,
        last_inbox: 0,
        blob: (0, 0),
        used: 0,
    };
    if let Some((ids, next, ranges)) = found {
        entry.ids = Some(ids);
        entry.marks = Marks::from_columns(next, &ranges)
            .ok_or_else(|| StoreError::corrupt(format!("the marks of stream {}", ids.stream)))?;
        let mut schemas =
            conn.prepare_cached("SELECT id, description FROM schemas WHERE stream = ?1")?;
        let schemas = schemas.query_map([ids.stream], |row| Ok((row.get(0)?, row.get(1)?)))?;
        entry.schemas = schemas.collect::<Result<_, _>>()?;
        entry.has_refused = conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM refused WHERE stream = ?1)")?
            .query_row([ids.stream], |row| row.get(0))?;
    }
    Ok(entry)
}
