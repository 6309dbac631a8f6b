//! The face that SQLite sees: a VFS, with the shared memory and the locks that a write-ahead log needs.
//!
//! It claims what SQLite's VFS for Unix claims, so that SQLite does here what it does in production: bytes beside a write
//! are safe from it (`POWERSAFE_OVERWRITE`: the model keeps or forgets whole sectors as the cache had them), and pages may
//! be read in part. It does not claim that appended bytes are there before the new length, that any write is atomic, or
//! that writes happen in order: in the model none of it is so.
//!
//! SQLite draws random numbers from its default VFS alone, which this one is not. They decide the salts of a log,
//! and no behaviour.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::ffi;

use crate::DiskError;
use crate::disk::{Disk, File};
use crate::locks::{LOG_SLOTS, Level};

/// A disk's registration with SQLite. Connections that were opened with its name may outlive it; no new one can be opened
/// once it is dropped.
pub struct Vfs {
    face: Arc<Face>,
}

impl Vfs {
    pub(crate) fn new(disk: Disk) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("senda-disk-{number}");
        let c_name = CString::new(name.clone()).unwrap_or_default(); // No zero byte in it.
        let table = Box::into_raw(Box::new(table(&c_name)));
        let face = Arc::new(Face {
            disk,
            name,
            _c_name: c_name,
            table,
            memory: Mutex::new(HashMap::new()),
        });
        // SAFETY: `table` is a valid VFS until `Face` is dropped, which unregisters it (in `Vfs::drop`) before. SQLite
        // guards its list of them by a mutex of its own.
        unsafe {
            (*table).pAppData = Arc::as_ptr(&face).cast_mut().cast();
            ffi::sqlite3_vfs_register(table, 0);
        }
        Self { face }
    }

    /// The name to open a connection with.
    pub fn name(&self) -> &str {
        &self.face.name
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        // SAFETY: it was registered in `new`, and open files keep what they need of it.
        unsafe { ffi::sqlite3_vfs_unregister(self.face.table) };
    }
}

impl std::fmt::Debug for Vfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Vfs").field(&self.name()).finish()
    }
}

/// What a registration and all files that were opened through it share. The last of them frees it: a connection uses
/// its VFS as long as its database file is open and no longer.
struct Face {
    disk: Disk,
    name: String,
    _c_name: CString,
    table: *mut ffi::sqlite3_vfs,
    /// The shared memory of the logs in use, by file.
    memory: Mutex<HashMap<(u64, u64), std::sync::Weak<Memory>>>,
}

// SAFETY: `table` is written by SQLite alone, under its own mutex, and freed when nobody has the face any more.
unsafe impl Send for Face {}
// SAFETY: as above.
unsafe impl Sync for Face {}

impl Drop for Face {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw` in `Vfs::new`; unregistered by now, for a `Vfs` holds the face.
        drop(unsafe { Box::from_raw(self.table) });
    }
}

/// The shared memory of one log. SQLite writes to it without locks of ours; it goes with the last connection.
#[derive(Default)]
struct Memory {
    regions: Mutex<Vec<Region>>,
}

/// A zeroed piece of memory that does not move. SQLite aligns what it keeps there to 8 bytes at most.
struct Region {
    words: *mut [u64],
}

// SAFETY: the pointer is only handed out; SQLite orders its accesses by locks and barriers.
unsafe impl Send for Region {}

impl Region {
    fn new(bytes: usize) -> Self {
        Self { words: Box::into_raw(vec![0u64; bytes.div_ceil(8)].into_boxed_slice()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw` in `new`; the connections that had the pointer have closed their files.
        drop(unsafe { Box::from_raw(self.words) });
    }
}

