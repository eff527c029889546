//! Sinks: they carry notifications somewhere else.
//!
//! [`SinkNotification`] mirrors `delivery.notification` of the WIT package, where each field is documented for plugin
//! authors.

use wasmtime::Store;

use super::disarm::disarmed;
use super::{Exports, Outcome, Task, not_this_kind};
use crate::bindings::argus::plugin::types::Pair;
use crate::bindings::sink::exports::argus::plugin::delivery;
use crate::call::{CallState, MAX_TEXT_CHARS, readable};
use crate::errors::PluginError;
use crate::plugin::Plugin;

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

impl Plugin {
    /// Carries one notification. Only for sinks.
    pub async fn deliver(
        &self,
        notification: &SinkNotification,
        idempotency_key: &str,
    ) -> Result<Receipt, PluginError> {
        self.call(Deliver {
            notification: to_wit(notification),
            idempotency_key: idempotency_key.to_owned(),
        })
        .await
    }
}

struct Deliver {
    notification: delivery::Notification,
    idempotency_key: String,
}

impl Task for Deliver {
    type Answer = Receipt;

    async fn perform(self, store: &mut Store<CallState>, exports: &Exports) -> Outcome<Receipt> {
        let Exports::Sink(plugin) = exports else {
            return not_this_kind();
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        let receipt = instance
            .argus_plugin_delivery()
            .call_deliver(store, &self.notification, &self.idempotency_key)
            .await?;
        let text = |text: String| readable(&text, MAX_TEXT_CHARS);
        Ok(receipt.map(|receipt| Receipt {
            remote_id: receipt.remote_id.map(text),
            message: receipt.message.map(text),
        }))
    }
}

/// Texts of a notification come from outside (a server's name, say): placeholders in them are broken.
fn to_wit(from: &SinkNotification) -> delivery::Notification {
    let text = |text: &String| disarmed(text.clone());
    let optional = |value: &Option<String>| value.as_ref().map(text);
    let pairs = |list: &[(String, String)]| {
        list.iter()
            .map(|(name, value)| Pair {
                name: text(name),
                value: text(value),
            })
            .collect()
    };
    delivery::Notification {
        id: text(&from.id),
        fingerprint: text(&from.fingerprint),
        event: text(&from.event),
        severity: text(&from.severity),
        level: text(&from.level),
        risk_score: from.risk_score,
        entity_kind: text(&from.entity_kind),
        entity: text(&from.entity),
        profile: text(&from.profile),
        metric: optional(&from.metric),
        unit: optional(&from.unit),
        threshold: from.threshold,
        probability: from.probability,
        current_value: from.current_value,
        expected_breach_ms: from.expected_breach_ms,
        started_at_ms: from.started_at_ms,
        updated_at_ms: from.updated_at_ms,
        ends_at_ms: from.ends_at_ms,
        summary: text(&from.summary),
        labels: pairs(&from.labels),
        annotations: pairs(&from.annotations),
        link: optional(&from.link),
    }
}
