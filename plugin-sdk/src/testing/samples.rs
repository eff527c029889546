//! Plugins made from settings, and plain records to give them.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::explainer::Explainer;
use crate::incidents::Incident;
use crate::investigator::Investigator;
use crate::notification::Notification;
use crate::remediation::Remediation;
use crate::settings;
use crate::sink::Sink;
use crate::source::Source;

/// A sink made from settings, the way the host makes it.
pub fn sink<S: Sink>(config: serde_json::Value) -> Result<S, Error> {
    S::new(settings::parse(&config.to_string())?)
}

/// A source made from settings, the way the host makes it.
pub fn source<S: Source>(config: serde_json::Value) -> Result<S, Error> {
    S::new(settings::parse(&config.to_string())?)
}

/// An explainer made from settings, the way the host makes it.
pub fn explainer<E: Explainer>(config: serde_json::Value) -> Result<E, Error> {
    E::new(settings::parse(&config.to_string())?)
}

/// A remediation made from settings, the way the host makes it.
pub fn remediation<R: Remediation>(config: serde_json::Value) -> Result<R, Error> {
    R::new(settings::parse(&config.to_string())?)
}

/// An investigator made from settings, the way the host makes it.
pub fn investigator<I: Investigator>(config: serde_json::Value) -> Result<I, Error> {
    I::new(settings::parse(&config.to_string())?)
}

/// 2026-02-03T04:05:06.789Z.
pub(super) const NOW_MS: i64 = 1_770_091_506_789;

/// A notification with every field filled: a firing alert on `db-01`.
pub fn notification() -> Notification {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Notification {
        id: "01J0000000000000000000000".into(),
        fingerprint: "a1b2c3d4e5f60718".into(),
        event: "firing".into(),
        severity: "critical".into(),
        level: "warning".into(),
        risk_score: Some(71.5),
        entity_kind: "server".into(),
        entity: "db-01".into(),
        profile: "database".into(),
        metric: Some("mem_used_pct".into()),
        unit: Some("%".into()),
        threshold: Some(95.0),
        probability: Some(0.87),
        current_value: Some(81.5),
        expected_breach_ms: Some(NOW_MS + 2 * 3_600_000),
        started_at_ms: NOW_MS - 900_000,
        updated_at_ms: NOW_MS,
        ends_at_ms: Some(NOW_MS + 900_000),
        summary: "db-01: mem_used_pct reaches 95 % in 2 h (87 %)".into(),
        labels: vec![pair("condition", "breach_8h")],
        annotations: vec![pair("drivers", "mem_used_pct, swap_used_pct, io_wait_pct")],
        link: Some("http://argus.example/servers/db-01".into()),
    }
}

/// An open alert on `db-01`.
pub fn incident() -> Incident {
    Incident {
        id: "incident-1".into(),
        kind: "alert".into(),
        state: "open".into(),
        severity: "critical".into(),
        entity: "db-01".into(),
        profile: "database".into(),
        metric: Some("mem_used_pct".into()),
        started_at_ms: NOW_MS - 900_000,
        updated_at_ms: NOW_MS,
        ended_at_ms: None,
        summary: "db-01: mem_used_pct reaches 95 % in 2 h (87 %)".into(),
    }
}

/// Checks a JSON Schema of settings against their type: every property the schema names must be one the type knows.
///
/// # Panics
/// If it is not.
pub fn check_config_schema<C: DeserializeOwned>(schema: &str) {
    let schema: serde_json::Value = serde_json::from_str(schema).expect("the schema is no JSON");
    let properties = schema["properties"]
        .as_object()
        .expect("the schema has no properties");
    for name in properties.keys() {
        let only = serde_json::json!({ name: null });
        if let Err(error) = serde_json::from_value::<C>(only) {
            assert!(
                !error.to_string().contains("unknown field"),
                "the type has no setting {name:?}"
            );
        }
    }
}
