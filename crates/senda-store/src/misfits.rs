//! Bytes that fitted no format, for people to look at: counted elsewhere, kept here while they are few.

use rusqlite::params;

use crate::writer::Store;
use crate::{Reader, StoreError, Writer};

/// Bytes that a raw listener could make no record of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MisfitRecord {
    /// When they came, in microseconds since 1970.
    pub time: i64,
    /// Name of the listener.
    pub listener: String,
    /// Who sent them: address and port.
    pub peer: String,
    /// One word, such as `length`.
    pub kind: String,
    /// What is wrong with them, for people.
    pub reason: String,
    /// How many there were.
    pub len: u64,
    /// The first of them.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Keeps one; the oldest beyond 10,000 go.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn keep_misfit(&mut self, misfit: &MisfitRecord) -> Result<(), StoreError> {
        self.with(misfit.time, |store, _| store.keep_misfit(misfit))
    }
}

impl Store {
    /// Not synced by itself: nobody was promised that it is on disk, and rows that wait for a commit must not wait for rubbish.
    fn keep_misfit(&mut self, misfit: &MisfitRecord) -> Result<(), StoreError> {
        self.begin_unsynced()?;
        // An error is the end of this connection, and of the transaction with it.
        self.insert_misfit(misfit)?;
        self.commit_unsynced()
    }

    fn insert_misfit(&self, misfit: &MisfitRecord) -> Result<(), StoreError> {
        let MisfitRecord { time, listener, peer, kind, reason, len, bytes } = misfit;
        let len = i64::try_from(*len).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached(
                "INSERT INTO misfits (time, listener, peer, kind, reason, length, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![time, listener, peer, kind, reason, len, bytes])?;
        self.conn
            .prepare_cached(&format!(
                "DELETE FROM misfits WHERE id <= (SELECT max(id) FROM misfits) - {MISFITS_MAX}"
            ))?
            .execute([])?;
        Ok(())
    }
}

impl Reader {
    /// Misfits, of one listener or all, the newest last, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn misfits(
        &self,
        listener: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MisfitRecord>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare(
                "SELECT time, listener, peer, kind, reason, length, bytes FROM misfits
                 WHERE ?1 IS NULL OR listener = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map(params![listener, limit], |row| {
                Ok(MisfitRecord {
                    time: row.get(0)?,
                    listener: row.get(1)?,
                    peer: row.get(2)?,
                    kind: row.get(3)?,
                    reason: row.get(4)?,
                    len: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
                    bytes: row.get(6)?,
                })
            })?;
            let mut found: Vec<MisfitRecord> = found.collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }
}

/// The most that are kept.
const MISFITS_MAX: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn misfit(time: i64, listener: &str) -> MisfitRecord {
        MisfitRecord {
            time,
            listener: listener.into(),
            peer: "127.0.0.1:9".into(),
            kind: "length".into(),
            reason: "3 bytes, and a record has 4".into(),
            len: 3,
            bytes: vec![1, 2, 3],
        }
    }

    #[test]
    fn misfits_are_found_by_listener_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default(), 1).unwrap();
        (0..5).for_each(|time| writer.keep_misfit(&misfit(time, "a")).unwrap());
        writer.keep_misfit(&misfit(9, "b")).unwrap();
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.misfits(Some("b"), 10).unwrap(), [misfit(9, "b")]);
        let times =
            |found: Vec<MisfitRecord>| found.iter().map(|misfit| misfit.time).collect::<Vec<_>>();
        assert_eq!(times(reader.misfits(None, 2).unwrap()), [4, 9], "the newest, oldest first");
        // As if 10,000 had come since.
        writer
            .with(10, |store, _| {
                Ok(store
                    .conn
                    .execute("UPDATE misfits SET id = id + 9998 WHERE listener = 'b'", [])?)
            })
            .unwrap();
        writer.keep_misfit(&misfit(11, "b")).unwrap();
        assert_eq!(times(reader.misfits(None, 100).unwrap()), [9, 11]);
    }

    #[test]
    fn what_lands_after_a_misfit_is_synced_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default(), 1).unwrap();
        writer.keep_misfit(&misfit(1, "a")).unwrap();
        let synchronous = |store: &mut Store, _: &Options| {
            Ok(store.conn.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(writer.with(2, synchronous).unwrap(), 2, "FULL");
    }

    #[test]
    fn a_store_that_was_made_before_there_were_misfits_takes_them_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default(), 1).unwrap();
        writer.with(1, |store, _| Ok(store.conn.execute_batch("DROP TABLE misfits")?)).unwrap();
        drop(writer);
        assert!(Reader::open(dir.path()).unwrap().misfits(None, 9).is_err());
        let mut writer = Writer::open(dir.path(), Options::default(), 1).unwrap();
        writer.keep_misfit(&misfit(2, "a")).unwrap();
        assert_eq!(Reader::open(dir.path()).unwrap().misfits(None, 9).unwrap().len(), 1);
    }
}
