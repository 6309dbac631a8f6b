//! Where data lies unless told otherwise: the XDG base directories.

use std::path::PathBuf;

/// `$XDG_DATA_HOME/senda`, or `~/.local/share/senda`, or `./senda-data` for somebody without a home.
pub(crate) fn data_dir() -> PathBuf {
    base("XDG_DATA_HOME", ".local/share")
        .map_or_else(|| PathBuf::from("senda-data"), |base| base.join("senda"))
}

/// `$XDG_STATE_HOME/senda`, or `~/.local/state/senda`, or `./senda-state` for somebody without a home.
pub(crate) fn state_dir() -> PathBuf {
    base("XDG_STATE_HOME", ".local/state")
        .map_or_else(|| PathBuf::from("senda-state"), |base| base.join("senda"))
}

fn base(variable: &str, in_home: &str) -> Option<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| set("HOME").map(|home| home.join(in_home)))
}
