//! A notification as Block Kit blocks, within Slack's limits: 50 blocks, 150 characters in a header, 3,000 in a
//! section, 10 fields of 2,000, 75 on a button, 3,000 in its URL.

use argus_formats::facts::{FactValue, facts, find, lasted};
use argus_plugin::Notification;
use argus_plugin::time::rfc3339;
use serde_json::{Value, json};

use crate::text::{escaped, local_time, one_line};

const HEADER: usize = 150;
const SECTION: usize = 3000;
const FIELD: usize = 2000;
const FIELDS: usize = 10;
const BUTTON: usize = 75;
const URL: usize = 3000;
/// Slack asks for less than 4,000 in the text that notifications on a phone show.
const FALLBACK: usize = 3000;

/// The alert's own message, as things stand now.
pub fn blocks(notification: &Notification) -> Vec<Value> {
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "emoji": true, "text": headline(notification, HEADER) },
    })];
    if let Some(description) = find(&notification.annotations, "description") {
        blocks.push(section(&escaped(description, SECTION)));
    }
    let mut fields = Vec::new();
    for fact in facts(notification).into_iter().take(FIELDS) {
        let value = match fact.value {
            FactValue::Text(text) => escaped(&text, FIELD - 100),
            FactValue::Time(ms) => local_time(ms, &rfc3339(ms)),
        };
        fields.push(mrkdwn(&format!("*{}*\n{value}", fact.name)));
    }
    blocks.push(json!({ "type": "section", "fields": fields }));
    if let Some(drivers) = find(&notification.annotations, "drivers") {
        blocks.push(section(&format!(
            "*Drivers*\n{}",
            escaped(drivers, SECTION - 20)
        )));
    }
    if let Some(who) = find(&notification.annotations, "acknowledged_by") {
        blocks.push(section(&format!(
            "👀 Acknowledged by {}",
            escaped(who, 500)
        )));
    }
    blocks.extend(buttons(notification));
    blocks.push(json!({
        "type": "context",
        "elements": [mrkdwn(&format!(
            "Argus · {} · updated {}",
            escaped(&notification.fingerprint, 100),
            local_time(notification.updated_at_ms, &rfc3339(notification.updated_at_ms)),
        ))],
    }));
    blocks
}

/// What a new alert begins with where somebody is to be called.
pub fn mention(text: &str) -> Value {
    section(text)
}

/// What the thread is told of a change.
pub fn reply(notification: &Notification) -> Vec<Value> {
    vec![section(&reply_text(notification))]
}

/// The same in plain text.
pub fn reply_text(notification: &Notification) -> String {
    let summary = escaped(&notification.summary, SECTION - 1000);
    match notification.event.as_str() {
        "resolved" => format!("✅ *Resolved* after {}: {summary}", lasted(notification)),
        "severity_changed" => format!(
            "{} Severity is now *{}*: {summary}",
            emoji(notification),
            escaped(&notification.severity, 50)
        ),
        "acknowledged" => {
            let who = find(&notification.annotations, "acknowledged_by").unwrap_or("somebody");
            let note = find(&notification.annotations, "reason")
                .filter(|note| *note != "acknowledged")
                .map(|note| format!(": {}", escaped(note, 1000)));
            let note = note.unwrap_or_default();
            format!("👀 Acknowledged by *{}*{note}", escaped(who, 300))
        }
        _ => summary,
    }
}

/// What a notification on a phone, or a screen reader, says.
pub fn fallback(notification: &Notification) -> String {
    headline(notification, FALLBACK)
}

fn headline(notification: &Notification, limit: usize) -> String {
    let emoji = emoji(notification);
    one_line(&format!("{emoji} {}", notification.summary), limit)
}

fn emoji(notification: &Notification) -> &'static str {
    match (notification.event.as_str(), notification.severity.as_str()) {
        ("resolved", _) => "✅",
        ("test", _) => "ℹ️",
        (_, "critical") => "🚨",
        (_, "warning") => "⚠️",
        _ => "🔶",
    }
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn(text) })
}

fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text })
}

/// Links as buttons: the alert's own, and whatever annotation is called `…_url`, by its name.
fn buttons(notification: &Notification) -> Option<Value> {
    let own = notification
        .link
        .as_deref()
        .map(|url| ("Open in Argus", url));
    let others = notification.annotations.iter().filter_map(|(name, url)| {
        let name = name.strip_suffix("_url")?;
        Some((name, url.as_str()))
    });
    let elements: Vec<Value> = own
        .into_iter()
        .chain(others)
        .filter(|(_, url)| is_url(url))
        .take(5)
        .enumerate()
        .map(|(i, (name, url))| {
            json!({
                "type": "button",
                "action_id": format!("open_{i}"),
                "text": { "type": "plain_text", "text": one_line(&name.replace('_', " "), BUTTON) },
                "url": url,
            })
        })
        .collect();
    (!elements.is_empty()).then(|| json!({ "type": "actions", "elements": elements }))
}

/// Slack refuses the whole message for one bad URL.
fn is_url(url: &str) -> bool {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| host.starts_with(|c: char| c.is_alphanumeric() || c == '['))
        && url.len() <= URL
        && url
            .chars()
            .all(|c| c.is_ascii_graphic() && !"<>\"".contains(c))
}
