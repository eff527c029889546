//! Settings of the store.

use std::path::PathBuf;

use argus_schema::Schema;

use crate::errors::OpenError;

/// Settings of the store. Every bound has a default; only the directory must be given ([`StoreConfig::new`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Data directory; created if missing. One daemon per directory.
    pub dir: PathBuf,
    /// Length of a bin in seconds. Fixed for the life of a data directory.
    pub step_secs: u32,
    /// How long after its end a bin still counts as open by the wall clock, in seconds.
    pub grace_secs: u32,
    /// Bins that stay resident per entity, counted back from its newest one.
    pub window_steps: u32,
    /// Newest bins in which duplicates are recognised exactly and sums are kept in full precision.
    pub exact_bins: u32,
    /// Bins that [`crate::EntityView::latest`] and `closed_bins` look back over (the model's context window).
    pub context_steps: u32,
    /// How far a record may lie in the future of the wall clock, in seconds.
    pub max_future_secs: u32,
    /// Cap on entities; a record of one more is refused.
    pub max_entities: usize,
    /// Cap on records of one entity in one bin.
    pub max_records_per_bin: u32,
    /// Entities without a record for this many days of wall-clock time are retired; 0 keeps them for ever.
    pub forget_after_days: u32,
    /// Cap on records waiting for the writer; more are refused with [`crate::AppendError::QueueFull`].
    pub queue_records: usize,
    /// Longest time between two checkpoints while records arrive, in seconds.
    pub checkpoint_secs: u64,
    /// Log bytes (before compression) that trigger a checkpoint.
    pub checkpoint_log_bytes: u64,
    /// Days that history is kept after both its day and its last write; 0 keeps it until the disk budget is used up.
    pub history_retention_days: u32,
    /// Disk budget of history in bytes; the oldest days go first.
    pub history_max_bytes: u64,
    /// Free bytes of the file system below which records are refused with [`crate::AppendError::DiskFull`].
    pub min_free_bytes: u64,
}

impl StoreConfig {
    /// Default settings for a data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            step_secs: 300,
            grace_secs: 30,
            window_steps: 2_880,
            exact_bins: 24,
            context_steps: 288,
            max_future_secs: 300,
            max_entities: 20_000,
            max_records_per_bin: 20_000,
            forget_after_days: 30,
            queue_records: 200_000,
            checkpoint_secs: 300,
            checkpoint_log_bytes: 64 << 20,
            history_retention_days: 400,
            history_max_bytes: 20 << 30,
            min_free_bytes: 256 << 20,
        }
    }

    /// Length of a bin in milliseconds.
    pub fn step_ms(&self) -> i64 {
        i64::from(self.step_secs) * 1000
    }

    /// Refuses impossible values.
    pub(crate) fn check(&self, schema: &Schema) -> Result<(), OpenError> {
        let refuse = |setting, problem: &str| {
            Err(OpenError::Setting {
                setting,
                problem: problem.to_owned(),
            })
        };
        match self {
            _ if schema.metrics.is_empty() || schema.metrics.len() > 64 => {
                refuse("schema", "has no metrics or more than 64")
            }
            Self {
                step_secs: 0 | 86_401..,
                ..
            } => refuse("step_secs", "must be between 1 and 86400"),
            Self { exact_bins: 0, .. } => refuse("exact_bins", "must be at least 1"),
            Self {
                window_steps,
                exact_bins,
                ..
            } if window_steps < exact_bins => {
                refuse("window_steps", "must be at least `exact_bins`")
            }
            Self {
                window_steps: 1_000_001..,
                ..
            } => refuse("window_steps", "must be at most 1000000"),
            Self {
                max_entities: 0, ..
            } => refuse("max_entities", "must be at least 1"),
            Self {
                max_records_per_bin: 0,
                ..
            } => refuse("max_records_per_bin", "must be at least 1"),
            Self {
                queue_records: 0, ..
            } => refuse("queue_records", "must be at least 1"),
            _ => Ok(()),
        }
    }
}
