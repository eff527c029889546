//! What can go wrong.

use std::path::PathBuf;

use crate::alert::AlertId;

/// Why alert state could not be read or written. State in memory is as before the failed call.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The database could not be opened.
    #[error("open alert database {path}: {source}")]
    Open {
        /// Its path.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Written by a newer Argus.
    #[error(
        "open alert database {path}: its format {found} is newer than {supported}; run the newer argus or restore a backup"
    )]
    NewerFormat {
        /// Its path.
        path: PathBuf,
        /// The version it has.
        found: i64,
        /// The newest this build knows.
        supported: i64,
    },
    /// Reading or writing failed.
    #[error("access alert database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A stored row is not what was written.
    #[error("read stored alert row: {0}")]
    Row(#[from] serde_json::Error),
    /// The settings contradict themselves.
    #[error("use alert settings: {0}")]
    Config(String),
}

/// Why an alert was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    /// No alert of this id is pending or firing.
    #[error("acknowledge alert {0}: it is not active")]
    NotActive(AlertId),
    /// The name is empty or too long.
    #[error("acknowledge alert: `who` must be 1 to 255 bytes and `note` at most 4096")]
    Text,
    /// The state could not be written.
    #[error(transparent)]
    Alerts(#[from] AlertError),
}
