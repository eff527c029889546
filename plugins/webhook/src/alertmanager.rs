//! The body that Alertmanager posts to webhooks, version 4: one group of the alerts that a notification is about, so
//! that receivers written for Alertmanager understand Argus.

use std::collections::BTreeMap;

use argus_formats::{Alert, alerts};
use argus_plugin::{Error, Notification};
use serde_json::{Value, json};

use crate::config::Config;

/// What Alertmanager writes for a time that is not known: Go's zero time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The body.
pub fn body(notification: &Notification, config: &Config, now_ms: i64) -> Result<Value, Error> {
    let alerts = alerts(notification, &config.alert_settings(), now_ms);
    let alertname = alerts[0]
        .labels
        .get("alertname")
        .cloned()
        .unwrap_or_default();
    let all_resolved = alerts.iter().all(|alert| alert.resolved);
    Ok(json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={alertname:?}}}"),
        "truncatedAlerts": 0,
        "status": status(all_resolved),
        "receiver": config.receiver,
        "groupLabels": { "alertname": alertname },
        "commonLabels": common(&alerts, |alert| &alert.labels),
        "commonAnnotations": common(&alerts, |alert| &alert.annotations),
        "externalURL": notification.link.as_deref().map(origin).unwrap_or_default(),
        "alerts": alerts.iter().map(member).collect::<Result<Vec<_>, _>>()?,
    }))
}

fn member(alert: &Alert) -> Result<Value, Error> {
    let mut member = serde_json::to_value(alert)?;
    member["status"] = status(alert.resolved).into();
    member["fingerprint"] = alert.fingerprint().into();
    if !alert.resolved {
        member["endsAt"] = NO_TIME.into();
    }
    Ok(member)
}

fn status(resolved: bool) -> &'static str {
    if resolved { "resolved" } else { "firing" }
}

/// The pairs that all alerts share.
fn common(
    alerts: &[Alert],
    pairs: fn(&Alert) -> &BTreeMap<String, String>,
) -> BTreeMap<&String, &String> {
    let shared = |(name, value): &(&String, &String)| {
        alerts
            .iter()
            .all(|alert| pairs(alert).get(*name) == Some(*value))
    };
    pairs(&alerts[0]).iter().filter(shared).collect()
}

/// Scheme and host of a URL.
fn origin(url: &str) -> &str {
    let host_start = url.find("://").map_or(0, |i| i + 3);
    let host_end = url[host_start..]
        .find('/')
        .map_or(url.len(), |i| host_start + i);
    &url[..host_end]
}
