//! What people see: logs on stderr (JSON when it is no terminal), progress bars, errors.
#![expect(clippy::print_stderr, reason = "the terminal is this module's job")]

use std::io::{IsTerminal, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Logs go to stderr, as text on a terminal and as JSON elsewhere; `ARGUS_LOG` sets the filter (default `info`).
pub fn init_logging() {
    let filter = EnvFilter::try_from_env("ARGUS_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,cranelift=warn,wasmtime=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

/// One line for people or programs on stdout. Who has stopped reading (`| head`) misses nothing.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// One line for people on stderr, beside a JSON object on stdout.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// An error with its causes.
pub fn error(error: &anyhow::Error) {
    eprintln!("argus: {}", told(error));
}

/// An error and its causes, each said once: some errors' own words end with those of their cause.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text.push_str(colon);
            text.push_str(&cause);
        }
    }
    text
}

/// Whether a person reads stderr.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// A progress bar on stderr; `what` names the unit.
pub fn progress(total: u64, what: &str) -> ProgressBar {
    let template = format!("{{bar:32}} {{pos}}/{{len}} {what} {{per_sec}} eta {{eta}} {{msg}}");
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("no such file").context("`x`: no such file");
        assert_eq!(told(&error.context("read x")), "read x: `x`: no such file");
    }
}
