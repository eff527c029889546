//! What a notification knows, name by name, for people.

use argus_plugin::Notification;
use argus_plugin::time::rfc3339;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// A short name, e.g. `Threshold`.
    pub name: &'static str,
    /// What it is.
    pub value: FactValue,
}

/// A fact's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// Text.
    Text(String),
    /// A time, in milliseconds since the Unix epoch; services show it in the reader's own zone where they can.
    Time(i64),
}

impl FactValue {
    /// As text, times in UTC.
    pub fn to_text(&self) -> String {
        match self {
            FactValue::Text(text) => text.clone(),
            FactValue::Time(ms) => rfc3339(*ms),
        }
    }
}

/// The facts that are known, most wanted first.
pub fn facts(notification: &Notification) -> Vec<Fact> {
    let n = notification;
    let text = |text: &str| (!text.is_empty()).then(|| FactValue::Text(text.to_owned()));
    // The daemon's own texts come with units, and say "CPU used" where the metric is "CPU idle".
    let number = |annotation: &str, raw: Option<f64>| {
        let told = find(&n.annotations, annotation).map(str::to_owned);
        told.or_else(|| raw.map(|value| with_unit(value, n.unit.as_deref())))
            .map(FactValue::Text)
    };
    let probability = find(&n.annotations, "probability")
        .map(str::to_owned)
        .or_else(|| n.probability.map(percent));
    let time = |at: Option<i64>| at.map(FactValue::Time);
    let expected = (!n.is_resolved()).then_some(n.expected_breach_ms).flatten();
    let ended = n.is_resolved().then_some(n.ends_at_ms).flatten();
    [
        ("Server", text(&n.entity)),
        ("Severity", text(&n.severity)),
        ("Metric", n.metric.as_deref().and_then(text)),
        ("Now", number("current", n.current_value)),
        ("Threshold", number("threshold", n.threshold)),
        ("Probability", probability.map(FactValue::Text)),
        ("Expected", time(expected)),
        ("Ended", time(ended)),
        ("Since", time(Some(n.started_at_ms))),
        ("Profile", text(&n.profile)),
        (
            "Risk",
            n.risk_score
                .map(|score| FactValue::Text(format!("{score:.1} ({})", n.level))),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| Fact { name, value }))
    .collect()
}

/// The value of an annotation or label.
pub fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// How long an alert has lasted, e.g. `2 h 5 min`.
pub fn lasted(notification: &Notification) -> String {
    let end_ms = notification
        .ends_at_ms
        .filter(|_| notification.is_resolved())
        .unwrap_or(notification.updated_at_ms);
    let minutes = end_ms.saturating_sub(notification.started_at_ms).max(0) / 60_000;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn with_unit(value: f64, unit: Option<&str>) -> String {
    let number = format!("{}", (value * 100.0).round() / 100.0);
    match unit {
        Some(unit) if !unit.is_empty() => format!("{number} {unit}"),
        _ => number,
    }
}

fn percent(probability: f64) -> String {
    format!("{:.0} %", probability * 100.0)
}

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        let mut notification = testing::notification();
        notification.annotations = vec![("threshold".into(), "95.5 %".into())];
        notification.unit = None;
        notification.metric = None;
        let told: Vec<String> = facts(&notification)
            .iter()
            .map(|fact| format!("{}={}", fact.name, fact.value.to_text()))
            .collect();
        assert!(told.contains(&"Threshold=95.5 %".to_owned()), "{told:?}");
        assert!(told.contains(&"Now=81.5".to_owned()), "{told:?}");
        assert!(told.contains(&"Probability=87 %".to_owned()), "{told:?}");
        assert!(!told.iter().any(|fact| fact.starts_with("Metric")));
        assert!(!told.iter().any(|fact| fact.starts_with("Ended")));
    }

    #[test]
    fn durations_read_well() {
        let mut notification = testing::notification();
        notification.event = "resolved".into();
        for (minutes, text) in [
            (0, "0 min"),
            (59, "59 min"),
            (125, "2 h 5 min"),
            (3000, "2 d 2 h"),
        ] {
            notification.ends_at_ms = Some(notification.started_at_ms + minutes * 60_000);
            assert_eq!(lasted(&notification), text);
        }
    }
}
