//! What is said beside the data, on standard error.

use std::fmt::Display;
use std::io::Write;

/// A line of talk. `eprintln!` would end the process with a panic where nobody reads standard error any more.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
