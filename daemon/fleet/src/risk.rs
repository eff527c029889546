//! Risk as the probability of a breach.

use argus_schema::Breach;
use serde::{Deserialize, Serialize};

/// Severity of a risk score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Score below 50.
    Healthy,
    /// 50 to 59.
    Degraded,
    /// 60 to 79.
    Warning,
    /// 80 and more.
    Critical,
}

impl Level {
    /// The level of a score between 0 and 100.
    pub fn of(score: f64) -> Self {
        match score {
            s if s >= 80.0 => Self::Critical,
            s if s >= 60.0 => Self::Warning,
            s if s >= 50.0 => Self::Degraded,
            _ => Self::Healthy,
        }
    }

    /// `critical`, `warning`, `degraded` or `healthy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Degraded => "degraded",
            Self::Healthy => "healthy",
        }
    }

    /// Colour people know it by, `#RRGGBB`.
    pub fn color(self) -> &'static str {
        match self {
            Self::Critical => "#FF0000",
            Self::Warning => "#FFA500",
            Self::Degraded => "#FFD700",
            Self::Healthy => "#00FF00",
        }
    }
}

/// Risk of one entity, from its forecast's quantiles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Risk {
    /// 0 to 100, one decimal: 100 × calibrated probability of a critical breach within the horizon; at least 80
    /// while the entity is in breach now.
    pub score: f64,
    /// The same before the in-breach floor.
    pub unclamped: f64,
    /// 0 to 100, one decimal: the same within 30 minutes.
    pub score_30m: f64,
    /// Calibrated probability within the horizon, 0 to 1.
    pub prob_horizon: f64,
    /// Calibrated probability within 30 minutes, 0 to 1.
    pub prob_30m: f64,
    /// Whether a critical threshold is breached by the newest observation.
    pub in_breach: bool,
    /// How the probability was calibrated: `identity` or `isotonic`.
    pub calibration: &'static str,
    /// Conditions worth telling, most probable first.
    pub breaches: Vec<BreachForecast>,
}

/// One metric expected to pass one threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreachForecast {
    /// Column of the metric in the schema.
    #[serde(skip)]
    pub metric_index: usize,
    /// Name of the metric.
    pub metric: String,
    /// `warning` or `critical`.
    pub severity: Level,
    /// The threshold, in the metric's unit.
    pub threshold: f64,
    /// On which side of it trouble lies.
    pub side: Breach,
    /// Probability that it is passed within the horizon, 0 to 1.
    pub probability: f64,
    /// Whether the newest observation has passed it already.
    pub now: bool,
    /// First step (from 1) at which the median passes it.
    pub expected_step: Option<u32>,
    /// First step at which the pessimistic decile (p90 above, p10 below) passes it.
    pub earliest_step: Option<u32>,
    /// First step at which the optimistic decile passes it.
    pub latest_step: Option<u32>,
    /// The median's most extreme value over the horizon, in the metric's unit.
    pub peak_median: f64,
}