/// What SQLite allocates for an open file.
#[repr(C)]
struct Slot {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

/// An open file.
struct Open {
    face: Arc<Face>,
    bytes: Bytes,
    /// The name, when it goes with the last close.
    goes: Option<String>,
    /// A new journal or log: the first sync makes its name durable, as SQLite's VFS for Unix does.
    is_new: bool,
    memory: Option<Arc<Memory>>,
}

/// Where a file's bytes are.
enum Bytes {
    Disk(File),
    /// A temporary file without a name: no part of the disk.
    Temporary(Vec<u8>),
}

fn table(name: &CStr) -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: SLOT_BYTES,
        mxPathname: NAME_MAX,
        pNext: ptr::null_mut(),
        zName: name.as_ptr(),
        pAppData: ptr::null_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: Some(dl_open),
        xDlError: Some(dl_error),
        xDlSym: Some(dl_sym),
        xDlClose: Some(dl_close),
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

// What follows is called by SQLite alone, which keeps to its own rules: pointers are valid for the call, a file is used by
// one thread at a time, and its methods are called between a good xOpen and xClose.

/// # Safety
/// `vfs` must be a table from [`Vfs::new`] whose face is alive.
unsafe fn face<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Face {
    // SAFETY: `Vfs::new` put it there; the caller says that it is alive.
    unsafe { &*(*vfs).pAppData.cast::<Face>() }
}

/// # Safety
/// `file` must be open, by [`open`].
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    // SAFETY: `open` put it there, and only `close` takes it away.
    unsafe { &mut *(*file.cast::<Slot>()).open }
}

