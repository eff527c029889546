//! Alertmanager's idea of an alert: labels that identify it, annotations that describe it, a start and an end.
//!
//! Labels must not change while an alert lives, or Alertmanager sees a second alert; everything that moves (level,
//! probability, values) is therefore an annotation. The severity is a label all the same, because that is what people
//! route by: when it changes, the alert with the old severity ends and one with the new begins.

use std::collections::BTreeMap;

use argus_plugin::time::rfc3339;
use argus_plugin::{Error, Notification};
use serde::Serialize;

/// What the sinks that speak Alertmanager let the operator set.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// Value of the label `alertname`; else the daemon's.
    pub alertname: Option<String>,
    /// Labels added to every alert. They never replace those that identify it.
    pub labels: BTreeMap<String, String>,
    /// How long an alert that names no end lives on after its newest notification, in seconds.
    pub hold_secs: u32,
}

impl AlertSettings {
    /// What types cannot say about settings.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |message: &str| Err(Error::new("invalid_config", message));
        if self.alertname.as_deref() == Some("") {
            return invalid("config.alertname must not be empty");
        }
        if self.hold_secs < 60 {
            return invalid("config.hold_secs must be at least 60");
        }
        Ok(())
    }
}

/// An alert as Alertmanager's API v2 takes it and its webhook gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// What identifies the alert.
    pub labels: BTreeMap<String, String>,
    /// What describes it.
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; ahead of now while the alert fires.
    pub ends_at: String,
    /// Where to look.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Whether it is over.
    #[serde(skip)]
    pub resolved: bool,
}

/// The severities an alert can have had before.
const SEVERITIES: [&str; 3] = ["critical", "warning", "degraded"];
const DEFAULT_ALERTNAME: &str = "ArgusForecastBreach";

/// The alerts that a notification is about, at the moment `now_ms`: one, and where the severity changed also those
/// that end with the old one. Ending an alert that Alertmanager does not know is harmless.
pub fn alerts(notification: &Notification, settings: &AlertSettings, now_ms: i64) -> Vec<Alert> {
    let mut alerts = vec![Alert::new(notification, settings, now_ms)];
    if notification.event == "severity_changed" {
        for severity in SEVERITIES
            .into_iter()
            .filter(|severity| *severity != notification.severity)
        {
            let mut old = notification.clone();
            old.severity = severity.to_owned();
            old.event = "resolved".to_owned();
            alerts.push(Alert::new(&old, settings, now_ms));
        }
    }
    alerts
}

impl Alert {
    fn new(notification: &Notification, settings: &AlertSettings, now_ms: i64) -> Self {
        let ends_at_ms = if notification.is_resolved() {
            // Late deliveries included: whatever the end was, it is over now.
            notification
                .ends_at_ms
                .map_or(now_ms, |end| end.min(now_ms))
        } else {
            // A retried notification may carry an end that has passed; the alert still fires.
            let held = now_ms.saturating_add(i64::from(settings.hold_secs) * 1000);
            notification
                .ends_at_ms
                .filter(|end| *end > now_ms)
                .unwrap_or(held)
        };
        Self {
            labels: labels(notification, settings),
            annotations: annotations(notification),
            starts_at: rfc3339(notification.started_at_ms.min(ends_at_ms)),
            ends_at: rfc3339(ends_at_ms),
            generator_url: notification.link.clone().unwrap_or_default(),
            resolved: notification.is_resolved(),
        }
    }

