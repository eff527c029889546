//! Windows, write-ahead log, and Parquet history.
//!
//! The store keeps what was observed: the newest ten days of each entity as bins in memory, everything accepted since
//! the last checkpoint as a log, and closed bins for good as Parquet.
//!
//! ```text
//! append ─► queue ─► writer thread: check ─► log group + fsync ─► windows ─► answer
//!                          │
//!                          └ now and then a checkpoint: history parts ─► one transaction { windows, state, log cut }
//! readers ─► copies out of the windows (never wait for the disk)
//! ```
//!
//! # A tour
//! | module | what it is |
//! |---|---|
//! | [`window`] | one entity's bins, pure: what is accepted, what is merged, what the model sees |
//! | `entities` | all windows by name |
//! | `queue`, `writer` | group commit: the one thread that changes anything |
//! | `writer::checkpoint` | windows to disk, log cut |
//! | `codec` | bytes: primitives, the frame around every value, the log group |
//! | `engine` | the database: tables, transactions, reopening after a failure |
//! | `recovery`, `salvage` | from a directory to windows, whole or damaged |
//! | `history` | Parquet parts by day: write, read, compact, retain |
//!
//! # On disk
//! ```text
//! <dir>/lock                    held while the store is open
//! <dir>/store.redb              log, windows, state (see `engine`)
//! <dir>/history/kind=…/day=…/   Parquet parts (see `history`)
//! <dir>/quarantine-<time>/      what was damaged, for people
//! ```
//!
//! # Sequence numbers
//! Each log group takes the next number, and so does each checkpoint. A checkpoint `n` means: everything up to `n` is in
//! the windows and in history. Heads and blocks of windows carry the number of the checkpoint that wrote them, history
//! parts have it in their names.
//!
//! # Durability
//! 1. A record is answered after the fsync of the group that holds it, and applied to memory only then: a failed write
//!    leaves memory as it was, and what it may have left on disk is taken back before anything else is written.
//! 2. A checkpoint first writes history parts (temporary name, fsync, rename, fsync of the folder), then commits changed
//!    windows, the new state, and the removal of the log up to it in one transaction. A crash in between leaves parts
//!    beyond the checkpoint; recovery deletes them, and the log writes them again.
//! 3. Recovery loads windows as of the checkpoint and replays the log after it, in the order of acceptance.
//!
//! # Damage
//! - A torn transaction is rolled back by the engine; it was never answered.
//! - A value whose checksum fails is moved to `quarantine-<time>` and told; the rest goes on.
//! - A database that its engine cannot open is scanned for frames (see `salvage`), put together anew, and moved to
//!   `quarantine-<time>`. Nothing leads to a start that fails again and again; only a directory that is fine but not for
//!   this daemon (newer format, other step, other schema, in use) is refused.
//!
//! # Full disk
//! Below `min_free_bytes`, or when a write finds no space, appends are refused with [`AppendError::DiskFull`]; readers go
//! on, and the first append that finds space again works.

mod clock;
mod codec;
mod config;
mod cursor;
mod disk;
mod engine;
mod entities;
mod errors;
mod history;
mod queue;
mod recovery;
mod salvage;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod view;
pub mod window;
mod writer;

pub use clock::{Clock, SystemClock};
pub use config::StoreConfig;
pub use cursor::{Cursor, CursorError};
pub use errors::{AppendError, HistoryError, OpenError, Refusal};
pub use store::Store;
pub use view::{Context, EntityView, HistoryQuery, HistoryRow, RecoveryReport, StoreStats};
