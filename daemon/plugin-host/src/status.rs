//! What an operator sees of a plugin.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::{Limits, PluginKind};

/// Whether a plugin is called, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PluginState {
    /// Calls are let through.
    Ready,
    /// No version of it could be loaded; calls are refused until one can.
    NotLoaded,
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

/// How long finished calls took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallSeconds {
    /// How many calls took at most as long as the [bound](CallSeconds::BOUNDS) of the same position and longer than
    /// the one before; the last counts those that took longer than all.
    pub buckets: [u64; CallSeconds::BOUNDS.len() + 1],
    /// How many calls finished.
    pub count: u64,
    /// How long they took together.
    pub sum_secs: f64,
}

impl CallSeconds {
    /// Upper bounds of the buckets, in seconds.
    pub const BOUNDS: [f64; 12] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 10.0,
    ];

    pub(crate) fn observe(&mut self, secs: f64) {
        let bucket = Self::BOUNDS.iter().position(|bound| secs <= *bound);
        self.buckets[bucket.unwrap_or(Self::BOUNDS.len())] += 1;
        self.count += 1;
        self.sum_secs += secs;
    }
}

impl Default for CallSeconds {
    fn default() -> Self {
        Self {
            buckets: [0; Self::BOUNDS.len() + 1],
            count: 0,
            sum_secs: 0.0,
        }
    }
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
    /// The version it says it has; empty while none is loaded.
    pub version: String,
    /// The component's file.
    pub path: String,
    /// SHA-256 of the component, hexadecimal; empty while none is loaded.
    pub sha256: String,
    /// Whether it is called.
    pub health: PluginState,
    /// What a call may cost.
    pub limits: Limits,
    /// When this version was put to use, ms since the epoch.
    pub loaded_ms: i64,
    /// Why the newest file is not what runs; gone once a version is put to use.
    pub load_error: Option<LastError>,
    /// Versions that were put to use after the first.
    pub reloads: u64,
    /// Calls that were started.
    pub calls: u64,
    /// Calls that ended in an error, faults included.
    pub errors: u64,
    /// Errors by their code. At most 33 codes; what a plugin invents beyond is `other`.
    pub errors_by_code: BTreeMap<String, u64>,
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
    /// How long calls took.
    pub call_seconds: CallSeconds,
    /// Most linear memory any call used.
    pub memory_high_water_bytes: u64,
    /// Bytes that went between plugin and host, both ways.
    pub copied_bytes: u64,
    /// HTTP requests that were sent.
    pub http_requests: u64,
    /// Bytes of HTTP bodies, both ways.
    pub http_bytes: u64,
    /// Lines that were logged.
    pub log_lines: u64,
    /// Variants that were run through the model.
    pub model_evaluations: u64,
}

impl PluginStatus {
    /// Of a plugin that was never called.
    pub(crate) fn empty(kind: PluginKind, limits: Limits) -> Self {
        Self {
            name: String::new(),
            kind,
            version: String::new(),
            path: String::new(),
            sha256: String::new(),
            health: PluginState::NotLoaded,
            limits,
            loaded_ms: 0,
            load_error: None,
            reloads: 0,
            calls: 0,
            errors: 0,
            errors_by_code: BTreeMap::new(),
            faults: 0,
            refused: 0,
            running: 0,
            last_error: None,
            mean_ms: 0.0,
            max_ms: 0.0,
            call_seconds: CallSeconds::default(),
            memory_high_water_bytes: 0,
            copied_bytes: 0,
            http_requests: 0,
            http_bytes: 0,
            log_lines: 0,
            model_evaluations: 0,
        }
    }
}
