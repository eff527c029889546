//! Checkpoints: history parts first, then one transaction with windows, state, and the log cut off.

use std::time::{Duration, Instant};

use super::Writer;
use crate::engine::{EngineError, Meta};
use crate::errors::HistoryError;

/// Why no checkpoint was made. Nothing is lost by it: the log has everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("write the windows: {0}")]
    Engine(#[from] EngineError),
}

impl Writer {
    /// Makes a checkpoint if anything changed since the last one.
    ///
    /// Only this thread changes windows, so a read lock is enough until [`crate::entities::Entities::mark_saved`]:
    /// readers go on while the disk is written.
    pub(crate) fn checkpoint(&mut self) -> Result<(), CheckpointError> {
        let outcome = self.make_checkpoint();
        let mut counters = self.shared.counters.lock();
        match &outcome {
            Ok(()) => {}
            Err(error) => {
                counters.checkpoint_errors += 1;
                if matches!(error, CheckpointError::Engine(error) if error.is_full()) {
                    self.disk.note_full();
                }
            }
        }
        outcome
    }

    fn make_checkpoint(&mut self) -> Result<(), CheckpointError> {
        let now_ms = self.shared.clock.now_ms();
        // Bins that would have left the open range by now had their entity gone on reporting.
        let config = &self.shared.config;
        let open_ms =
            i64::from(config.exact_bins) * config.step_ms() + i64::from(config.grace_secs) * 1000;
        let written_before_ms = now_ms - open_ms;
        self.next_checkpoint = Instant::now() + Duration::from_secs(config.checkpoint_secs);

        let sequence = self.sequence + 1;
        let parts = {
            let entities = self.shared.entities.read();
            if self.log_bytes == 0 && !entities.has_changes(written_before_ms) {
                return Ok(());
            }
            let rows = entities.unwritten_rows(written_before_ms);
            let parts = self.shared.history.write(sequence, rows)?;
            let meta = Meta {
                checkpoint: sequence,
                next_id: entities.next_id,
                cursors: entities.cursors(),
                entities: entities.ids(),
                ..Meta::new(&self.shared.schema, config.step_secs)
            };
            // From here on the number is used, whether or not the commit tells that it went well.
            self.sequence = sequence;
            self.engine.checkpoint(&meta, &entities.removed(), |sink| {
                entities.save(sequence, written_before_ms, sink)
            })?;
            parts
        };
        self.engine.acknowledge(sequence);
        self.shared
            .entities
            .write()
            .mark_saved(sequence, written_before_ms);
        self.shared.history.publish(parts);
        self.log_bytes = 0;

        let mut counters = self.shared.counters.lock();
        counters.checkpoints += 1;
        counters.checkpoint_ms = now_ms;
        counters.checkpoint_sequence = sequence;
        counters.log_sequence = sequence;
        counters.log_bytes = 0;
        counters.database_bytes = self.engine.file_bytes();
        drop(counters);
        // One signal is enough, however many checkpoints it stands for.
        let _ = self.maintenance.try_send(());
        Ok(())
    }
}
