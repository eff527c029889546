//! What readers get: plain copies, never a lock.

use argus_schema::EntityName;
use serde::Serialize;

/// One entity as the store knows it now.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityView {
    /// Its name.
    pub name: EntityName,
    /// Profile its newest record with one named.
    pub profile: Option<u8>,
    /// Number of cores its newest record with one told.
    pub cores: Option<f32>,
    /// Newest raw value of each metric whose bin lies within the newest `context_steps` bins; NaN otherwise.
    pub latest: Box<[f32]>,
    /// Time of its newest record, ms since the epoch.
    pub latest_ms: i64,
    /// Status of its newest record, 0 for missing.
    pub latest_status: u8,
    /// Its newest bin with data; bin `b` starts at `b * step_ms`.
    pub newest_bin: i64,
    /// Its newest closed bin with data.
    pub closed_bin: Option<i64>,
    /// Bins with data among the `context_steps` that end at `closed_bin`.
    pub closed_bins: u32,
    /// Changes whenever a bin up to `closed_bin` changes.
    pub closed_revision: u64,
    /// Records accepted since the entity appeared.
    pub records: u64,
}

/// Bin means of one entity over a range, ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// Newest bin of the range, as asked for.
    pub last_bin: i64,
    /// First bin with data within the range asked for.
    pub first_bin: i64,
    /// One series per metric of the schema, `last_bin - first_bin + 1` means each, NaN where missing.
    pub values: Vec<Box<[f32]>>,
    /// Status category per bin, 0 where missing.
    pub status: Box<[u8]>,
}

/// Which history to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whose.
    pub entity: EntityName,
    /// Start of the first bin wanted, ms since the epoch, inclusive.
    pub from_ms: i64,
    /// End of the range, ms since the epoch, exclusive (bins that start before it are in).
    pub to_ms: i64,
    /// Most rows the answer may have.
    pub max_rows: usize,
}

/// One bin of history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// Whose.
    pub entity: EntityName,
    /// Start of the bin, ms since the epoch.
    pub bin_ms: i64,
    /// Records in the bin.
    pub count: u32,
    /// Mean per metric over the records that have it, NaN where none has.
    pub mean: Box<[f32]>,
    /// Maximum per metric, NaN where no record has it.
    pub max: Box<[f32]>,
    /// Status category, 0 for missing.
    pub status: u8,
}

/// What opening a store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecoveryReport {
    /// Whether the directory was empty.
    pub fresh: bool,
    /// Entities restored.
    pub entities: u64,
    /// Sequence number of the checkpoint that recovery started from.
    pub checkpoint: u64,
    /// Log groups replayed after it.
    pub replayed_groups: u64,
    /// Records replayed after it.
    pub replayed_records: u64,
    /// Log groups that failed their checksum and were quarantined.
    pub damaged_groups: u64,
    /// Window blocks or heads that failed their checksum and were quarantined.
    pub damaged_windows: u64,
    /// History parts beyond the checkpoint (they are written again) or superseded by compaction, deleted.
    pub removed_parts: u64,
    /// History parts that cannot be read and were moved aside.
    pub damaged_parts: u64,
    /// Where an unreadable database was moved, if it was.
    pub quarantined_to: Option<String>,
    /// Sentences for people about everything above that is not routine.
    pub messages: Vec<String>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Counters and gauges of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoreStats {
    /// Entities known.
    pub entities: u64,
    /// Records accepted since start.
    pub accepted: u64,
    /// Of these, older than the exact range and merged into their bin.
    pub late_merged: u64,
    /// Records refused since start, by code.
    pub refused: std::collections::BTreeMap<&'static str, u64>,
    /// Appends refused because the queue was full.
    pub queue_full: u64,
    /// Appends refused because the disk was full.
    pub disk_full: u64,
    /// Appends that failed otherwise.
    pub write_errors: u64,
    /// Records waiting for the writer.
    pub queued_records: u64,
    /// Groups committed since start, each with one fsync.
    pub groups: u64,
    /// Log bytes (before compression) since the newest checkpoint.
    pub log_bytes: u64,
    /// Sequence number of the newest log group.
    pub log_sequence: u64,
    /// Sequence number that the newest checkpoint covers.
    pub checkpoint_sequence: u64,
    /// When the newest checkpoint was made, ms since the epoch; 0 for none since start.
    pub checkpoint_ms: i64,
    /// Checkpoints made since start.
    pub checkpoints: u64,
    /// Checkpoints that failed since start; they are tried again.
    pub checkpoint_errors: u64,
    /// Bytes of the database's files.
    pub database_bytes: u64,
    /// Bytes of history.
    pub history_bytes: u64,
    /// Parts of history.
    pub history_parts: u64,
    /// Days of history.
    pub history_days: u64,
    /// Days deleted by retention or disk budget since start.
    pub history_days_deleted: u64,
    /// Estimated bytes of all windows in memory.
    pub window_bytes: u64,
    /// Entities retired since start, by request or because they were silent for long.
    pub retired: u64,
    /// Whether records are refused for lack of space.
    pub disk_is_full: bool,
    /// Free bytes of the file system at the last look.
    pub free_bytes: u64,
}
