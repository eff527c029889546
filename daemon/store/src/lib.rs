//! Windows, write-ahead log, and Parquet history.

mod clock;
mod config;
mod errors;
mod store;
mod view;
pub mod window;

pub use clock::{Clock, SystemClock};
pub use config::StoreConfig;
pub use errors::{AppendError, HistoryError, OpenError, Refusal};
pub use store::Store;
pub use view::{Context, EntityView, HistoryQuery, HistoryRow, RecoveryReport, StoreStats};
