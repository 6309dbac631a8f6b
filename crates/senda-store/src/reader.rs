//! Read-only access to a store, while a collector writes to it or while none does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;

use crate::database;
use crate::{OpenError, StoreError};

/// Reads a store. Any number of them may exist, in any process; none of them holds up a landing.
///
/// Each call is one read transaction. While it lasts the write-ahead log can't begin anew, so every call is bounded: by
/// [`Reader::stop_when`], and without it by the work that a call may cost SQLite (some ten seconds).
pub struct Reader {
    pub(crate) conn: Connection,
    pub(crate) stop: Stop,
    pub(crate) path: PathBuf,
}

/// The answer to a user's SQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// True when there are more rows than were asked for, or than fit.
    pub is_cut: bool,
}

/// A value as SQLite has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

/// Tells a call to give up.
#[derive(Clone)]
pub(crate) struct Stop {
    asked: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    ticks: Arc<AtomicU64>,
}

impl Stop {
    /// True when the call should end.
    pub(crate) fn is_due(&self) -> bool {
        match &self.asked {
            Some(asked) => asked(),
            None => self.ticks.fetch_add(1, Ordering::Relaxed) >= TICKS_MAX,
        }
    }

    fn begin(&self) {
        self.ticks.store(0, Ordering::Relaxed);
    }
}

impl Reader {
    /// Opens the store in `dir`, for reading alone.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::Newer`], [`OpenError::Damaged`] and the like.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_on(dir, None)
    }

    /// As [`Reader::open`], on the VFS of [`Options::vfs`](crate::Options).
    #[doc(hidden)]
    pub fn open_on(dir: &Path, vfs: Option<&str>) -> Result<Self, OpenError> {
        let conn = database::open_to_read(dir, vfs)?;
        let path = database::database_path(dir);
        let stop = Stop { asked: None, ticks: Arc::default() };
        let mut reader = Self { conn, stop, path };
        reader
            .restrict()
            .map_err(|source| OpenError::Sqlite { path: reader.path.clone(), source })?;
        Ok(reader)
    }

    /// Makes each call give up, with an error, once `stop` says so. It is asked often.
    pub fn stop_when(&mut self, stop: impl Fn() -> bool + Send + Sync + 'static) {
        self.stop.asked = Some(Arc::new(stop));
        // The handler has a copy of what stood here before.
        let _ = self.install_stop();
    }

    /// Runs one SELECT of a user, for at most `limit` rows. It sees what is filed; [`Reader::query`] sees what has
    /// landed as well. It can't write, attach other files, or change settings.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]: a mistake in `sql`, something that is not allowed, or a call that took too long.
    pub fn sql(&self, sql: &str, limit: usize) -> Result<Answer, StoreError> {
        self.stop.begin();
        let mut statement = self.conn.prepare(sql)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut answer = Answer { columns, rows: Vec::new(), is_cut: false };
        let mut rows = statement.query([])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            if answer.rows.len() >= limit || bytes > ANSWER_BYTES_MAX {
                answer.is_cut = true;
                break;
            }
            let cells: Vec<Cell> = (0..answer.columns.len())
                .map(|index| row.get_ref(index).map(Cell::from))
                .collect::<Result<_, _>>()?;
            bytes += cells.iter().map(Cell::bytes).sum::<usize>();
            answer.rows.push(cells);
        }
        Ok(answer)
    }

    /// Runs `action` in one read transaction.
    pub(crate) fn read<T>(
        &self,
        action: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.stop.begin();
        let transaction = self.conn.unchecked_transaction()?;
        let value = action(&transaction)?;
        transaction.finish()?;
        Ok(value)
    }

    fn restrict(&mut self) -> rusqlite::Result<()> {
        self.conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH_MAX)?;
        self.conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        self.conn.authorizer(Some(|context: AuthContext<'_>| match context.action {
            AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
                Authorization::Allow
            }
            AuthAction::Function { function_name } if function_name != "load_extension" => {
                Authorization::Allow
            }
            AuthAction::Transaction { .. } => Authorization::Allow,
            AuthAction::Pragma { pragma_name, .. } if PRAGMAS.contains(&pragma_name) => {
                Authorization::Allow
            }
            _ => Authorization::Deny,
        }))?;
        self.install_stop()
    }

    fn install_stop(&mut self) -> rusqlite::Result<()> {
        let stop = self.stop.clone();
        self.conn.progress_handler(TICK, Some(move || stop.is_due()))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Cell {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Blob(bytes) => bytes.len(),
                _ => 0,
            }
    }
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

/// Instructions of SQLite's machine between two looks at the stop.
const TICK: i32 = 10_000;
/// Looks in one call, where nobody said when to stop: 2 × 10^9 instructions.
const TICKS_MAX: u64 = 200_000;
/// The longest text or blob, and the longest SQL.
const LENGTH_MAX: i32 = 16 << 20;
/// About as much as an answer may hold in memory.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Pragmas that only tell.
const PRAGMAS: &[&str] =
    &["table_info", "table_xinfo", "table_list", "index_list", "index_info", "user_version"];
