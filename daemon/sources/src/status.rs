//! What an operator sees of a source.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a source is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Waits for its next poll.
    #[default]
    Waiting,
    /// Is being polled.
    Polling,
    /// Its batch is being stored; waits here while the store refuses.
    Storing,
    /// Leaves the far side alone after failures.
    BackingOff,
    /// The daemon is stopping.
    Stopped,
}

/// A source's state and counts since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What it is doing.
    pub state: SourceState,
    /// Whether its last poll said that there is more: it is polled without pauses while it brings records.
    pub catching_up: bool,
    /// Polls that were started.
    pub polls: u64,
    /// Polls and batches that failed.
    pub errors: u64,
    /// Failures since the last success.
    pub failures_in_row: u32,
    /// Records stored; they are on disk.
    pub accepted: u64,
    /// Records that were stored already with the same content.
    pub duplicates: u64,
    /// Records refused, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Documents that the source left out because they cannot be records.
    pub skipped: u64,
    /// When the last good poll ended, ms since the epoch.
    pub last_success_ms: Option<i64>,
    /// When the next poll begins, ms since the epoch.
    pub next_poll_ms: Option<i64>,
    /// Time of the newest record that was stored, ms since the epoch.
    pub newest_record_ms: Option<i64>,
    /// The newest failure, naming the source.
    pub last_error: Option<String>,
    /// When that was, ms since the epoch.
    pub last_error_ms: Option<i64>,
}
