//! What a function is given: the case's input laid over a sample.

use std::collections::BTreeMap;

use argus_plugin_host::{SinkNotification, Subject};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// 2026-02-03T04:05:06.789Z, the moment of all samples.
pub(super) const NOW_MS: i64 = 1_770_091_506_789;

/// What `deliver` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivery {
    pub notification: NotificationInput,
    pub idempotency_key: String,
}

/// A notification as cases write it: the WIT's fields, labels and annotations as objects.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotificationInput {
    id: String,
    fingerprint: String,
    event: String,
    severity: String,
    level: String,
    risk_score: Option<f64>,
    entity_kind: String,
    entity: String,
    profile: String,
    metric: Option<String>,
    unit: Option<String>,
    threshold: Option<f64>,
    probability: Option<f64>,
    current_value: Option<f64>,
    expected_breach_ms: Option<i64>,
    started_at_ms: i64,
    updated_at_ms: i64,
    ends_at_ms: Option<i64>,
    summary: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    link: Option<String>,
}

/// What `poll` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    pub checkpoint: Option<String>,
    pub max_records: u32,
}

/// What `explain` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    subject: SubjectInput,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectInput {
    entity: String,
    profile: String,
    target: String,
    step: u32,
    options: BTreeMap<String, String>,
}

/// The case's input over the sample, as a function's arguments. The error says which field is wrong.
pub(crate) fn read<T: DeserializeOwned>(mut sample: Value, input: &Value) -> Result<T, String> {
    lay_over(&mut sample, input);
    serde_path_to_error::deserialize(sample).map_err(|error| format!("input.{error}"))
}

fn lay_over(below: &mut Value, above: &Value) {
    match (below, above) {
        (_, Value::Null) => {}
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                match below.get_mut(name) {
                    Some(known) if value.is_object() => lay_over(known, value),
                    _ => {
                        below.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (below, above) => *below = above.clone(),
    }
}

/// A firing alert on `db-01`, with every field filled.
pub(crate) fn delivery_sample() -> Value {
    json!({
        "idempotency_key": "sample-key",
        "notification": {
            "id": "17",
            "fingerprint": "a1b2c3d4e5f60718",
            "event": "firing",
            "severity": "critical",
            "level": "warning",
            "risk_score": 71.5,
            "entity_kind": "server",
            "entity": "db-01",
            "profile": "database",
            "metric": "mem_used_pct",
            "unit": "%",
            "threshold": 95.0,
            "probability": 0.87,
            "current_value": 81.5,
            "expected_breach_ms": NOW_MS + 2 * 3_600_000,
            "started_at_ms": NOW_MS - 900_000,
            "updated_at_ms": NOW_MS,
            "ends_at_ms": NOW_MS + 900_000,
            "summary": "db-01: mem_used_pct reaches 95 % in 2 h (87 %)",
            "labels": { "condition": "breach_8h" },
            "annotations": { "drivers": "mem_used_pct, swap_used_pct, io_wait_pct" },
            "link": "http://argus.example/servers/db-01",
        },
    })
}

pub(super) fn poll_sample() -> Value {
    json!({ "checkpoint": null, "max_records": 1000 })
}

pub(super) fn explain_sample() -> Value {
    json!({
        "subject": { "entity": "db-01", "profile": "database", "target": "risk", "step": 0, "options": {} },
    })
}

impl From<NotificationInput> for SinkNotification {
    fn from(from: NotificationInput) -> Self {
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
            labels: from.labels.into_iter().collect(),
            annotations: from.annotations.into_iter().collect(),
            link: from.link,
        }
    }
}

impl From<Explain> for Subject {
    fn from(from: Explain) -> Self {
        Self {
            entity: from.subject.entity,
            profile: from.subject.profile,
            target: from.subject.target,
            step: from.subject.step,
            options: from.subject.options.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_laid_over_the_sample() {
        let input = json!({ "notification": { "event": "resolved", "metric": null, "labels": { "team": "ops" } } });
        let delivery: Delivery = read(delivery_sample(), &input).expect("fits");
        let notification = SinkNotification::from(delivery.notification);
        assert_eq!(notification.event, "resolved");
        assert_eq!(notification.entity, "db-01");
        assert_eq!(notification.metric, None);
        assert_eq!(notification.labels.len(), 2);
        assert_eq!(delivery.idempotency_key, "sample-key");
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let input = json!({ "notification": { "sumary": "x" } });
        let error = read::<Delivery>(delivery_sample(), &input).expect_err("misspelt");
        assert!(
            error.starts_with("input.notification.sumary: unknown field"),
            "{error}"
        );
    }
}
