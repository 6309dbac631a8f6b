//! Copies of a store that is in use.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::{Reader, StoreError};

impl Reader {
    /// Copies the whole store, as it is at one moment, into the new file `to`, synced; a collector goes on meanwhile. What
    /// has landed and is not filed is in the copy: a collector that starts with it files it.
    ///
    /// # Errors
    /// [`StoreError::Exists`]: nothing is overwritten. [`StoreError::Io`] and [`StoreError::Sqlite`]: there is no copy.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        if to.exists() {
            return Err(StoreError::Exists { path: to.to_owned() });
        }
        let partial = with_suffix(to, ".partial");
        let copied = self.copy_into(&partial).and_then(|()| {
            File::open(&partial).and_then(|file| file.sync_all()).map_err(io(&partial))?;
            // A link fails where a file has come up meanwhile; a rename would replace it.
            fs::hard_link(&partial, to).map_err(io(to))
        });
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(with_suffix(&partial, suffix));
        }
        copied?;
        let parent =
            to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|directory| directory.sync_all()).map_err(io(parent))
    }

    fn copy_into(&self, path: &Path) -> Result<(), StoreError> {
        let _ = fs::remove_file(path);
        let mut target = Connection::open(path)?;
        let step = {
            let backup = Backup::new(&self.conn, &mut target)?;
            // All at once, as one read transaction: in steps, each commit of the writer would make it begin anew.
            backup.step(-1)?
        };
        if step != StepResult::Done {
            return Err(StoreError::corrupt(format!("a copy that ended with {step:?}")));
        }
        target.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