/// # Safety
/// `name` must be null or a text that ends with a zero byte.
unsafe fn text(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller says so.
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// SQLite's code; `code` says which operation failed.
fn code_of(result: Result<(), DiskError>, code: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(DiskError::NoSpace) => ffi::SQLITE_FULL,
        Err(_) => code,
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let slot = file.cast::<Slot>();
    // SAFETY: SQLite has allocated `szOsFile` bytes; null methods mean that there is nothing to close.
    unsafe { (*slot).base.pMethods = ptr::null() };
    // SAFETY: a connection that is being opened has its VFS.
    let (face, name) = unsafe { (face(vfs), text(name)) };
    let (bytes, is_new) = match &name {
        None => (Bytes::Temporary(Vec::new()), false),
        Some(name) => {
            let creates = flags & ffi::SQLITE_OPEN_CREATE != 0;
            let was_there = face.disk.exists(name).unwrap_or(false);
            let Ok(file) = face.disk.open(name, creates) else { return ffi::SQLITE_CANTOPEN };
            (Bytes::Disk(file), !was_there && flags & JOURNALS != 0)
        }
    };
    // SAFETY: `face` is behind an `Arc` that is alive: this makes another one.
    let face = unsafe {
        Arc::increment_strong_count(face);
        Arc::from_raw(face)
    };
    let goes = name.filter(|_| flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0);
    let open = Open { face, bytes, goes, is_new, memory: None };
    // SAFETY: as above; `out_flags` is null or valid.
    unsafe {
        (*slot).open = Box::into_raw(Box::new(open));
        (*slot).base.pMethods = &raw const METHODS;
        if let Some(out) = out_flags.as_mut() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let slot = file.cast::<Slot>();
    // SAFETY: from `Box::into_raw` in `open`; SQLite closes a file once.
    let open = unsafe {
        (*slot).base.pMethods = ptr::null();
        Box::from_raw((*slot).open)
    };
    let Open { face, bytes, goes, .. } = *open;
    if let Some(name) = goes {
        let _ = face.disk.remove(&name); // As on Unix: it goes if it can.
    }
    drop(bytes);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    if len > LEN_MAX {
        return ffi::SQLITE_IOERR_READ;
    }
    let (len, offset) = (usize::try_from(len).unwrap_or(0), u64::try_from(offset).unwrap_or(0));
    // SAFETY: `file` is open, and `buffer` has room for `len` bytes, which a slice may hold once they are set.
    let (open, buffer) = unsafe {
        ptr::write_bytes(buffer.cast::<u8>(), 0, len);
        (opened(file), std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len))
    };
    let read = match &open.bytes {
        Bytes::Disk(file) => file.read_at(offset, buffer),
        Bytes::Temporary(bytes) => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let there = bytes.get(from..).unwrap_or_default();
            let read = there.len().min(len);
            buffer[..read].copy_from_slice(&there[..read]);
            Ok(read)
        }
    };
    match read {
        Ok(read) if read == len => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ, // The rest of the buffer is zero, as it has to be.
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    if len > LEN_MAX {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let (len, offset) = (usize::try_from(len).unwrap_or(0), u64::try_from(offset).unwrap_or(0));
    // SAFETY: `file` is open, and `buffer` has `len` bytes.
    let (open, buffer) =
        unsafe { (opened(file), std::slice::from_raw_parts(buffer.cast::<u8>(), len)) };
    match &mut open.bytes {
        Bytes::Disk(file) => code_of(file.write_at(offset, buffer), ffi::SQLITE_IOERR_WRITE),
        Bytes::Temporary(bytes) => {
            let from = usize::try_from(offset).unwrap_or(0);
            bytes.resize(bytes.len().max(from + len), 0);
            bytes[from..from + len].copy_from_slice(buffer);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    let len = u64::try_from(len).unwrap_or(0);
    // SAFETY: `file` is open.
    match &mut unsafe { opened(file) }.bytes {
        Bytes::Disk(file) => code_of(file.set_len(len), ffi::SQLITE_IOERR_TRUNCATE),
        Bytes::Temporary(bytes) => {
            bytes.resize(usize::try_from(len).unwrap_or(0), 0);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: `file` is open.
    let open = unsafe { opened(file) };
    let Bytes::Disk(file) = &open.bytes else { return ffi::SQLITE_OK };
    let synced = code_of(file.sync(), ffi::SQLITE_IOERR_FSYNC);
    if synced != ffi::SQLITE_OK || !open.is_new {
        return synced;
    }
    open.is_new = false;
    code_of(file.disk().sync_directory(), ffi::SQLITE_IOERR_DIR_FSYNC)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: `file` is open.
    let len = match &unsafe { opened(file) }.bytes {
        Bytes::Disk(file) => file.len(),
        Bytes::Temporary(bytes) => Ok(bytes.len() as u64),
    };
    let Ok(len) = len else { return ffi::SQLITE_IOERR_FSTAT };
    // SAFETY: `size` is valid.
    unsafe { *size = i64::try_from(len).unwrap_or(i64::MAX) };
    ffi::SQLITE_OK
}

const fn level(level: c_int) -> Level {
    match level {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

/// SQLite's code for a lock that was asked for.
fn lock_code(got: Result<bool, DiskError>, code: c_int) -> c_int {
    match got {
        Ok(true) => ffi::SQLITE_OK,
        Ok(false) => ffi::SQLITE_BUSY,
        Err(_) => code,
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: `file` is open.
    let Bytes::Disk(file) = &unsafe { opened(file) }.bytes else { return ffi::SQLITE_OK };
    lock_code(file.lock(level(wanted)), ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: `file` is open.
    let Bytes::Disk(file) = &unsafe { opened(file) }.bytes else { return ffi::SQLITE_OK };
    code_of(file.unlock(level(wanted)), ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: `file` is open.
    let is_reserved = match &unsafe { opened(file) }.bytes {
        Bytes::Disk(file) => file.is_reserved(),
        Bytes::Temporary(_) => Ok(false),
    };
    let Ok(is_reserved) = is_reserved else { return ffi::SQLITE_IOERR_CHECKRESERVEDLOCK };
    // SAFETY: `out` is valid.
    unsafe { *out = c_int::from(is_reserved) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4_096 // What SQLite's VFS for Unix says, whatever the device.
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    len: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: `file` is open, and `out` is valid.
    let open = unsafe {
        *out = ptr::null_mut();
        opened(file)
    };
    let Bytes::Disk(file) = &open.bytes else { return ffi::SQLITE_IOERR_SHMMAP };
    let (Ok(region), Ok(len)) = (usize::try_from(region), usize::try_from(len)) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    let memory = open.memory.get_or_insert_with(|| open.face.memory(file.key()));
    let mut regions = memory.regions.lock().unwrap_or_else(PoisonError::into_inner);
    while extend != 0 && regions.len() <= region {
        regions.push(Region::new(len));
    }
    if let Some(region) = regions.get(region) {
        // SAFETY: `out` is valid. The region stays where it is as long as the file has its memory.
        unsafe { *out = region.words.cast() };
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: `file` is open.
    let Bytes::Disk(file) = &unsafe { opened(file) }.bytes else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    let (Ok(first), Ok(count)) = (usize::try_from(offset), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    let slots: Vec<usize> = (first..first + count).filter(|slot| *slot < LOG_SLOTS).collect();
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        return code_of(file.unlock_log(&slots), ffi::SQLITE_IOERR_SHMLOCK);
    }
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    lock_code(file.lock_log(&slots, exclusive), ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: `file` is open. SQLite uses no region after this.
    let open = unsafe { opened(file) };
    open.memory = None;
    if let Bytes::Disk(file) = &open.bytes {
        let _ = file.unlock_log(&(0..LOG_SLOTS).collect::<Vec<_>>()); // Stale: it has none.
    }
    ffi::SQLITE_OK
}

impl Face {
    /// The shared memory of a file's log: that of the connections which have it, or a new one.
    fn memory(&self, key: (u64, u64)) -> Arc<Memory> {
        let mut known = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, memory| memory.strong_count() > 0);
        if let Some(memory) = known.get(&key).and_then(std::sync::Weak::upgrade) {
            return memory;
        }
        let memory = Arc::new(Memory::default());
        known.insert(key, Arc::downgrade(&memory));
        memory
    }
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_directory: c_int,
) -> c_int {
    // SAFETY: a connection that deletes has its VFS.
    let (face, name) = unsafe { (face(vfs), text(name)) };
    match face.disk.remove(&name.unwrap_or_default()) {
        Err(DiskError::NotFound) => return ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => return ffi::SQLITE_IOERR_DELETE,
        Ok(()) if sync_directory == 0 => return ffi::SQLITE_OK,
        Ok(()) => {}
    }
    code_of(face.disk.sync_directory(), ffi::SQLITE_IOERR_DIR_FSYNC)
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a connection that asks has its VFS.
    let (face, name) = unsafe { (face(vfs), text(name)) };
    // As on Unix: an empty file is as good as none.
    let is_there = face.disk.open(&name.unwrap_or_default(), false).and_then(|file| file.len());
    let found = match is_there {
        Ok(len) => len > 0 || flags != ffi::SQLITE_ACCESS_EXISTS,
        Err(DiskError::NotFound) => false,
        Err(_) => return ffi::SQLITE_IOERR_ACCESS,
    };
    // SAFETY: `out` is valid.
    unsafe { *out = c_int::from(found) };
    ffi::SQLITE_OK
}

/// Names are whole as they are.
unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: `name` ends with a zero byte, and `out` has room for `len` bytes.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > usize::try_from(len).unwrap_or(0) {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn dl_open(_: *mut ffi::sqlite3_vfs, _: *const c_char) -> *mut c_void {
    ptr::null_mut()
}

unsafe extern "C" fn dl_error(_: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) {
    if len > 0 {
        // SAFETY: `out` has room for `len` bytes.
        unsafe { *out = 0 };
    }
}

type Symbol = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut c_void, *const c_char);

unsafe extern "C" fn dl_sym(
    _: *mut ffi::sqlite3_vfs,
    _: *mut c_void,
    _: *const c_char,
) -> Option<Symbol> {
    None
}

unsafe extern "C" fn dl_close(_: *mut ffi::sqlite3_vfs, _: *mut c_void) {}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    // SAFETY: whoever asks has the VFS, and `out` has room for `len` bytes.
    unsafe {
        face(vfs).disk.fill(&mut bytes);
        ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    len
}

/// Moves the disk's clock, so that a wait for a lock comes to its end without waiting.
unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    // SAFETY: a connection that waits has its VFS.
    unsafe { face(vfs) }.disk.sleep(microseconds.into());
    std::thread::yield_now(); // Another thread may have the lock.
    microseconds
}

unsafe extern "C" fn current_time_int64(
    vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: whoever asks has the VFS, and `out` is valid.
    unsafe { *out = face(vfs).disk.now() / 1_000 + JULIAN_1970_MS };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: whoever asks has the VFS, and `out` is valid.
    unsafe { *out = (face(vfs).disk.now() / 1_000 + JULIAN_1970_MS) as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

/// Numbers the registrations of this process, for their names.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Bytes that SQLite allocates for an open file.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "two pointers; a constant can't use `try_from`"
)]
const SLOT_BYTES: c_int = size_of::<Slot>() as c_int;
/// The longest name of a file.
const NAME_MAX: c_int = 512;
/// As much as SQLite's VFS for Unix reads and writes at a time.
const LEN_MAX: c_int = 0x1_FFFF;
/// Files whose name SQLite's VFS for Unix makes durable at their first sync.
const JOURNALS: c_int =
    ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
/// The beginning of 1970 in SQLite's time: milliseconds since 24 November of the year -4713.
const JULIAN_1970_MS: i64 = 210_866_760_000_000;
