//! What a sink is told.

use std::collections::BTreeMap;

use argus_fleet::Level;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertId, AlertState, Fingerprint};
use crate::config::AlertConfig;
use crate::text;

/// Why a notification was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The alert began.
    Firing,
    /// It goes on; nothing new. Only for receivers that forget.
    Refresh,
    /// It goes on with another severity.
    SeverityChanged,
    /// It goes on, but somebody has taken it on.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Event {
    /// `firing`, `refresh`, `severity_changed`, `acknowledged` or `resolved`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Refresh => "refresh",
            Self::SeverityChanged => "severity_changed",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// One message about one alert: plain data, stored as JSON in the outbox. Values are in the metric's unit, times ms
/// since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Number of the alert.
    pub id: AlertId,
    /// Stable name of entity and metric.
    pub fingerprint: Fingerprint,
    /// Why this was sent.
    pub event: Event,
    /// `critical` or `warning`.
    pub severity: Level,
    /// Full name of the entity.
    pub entity: String,
    /// Its profile id.
    pub profile: String,
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// The threshold that is passed.
    pub threshold: f64,
    /// Whether values below it are the bad ones.
    pub below: bool,
    /// Calibrated probability within the horizon.
    pub probability: f64,
    /// Newest observed value.
    pub current: Option<f64>,
    /// Most extreme value of the median forecast.
    pub predicted_peak: Option<f64>,
    /// Whether the threshold is passed now.
    pub in_breach: bool,
    /// When it is expected to be passed.
    pub expected_breach_ms: Option<i64>,
    /// The same in minutes after the newest observed bin.
    pub minutes_ahead: Option<f64>,
    /// Risk score of the entity.
    pub risk_score: f64,
    /// When the alert fired.
    pub started_at_ms: i64,
    /// When this was written.
    pub updated_at_ms: i64,
    /// Firing: a time ahead, moved on by each refresh, after which a receiver may take the alert for over. Resolved:
    /// when it ended.
    pub ends_at_ms: i64,
    /// Whether it fired and resolved repeatedly of late.
    pub flapping: bool,
    /// Who has acknowledged it.
    pub acknowledged_by: Option<String>,
    /// One sentence for people.
    pub summary: String,
    /// Stable over the life of the alert: `alertname server metric profile`.
    pub labels: BTreeMap<String, String>,
    /// Numbers as people read them; differ from message to message.
    pub annotations: BTreeMap<String, String>,
    /// Where to look.
    pub link: Option<String>,
}

impl Notification {
    pub(crate) fn new(
        alert: &Alert,
        event: Event,
        reason: &str,
        now_ms: i64,
        config: &AlertConfig,
    ) -> Self {
        let ends_at_ms = match alert.state {
            AlertState::Resolved => alert.resolved_at_ms.unwrap_or(now_ms),
            AlertState::Pending | AlertState::Firing => {
                now_ms.saturating_add(config.ends_after_ms())
            }
        };
        Self {
            id: alert.id,
            fingerprint: alert.fingerprint.clone(),
            event,
            severity: alert.severity,
            entity: alert.entity.to_string(),
            profile: alert.profile.clone(),
            metric: alert.metric.clone(),
            unit: alert.unit.clone(),
            threshold: alert.threshold,
            below: alert.below,
            probability: alert.probability,
            current: alert.current,
            predicted_peak: alert.predicted_peak,
            in_breach: alert.in_breach,
            expected_breach_ms: alert.expected_breach_ms,
            minutes_ahead: alert.minutes_ahead,
            risk_score: alert.risk_score,
            started_at_ms: alert.started_at_ms.unwrap_or(now_ms),
            updated_at_ms: now_ms,
            ends_at_ms,
            flapping: alert.flaps > 0,
            acknowledged_by: alert.acknowledged.as_ref().map(|a| a.who.clone()),
            summary: text::summary(alert, event, reason),
            labels: labels(alert),
            annotations: text::annotations(alert, event, reason),
            link: config
                .link_base
                .as_deref()
                .map(|base| text::link(base, alert.entity.as_str())),
        }
    }
}

/// What identifies an alert to people and their rules.
pub(crate) fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([
        label("alertname", "ArgusForecastBreach"),
        label("server", alert.entity.as_str()),
        label("metric", &alert.metric),
        label("profile", &alert.profile),
    ])
}
