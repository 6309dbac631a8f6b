//! Running programs, and finding the ones that the tests need.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The root of the checkout that this run belongs to.
pub(crate) fn root() -> PathBuf {
    // Set anew by every `cargo run`, so that checkouts may share a target directory.
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest_dir.parent().map_or(manifest_dir.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A command that runs the cargo which runs us, at the root.
pub(crate) fn cargo<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end with our terminal; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let line = words.join(" ");
    println!("$ {line}");
    let status = command.status().with_context(|| format!("start {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// Whether a command can be started and succeeds; its output is dropped.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A program that the tests start, and where Debian has it.
struct Tool {
    name: &'static str,
    package: &'static str,
    check: (&'static str, &'static [&'static str]),
}

const TOOLS: [Tool; 10] = [
    Tool { name: "cc (a C compiler)", package: "gcc libc6-dev", check: ("cc", &["--version"]) },
    Tool {
        name: "python3 (3.10 or later)",
        package: "python3",
        check: ("python3", &["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]),
    },
    Tool { name: "sqlite3", package: "sqlite3", check: ("sqlite3", &["--version"]) },
    Tool { name: "groff", package: "groff-base", check: ("groff", &["--version"]) },
    Tool { name: "tshark", package: "tshark", check: ("tshark", &["--version"]) },
    // The order of a collector's system calls.
    Tool { name: "strace", package: "strace", check: ("strace", &["-V"]) },
    // Networks of the tests' own.
    Tool { name: "unshare", package: "util-linux", check: ("unshare", &["--version"]) },
    Tool { name: "nsenter", package: "util-linux", check: ("nsenter", &["--version"]) },
    Tool { name: "ip", package: "iproute2", check: ("ip", &["-Version"]) },
    // What `senda lab sockets` is compared with.
    Tool { name: "ss", package: "iproute2", check: ("ss", &["--version"]) },
];

/// Finds each tool, or installs it through apt-get where we may.
///
/// # Errors
/// Names what is missing in one line: a test that can't run must not pass as skipped.
pub(crate) fn ensure_installed() -> anyhow::Result<()> {
    let found = |tool: &Tool| succeeds(tool.check.0, tool.check.1);
    let missing: Vec<_> = TOOLS.iter().filter(|tool| !found(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if may_install() {
        let packages = missing.iter().flat_map(|tool| tool.package.split(' '));
        println!("installing what the tests need");
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        run(Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let missing: Vec<_> = missing.into_iter().filter(|tool| !found(tool)).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|tool| tool.name).collect();
        let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
        bail!("missing: {} (on Debian: apt-get install {})", names.join(", "), packages.join(" "));
    }
    Ok(())
}

/// Only root on a machine with apt-get: anyone else decides for themselves.
fn may_install() -> bool {
    succeeds("apt-get", &["--version"]) && succeeds("sh", &["-c", "test \"$(id -u)\" = 0"])
}
