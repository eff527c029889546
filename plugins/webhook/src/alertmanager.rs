//! The body that Alertmanager posts to webhooks, version 4: one group holding one alert, so that receivers written
//! for Alertmanager understand Argus.

use argus_formats::Alert;
use argus_plugin::{Error, Notification};
use serde_json::{Value, json};

use crate::config::Config;

/// What Alertmanager writes for a time that is not known: Go's zero time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The body.
pub fn body(notification: &Notification, config: &Config, now_ms: i64) -> Result<Value, Error> {
    let mut alert = Alert::new(notification, &config.alert_settings(), now_ms);
    let status = if notification.is_resolved() {
        "resolved"
    } else {
        "firing"
    };
    if status == "firing" {
        alert.ends_at = NO_TIME.into();
    }
    let alertname = &config.alertname;
    let mut member = serde_json::to_value(&alert)?;
    member["status"] = status.into();
    member["fingerprint"] = alert.fingerprint().into();
    Ok(json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={alertname:?}}}"),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": config.receiver,
        "groupLabels": { "alertname": alertname },
        "commonLabels": alert.labels,
        "commonAnnotations": alert.annotations,
        "externalURL": notification.link.as_deref().map(origin).unwrap_or_default(),
        "alerts": [member],
    }))
}

/// Scheme and host of a URL.
fn origin(url: &str) -> &str {
    let host_start = url.find("://").map_or(0, |i| i + 3);
    let host_end = url[host_start..]
        .find('/')
        .map_or(url.len(), |i| host_start + i);
    &url[..host_end]
}
