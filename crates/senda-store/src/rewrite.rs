//! The log is written once more, where a sync that failed may have left it in the page cache alone, or not even there.
//!
//! After a failed sync Linux takes the pages for written: a later sync reports success and writes nothing. A checkpoint
//! would then copy from a log that is not on the disk over pages that are, and a power cut in the middle would leave a
//! database of two moments. Writing the same bytes again makes the pages dirty again, so that the next sync counts.
//!
//! The cache may also have lost those pages (Btrfs drops them at once). What SQLite remembers of the log, in memory
//! that all connections share, would then lead a checkpoint to pages that are not in it. So the log is read anew first,
//! frame by frame and with its checksums, as after a crash.

use std::ffi::{c_int, c_void};
use std::ptr;

use rusqlite::{Connection, ffi};

/// Reads the connection's log anew, writes all of it again, and syncs it. Nobody else writes meanwhile.
pub(crate) fn rewrite_log(conn: &Connection) -> rusqlite::Result<()> {
    while_locked(conn, || forget_index(file_of(conn, ffi::SQLITE_FCNTL_FILE_POINTER)?))?;
    // To begin a transaction is to read the log anew.
    while_locked(conn, || rewrite(file_of(conn, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?))
}

fn while_locked(
    conn: &Connection,
    action: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = action();
    conn.execute_batch("ROLLBACK")?;
    done
}

/// A file of a connection's, which stays open as long as its transaction; null where there is none.
struct OpenFile<'a> {
    file: *mut ffi::sqlite3_file,
    _conn: &'a Connection,
}

#[expect(unsafe_code, reason = "SQLite gives its files as C structures, so that any VFS will do")]
fn file_of(conn: &Connection, which: c_int) -> rusqlite::Result<OpenFile<'_>> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    let out = (&raw mut file).cast::<c_void>();
    // SAFETY: the handle is that of an open connection, and both operations that we ask for store a pointer to a file.
    check(unsafe { ffi::sqlite3_file_control(conn.handle(), c"main".as_ptr(), which, out) })?;
    Ok(OpenFile { file, _conn: conn })
}

/// Spoils the header of what is remembered of the log: whoever comes next reads the log itself.
#[expect(unsafe_code, reason = "see `file_of`")]
fn forget_index(OpenFile { file, .. }: OpenFile<'_>) -> rusqlite::Result<()> {
    // SAFETY: null, or a file of the connection's, which this thread alone uses. One that is not open has no methods.
    let methods = unsafe { file.as_ref().and_then(|file| file.pMethods.as_ref()) };
    let Some((map, barrier)) = methods.and_then(|found| Some((found.xShmMap?, found.xShmBarrier?)))
    else {
        return Ok(());
    };
    let mut index: *mut c_void = ptr::null_mut();
    // SAFETY: the file is open; the first region has been mapped by the transaction that we are in.
    check(unsafe { map(file, 0, INDEX_BYTES, 0, &raw mut index) })?;
    if !index.is_null() {
        // SAFETY: the region is at least as long as its header. We hold the lock without which nobody writes it; who
        // reads it meanwhile finds that its two copies differ from their checksums, as after a crash.
        unsafe {
            barrier(file);
            ptr::write_bytes(index.cast::<u8>(), 0, INDEX_HEADER_BYTES);
            barrier(file);
        }
    }
    Ok(())
}

/// Writes a file's bytes again, and syncs them.
#[expect(unsafe_code, reason = "see `file_of`")]
fn rewrite(OpenFile { file, .. }: OpenFile<'_>) -> rusqlite::Result<()> {
    // SAFETY: as in `forget_index`.
    let methods = unsafe { file.as_ref().and_then(|file| file.pMethods.as_ref()) };
    let found = methods
        .and_then(|found| Some((found.xFileSize?, found.xRead?, found.xWrite?, found.xSync?)));
    let Some((size, read, write, sync)) = found else { return Ok(()) };
    let mut len = 0;
    // SAFETY: the file is open, and `len` outlives the call.
    check(unsafe { size(file, &raw mut len) })?;
    if len == 0 {
        return Ok(());
    }
    let mut buffer = vec![0u8; PIECE];
    let mut offset = 0;
    while offset < len {
        let piece = usize::try_from(len - offset).map_or(PIECE, |rest| rest.min(PIECE));
        let bytes = buffer.as_mut_ptr().cast::<c_void>();
        let count = c_int::try_from(piece).unwrap_or(c_int::MAX); // At most `PIECE`.
        // SAFETY: the file is open, and the buffer has at least `count` bytes.
        check(unsafe { read(file, bytes, count, offset) })?;
        // SAFETY: as above.
        check(unsafe { write(file, bytes, count, offset) })?;
        offset += i64::from(count);
    }
    // SAFETY: the file is open.
    check(unsafe { sync(file, ffi::SQLITE_SYNC_FULL) })
}

fn check(code: c_int) -> rusqlite::Result<()> {
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(code),
            Some("the log can't be written again".into()),
        )),
    }
}

/// Bytes that are written at a time. SQLite's VFS for Unix takes less than 128 KiB.
const PIECE: usize = 64 << 10;
/// A region of the shared memory, as SQLite asks for it.
const INDEX_BYTES: c_int = 32 << 10;
/// Two copies of its header: <https://sqlite.org/walformat.html>.
const INDEX_HEADER_BYTES: usize = 96;
