//! How to train.

use std::time::Duration;

use serde::Serialize;

use super::TrainError;

/// Sizes, pace and seeds of a training run.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Profile of a window whose own one is dropped: what serving gives an entity that it knows nothing of.
    pub unknown_profile: String,
    /// Weight of a window's loss, by metric: its scale relative to the source's mean scale, to this power. 0 weighs
    /// all windows alike in units of their own scale; 1 follows a loss that pools absolute errors over a source.
    pub scale_weight: f64,
    /// Windows of a source that start within this time of each other are a chunk.
    pub chunk_secs: u32,
    /// Bounds the data in memory: open chunks and batches that were prepared ahead, of all sources together.
    pub memory_mb: usize,
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
            unknown_profile: String::new(),
            scale_weight: 0.0,
            chunk_secs: 7_200,
            memory_mb: 256,
        }
    }
}

impl TrainOptions {
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_mb << 20
    }

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
        if !(0.0..=2.0).contains(&self.scale_weight) {
            return refuse("scale_weight", "0 <= scale_weight <= 2 is needed");
        }
        if self.memory_mb < MIN_MEMORY_MB || self.chunk_secs == 0 {
            return refuse(
                "memory_mb, chunk_secs",
                "at least 16 MB and one second are needed",
            );
        }
        let Roughening {
            shorten,
            drop_metrics,
            gaps,
            drop_status,
            drop_profile,
            forget,
            forget_periods,
            shift_periods,
            blur,
            mix,
            exchange,
            redate,
        } = self.roughening;
        if ![
            shorten,
            drop_metrics,
            gaps,
            drop_status,
            drop_profile,
            forget,
            forget_periods,
            shift_periods,
            blur,
            mix,
            exchange,
            redate,
        ]
        .into_iter()
        .all(share)
        {
            return refuse("roughening", "each is a probability, 0 to 1");
        }
        Ok(())
    }
}

/// Least [`TrainOptions::memory_mb`].
const MIN_MEMORY_MB: usize = 16;

/// How often windows are made to look like those of hosts that the data does not have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    /// What came before the encoder is unknown.
    pub forget: f64,
    /// Of what came before the encoder, some periods are missing.
    pub forget_periods: f64,
    /// It lies higher or lower.
    pub shift_periods: f64,
    /// What was usual then varied more, or less.
    pub blur: f64,
    /// Values are averaged with those of another host, or of its own on another day, where the data have such.
    pub mix: f64,
    /// Some metrics run as others of the same host did; like the next, of hosts of unknown profile only.
    pub exchange: f64,
    /// It has another date, at the same time of the day.
    pub redate: f64,
}

impl Roughening {
    /// Windows as they are.
    pub const NONE: Self = Self {
        shorten: 0.0,
        drop_metrics: 0.0,
        gaps: 0.0,
        drop_status: 0.0,
        drop_profile: 0.0,
        forget: 0.0,
        forget_periods: 0.0,
        shift_periods: 0.0,
        blur: 0.0,
        mix: 0.0,
        exchange: 0.0,
        redate: 0.0,
    };
    /// Most windows as they are, each kind of trouble often enough to be learned.
    pub const USUAL: Self = Self {
        shorten: 0.15,
        drop_metrics: 0.15,
        gaps: 0.15,
        drop_status: 0.3,
        drop_profile: 0.2,
        forget: 0.1,
        forget_periods: 0.5,
        shift_periods: 0.5,
        blur: 0.5,
        mix: 0.5,
        exchange: 0.5,
        redate: 0.7,
    };
}
