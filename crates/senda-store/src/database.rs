//! The file `senda.db`: connection, version, and the tables that are not made from schemas.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::code_of;
use crate::options::Weakness;
use crate::rewrite::rewrite_log;
use crate::{OpenError, Options};

/// The database in a data directory.
pub(crate) fn database_path(dir: &Path) -> PathBuf {
    dir.join("senda.db")
}

/// Makes the directory and takes its lock, which is held as long as the file is open. A virtual disk has neither.
pub(crate) fn lock(dir: &Path, vfs: Option<&str>) -> Result<Option<File>, OpenError> {
    if vfs.is_some() {
        return Ok(None);
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    let path = dir.join("senda.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

/// Opens the database for writing, and makes it where there is none.
///
/// What is in the log may be in the page cache alone, left there by a sync that failed: the log is written again, brought
/// into the database and emptied before anything counts as durable.
pub(crate) fn open_to_write(
    path: &Path,
    options: &Options,
    cache_kib: i32,
) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error| explain(path, error);
    let conn = connect(path, flags, options.vfs.as_deref()).map_err(explain)?;
    // A file that is refused is not touched.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(explain)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    let is_new = check_version(&conn, path)?;
    prepare_to_write(&conn, is_new, cache_kib).map_err(explain)?;
    if !options.fault.has(Weakness::NoRecovery) {
        if !options.fault.has(Weakness::NoRewrite) {
            rewrite_log(&conn).map_err(explain)?;
        }
        if !checkpoint(&conn, "TRUNCATE").map_err(explain)?.is_complete() {
            return Err(OpenError::Held { path: path.to_owned() });
        }
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(explain)?;
    Ok(conn)
}

/// Opens the database that the writer has open, to copy its log.
pub(crate) fn open_to_checkpoint(path: &Path, vfs: Option<&str>) -> Result<Connection, OpenError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = connect(path, flags, vfs)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.execute_batch(SYNCS)?;
        Ok(conn)
    };
    open().map_err(|error| explain(path, error))
}

/// Opens the database for reading alone.
pub(crate) fn open_to_read(dir: &Path, vfs: Option<&str>) -> Result<Connection, OpenError> {
    let path = database_path(dir);
    if vfs.is_none() && !path.exists() {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error| explain(&path, error);
    let conn = match connect(&path, flags, vfs) {
        Err(error) if vfs.is_some() && code_of(&error) == Some(ErrorCode::CannotOpen) => {
            return Err(OpenError::Missing { dir: dir.to_owned() });
        }
        other => other.map_err(explain)?,
    };
    conn.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    if check_version(&conn, &path)? {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;").map_err(explain)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Opens the file with SQLite's own VFS, or with another.
fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    match vfs {
        None => Connection::open_with_flags(path, flags),
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
    }
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint {
    busy: bool,
    log_pages: i64,
    copied_pages: i64,
}

impl Checkpoint {
    /// Pages of the log that are in the database; `None` when another checkpoint was under way.
    pub(crate) fn copied(self) -> Option<i32> {
        i32::try_from(self.copied_pages).ok().filter(|pages| *pages >= 0 && !self.busy)
    }

    /// True when the whole log is in the database, and synced.
    pub(crate) const fn is_complete(self) -> bool {
        !self.busy && self.log_pages == self.copied_pages
    }
}

/// Copies the log into the database, as far as readers allow.
pub(crate) fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Checkpoint> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok(Checkpoint { busy: row.get(0)?, log_pages: row.get(1)?, copied_pages: row.get(2)? })
    })
}

/// True for a new, empty database.
fn check_version(conn: &Connection, path: &Path) -> Result<bool, OpenError> {
    let explain = |error| explain(path, error);
    let pragma =
        |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (application, version) =
        (pragma("application_id").map_err(explain)?, pragma("user_version").map_err(explain)?);
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(explain)?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(true),
        (APPLICATION_ID, VERSION, _) => Ok(false),
        (APPLICATION_ID, found, _) if found > VERSION => {
            Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION })
        }
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

