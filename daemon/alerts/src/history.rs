//! What happened, by whom, and why.

use argus_fleet::Level;
use argus_schema::EntityName;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertId, Fingerprint};

/// One step in the life of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    /// First strike.
    Pending,
    /// It came to nothing before firing.
    Dropped,
    /// Enough strikes.
    Firing,
    /// Another severity.
    SeverityChanged,
    /// Somebody has seen it.
    Acknowledged,
    /// Over.
    Resolved,
}

impl TransitionKind {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dropped => "dropped",
            Self::Firing => "firing",
            Self::SeverityChanged => "severity_changed",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// A row of the history. Times are ms since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Its number, ascending.
    pub id: i64,
    /// The alert.
    pub alert_id: AlertId,
    /// Stable name of entity and metric.
    pub fingerprint: Fingerprint,
    /// Whose.
    pub entity: EntityName,
    /// The metric.
    pub metric: String,
    /// What happened.
    pub kind: TransitionKind,
    /// Severity before, where it was firing.
    pub previous_severity: Option<Level>,
    /// Severity after.
    pub severity: Level,
    /// Calibrated probability of the condition.
    pub probability: f64,
    /// Risk score of the entity.
    pub risk_score: f64,
    /// When, by the clock.
    pub at_ms: i64,
    /// The forecast that was judged last: start of the newest bin it saw, ms since the epoch.
    pub origin_ms: i64,
    /// `argus`, or who acknowledged or retired.
    pub who: String,
    /// One sentence.
    pub why: String,
}

impl Transition {
    /// A step of `alert`, as it is after it; the database gives the number.
    pub(crate) fn new(
        alert: &Alert,
        kind: TransitionKind,
        previous_severity: Option<Level>,
        now_ms: i64,
        who: &str,
        why: &str,
    ) -> Self {
        Self {
            id: 0,
            alert_id: alert.id,
            fingerprint: alert.fingerprint.clone(),
            entity: alert.entity.clone(),
            metric: alert.metric.clone(),
            kind,
            previous_severity,
            severity: alert.severity,
            probability: alert.probability,
            risk_score: alert.risk_score,
            at_ms: now_ms,
            origin_ms: alert.origin_ms,
            who: who.to_owned(),
            why: why.to_owned(),
        }
    }
}

/// Which part of the history; newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryQuery {
    /// From this time on, inclusive, ms since the epoch.
    pub from_ms: i64,
    /// Up to this time, exclusive.
    pub to_ms: i64,
    /// Only this entity.
    pub entity: Option<EntityName>,
    /// Most rows; capped at [`HistoryQuery::MAX_ROWS`].
    pub limit: u32,
}

impl HistoryQuery {
    /// Most rows of one answer.
    pub const MAX_ROWS: u32 = 10_000;

    /// Everything in a span of time.
    pub fn between(from_ms: i64, to_ms: i64) -> Self {
        Self {
            from_ms,
            to_ms,
            entity: None,
            limit: Self::MAX_ROWS,
        }
    }
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self::between(i64::MIN, i64::MAX)
    }
}
