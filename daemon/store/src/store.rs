//! The store's handle.

use std::sync::Arc;

use argus_schema::{EntityName, Record, Schema};
use tokio::sync::watch;

use crate::{
    AppendError, Clock, Context, EntityView, HistoryError, HistoryQuery, HistoryRow, OpenError,
    RecoveryReport, Refusal, StoreConfig, StoreStats,
};

/// Windows, log and history of one data directory.
pub struct Store {
    _config: StoreConfig,
}

impl Store {
    /// Opens or creates a data directory and recovers what it holds. Blocking.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        _config: StoreConfig,
        _schema: Arc<Schema>,
        _clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        unimplemented!()
    }

    /// Stores records; answers in their order once those accepted are on disk.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing of the batch was stored.
    pub async fn append(
        &self,
        _records: Vec<Record>,
    ) -> Result<Vec<Result<(), Refusal>>, AppendError> {
        unimplemented!()
    }

    /// All entities, by name.
    pub fn entities(&self) -> Vec<EntityView> {
        unimplemented!()
    }

    /// One entity.
    pub fn entity(&self, _name: &EntityName) -> Option<EntityView> {
        unimplemented!()
    }

    /// Bin means of the `steps` bins that end at `last_bin`; `None` for an unknown entity or a range without data.
    pub fn context(&self, _name: &EntityName, _last_bin: i64, _steps: u32) -> Option<Context> {
        unimplemented!()
    }

    /// A counter that grows after each applied batch.
    pub fn changed(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }

    /// Forgets an entity's window, durably (its history stays); whether it was known.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn retire(&self, _name: &EntityName) -> Result<bool, AppendError> {
        unimplemented!()
    }

    /// Rows of history in time order, newest state of each bin. Blocking: call it from a blocking thread.
    ///
    /// # Errors
    /// When a part cannot be read or the range holds more rows than asked for.
    pub fn history(&self, _query: &HistoryQuery) -> Result<Vec<HistoryRow>, HistoryError> {
        unimplemented!()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> StoreStats {
        unimplemented!()
    }

    /// Writes out what waits, makes a checkpoint, and refuses everything after. Blocking; a second call does nothing.
    pub fn close(&self) {
        unimplemented!()
    }
}
