//! Forecasts as the model gave them.

use std::sync::Arc;

use argus_schema::EntityName;
use serde::Serialize;

/// Which model produced a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelId {
    /// Name of its directory, e.g. `argus_20260101_120000`.
    pub name: String,
    /// Where it was loaded from.
    pub path: String,
    /// SHA-256 of its weights, hexadecimal.
    pub weights_sha256: String,
    /// `cpu` or `cuda:0`.
    pub device: String,
}

/// The model's forecast of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityForecast {
    /// Whose it is.
    pub entity: EntityName,
    /// Start of the newest bin the model saw, ms since the epoch; step `k` (from 1) is the bin at
    /// `origin_ms + k * step_secs * 1000`.
    pub origin_ms: i64,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Closed bins of context the model was given (its encoder length).
    pub context_steps: u32,
    /// The quantile levels, ascending.
    pub quantile_levels: Arc<[f32]>,
    /// One entry per metric of the schema; `None` where the context holds no observation of it.
    pub metrics: Box<[Option<MetricForecast>]>,
    /// Who answered.
    pub model: Arc<ModelId>,
    /// When it was made, ms since the epoch.
    pub made_ms: i64,
    /// Tells whether a context is the one that the model saw: equal for equal contexts.
    pub context_hash: u64,
}

/// Quantiles of one metric over the horizon, in the metric's unit, sorted (they never cross), within its range.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricForecast {
    /// `[step][level]`, row-major: `horizon * quantile_levels.len()` values.
    pub quantiles: Box<[f32]>,
    /// Newest observed value in the context.
    pub current: f32,
}

impl EntityForecast {
    /// Number of steps ahead.
    pub fn horizon(&self) -> usize {
        let levels = self.quantile_levels.len();
        let steps = |m: &MetricForecast| m.quantiles.len().checked_div(levels);
        self.metrics
            .iter()
            .flatten()
            .next()
            .and_then(steps)
            .unwrap_or(0)
    }

    /// Position of a quantile level, e.g. 0.5.
    pub fn level_index(&self, level: f32) -> Option<usize> {
        self.quantile_levels
            .iter()
            .position(|q| (q - level).abs() < 1e-6)
    }

    /// One quantile of one metric for every step ahead; empty where there is none.
    pub fn series(&self, metric: usize, level: f32) -> impl Iterator<Item = f32> + '_ {
        let levels = self.quantile_levels.len();
        let quantiles = self
            .metrics
            .get(metric)
            .and_then(Option::as_ref)
            .map_or(&[][..], |m| &m.quantiles);
        let column = self.level_index(level);
        quantiles
            .chunks_exact(levels.max(1))
            .filter_map(move |row| row.get(column?).copied())
    }
}
