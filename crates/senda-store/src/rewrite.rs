//! The log is written once more, where a sync that failed may have left it in the page cache alone.
//!
//! After a failed sync Linux takes the pages for written: a later sync reports success and writes nothing. A checkpoint
//! would then copy from a log that is not on the disk over pages that are, and a power cut in the middle would leave a
//! database of two moments. Writing the same bytes again makes the pages dirty again, so that the next sync counts.

use std::ffi::{c_int, c_void};
use std::ptr;

use rusqlite::{Connection, ffi};

/// Writes the connection's whole log again, as it reads now, and syncs it. Nobody else writes meanwhile.
#[expect(
    unsafe_code,
    reason = "SQLite gives its log's file as a C structure, so that any VFS will do"
)]
pub(crate) fn rewrite_log(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is that of an open connection, and this operation stores a pointer to its file, which stays
    // open as long as the transaction.
    let code = unsafe {
        ffi::sqlite3_file_control(
            conn.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_JOURNAL_POINTER,
            (&raw mut file).cast::<c_void>(),
        )
    };
    // SAFETY: the pointer is what SQLite has stored: a file of the connection, which this thread alone uses.
    let rewritten = check(code).and_then(|()| unsafe { rewrite(file) });
    conn.execute_batch("ROLLBACK")?;
    rewritten
}

/// # Safety
/// `file` is null or a file of SQLite's that nobody else uses at this time.
#[expect(unsafe_code, reason = "see `rewrite_log`")]
unsafe fn rewrite(file: *mut ffi::sqlite3_file) -> rusqlite::Result<()> {
    // SAFETY: as the caller says. A file that is not open has no methods.
    let methods = unsafe { file.as_ref().and_then(|file| file.pMethods.as_ref()) };
    let Some(methods) = methods else { return Ok(()) };
    let (Some(size), Some(read), Some(write), Some(sync)) =
        (methods.xFileSize, methods.xRead, methods.xWrite, methods.xSync)
    else {
        return Ok(());
    };
    let mut len = 0;
    // SAFETY: the file is open, and `len` outlives the call.
    check(unsafe { size(file, &raw mut len) })?;
    let mut buffer = vec![0u8; PIECE];
    let mut offset = 0;
    while offset < len {
        let piece = usize::try_from(len - offset).map_or(PIECE, |rest| rest.min(PIECE));
        let bytes = buffer.as_mut_ptr().cast::<c_void>();
        let count = c_int::try_from(piece).unwrap_or(c_int::MAX); // At most `PIECE`.
        // SAFETY: the file is open, and the buffer has at least `piece` bytes.
        check(unsafe { read(file, bytes, count, offset) })?;
        // SAFETY: as above.
        check(unsafe { write(file, bytes, count, offset) })?;
        offset += i64::from(count);
    }
    if len == 0 {
        return Ok(());
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
