//! Made-up notifications, with as much and as little in them as there can be, to try templates on.

use std::collections::BTreeMap;

use argus_fleet::Level;
use argus_schema::EntityName;

use crate::alert::{AlertId, Fingerprint};
use crate::notification::{Event, Notification};

/// Every kind of notification that a template must be able to say, and what it is.
pub(crate) fn all() -> [(&'static str, Notification); 3] {
    let mut bare = full();
    bare.event = Event::Resolved;
    (bare.current, bare.predicted_peak) = (None, None);
    (bare.expected_breach_ms, bare.minutes_ahead) = (None, None);
    (bare.acknowledged_by, bare.link) = (None, None);
    for optional in [
        "acknowledged_by",
        "current",
        "drivers",
        "predicted_peak",
        "time_to_breach",
    ] {
        bare.annotations.remove(optional);
    }
    let mut acknowledged = full();
    acknowledged.event = Event::Acknowledged;
    [
        ("a notification with every field", full()),
        ("an alert that is over and of which little is known", bare),
        ("an acknowledged alert", acknowledged),
    ]
}

/// A firing alert of which everything is known.
pub(crate) fn full() -> Notification {
    // 2026-02-03T04:05:06.789Z.
    const NOW_MS: i64 = 1_770_091_506_789;
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    };
    let name = EntityName::new("db-01").expect("a name");
    Notification {
        id: AlertId(17),
        fingerprint: Fingerprint::of(&name, "mem_used_pct"),
        event: Event::Firing,
        severity: Level::Critical,
        entity: "db-01".to_owned(),
        profile: "database".to_owned(),
        metric: "mem_used_pct".to_owned(),
        unit: "%".to_owned(),
        threshold: 95.0,
        below: false,
        probability: 0.87,
        current: Some(81.5),
        predicted_peak: Some(97.2),
        in_breach: false,
        expected_breach_ms: Some(NOW_MS + 2 * 3_600_000),
        minutes_ahead: Some(120.0),
        risk_score: 87.0,
        started_at_ms: NOW_MS - 900_000,
        updated_at_ms: NOW_MS,
        ends_at_ms: NOW_MS + 1_200_000,
        flapping: false,
        acknowledged_by: Some("ana".to_owned()),
        summary: "db-01: memory used expected to pass 95 % in 2 h (probability 87 %, now 81.5 %)"
            .to_owned(),
        labels: pairs(&[
            ("alertname", "ArgusForecastBreach"),
            ("metric", "mem_used_pct"),
            ("profile", "database"),
            ("server", "db-01"),
        ]),
        annotations: pairs(&[
            ("acknowledged_by", "ana"),
            ("current", "81.5 %"),
            ("drivers", "swap_used_pct"),
            ("predicted_peak", "97.2 %"),
            ("probability", "87 %"),
            (
                "reason",
                "probability 87 % of at least 60 %, 3 consecutive forecasts",
            ),
            ("risk_score", "87.0"),
            (
                "summary",
                "db-01: memory used expected to pass 95 % in 2 h (probability 87 %, now 81.5 %)",
            ),
            ("threshold", "95 %"),
            ("time_to_breach", "2 h"),
        ]),
        link: Some("https://argus.example/?server=db-01".to_owned()),
    }
}
