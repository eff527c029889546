//! What the handle, the writer and the maintenance thread share.

use std::sync::Arc;

use argus_schema::Schema;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::StoreConfig;
use crate::entities::Entities;
use crate::history::History;
use crate::queue::Queue;
use crate::view::StoreStats;

/// State behind the store's handle. Only the writer changes `entities`.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) schema: Arc<Schema>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entities: RwLock<Entities>,
    pub(crate) history: History,
    pub(crate) queue: Queue,
    /// Counters; gauges that others know better are filled in when asked for.
    pub(crate) counters: Mutex<StoreStats>,
    pub(crate) changed: watch::Sender<u64>,
}
