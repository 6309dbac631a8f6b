//! The [`Storage`] of a real directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{SpoolError, Storage};

/// Held for as long as the spool is in use.
const LOCK_NAME: &str = "lock";

/// Files in a directory of its own, which one process at a time may use.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// To sync names.
    names: Names,
    /// The lock goes with it.
    _lock: File,
    /// The file that was appended to last.
    appended: Option<(String, File)>,
    /// The file that was read last.
    read: Option<(String, File)>,
    /// Names came or went since the directory was synced.
    is_changed: bool,
}

impl Directory {
    /// Makes the directory if there is none, readable by its owner alone, and locks it until this value is dropped.
    ///
    /// # Errors
    /// [`SpoolError::Directory`], [`SpoolError::Locked`]
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let path = path.to_owned();
        let explain = |source| SpoolError::Directory { path: path.clone(), source };
        if !path.is_dir() {
            make_private(&path).map_err(explain)?;
            // The name of the directory must survive a power cut too.
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Names::open(parent).and_then(|parent| parent.sync()).map_err(explain)?;
            }
        }
        let lock = open_private(&path.join(LOCK_NAME)).map_err(explain)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(explain(source)),
        }
        let names = Names::open(&path).map_err(explain)?;
        Ok(Self { path, names, _lock: lock, appended: None, read: None, is_changed: true })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_to_append(&mut self, name: &str) -> io::Result<&mut File> {
        if self.appended.as_ref().is_none_or(|(open, _)| open != name) {
            let path = self.path.join(name);
            self.is_changed |= !path.exists();
            self.appended = Some((name.to_owned(), open_private(&path)?));
        }
        match &mut self.appended {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_to_read(&mut self, name: &str) -> io::Result<&mut File> {
        if self.read.as_ref().is_none_or(|(open, _)| open != name) {
            self.read = Some((name.to_owned(), File::open(self.path.join(name))?));
        }
        match &mut self.read {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Storage for Directory {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.path.read_dir()? {
            // Names that are no UTF-8 are not ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = self.open_to_read(name)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(u64::try_from(len).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.open_to_append(name)?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.open_to_append(name)?.sync_data()?;
        if self.is_changed {
            self.names.sync()?;
            self.is_changed = false;
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.appended.take_if(|(open, _)| open == name);
        self.read.take_if(|(open, _)| open == name);
        std::fs::remove_file(self.path.join(name))?;
        self.is_changed = true;
        Ok(())
    }
}

/// A handle of a directory, to make its names safe. Where a directory can't be opened (Windows) its names are as safe as the
/// file system makes them.
#[derive(Debug)]
struct Names(#[cfg(unix)] File);

#[cfg(unix)]
impl Names {
    fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(not(unix))]
impl Names {
    fn open(_path: &Path) -> io::Result<Self> {
        Ok(Self())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a directory, and those above it, for whoever runs the device and nobody else.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Opens a file to append to, and makes it where there is none.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.create(true).append(true).open(path)
}
