//! `--journal FILE`: what was made and told is recorded, for `senda audit`.

use std::path::PathBuf;

use anyhow::Context;
use senda_client::journal::Journal;

/// Where to record it.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct JournalArgs {
    /// Append what is made and what is told to this file, for `senda audit`
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl JournalArgs {
    /// Opens the file, if one was asked for.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Journal>> {
        let Some(path) = &self.journal else { return Ok(None) };
        let by = concat!("senda/", env!("CARGO_PKG_VERSION"));
        let journal = Journal::open(path, by);
        journal.map(Some).with_context(|| format!("open the journal {}", path.display()))
    }
}

/// True when nothing is missing in the journal; else says what happened to it.
pub(crate) fn is_complete(journal: Option<&Journal>) -> bool {
    let failure = journal.and_then(Journal::failure);
    if let Some(failure) = &failure {
        eprintln!("senda: the journal is not complete: {failure}");
    }
    failure.is_none()
}
