//! Progress on the terminal: which step runs, and how long it took.

use std::time::Instant;

use anyhow::{Context, Result};

/// Runs one step under its name: printed when it starts, and with its duration when it ends.
///
/// Steps go to standard error: standard output belongs to what the verb runs.
pub fn run<T>(name: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let started = Instant::now();
    let result = action().with_context(|| format!("failed at step \"{name}\""))?;
    eprintln!(
        "    {name}: done in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(result)
}

/// One line about what the current step found or decided.
pub fn note(text: impl AsRef<str>) {
    eprintln!("    {}", text.as_ref());
}
