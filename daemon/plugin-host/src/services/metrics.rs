//! History of metrics.

use super::{BoxFuture, ServiceError};

/// A metric of the schema.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricInfo {
    /// Its name.
    pub name: String,
    /// Its unit; empty where it has none.
    pub unit: String,
    /// `up` where more is worse, `down` where less is, else `none`.
    pub worse: &'static str,
    /// Where trouble begins.
    pub warning: Option<f64>,
    /// Where it is there.
    pub critical: Option<f64>,
}

/// What is read of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Mean of its values.
    Mean,
    /// Largest of its values.
    Maximum,
    /// How many values it has.
    Count,
}

/// A span of one metric's history; times in ms since the epoch, `to_ms` not included.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRequest {
    /// Whose.
    pub entity: String,
    /// Which metric, by name.
    pub metric: String,
    /// What of each bin.
    pub statistic: Statistic,
    /// From.
    pub from_ms: i64,
    /// To.
    pub to_ms: i64,
    /// Length of a bin in seconds; 0 for the daemon's step.
    pub step_secs: u32,
}

/// Values at even distances, NaN where nothing was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Start of the first bin, ms since the epoch.
    pub start_ms: i64,
    /// Length of a bin in seconds.
    pub step_secs: u32,
    /// One value a bin.
    pub values: Vec<f32>,
}

/// Most bins of one answer.
pub const MAX_BINS: usize = 100_000;

/// Reads what was measured.
pub trait MetricsService: Send + Sync {
    /// The metrics of the schema, in its order.
    fn schema(&self) -> Vec<MetricInfo>;

    /// At most `limit` names of entities, in order, after `after`.
    fn entities(&self, after: &str, limit: usize) -> Vec<String>;

    /// A span of history, at most [`MAX_BINS`] bins. Error codes: `unknown_entity`, `unknown_metric`, `invalid_range`,
    /// `history_unavailable`.
    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Series, ServiceError>>;
}
