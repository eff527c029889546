//! What a sink carries.

use crate::time::rfc3339;

/// One alert's transition, or its refresh. Times are milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Notification {
    /// Unique to this notification; the same on every attempt to deliver it.
    pub id: String,
    /// The alert: the same for all notifications of one entity and condition, as long as the alert lives.
    pub fingerprint: String,
    /// `firing`, `refresh` (still firing), `severity_changed` (still firing), `acknowledged` (still firing, but
    /// somebody has taken it on), `resolved`, or `test` (an operator tries the sink). Treat a word you do not know as
    /// `refresh`.
    pub event: String,
    /// What the alert is worth: `critical`, `warning` or `degraded`. A change is told as `severity_changed`.
    pub severity: String,
    /// The entity's risk level now: `critical`, `warning`, `degraded` or `healthy`.
    pub level: String,
    /// The entity's risk score now, 0 to 100.
    pub risk_score: Option<f64>,
    /// What the entity is: `server` or `endpoint`.
    pub entity_kind: String,
    /// Whose alert it is, e.g. a server's name.
    pub entity: String,
    /// The entity's profile, e.g. `database`.
    pub profile: String,
    /// The metric that breaches, e.g. `cpu_user_pct`; none for a condition on the whole entity.
    pub metric: Option<String>,
    /// The metric's unit, e.g. `%`.
    pub unit: Option<String>,
    /// The limit that is, or will be, crossed, in the metric's unit.
    pub threshold: Option<f64>,
    /// Probability of the breach within the horizon, 0 to 1.
    pub probability: Option<f64>,
    /// The metric's newest value, in its unit.
    pub current_value: Option<f64>,
    /// When the breach is expected (the median of the forecast); in the past where it has begun.
    pub expected_breach_ms: Option<i64>,
    /// When the alert began to fire.
    pub started_at_ms: i64,
    /// When this notification was made.
    pub updated_at_ms: i64,
    /// When the alert is over unless refreshed before; for `resolved`, when it ended.
    pub ends_at_ms: Option<i64>,
    /// One line for people.
    pub summary: String,
    /// Stable facts to group and route by, beyond those above.
    pub labels: Vec<(String, String)>,
    /// Facts that change from notification to notification.
    pub annotations: Vec<(String, String)>,
    /// Where to look, e.g. the dashboard's page of the entity.
    pub link: Option<String>,
}

impl Notification {
    /// Whether the alert is over.
    pub fn is_resolved(&self) -> bool {
        self.event == "resolved"
    }

    /// A JSON object with all fields: `*_ms` become RFC 3339 texts without the suffix, pairs become objects, and what
    /// is unknown is null.
    pub fn to_json(&self) -> serde_json::Value {
        let pairs = |list: &[(String, String)]| {
            let entries = list
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()));
            serde_json::Value::Object(entries.collect())
        };
        serde_json::json!({
            "id": self.id,
            "fingerprint": self.fingerprint,
            "event": self.event,
            "severity": self.severity,
            "level": self.level,
            "risk_score": self.risk_score,
            "entity_kind": self.entity_kind,
            "entity": self.entity,
            "profile": self.profile,
            "metric": self.metric,
            "unit": self.unit,
            "threshold": self.threshold,
            "probability": self.probability,
            "current_value": self.current_value,
            "expected_breach": self.expected_breach_ms.map(rfc3339),
            "started_at": rfc3339(self.started_at_ms),
            "updated_at": rfc3339(self.updated_at_ms),
            "ends_at": self.ends_at_ms.map(rfc3339),
            "summary": self.summary,
            "labels": pairs(&self.labels),
            "annotations": pairs(&self.annotations),
            "link": self.link,
        })
    }
}

#[cfg(target_arch = "wasm32")]
impl From<crate::bindings::sink::exports::argus::plugin::delivery::Notification> for Notification {
    fn from(from: crate::bindings::sink::exports::argus::plugin::delivery::Notification) -> Self {
        use crate::pair::from_pairs;

        Self {
            id: from.id,
            fingerprint: from.fingerprint,
            event: from.event,
            severity: from.severity,
            level: from.level,
            risk_score: from.risk_score,
            entity_kind: from.entity_kind,
            entity: from.entity,
            profile: from.profile,
            metric: from.metric,
            unit: from.unit,
            threshold: from.threshold,
            probability: from.probability,
            current_value: from.current_value,
            expected_breach_ms: from.expected_breach_ms,
            started_at_ms: from.started_at_ms,
            updated_at_ms: from.updated_at_ms,
            ends_at_ms: from.ends_at_ms,
            summary: from.summary,
            labels: from_pairs(from.labels),
            annotations: from_pairs(from.annotations),
            link: from.link,
        }
    }
}
