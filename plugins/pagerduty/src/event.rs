//! Events of PagerDuty's Events API v2, within its limits: 1,024 characters of summary, 255 of `dedup_key`, 512 KB in
//! all.

use argus_formats::facts::find;
use argus_formats::text::shortened;
use argus_plugin::Notification;
use argus_plugin::time::rfc3339;
use serde_json::{Map, Value, json};

use crate::config::Config;

const SUMMARY: usize = 1024;
const DEDUP_KEY: usize = 255;
/// Where PagerDuty names no limit, its own interface shows no more.
const NAME: usize = 255;
/// Below PagerDuty's 512 KB, so that the key which the host fills in fits too.
const EVENT_BYTES: usize = 500_000;
/// Characters of a detail; fewer, where many details would make the event too large.
const DETAIL: usize = 10_000;

/// What happens to the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It begins, or goes on with new facts.
    Trigger,
    /// Somebody has it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Action::Trigger => "trigger",
            Action::Acknowledge => "acknowledge",
            Action::Resolve => "resolve",
        }
    }
}

/// The event, as bytes.
pub fn event(notification: &Notification, action: Action, config: &Config) -> Vec<u8> {
    let mut detail = DETAIL;
    loop {
        let body = build(notification, action, config, detail).to_string();
        if body.len() <= EVENT_BYTES || detail == 0 {
            return body.into_bytes();
        }
        detail /= 2;
    }
}

/// The incident's name: the same for all events of an alert. A new alert about the same condition has it too, which
/// PagerDuty takes for a new incident once the old one is resolved.
pub fn dedup_key(notification: &Notification, config: &Config) -> String {
    let key = format!("{}{}", config.dedup_prefix, notification.fingerprint);
    key.chars().take(DEDUP_KEY).collect()
}

fn build(notification: &Notification, action: Action, config: &Config, detail: usize) -> Value {
    let mut event = json!({
        "routing_key": format!("{{{{secret:{}}}}}", config.routing_key),
        "event_action": action.as_str(),
        "dedup_key": dedup_key(notification, config),
    });
    if action != Action::Trigger {
        return event;
    }
    event["payload"] = payload(notification, config, detail);
    event["client"] = config.client.as_str().into();
    if let Some(url) = notification.link.as_deref().filter(|url| is_url(url)) {
        event["client_url"] = url.into();
    }
    let links = links(notification);
    if !links.is_empty() {
        event["links"] = links.into();
    }
    event
}

fn payload(notification: &Notification, config: &Config, detail: usize) -> Value {
    let n = notification;
    let severity = match n.event.as_str() {
        "test" => "info",
        _ => config.severity(&n.severity),
    };
    let mut payload = json!({
        "summary": text(&n.summary, SUMMARY),
        "source": text(&n.entity, NAME),
        "severity": severity,
        "timestamp": rfc3339(n.started_at_ms),
        "class": text(find(&n.labels, "alertname").unwrap_or("forecast"), NAME),
        "custom_details": details(n, detail),
    });
    for (name, value) in [
        ("component", n.metric.as_deref()),
        ("group", Some(&*n.profile)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            payload[name] = text(value, NAME).into();
        }
    }
    payload
}

/// Most details of an event.
const MAX_DETAILS: usize = 64;

fn details(n: &Notification, limit: usize) -> Map<String, Value> {
    let own = [
        ("level", Some(Value::from(n.level.as_str()))),
        ("risk_score", n.risk_score.map(Value::from)),
        ("probability", n.probability.map(Value::from)),
        ("threshold", n.threshold.map(Value::from)),
        ("current", n.current_value.map(Value::from)),
        ("unit", n.unit.as_deref().map(Value::from)),
        (
            "expected_breach",
            n.expected_breach_ms.map(|ms| rfc3339(ms).into()),
        ),
        ("updated_at", Some(rfc3339(n.updated_at_ms).into())),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    // The daemon's texts win: they have units.
    let told = n.labels.iter().chain(&n.annotations).map(|(name, value)| {
        let value = shortened(value, limit, |_| 1);
        (text(name, 100), Value::from(value))
    });
    let mut details = Map::new();
    for (name, value) in own.chain(told) {
        if details.len() < MAX_DETAILS || details.contains_key(&name) {
            details.insert(name, value);
        }
    }
    details
}

fn links(notification: &Notification) -> Vec<Value> {
    let own = notification.link.as_deref().map(|url| ("Argus", url));
    let others = notification
        .annotations
        .iter()
        .filter_map(|(name, url)| Some((name.strip_suffix("_url")?, url.as_str())));
    own.into_iter()
        .chain(others)
        .filter(|(_, url)| is_url(url))
        .take(10)
        .map(|(name, url)| json!({ "href": url, "text": text(&name.replace('_', " "), NAME) }))
        .collect()
}

fn is_url(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.len() <= 2048
        && url.chars().all(|c| c.is_ascii_graphic())
}

/// One line, never empty.
fn text(text: &str, limit: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match clean.trim() {
        "" => "–".to_owned(),
        clean => shortened(clean, limit, char::len_utf16),
    }
}
