//! A running daemon and real servers for end-to-end tests.
//!
//! `cargo xtask test` sets what the tests find things by: `ARGUS_BIN` (the daemon), `ARGUS_PLUGINS_DIR` (built
//! plugins), `ARGUS_TEST_BIN_DIR` (Prometheus, node_exporter, Alertmanager). Databases come from `argus-test-servers`.
//! Everything listens on loopback, lives in a temporary directory, and is ended by its own process id when the test ends.

mod daemon;
pub mod workload;

pub use argus_test_servers::{Process, eventually, free_port};
pub use daemon::{Daemon, Setup};

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// A file or folder that `cargo xtask test` prepares, named by an environment variable.
///
/// # Errors
/// When the variable is not set, with the command that sets it.
pub fn prepared(variable: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(variable).with_context(|| {
        format!("{variable} is not set: run these tests with `cargo xtask test`")
    })?;
    Ok(PathBuf::from(path))
}

/// Path of a shared data file, or `None` with a message where the checkout has no `../shared`.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(relative);
    path.exists().then_some(path)
}

/// A path as an argument of a command line.
///
/// # Errors
/// When it is no text.
pub fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Runs `argus` to its end.
///
/// # Errors
/// When it fails, with what it said.
pub fn argus(arguments: &[&str]) -> anyhow::Result<()> {
    let run = Command::new(prepared("ARGUS_BIN")?)
        .args(arguments)
        .output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    anyhow::ensure!(run.status.success(), "argus {arguments:?}: {said}");
    Ok(())
}
