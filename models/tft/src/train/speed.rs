//! How fast a network learns, without the data path: for benchmarks.

use std::time::Duration;

use super::feed::Preparation;
use super::fit::Fitted;
use super::run::Learner;
use super::sample::Shape;
use super::sampler::Sampler;
use super::{Job, TrainError};
use crate::features::Preparer;

/// Windows per second of steps (forward, backward, optimiser, average) on batches that are ready in memory.
///
/// About as many windows as asked for are learned from, after one step that is not counted. `now` is time since any
/// fixed moment.
///
/// # Errors
/// As [`super::run`].
pub fn step_speed(
    job: &Job<'_>,
    windows: usize,
    now: &dyn Fn() -> Duration,
) -> Result<f64, TrainError> {
    job.options.check()?;
    let fitted = Fitted::over(job.corpus, job.config, job.start.map(|s| s.normaliser))?;
    let preparer = Preparer::new(job.config, &fitted.normaliser).map_err(TrainError::Config)?;
    let shape = Shape::of(job.config);
    let mut sampler = Sampler::new(job.corpus, shape, job.options)?;
    let preparation = Preparation {
        preparer: &preparer,
        weights: None,
        options: job.options,
    };
    let batches = windows.div_ceil(job.options.batch_windows).max(1);
    let ready = (0..batches.min(MOST_BATCHES))
        .map(|_| preparation.next(&mut sampler))
        .collect::<Result<Vec<_>, _>>()?;
    let mut learner = Learner::new(job, &preparer, None, String::new(), fitted)?;
    let mut started = now();
    for step in 0..=batches {
        if step == 1 {
            started = now();
        }
        let batch = &ready[step % ready.len()];
        learner.step(&batch.lessons, &batch.after, &|| Duration::ZERO)?;
    }
    let taken = now().saturating_sub(started).as_secs_f64();
    Ok((batches * job.options.batch_windows) as f64 / taken.max(1e-9))
}

/// Batches that are held ready; the steps go round.
const MOST_BATCHES: usize = 16;
