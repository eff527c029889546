//! What can go wrong between a window and its forecast.

/// Why there is no forecast.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ForecastError {
    /// No model is loaded.
    #[error("no model is loaded: {0}")]
    NoModel(String),
    /// The entity is not known.
    #[error("no entity `{0}` is known; feed records for it first")]
    UnknownEntity(String),
    /// Too little context.
    #[error("`{entity}` has {closed_bins} closed bins; the model needs {needed}")]
    WarmingUp {
        /// Whose.
        entity: String,
        /// Bins with data so far.
        closed_bins: u32,
        /// Bins needed.
        needed: u32,
    },
    /// None of its observed metrics has a threshold.
    #[error(
        "`{0}` has no observed metric with a threshold, so there is no risk to tell; its forecast is on GET"
    )]
    NotJudged(String),
    /// The model refused its input or libtorch failed.
    #[error("the model failed: {0}")]
    Model(String),
    /// The loop has ended.
    #[error("the forecast loop has stopped; the daemon is shutting down")]
    Stopped,
}
