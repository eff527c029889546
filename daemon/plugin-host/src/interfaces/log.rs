//! `argus:plugin/log`, and what WASI programs write to stdout and stderr.

use crate::bindings::argus::plugin::log::{Host, Level};
use crate::call::CallState;
use crate::errors::Failure;

/// What a call has logged so far.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    pub lines: u32,
    bytes: usize,
    /// What the plugin said before it trapped.
    pub panic: Option<String>,
}

/// A panic's message is part of an error; errors stay readable.
const MAX_PANIC_CHARS: usize = 1000;

impl Host for CallState {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.log_line(level, &message)
    }

    fn panicked(&mut self, message: String) -> wasmtime::Result<()> {
        if self.log.panic.is_some() {
            // The last thing a call does is done once; each further message costs the host as much as the first.
            return Err(wasmtime::Error::msg("panicked twice"));
        }
        let start: String = message.chars().take(MAX_PANIC_CHARS).collect();
        let escaped = escape_controls(&start);
        self.log.panic = Some(escaped.chars().take(MAX_PANIC_CHARS).collect());
        Ok(())
    }
}

impl CallState {
    /// Logs a line, or ends the call if it logs too much.
    pub(crate) fn log_line(&mut self, level: Level, message: &str) -> wasmtime::Result<()> {
        let limits = &self.loaded.limits;
        self.log.lines += 1;
        self.log.bytes = self.log.bytes.saturating_add(message.len());
        if self.log.lines > limits.log_lines || self.log.bytes > limits.log_bytes {
            let flood = Failure::LogFlood {
                lines: limits.log_lines,
                bytes: limits.log_bytes,
            };
            return Err(self.end_call(flood));
        }
        let (plugin, version) = (&*self.loaded.name, self.loaded.version_text());
        let message = escape_controls(message);
        match level {
            Level::Error => tracing::error!(target: "argus::plugin", plugin, version, "{message}"),
            Level::Warn => tracing::warn!(target: "argus::plugin", plugin, version, "{message}"),
            Level::Info => tracing::info!(target: "argus::plugin", plugin, version, "{message}"),
            Level::Debug => tracing::debug!(target: "argus::plugin", plugin, version, "{message}"),
            Level::Trace => tracing::trace!(target: "argus::plugin", plugin, version, "{message}"),
        }
        Ok(())
    }
}

/// A plugin must not be able to forge lines or to colour a terminal.
fn escape_controls(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}
