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
    pub(crate) fn checkpoint(&mut self) -> Result<(), CheckpointError> {
        let written_before_ms = self.written_before_ms(self.shared.clock.now_ms());
        let changed =
            self.log_bytes > 0 || self.shared.entities.read().has_changes(written_before_ms);
        if changed {
            return self.checkpoint_always();
        }
        self.schedule();
        Ok(())
    }

    /// Makes a checkpoint.
    ///
    /// Only this thread changes windows, so a read lock is enough until [`crate::entities::Entities::mark_saved`]:
    /// readers go on while the disk is written.
    pub(crate) fn checkpoint_always(&mut self) -> Result<(), CheckpointError> {
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
        self.settle_undecided()?;
        let now_ms = self.shared.clock.now_ms();
        let written_before_ms = self.written_before_ms(now_ms);
        self.schedule();

        let sequence = self.sequence + 1;
        let parts = {
            let entities = self.shared.entities.read();
            let rows = entities.unwritten_rows(written_before_ms);
            let parts = self.shared.history.write(sequence, rows)?;
            let meta = Meta {
                checkpoint: sequence,
                next_id: entities.next_id,
                cursors: entities.cursors(),
                entities: entities.ids(),
                ..Meta::new(&self.shared.schema, self.shared.config.step_secs)
            };
            // From here on the number is used, whether or not the commit tells that it went well.
            self.sequence = sequence;
            let saved = self.engine.checkpoint(&meta, &entities.removed(), |sink| {
                entities.save(sequence, written_before_ms, sink)
            });
            drop(entities);
            if let Err(error) = saved {
                self.undecided = parts;
                // Where that fails too, the next checkpoint begins with it.
                let _ = self.settle_undecided();
                return Err(error.into());
            }
            parts
        };
        self.engine.acknowledge(sequence);
        // Files before memory: a reader in between sees rows twice and merges them, never not at all.
        self.shared.history.publish(parts);
        self.shared
            .entities
            .write()
            .mark_saved(sequence, written_before_ms);
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

    /// Decides about the parts of a failed checkpoint. If its commit is on disk after all, the log has lost their rows and
    /// they must stay (memory still has the rows and writes them once more, which does no harm); else nobody needs them.
    fn settle_undecided(&mut self) -> Result<(), EngineError> {
        if self.undecided.is_empty() {
            return Ok(());
        }
        let committed = self.engine.stored_checkpoint()?;
        let parts = std::mem::take(&mut self.undecided);
        // A state that cannot be read decides nothing, and keeping is safe.
        if parts
            .iter()
            .all(|(_, part)| committed.is_none_or(|committed| part.first <= committed))
        {
            self.shared.history.publish(parts);
        } else {
            self.shared.history.discard(&parts);
        }
        Ok(())
    }

    /// Start of the bins that stay out of history: those that end before it would have left the open range by now had
    /// their entity gone on reporting.
    fn written_before_ms(&self, now_ms: i64) -> i64 {
        let config = &self.shared.config;
        let open_ms =
            i64::from(config.exact_bins) * config.step_ms() + i64::from(config.grace_secs) * 1000;
        now_ms - open_ms
    }

    fn schedule(&mut self) {
        let interval = Duration::from_secs(self.shared.config.checkpoint_secs);
        self.next_checkpoint = Instant::now() + interval;
    }
}
