//! Sources: they fetch records from somewhere else.

use wasmtime::Store;

use super::{Exports, Outcome, Task, not_this_kind};
use crate::bindings::argus::plugin::types::Pair;
use crate::call::CallState;
use crate::errors::PluginError;
use crate::plugin::Plugin;

/// What one poll fetched. Mirrors `ingress.batch` of the WIT package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceBatch {
    /// What `items` holds: `records`, JSON objects, one a line.
    pub content: String,
    /// The items.
    pub items: Vec<u8>,
    /// Where to go on: to be stored together with the items, and given to the next poll.
    pub checkpoint: Vec<u8>,
    /// Whether more can be fetched at once.
    pub more: bool,
    /// Documents that were left out.
    pub skipped: u32,
}

/// Largest checkpoint.
pub const MAX_CHECKPOINT_BYTES: usize = 64 << 10;

impl Plugin {
    /// Fetches what comes after a checkpoint (none: the first poll ever), at most `max_records`. Only for sources.
    ///
    /// A batch with an oversized checkpoint is the error `checkpoint_too_large`.
    pub async fn poll(
        &self,
        checkpoint: Option<Vec<u8>>,
        max_records: u32,
    ) -> Result<SourceBatch, PluginError> {
        self.poll_with(checkpoint, max_records, []).await
    }

    /// Like [`poll`](Self::poll), with options as the WIT interface `ingress` lists them.
    pub async fn poll_with(
        &self,
        checkpoint: Option<Vec<u8>>,
        max_records: u32,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<SourceBatch, PluginError> {
        let options = options.into_iter();
        self.call(Poll {
            checkpoint,
            max_records,
            options: options.map(|(name, value)| Pair { name, value }).collect(),
        })
        .await
    }
}

struct Poll {
    checkpoint: Option<Vec<u8>>,
    max_records: u32,
    options: Vec<Pair>,
}

impl Task for Poll {
    type Answer = SourceBatch;

    async fn perform(
        self,
        store: &mut Store<CallState>,
        exports: &Exports,
    ) -> Outcome<SourceBatch> {
        let Exports::Source(plugin) = exports else {
            return not_this_kind();
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        let batch = instance
            .argus_plugin_ingress()
            .call_poll(
                store,
                self.checkpoint.as_deref(),
                self.max_records,
                &self.options,
            )
            .await?;
        Ok(batch.and_then(|batch| {
            if batch.checkpoint.len() > MAX_CHECKPOINT_BYTES {
                return Err(super::reported(
                    "checkpoint_too_large",
                    format!(
                        "the checkpoint has {} bytes, at most {MAX_CHECKPOINT_BYTES} are kept",
                        batch.checkpoint.len()
                    ),
                ));
            }
            Ok(SourceBatch {
                content: batch.content,
                items: batch.items,
                checkpoint: batch.checkpoint,
                more: batch.more,
                skipped: batch.skipped,
            })
        }))
    }
}
