//! Windows, write-ahead log, and Parquet history.
mod clock;
mod codec;
mod config;
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
pub use errors::{AppendError, HistoryError, OpenError, Refusal};
pub use store::Store;
pub use view::{Context, EntityView, HistoryQuery, HistoryRow, RecoveryReport, StoreStats};
