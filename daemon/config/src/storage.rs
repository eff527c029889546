//! `[storage]`: data directory, checkpoints, retention.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// Where data lives, how much of it, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Directory for everything the daemon keeps. One daemon at a time may use it. Unset: `argus-data` in the current
    /// directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Most entities kept; records of further ones are refused.
    pub max_entities: usize,
    /// Most records of one entity in one step; further ones are refused.
    pub max_records_per_bin: u32,
    /// Entities that sent nothing for this long are retired; 0 keeps them for ever.
    pub forget_after_days: u32,
    /// A checkpoint is written at least this often while records arrive.
    pub checkpoint_secs: u64,
    /// A checkpoint is written when the log since the last one is longer.
    pub checkpoint_log_bytes: u64,
    /// History older than this is deleted.
    pub history_retention_days: u32,
    /// Oldest history files are deleted when all of them take more than this.
    pub history_max_bytes: u64,
    /// New data is refused (507) while the disk has less than this left.
    pub min_free_bytes: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: None,
            max_entities: 20_000,
            max_records_per_bin: 20_000,
            forget_after_days: 30,
            checkpoint_secs: 300,
            checkpoint_log_bytes: 64 << 20,
            history_retention_days: 400,
            history_max_bytes: 20 << 30,
            min_free_bytes: 256 << 20,
        }
    }
}

impl Storage {
    /// Name of the data directory, in the current directory, when none is set.
    pub const DEFAULT_DATA_DIR: &str = "argus-data";

    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(
            &["storage", "max_entities"],
            &self.max_entities,
            1..=1_000_000,
        );
        found.range(
            &["storage", "checkpoint_secs"],
            &self.checkpoint_secs,
            1..=86_400,
        );
        found.range(
            &["storage", "checkpoint_log_bytes"],
            &self.checkpoint_log_bytes,
            1 << 20..=1 << 40,
        );
        found.range(
            &["storage", "history_retention_days"],
            &self.history_retention_days,
            1..=36_500,
        );
        found.range(
            &["storage", "history_max_bytes"],
            &self.history_max_bytes,
            1 << 20..=1 << 50,
        );
        found.range(
            &["storage", "min_free_bytes"],
            &self.min_free_bytes,
            0..=1 << 50,
        );
    }
}
