//! Batches prepared ahead, on a thread beside the run, so that the network never waits for data.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use super::lesson::{Lesson, LossWeights};
use super::sampler::{Position, Sampler};
use super::{TrainError, TrainOptions};
use crate::features::Preparer;
use crate::model_config::ModelConfig;

/// Most batches that wait.
const MOST_AHEAD: usize = 4;

/// One step's windows.
pub(crate) struct Batch {
    pub(crate) lessons: Vec<Lesson>,
    /// Where the sampler was after drawing it: what is prepared ahead of the run does not count as seen.
    pub(crate) after: Position,
}

/// How batches are made.
#[derive(Clone, Copy)]
pub(crate) struct Preparation<'a> {
    pub(crate) preparer: &'a Preparer,
    pub(crate) weights: Option<&'a LossWeights>,
    pub(crate) options: &'a TrainOptions,
}

impl Preparation<'_> {
    /// Draws and prepares the next batch.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub(crate) fn next(&self, sampler: &mut Sampler<'_>) -> Result<Batch, TrainError> {
        let samples = sampler.batch(self.options.batch_windows)?;
        let lessons = Lesson::prepare(
            self.preparer,
            &samples,
            self.weights,
            self.options.chunk_windows,
        )?;
        Ok(Batch {
            lessons,
            after: sampler.position(),
        })
    }

    /// Prepares batches in their order on a thread of `scope`, until the receiver is dropped or one fails.
    pub(crate) fn start<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        mut sampler: Sampler<'scope>,
    ) -> Receiver<Result<Batch, TrainError>>
    where
        Self: 'scope,
    {
        let ahead = batches_ahead(self.options, self.preparer.config());
        let (batches, receiver) = sync_channel(ahead);
        scope.spawn(move || {
            loop {
                let batch = self.next(&mut sampler);
                let failed = batch.is_err();
                if batches.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }
}

/// As many as a quarter of the memory for data holds, but at least one.
fn batches_ahead(options: &TrainOptions, config: &ModelConfig) -> usize {
    let architecture = &config.architecture;
    let steps = config.context_steps() + config.horizon();
    let inputs = steps
        * (size_of::<f32>() * architecture.real_columns.len()
            + size_of::<i64>() * architecture.categorical_columns.len());
    let targets = 2 * size_of::<f32>() * config.horizon() * config.schema.metrics.len();
    let batch = options.batch_windows * (inputs + targets);
    (options.memory_bytes() / 4 / batch.max(1)).clamp(1, MOST_AHEAD)
}