fn prepare_to_write(conn: &Connection, is_new: bool, cache_kib: i32) -> rusqlite::Result<()> {
    // Filing looks at the log's size and checkpoints between two landings, so that no commit does.
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         {SYNCS}
         PRAGMA journal_size_limit = {LOG_BYTES_KEPT};
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{cache_kib};"
    ))?;
    conn.set_prepared_statement_cache_capacity(256);
    if is_new {
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             {TABLES}
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {VERSION};
             COMMIT;"
        ))?;
    }
    // Version 1 has gained these since.
    conn.execute_batch(MISFITS)?;
    let is_there =
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('streams') WHERE name = 'filed')";
    if conn.query_row(is_there, [], |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    conn.execute_batch(
        "BEGIN IMMEDIATE;
         ALTER TABLE streams ADD COLUMN filed INTEGER;
         ALTER TABLE streams ADD COLUMN filed_run INTEGER;
         COMMIT;",
    )
}

fn explain(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match code_of(&source) {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path, what: source.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Held { path },
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure,
        ) => OpenError::Io { path, source: io::Error::other(source) },
        _ => OpenError::Sqlite { path, source },
    }
}

/// Syncs that reach the disk, on macOS too, and no checkpoint in a commit.
const SYNCS: &str =
    "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
     PRAGMA wal_autocheckpoint = 0;";
/// "SEND", in the header of the file.
const APPLICATION_ID: i64 = 0x5345_4E44;
/// Version of the tables, in the header of the file. See `docs/store.md`.
const VERSION: i64 = 1;
/// What the log's file keeps of its size once a reader no longer holds it back.
const LOG_BYTES_KEPT: u32 = 64 << 20;
/// How long to wait for a reader that is in the way of a checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Names of tables and views of our own: schemas with such a name get another one for their table.
pub(crate) const OWN_NAMES: &[&str] = &[
    "alerts",
    "channels",
    "clocks",
    "commands",
    "counts",
    "descriptions",
    "devices",
    "events",
    "filing",
    "inbox",
    "labels",
    "ledger",
    "meta",
    "misfits",
    "notices",
    "readings",
    "refused",
    "reports",
    "schemas",
    "settings",
    "skips",
    "streams",
    "tables",
    "unreadable",
];

const MISFITS: &str = "
CREATE TABLE IF NOT EXISTS misfits (      -- bytes that fitted no format, the last 10,000
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    listener TEXT NOT NULL,               -- [[raw]] name
    peer TEXT NOT NULL,                   -- address and port
    kind TEXT NOT NULL,                   -- length, value, ...
    reason TEXT NOT NULL,
    length INTEGER NOT NULL,              -- how many bytes came
    bytes BLOB NOT NULL                   -- the first of them
);
CREATE INDEX IF NOT EXISTS misfits_by_time ON misfits (time);
";

