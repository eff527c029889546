//! What an operator sees of a plugin.

use serde::Serialize;

use crate::config::{Limits, PluginKind};

/// Whether a plugin is called, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PluginState {
    /// Calls are let through.
    Ready,
    /// Several faults in a row: calls are refused until `until_ms`.
    BackingOff {
        /// When the next call is let through, ms since the epoch.
        until_ms: i64,
        /// Faults in a row so far.
        faults: u32,
    },
    /// Too many faults in a row: calls are refused until a trial, a reload or a release by the operator.
    Quarantined {
        /// Since when, ms since the epoch.
        since_ms: i64,
        /// When one call is let through on trial, ms since the epoch.
        trial_ms: i64,
        /// Faults in a row so far.
        faults: u32,
    },
}

/// A failure and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When, ms since the epoch.
    pub at_ms: i64,
    /// A stable word for the kind of failure.
    pub code: String,
    /// The sentence, naming plugin and version.
    pub message: String,
}

/// A plugin's state and counts since it was loaded; counts survive a reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What it is used as.
    pub kind: PluginKind,
    /// The version it says it has.
    pub version: String,
    /// The component's file.
    pub path: String,
    /// SHA-256 of the component, hexadecimal.
    pub sha256: String,
    /// Whether it is called.
    pub health: PluginState,
    /// What a call may cost.
    pub limits: Limits,
    /// When this version was put to use, ms since the epoch.
    pub loaded_ms: i64,
    /// Calls that were started.
    pub calls: u64,
    /// Calls that ended in an error, faults included.
    pub errors: u64,
    /// Calls that trapped or exceeded a limit.
    pub faults: u64,
    /// Calls that were refused because of back-off, quarantine or lack of a free slot.
    pub refused: u64,
    /// Calls running now.
    pub running: u64,
    /// The newest failure.
    pub last_error: Option<LastError>,
    /// Mean time of a finished call in milliseconds, waiting for HTTP included.
    pub mean_ms: f64,
    /// Longest call in milliseconds.
    pub max_ms: f64,
    /// Most linear memory any call used.
    pub memory_high_water_bytes: u64,
    /// HTTP requests that were sent.
    pub http_requests: u64,
    /// Bytes of HTTP bodies, both ways.
    pub http_bytes: u64,
    /// Lines that were logged.
    pub log_lines: u64,
}
