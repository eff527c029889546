//! The model, for explanations.
//!
//! The service opens a subject's window; the window evaluates whole variants of itself. How edits make variants is the
//! host's part and the same for every engine: see [`VariantBatch`].

use std::sync::Arc;

use super::{BoxFuture, ServiceError};
pub use crate::variants::{Change, EVERY_METRIC, Edit, VariantBatch, VariantError};

/// What a window and its model look like.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowShape {
    /// Closed bins of context.
    pub context_steps: usize,
    /// Steps ahead.
    pub horizon_steps: usize,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Start of the newest context step, ms since the epoch.
    pub origin_ms: i64,
    /// The quantile levels, ascending.
    pub quantile_levels: Vec<f32>,
    /// The metrics in the schema's order, with the range that values must keep to.
    pub metrics: Vec<MetricRange>,
    /// The subject's profile.
    pub profile: String,
    /// The model's name.
    pub model: String,
}

/// A metric and its range; an end that does not exist is infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRange {
    /// Its name.
    pub name: String,
    /// Least value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

/// A number that is asked of each variant. Positions have been checked against the shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Risk score, 0 to 100, with the in-breach floor.
    Risk,
    /// Risk score before that floor.
    RiskUnclamped,
    /// Risk score of the next 30 minutes.
    Risk30m,
    /// A quantile of a metric, in its unit.
    Quantile {
        /// Position of the metric.
        metric: usize,
        /// Step ahead, from 1.
        step: usize,
        /// Position of the quantile level.
        level: usize,
    },
    /// Probability that a metric crosses its critical threshold within the first steps.
    BreachProbability {
        /// Position of the metric.
        metric: usize,
        /// How many steps count.
        within: usize,
    },
}

/// One of the network's variable selections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Over static variables.
    Static,
    /// Over the context's variables.
    Context,
    /// Over variables known ahead.
    Horizon,
}

/// Opens windows.
pub trait ModelService: Send + Sync {
    /// The newest window of an entity, or the one with that origin. Error codes: `unknown_entity`, `warming_up`,
    /// `no_model`, `not_kept`.
    fn open(
        &self,
        entity: String,
        origin_ms: Option<i64>,
    ) -> BoxFuture<'_, Result<Arc<dyn Window>, ServiceError>>;
}

/// One subject's context, and the model that saw it.
pub trait Window: Send + Sync {
    /// Its shape.
    fn shape(&self) -> &WindowShape;

    /// Values of all metrics over the context, metric by metric: `metrics × context_steps` numbers, NaN where missing.
    fn values(&self) -> &[f32];

    /// Typical values of the subject's profile over the same hours, in the same layout.
    fn typical(&self) -> &[f32];

    /// Evaluates variants, each laid out as [`values`](Self::values), one after the other, as one batch. Returns
    /// `variants × outputs` numbers, variant by variant. Error codes: `no_model`, `model_busy`, `model_failed`.
    fn evaluate(
        &self,
        variants: Vec<f32>,
        outputs: Vec<Output>,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>>;

    /// Attention averaged over heads: `horizon_steps × (context_steps + horizon_steps)` numbers. Errors as
    /// [`evaluate`](Self::evaluate).
    fn attention(&self) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>>;

    /// Weights of a variable selection, row by row. Errors as [`evaluate`](Self::evaluate).
    fn variable_weights(
        &self,
        selection: Selection,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>>;

    /// Names of the columns of [`variable_weights`](Self::variable_weights).
    fn variable_names(&self, selection: Selection) -> Vec<String>;
}