    /// The fingerprint that Alertmanager gives a label set: FNV-1a, 64 bits, over names and values in order, each
    /// ended by a byte 0xff (`LabelSet.Fingerprint` of prometheus/common).
    pub fn fingerprint(&self) -> String {
        let texts = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

fn labels(notification: &Notification, settings: &AlertSettings) -> BTreeMap<String, String> {
    let mut labels = settings.labels.clone();
    labels.insert("alertname".to_owned(), DEFAULT_ALERTNAME.to_owned());
    for (name, value) in &notification.labels {
        labels.insert(label_name(name), value.clone());
    }
    let identity = [
        ("alertname", settings.alertname.as_ref()),
        ("server", Some(&notification.entity)),
        ("metric", notification.metric.as_ref()),
        ("severity", Some(&notification.severity)),
        ("profile", Some(&notification.profile)),
    ];
    for (name, value) in identity {
        labels.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    // To Alertmanager a label without value is a label that is not there.
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// The daemon's own annotations, which have units, and what they lack.
fn annotations(notification: &Notification) -> BTreeMap<String, String> {
    let number =
        |value: Option<f64>| value.map(|value| format!("{}", (value * 1000.0).round() / 1000.0));
    let mut annotations: BTreeMap<String, String> = notification
        .annotations
        .iter()
        .map(|(name, value)| (label_name(name), value.clone()))
        .collect();
    for (name, value) in [
        ("summary", Some(notification.summary.clone())),
        ("level", Some(notification.level.clone())),
        ("probability", number(notification.probability)),
        ("threshold", number(notification.threshold)),
        ("current", number(notification.current_value)),
        (
            "expected_breach",
            notification.expected_breach_ms.map(rfc3339),
        ),
    ] {
        if let Some(value) = value {
            annotations.entry(name.to_owned()).or_insert(value);
        }
    }
    annotations
}

/// A name that Prometheus accepts (`[a-zA-Z_][a-zA-Z0-9_]*`).
fn label_name(name: &str) -> String {
    let mut legal: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if !legal.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        legal.insert(0, '_');
    }
    legal
}

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    fn settings() -> AlertSettings {
        let labels = BTreeMap::from([
            ("team".to_owned(), "ops".to_owned()),
            ("server".to_owned(), "x".to_owned()),
        ]);
        AlertSettings {
            alertname: None,
            labels,
            hold_secs: 600,
        }
    }

    #[test]
    fn the_identity_does_not_move() {
        let mut notification = testing::notification();
        let first = Alert::new(&notification, &settings(), 0);
        notification.event = "refresh".into();
        notification.level = "critical".into();
        notification.probability = Some(0.99);
        notification.annotations = vec![("threshold".into(), "95 %".into())];
        notification.updated_at_ms += 300_000;
        let second = Alert::new(&notification, &settings(), 300_000);
        assert_eq!(first.labels, second.labels);
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.starts_at, second.starts_at);
        assert_eq!(
            first.labels["server"], "db-01",
            "the operator's labels do not replace the identity"
        );
        assert_eq!(first.labels["condition"], "breach_8h");
        assert_eq!(first.labels["alertname"], "ArgusForecastBreach");
        assert_eq!(second.annotations["level"], "critical");
        assert_eq!(
            second.annotations["threshold"], "95 %",
            "the daemon knows the unit"
        );
    }

    #[test]
    fn the_operators_alertname_wins() {
        let mut notification = testing::notification();
        notification
            .labels
            .push(("alertname".into(), "Daemons".into()));
        let name = |settings: &AlertSettings| {
            Alert::new(&notification, settings, 0).labels["alertname"].clone()
        };
        assert_eq!(name(&settings()), "Daemons");
        assert_eq!(
            name(&AlertSettings {
                alertname: Some("Mine".into()),
                ..settings()
            }),
            "Mine"
        );
    }

    #[test]
    fn a_change_of_severity_ends_the_old_alert() {
        let mut notification = testing::notification();
        let now = notification.updated_at_ms;
        notification.severity = "warning".into();
        let before = alerts(&notification, &settings(), now);
        notification.severity = "critical".into();
        notification.event = "severity_changed".into();
        let after = alerts(&notification, &settings(), now);
        assert_eq!(before.len(), 1);
        assert!(!after[0].resolved && after[0].labels["severity"] == "critical");
        let ended = after
            .iter()
            .find(|alert| alert.labels == before[0].labels)
            .expect("the old alert");
        assert!(ended.resolved && ended.ends_at == rfc3339(now));
    }

    #[test]
    fn ends_are_ahead_while_firing_and_now_when_resolved() {
        let mut notification = testing::notification();
        let now = notification.updated_at_ms;
        let end =
            |notification: &Notification, now| Alert::new(notification, &settings(), now).ends_at;
        assert_eq!(
            end(&notification, now),
            rfc3339(now + 900_000),
            "as the daemon says"
        );
        assert_eq!(
            end(&notification, now + 5_000_000),
            rfc3339(now + 5_600_000),
            "a late retry still fires"
        );
        notification.ends_at_ms = None;
        assert_eq!(end(&notification, now), rfc3339(now + 600_000));
        notification.event = "resolved".into();
        assert_eq!(end(&notification, now), rfc3339(now));
        notification.ends_at_ms = Some(now + 60_000);
        assert_eq!(
            end(&notification, now),
            rfc3339(now),
            "a clock that runs ahead does not keep it alive"
        );
    }

    #[test]
    fn fingerprints_are_those_of_prometheus() {
        let labels = |pairs: &[(&str, &str)]| Alert {
            labels: pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            annotations: BTreeMap::new(),
            starts_at: String::new(),
            ends_at: String::new(),
            generator_url: String::new(),
            resolved: false,
        };
        // The empty set's fingerprint is FNV's offset basis.
        assert_eq!(labels(&[]).fingerprint(), "cbf29ce484222325");
        assert_ne!(
            labels(&[("a", "bc")]).fingerprint(),
            labels(&[("ab", "c")]).fingerprint()
        );
    }

    #[test]
    fn names_are_legal() {
        for (name, legal) in [
            ("ok_1", "ok_1"),
            ("9lives", "_9lives"),
            ("a-b.c", "a_b_c"),
            ("", "_"),
            ("ü", "_"),
        ] {
            assert_eq!(label_name(name), legal);
        }
    }
}
