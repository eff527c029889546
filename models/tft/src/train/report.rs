//! What a run says while it works and afterwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Source;

/// Where a run is, after each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Windows seen.
    pub windows: u64,
    /// Mean training loss since the last validation.
    pub loss: f64,
    /// Whether a validation was due after it, with windows to validate on or without.
    pub is_milestone: bool,
    /// The validation loss, if this step ended with one.
    pub validation_loss: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Time since the start.
    pub elapsed: Duration,
}

impl Progress {
    /// Windows per second so far.
    pub fn windows_per_sec(&self) -> f64 {
        self.windows as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Time to the end at the pace so far.
    pub fn remaining(&self) -> Duration {
        self.elapsed
            .mul_f64(self.steps.saturating_sub(self.step) as f64 / self.step.max(1) as f64)
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All steps are done.
    #[default]
    Complete,
    /// The time was up.
    TimeBudget,
    /// The validation loss had not fallen for a while.
    NoGain,
}

/// Losses at a validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// Steps done.
    pub step: u64,
    /// Mean training loss since the last milestone; `None` before the first step.
    pub loss: Option<f64>,
    /// Validation loss of each source; `None` where it has no validation windows.
    pub validation: Vec<Option<f64>>,
}

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Steps done.
    pub steps: u64,
    /// Windows seen.
    pub windows: u64,
    /// Epochs begun, of the source that went round most often.
    pub epochs: u32,
    /// Wall time in seconds.
    pub wall_secs: f64,
    /// Part of it in which the network waited for data.
    #[serde(default)]
    pub waited_secs: f64,
    /// Why it ended.
    pub ending: Ending,
    /// Step with the least validation loss; 0 without validation.
    pub best_step: u64,
    /// That loss: the mean of the sources' losses, weighted with their shares.
    pub best_validation_loss: Option<f64>,
    /// All validations.
    pub milestones: Vec<Milestone>,
}

impl TrainReport {
    /// Adds a validation and returns its loss over all sources.
    pub(crate) fn add(&mut self, milestone: Milestone, sources: &[Source]) -> Option<f64> {
        let shares = sources.iter().map(|source| source.share);
        let pairs: Vec<(f64, f64)> = shares
            .zip(&milestone.validation)
            .filter_map(|(s, l)| Some((s, (*l)?)))
            .collect();
        let total: f64 = pairs.iter().map(|(share, _)| share).sum();
        let loss = (!pairs.is_empty())
            .then(|| pairs.iter().map(|(share, loss)| share * loss).sum::<f64>() / total);
        if loss.is_some_and(|loss| self.best_validation_loss.is_none_or(|best| loss < best)) {
            self.best_validation_loss = loss;
            self.best_step = milestone.step;
        }
        self.milestones.push(milestone);
        loss
    }

    /// Validations since the best one.
    pub(crate) fn validations_without_gain(&self) -> u32 {
        let later = self
            .milestones
            .iter()
            .filter(|milestone| milestone.step > self.best_step);
        if self.best_validation_loss.is_none() {
            0
        } else {
            later.count() as u32
        }
    }
}
