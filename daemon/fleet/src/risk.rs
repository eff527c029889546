//! Risk as the probability of a breach.

use argus_schema::{Breach, EntityName};
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
    /// Bit `i` is set when metric `i` of the schema has thresholds for this entity and was judged; a metric without
    /// an observation in the context is not judged, which is not the same as being fine.
    #[serde(skip)]
    pub assessed: u64,
}

/// One metric expected to pass one threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreachForecast {
    /// Column of the metric in the schema.
    #[serde(skip)]
    pub metric_index: usize,
    /// Name of the metric.
    pub metric: String,
    /// Its unit, empty for dimensionless.
    pub unit: String,
    /// Whether the numbers are derived from other metrics: CPU used as user + sys + iowait, told as `100 - used` of
    /// `cpu_idle_pct`, where idle itself is not observed.
    pub derived: bool,
    /// `warning` or `critical`.
    pub severity: Level,
    /// The threshold, in the metric's unit.
    pub threshold: f64,
    /// On which side of it trouble lies.
    pub side: Breach,
    /// Newest observed value, in the metric's unit; `None` where nothing was observed lately.
    pub current: Option<f64>,
    /// Calibrated probability that it is passed within the horizon, 0 to 1.
    pub probability: f64,
    /// The same within 30 minutes.
    pub probability_30m: f64,
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

/// Risk of the whole fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetRisk {
    /// Entities with a forecast; all other numbers are over these.
    pub assessed: usize,
    /// Mean probability of an incident within 30 minutes: the expected share of the fleet in trouble.
    pub prob_30m: f64,
    /// The same within the horizon (8 hours by default).
    pub prob_8h: f64,
    /// Probability that at least one entity has an incident within 30 minutes, were they independent.
    pub prob_any_30m: f64,
    /// The same within the horizon.
    pub prob_any_8h: f64,
    /// Entities with a score of 80 and more.
    pub critical: usize,
    /// 60 to 79.
    pub warning: usize,
    /// 50 to 59.
    pub degraded: usize,
    /// Below 50.
    pub healthy: usize,
    /// Entities more likely than not to have an incident within 30 minutes.
    pub high_risk: usize,
    /// Mean score, one decimal.
    pub avg_score: f64,
    /// Greatest score.
    pub max_score: f64,
    /// The entities of greatest risk with their scores, worst first.
    pub top: Vec<(EntityName, f64)>,
    /// `healthy`, `warning`, `critical`, or `unknown` while nothing is assessed.
    pub health: &'static str,
}
