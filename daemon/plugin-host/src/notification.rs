//! What a sink is given, as plain data. Mirrors `delivery.notification` of the WIT package, where each field is
//! documented for plugin authors.

/// One alert's transition, or its refresh. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SinkNotification {
    /// Unique to this notification; the same on every attempt.
    pub id: String,
    /// The alert; the same as long as it lives.
    pub fingerprint: String,
    /// `firing`, `refresh`, `severity_changed`, `acknowledged`, `resolved` or `test`.
    pub event: String,
    /// What the alert is worth: `critical`, `warning`, `degraded`.
    pub severity: String,
    /// The entity's risk level now.
    pub level: String,
    /// The entity's risk score now, 0 to 100.
    pub risk_score: Option<f64>,
    /// What the entity is: `server` or `endpoint`.
    pub entity_kind: String,
    /// Whose alert it is.
    pub entity: String,
    /// The entity's profile.
    pub profile: String,
    /// The metric that breaches; none for a condition on the whole entity.
    pub metric: Option<String>,
    /// The metric's unit, e.g. `%`.
    pub unit: Option<String>,
    /// The limit, in the metric's unit.
    pub threshold: Option<f64>,
    /// Probability of the breach within the horizon, 0 to 1.
    pub probability: Option<f64>,
    /// The metric's newest value, in its unit.
    pub current_value: Option<f64>,
    /// When the breach is expected.
    pub expected_breach_ms: Option<i64>,
    /// When the alert began to fire.
    pub started_at_ms: i64,
    /// When this notification was made.
    pub updated_at_ms: i64,
    /// When the alert is over unless refreshed before; for `resolved`, when it ended.
    pub ends_at_ms: Option<i64>,
    /// One line for people.
    pub summary: String,
    /// Stable facts to group and route by.
    pub labels: Vec<(String, String)>,
    /// Facts that change from notification to notification.
    pub annotations: Vec<(String, String)>,
    /// Where to look.
    pub link: Option<String>,
}

impl SinkNotification {
    /// What an operator's trial of a sink delivers.
    pub fn test(now_ms: i64) -> Self {
        Self {
            id: format!("test-{now_ms}"),
            fingerprint: "argus-test".into(),
            event: "test".into(),
            severity: "warning".into(),
            level: "healthy".into(),
            entity_kind: "server".into(),
            entity: "argus-test".into(),
            profile: "generic".into(),
            started_at_ms: now_ms,
            updated_at_ms: now_ms,
            ends_at_ms: Some(now_ms),
            summary: "Test notification from Argus: this sink works".into(),
            ..Self::default()
        }
    }
}

/// The far side took the notification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the far side calls it, where it said so.
    pub remote_id: Option<String>,
    /// A remark for the delivery's history.
    pub message: Option<String>,
}
