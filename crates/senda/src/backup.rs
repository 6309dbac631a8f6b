//! `senda backup`: a copy of the store, while the collector runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::paths;

/// Copy the store to a file, while the collector runs
#[derive(clap::Args)]
#[command(after_help = "\
The copy is one moment of the store, whole. To use it: put it into an empty directory as senda.db, then
`senda query --data DIR` or `senda serve --data DIR`.")]
pub(crate) struct Args {
    /// File to make; nothing is overwritten
    file: PathBuf,

    /// Directory of the store [default: $XDG_DATA_HOME/senda]
    #[arg(long, env = "SENDA_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let data = args.data.clone().unwrap_or_else(paths::data_dir);
    let reader = senda_store::Reader::open(&data)?;
    reader.backup(&args.file).with_context(|| format!("back up {}", data.display()))?;
    eprintln!("senda: {} is a copy of {}", args.file.display(), data.join("senda.db").display());
    Ok(ExitCode::SUCCESS)
}
