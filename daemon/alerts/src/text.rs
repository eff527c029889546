//! What people read.

use std::collections::BTreeMap;

use crate::alert::Alert;
use crate::notification::Event;

/// One sentence.
pub(crate) fn summary(alert: &Alert, event: Event, reason: &str) -> String {
    let metric = metric_name(&alert.metric);
    let entity = &alert.entity;
    if event == Event::Resolved {
        return format!("{entity}: {metric} resolved ({reason})");
    }
    let threshold = shown(alert, alert.threshold);
    if alert.in_breach {
        let now = alert
            .current
            .map_or_else(String::new, |v| format!(", now {}", shown(alert, v)));
        return format!("{entity}: {metric} is past {threshold}{now}");
    }
    let when = alert.minutes_ahead.map_or_else(
        || "within the horizon".to_owned(),
        |minutes| format!("in {}", duration(minutes)),
    );
    let now = alert
        .current
        .map_or_else(String::new, |v| format!(", now {}", shown(alert, v)));
    format!(
        "{entity}: {metric} expected to pass {threshold} {when} (probability {}{now})",
        percent(alert.probability)
    )
}

/// The numbers as text.
pub(crate) fn annotations(alert: &Alert, event: Event, reason: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::from([
        ("summary".to_owned(), summary(alert, event, reason)),
        ("reason".to_owned(), reason.to_owned()),
        ("threshold".to_owned(), shown(alert, alert.threshold)),
        ("probability".to_owned(), percent(alert.probability)),
        ("risk_score".to_owned(), format!("{:.1}", alert.risk_score)),
    ]);
    let mut add =
        |name: &str, text: Option<String>| texts.extend(text.map(|t| (name.to_owned(), t)));
    add("current", alert.current.map(|v| shown(alert, v)));
    add(
        "predicted_peak",
        alert.predicted_peak.map(|v| shown(alert, v)),
    );
    add("time_to_breach", alert.minutes_ahead.map(duration));
    add(
        "acknowledged_by",
        alert.acknowledged.as_ref().map(|a| a.who.clone()),
    );
    texts
}

/// `{base}/?server={name}`, the name percent-encoded.
pub(crate) fn link(base: &str, entity: &str) -> String {
    use std::fmt::Write;
    let mut link = format!("{}/?server=", base.trim_end_matches('/'));
    for byte in entity.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(link, "%{byte:02X}");
        }
    }
    link
}

pub(crate) fn percent(probability: f64) -> String {
    format!("{:.0} %", probability * 100.0)
}

/// People are always shown CPU used, never idle.
const IDLE: &str = "cpu_idle_pct";

fn metric_name(metric: &str) -> String {
    match metric {
        IDLE => "CPU used".to_owned(),
        "cpu_iowait_pct" => "CPU iowait".to_owned(),
        "mem_used_pct" => "memory used".to_owned(),
        "disk_usage_pct" => "disk used".to_owned(),
        other => other.trim_end_matches("_pct").replace('_', " "),
    }
}

fn shown(alert: &Alert, value: f64) -> String {
    let value = if alert.metric == IDLE {
        100.0 - value
    } else {
        value
    };
    // One decimal, dropped where it says nothing.
    let number = format!("{value:.1}");
    let number = number.strip_suffix(".0").unwrap_or(&number);
    if alert.unit.is_empty() {
        number.to_owned()
    } else {
        format!("{number} {}", alert.unit)
    }
}

fn duration(minutes: f64) -> String {
    let minutes = minutes.round();
    if minutes < 90.0 {
        return format!("{minutes} min");
    }
    let (hours, rest) = ((minutes / 60.0).floor(), minutes % 60.0);
    if rest == 0.0 {
        format!("{hours} h")
    } else {
        format!("{hours} h {rest} min")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_links_read_well() {
        assert_eq!(
            [5.0, 45.0, 89.6, 120.0, 135.0].map(duration),
            ["5 min", "45 min", "1 h 30 min", "2 h", "2 h 15 min"]
        );
        assert_eq!(
            link("http://a:8000/", "db 1/ä&x"),
            "http://a:8000/?server=db%201%2F%C3%A4%26x"
        );
    }
}
