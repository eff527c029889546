//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the lock.
    #[error("data directory {} is in use by another argus process; stop it or choose another directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by a newer Argus.
    #[error(
        "data directory {} has format {found}, this argus reads up to {supported}; use the newer argus or another directory", dir.display()
    )]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        found: u32,
        /// The newest that this build reads.
        supported: u32,
    },
    /// The directory was filled under other settings that cannot change under it.
    #[error("data directory {} was made with {setting} {stored}, not {configured}; set it back or choose another directory", dir.display())]
    Mismatch {
        /// The directory.
        dir: PathBuf,
        /// Which setting, e.g. `step_secs`.
        setting: &'static str,
        /// What the directory holds.
        stored: String,
        /// What is configured.
        configured: String,
    },
    /// An impossible setting.
    #[error("store setting `{setting}`: {problem}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The operating system refused something.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, e.g. `create`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The log engine refused for a reason other than damage.
    #[error("open the log in {}: {problem}", dir.display())]
    Engine {
        /// The directory.
        dir: PathBuf,
        /// The engine's words.
        problem: String,
    },
}

/// Why a whole append failed. Nothing of it was stored, and nothing changed in memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too many records wait for the disk; try again soon.
    #[error(
        "{waiting} records wait for the disk, the most allowed is {limit}; send again in a moment"
    )]
    QueueFull {
        /// Records in the queue.
        waiting: usize,
        /// The bound, `queue_records`.
        limit: usize,
    },
    /// Too little space on the disk; the store goes on reading and takes records again when there is space.
    #[error(
        "disk is full or has less than {min_free_bytes} bytes free; free some space and send again"
    )]
    DiskFull {
        /// The bound, `min_free_bytes`.
        min_free_bytes: u64,
    },
    /// The store is closing.
    #[error("store is closed")]
    Closed,
    /// Writing failed otherwise, or the thread that writes is gone.
    #[error("write the log: {0}")]
    Io(String),
}

/// Why one record was not stored. Its neighbours are unaffected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A record of this entity and timestamp is stored already.
    #[error("{}", if *identical { "is stored already (identical)" } else { "timestamp is stored already with other content" })]
    Duplicate {
        /// Whether the stored record has the same content; then sending it again was harmless.
        identical: bool,
    },
    /// Lies before the entity's window.
    #[error(
        "timestamp {} lies before the entity's window, which starts at {}", shown(*time_ms), shown(*oldest_ms)
    )]
    TooOld {
        /// The record's time, ms since the epoch.
        time_ms: i64,
        /// Start of the oldest bin that still takes records, ms since the epoch.
        oldest_ms: i64,
    },
    /// Lies in the future.
    #[error(
        "timestamp {} is {} s ahead of this machine's clock; at most {} s are allowed", shown(*time_ms), ahead_ms.saturating_add(999) / 1_000, limit_ms / 1_000
    )]
    InFuture {
        /// The record's time, ms since the epoch.
        time_ms: i64,
        /// How far ahead.
        ahead_ms: i64,
        /// The bound.
        limit_ms: i64,
    },
    /// The cap on entities is reached.
    #[error("{limit} entities are known already; raise `max_entities` or retire some")]
    TooManyEntities {
        /// The bound.
        limit: usize,
    },
    /// The cap on records per bin is reached.
    #[error(
        "its bin holds {limit} records already; send less often or raise `max_records_per_bin`"
    )]
    TooManyInBin {
        /// The bound.
        limit: u32,
    },
    /// The record does not have one value per metric of the schema.
    #[error("has {found} values; the schema has {expected} metrics")]
    WrongShape {
        /// Values in the record.
        found: usize,
        /// Metrics in the schema.
        expected: usize,
    },
}

impl Refusal {
    /// All codes, in the order of the counters.
    pub const CODES: [&'static str; 7] = [
        "duplicate",
        "conflicting_duplicate",
        "too_old",
        "in_future",
        "too_many_entities",
        "too_many_in_bin",
        "wrong_shape",
    ];

    /// Machine-readable code in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { identical: true } => "duplicate",
            Self::Duplicate { identical: false } => "conflicting_duplicate",
            Self::TooOld { .. } => "too_old",
            Self::InFuture { .. } => "in_future",
            Self::TooManyEntities { .. } => "too_many_entities",
            Self::TooManyInBin { .. } => "too_many_in_bin",
            Self::WrongShape { .. } => "wrong_shape",
        }
    }
}

/// Why a history query failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Reading a part failed for a reason outside of it; trying again may help.
    #[error("read history {}: {problem}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        problem: String,
    },
    /// A part was read and its content makes no sense.
    #[error("history {} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Writing a part failed.
    #[error("write history {}: {problem}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        problem: String,
    },
    /// More rows than asked for as the most.
    #[error("range holds more than {limit} rows; ask for a shorter one")]
    TooManyRows {
        /// The bound of the query.
        limit: usize,
    },
}

impl HistoryError {
    pub(crate) fn read(path: &Path, problem: &dyn std::fmt::Display) -> Self {
        Self::Read {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn damaged(path: &Path, problem: &dyn std::fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn write(path: &Path, problem: &dyn std::fmt::Display) -> Self {
        Self::Write {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// A time, milliseconds since the epoch, as people read it.
fn shown(time_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{time_ms} ms"),
    }
}