const TABLES: &str = "
CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    first_seen INTEGER NOT NULL,          -- µs since 1970, as all times here
    last_seen INTEGER NOT NULL,
    transport TEXT,                       -- of the latest session
    software TEXT
);
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices,
    stream INTEGER NOT NULL,              -- the 64 bits, as a signed number
    mark INTEGER NOT NULL DEFAULT 0,      -- every row below is resolved
    ranges BLOB NOT NULL DEFAULT x'',     -- resolved above the mark: start, end, 4 bytes each
    resolved INTEGER NOT NULL DEFAULT 0,  -- number of resolved rows
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    clock_kind INTEGER,                   -- of specification 5.7
    clock_offset INTEGER,                 -- UTC minus the device's clock
    clock_uncertainty INTEGER,            -- how far that may be off
    clock_drift REAL,                     -- parts per million faster than UTC; NULL until known
    clock_time INTEGER,                   -- when the offset came
    clock_state BLOB,                     -- all of it, for the next one
    clock_run INTEGER,                    -- the run of filing that set it ...
    clock_before BLOB,                    -- ... and the state that holds within that run
    to_date BLOB,                         -- rows were filed before the first state, which is this
    filed INTEGER,                        -- rows that filing put into tables; NULL: before that was counted
    filed_run INTEGER,                    -- the last run of filing that is in it
    UNIQUE (device, stream)
);
CREATE INDEX streams_to_date ON streams (id) WHERE to_date IS NOT NULL;
CREATE INDEX streams_by_age ON streams (last_seen);
CREATE TABLE descriptions (               -- schemas as they came, each once
    id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL,
    tbl INTEGER REFERENCES tables         -- NULL until a row of it is to be filed
);
CREATE TABLE schemas (                    -- schema ids of the streams
    stream INTEGER NOT NULL REFERENCES streams,
    id INTEGER NOT NULL,
    description INTEGER NOT NULL REFERENCES descriptions,
    PRIMARY KEY (stream, id)
) WITHOUT ROWID;
CREATE TABLE tables (                     -- tables of readings
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,            -- of the view; the table's has _ before it
    schema TEXT NOT NULL,                 -- name of the schema
    in_readings INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE channels (                   -- columns of these tables
    id INTEGER PRIMARY KEY,
    tbl INTEGER NOT NULL REFERENCES tables,
    name TEXT NOT NULL,                   -- of the column
    channel TEXT NOT NULL,
    element INTEGER NOT NULL,             -- of a vector, from 0
    elements INTEGER NOT NULL,            -- 1: no vector
    type INTEGER NOT NULL,                -- code of specification 4.3
    exponent INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    unit TEXT NOT NULL,
    UNIQUE (tbl, name)
);
CREATE TABLE labels (
    channel INTEGER NOT NULL REFERENCES channels,
    value INTEGER NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (channel, value)
) WITHOUT ROWID;
CREATE TABLE skips (                      -- rows that will never come: first to last - 1
    stream INTEGER NOT NULL REFERENCES streams,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    cause INTEGER NOT NULL,               -- code of specification 5.12
    received INTEGER NOT NULL,
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;
CREATE TABLE refused (                    -- rows that were not stored: first to last - 1
    stream INTEGER NOT NULL REFERENCES streams,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    code INTEGER NOT NULL,                -- of specification 11
    message INTEGER NOT NULL,             -- type code of the message
    received INTEGER NOT NULL,
    bytes BLOB NOT NULL,                  -- the row, or the message's body, at most 2,048 bytes
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;
CREATE TABLE counts (                     -- the device's own ledger
    stream INTEGER NOT NULL REFERENCES streams,
    row INTEGER NOT NULL,
    received INTEGER NOT NULL,
    made INTEGER NOT NULL,
    causes TEXT NOT NULL,                 -- JSON: {\"1\": 12}
    PRIMARY KEY (stream, row)
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    device INTEGER REFERENCES devices,
    stream INTEGER REFERENCES streams,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (time);
CREATE TABLE inbox (                      -- landed, not yet filed
    id INTEGER PRIMARY KEY,               -- above that of every entry that was filed
    received INTEGER NOT NULL,
    bytes BLOB NOT NULL
);
CREATE TABLE filing (                     -- the run of filing under way: how far it is
    id INTEGER PRIMARY KEY CHECK (id = 0),
    last INTEGER NOT NULL,                -- inbox entries up to this one are filed, or in the run
    done INTEGER NOT NULL                 -- 0: no run
);
INSERT INTO filing VALUES (0, 0, 0);
CREATE TABLE unreadable (                 -- what filing could not decode
    id INTEGER PRIMARY KEY,
    stream INTEGER,
    first INTEGER,
    received INTEGER NOT NULL,
    why TEXT NOT NULL,
    bytes BLOB NOT NULL
);
CREATE TABLE commands (                   -- what devices were told to do, and what came of it
    device TEXT NOT NULL,                 -- its name: it may not have been seen yet
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    arguments BLOB NOT NULL,              -- a list of specification 4.4, count included
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    state TEXT NOT NULL,                  -- queued, sent, done, refused, expired, unknown
    sent INTEGER,
    ended INTEGER,
    status INTEGER,                       -- of DONE: code of specification 5.20
    text TEXT NOT NULL,
    results BLOB NOT NULL,                -- as arguments
    begun INTEGER,                        -- of an unknown one: 0 no, 1 yes, 2 the device can't say
    PRIMARY KEY (device, id)
) WITHOUT ROWID;
CREATE INDEX commands_open ON commands (state, expires) WHERE state IN ('queued', 'sent');
CREATE INDEX commands_by_time ON commands (created);
CREATE TABLE settings (                   -- desired configurations that were set by hand
    pattern TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,            -- 0: derived from the list
    list BLOB NOT NULL,                   -- specification 4.4, count included
    changed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE reports (                    -- what devices said of themselves
    device TEXT PRIMARY KEY,
    config_rev INTEGER NOT NULL,          -- in force
    last_command_id INTEGER NOT NULL,
    downlink INTEGER NOT NULL,            -- bits of specification 12.2
    revision INTEGER,                     -- of the latest CONFIG that it answered, and that answer
    status INTEGER,
    text TEXT,
    results BLOB,
    answered INTEGER
) WITHOUT ROWID;
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    device TEXT NOT NULL,
    schema TEXT NOT NULL,
    channel TEXT NOT NULL,
    severity INTEGER NOT NULL,            -- 0 information, 1 warning, 2 critical
    raised INTEGER NOT NULL,              -- 1: it holds
    raised_at INTEGER NOT NULL,
    cleared_at INTEGER,
    acknowledged_at INTEGER,
    acknowledged_by TEXT NOT NULL,
    text TEXT NOT NULL,
    list BLOB NOT NULL,                   -- value, threshold: specification 4.4, count included
    told INTEGER NOT NULL,                -- the device has answered the ALERT of this state
    closed INTEGER NOT NULL DEFAULT 0     -- 1: cleared by hand, and its condition was not seen to be over since
);
CREATE INDEX alerts_standing ON alerts (id) WHERE raised OR closed;
CREATE INDEX alerts_by_device ON alerts (device, told);
CREATE TABLE notices (                    -- what webhooks and programs have still to be told
    id INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    key TEXT NOT NULL,                    -- the same for each attempt
    report TEXT NOT NULL,                 -- JSON
    UNIQUE (target, key)
);
CREATE VIEW readings (time, device, channel, unit, value) AS SELECT 0, '', '', '', NULL WHERE 0;
CREATE VIEW ledger AS                     -- filed rows of each stream, and what became of them
    SELECT d.name AS device, printf('%016x', s.stream) AS stream, s.mark AS next_row, s.resolved,
        s.resolved - refused - skipped - counts AS stored, refused, skipped, counts
    FROM (SELECT *,
            (SELECT coalesce(sum(last - first), 0) FROM refused r WHERE r.stream = s.id) AS refused,
            (SELECT coalesce(sum(last - first), 0) FROM skips k WHERE k.stream = s.id) AS skipped,
            (SELECT count(*) FROM counts c WHERE c.stream = s.id) AS counts
        FROM streams s) s
    JOIN devices d ON d.id = s.device;
";

#[cfg(test)]
mod tests {
    use super::*;

    /// Older ones have a WAL corruption bug.
    #[test]
    fn the_bundled_sqlite_is_3_51_3_or_later() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[test]
    fn own_names_are_all_there() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(TABLES).unwrap();
        let mut names =
            conn.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").unwrap();
        for name in names.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap)
        {
            assert!(OWN_NAMES.contains(&name.as_str()) || name.starts_with("sqlite_"), "{name}");
        }
    }
}
