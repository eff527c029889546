//! How to train.

use std::time::Duration;

use super::TrainError;

/// Sizes, pace and seeds of a training run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Everything random follows from it: initial weights, order, roughening.
    pub seed: u64,
    /// Optimiser steps of the whole run; the schedule is laid over all of them.
    pub max_steps: u64,
    /// Ends the run early. A run that ends by the clock is not repeatable.
    pub time_budget: Option<Duration>,
    /// Windows per step.
    pub batch_windows: usize,
    /// Windows that go through the network at a time; small enough that their activations stay in the cache.
    pub chunk_windows: usize,
    /// Threads over which the chunks of a step are spread. The gradients are added up in a fixed order, so the number
    /// of threads changes the speed and nothing else (while the network has no dropout).
    pub threads: usize,
    /// Greatest learning rate.
    pub learning_rate: f64,
    /// Pull of matrices towards zero, times the learning rate, per step.
    pub weight_decay: f64,
    /// Longest gradient.
    pub clip_norm: f64,
    /// How much of the averaged weights stays at each step.
    pub average_keep: f64,
    /// Steps between two validations.
    pub validate_every: u64,
    /// Validations in a row without a better loss that end the run.
    pub patience: u32,
    /// Part of each chunk's windows that an epoch takes; neighbouring windows are nearly equal.
    pub epoch_share: f64,
    /// How often windows are roughened.
    pub roughening: Roughening,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 42,
            max_steps: 3_000,
            time_budget: None,
            batch_windows: 64,
            chunk_windows: 16,
            threads: 1,
            learning_rate: 3e-3,
            weight_decay: 0.01,
            clip_norm: 1.0,
            average_keep: 0.995,
            validate_every: 250,
            patience: 8,
            epoch_share: 0.125,
            roughening: Roughening::USUAL,
        }
    }
}

impl TrainOptions {
    /// Checks what a run relies on.
    ///
    /// # Errors
    /// Names the option and what is allowed.
    pub fn check(&self) -> Result<(), TrainError> {
        let refuse = |option, allowed| Err(TrainError::Option { option, allowed });
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if self.max_steps == 0 || self.validate_every == 0 {
            return refuse("max_steps, validate_every", "at least 1 is needed");
        }
        if self.batch_windows == 0 || self.chunk_windows == 0 || self.threads == 0 {
            return refuse(
                "batch_windows, chunk_windows, threads",
                "at least 1 is needed",
            );
        }
        if !positive(self.learning_rate)
            || !positive(self.clip_norm)
            || !(0.0..1.0).contains(&self.weight_decay)
        {
            return refuse(
                "learning_rate, clip_norm, weight_decay",
                "positive numbers are needed",
            );
        }
        if !(0.0..1.0).contains(&self.average_keep) {
            return refuse("average_keep", "0 <= average_keep < 1 is needed");
        }
        if !positive(self.epoch_share) || !share(self.epoch_share) {
            return refuse("epoch_share", "0 < epoch_share <= 1 is needed");
        }
        let Roughening {
            shorten,
            drop_metrics,
            gaps,
            drop_status,
            drop_profile,
        } = self.roughening;
        if ![shorten, drop_metrics, gaps, drop_status, drop_profile]
            .into_iter()
            .all(share)
        {
            return refuse("roughening", "each is a probability, 0 to 1");
        }
        Ok(())
    }
}

/// How often windows are made to look like those of hosts that the data does not have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roughening {
    /// The encoder is cut to a random length, as of a host that is new.
    pub shorten: f64,
    /// Some metrics are missing altogether.
    pub drop_metrics: f64,
    /// Single bins or a stretch of bins are missing.
    pub gaps: f64,
    /// The status is missing.
    pub drop_status: f64,
    /// The profile is unknown.
    pub drop_profile: f64,
}

impl Roughening {
    /// Windows as they are.
    pub const NONE: Self = Self {
        shorten: 0.0,
        drop_metrics: 0.0,
        gaps: 0.0,
        drop_status: 0.0,
        drop_profile: 0.0,
    };
    /// Most windows as they are, each kind of trouble often enough to be learned.
    pub const USUAL: Self = Self {
        shorten: 0.15,
        drop_metrics: 0.15,
        gaps: 0.15,
        drop_status: 0.3,
        drop_profile: 0.2,
    };
}
