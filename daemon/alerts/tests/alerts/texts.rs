//! What people and receivers read.

use std::sync::Arc;

use argus_alerts::{AlertConfig, Alerts, SinkRoute};

use crate::forecasts::{self, DISK, MEM, STEP_MS, name, risk};

/// The notifications in the outbox, oldest first, as the dead letters of a sink that nobody serves.
fn told(alerts: &Arc<Alerts>, now_ms: i64) -> Vec<argus_alerts::Notification> {
    alerts.upkeep(now_ms + 10 * 3_600_000).expect("written");
    let mut dead = alerts.dead_letters(100).expect("read");
    dead.reverse();
    dead.into_iter().map(|d| d.notification).collect()
}

fn alerts() -> Arc<Alerts> {
    let config = AlertConfig {
        link_base: Some("http://127.0.0.1:8000".to_owned()),
        ..AlertConfig::default()
    };
    let alerts = Alerts::in_memory(config).expect("opens");
    alerts.set_sinks(vec![SinkRoute {
        refresh: false,
        ..SinkRoute::all("s")
    }]);
    alerts
}

#[test]
fn a_notification_is_plain_data() {
    let alerts = alerts();
    for step in 1..=3 {
        forecasts::evaluate(
            &alerts,
            &name("pp db/001"),
            step * STEP_MS,
            1_000_000,
            true,
            &risk(&[(MEM, 'h')]),
        );
    }
    let told = told(&alerts, 1_000_000);
    insta::assert_json_snapshot!(told);
}

#[test]
fn summaries_read_well() {
    let alerts = alerts();
    for (step, letters) in (1..).zip(["hn", "hn", "hn", "cc", "cc", "uc"]) {
        let letters: Vec<char> = letters.chars().collect();
        let risk = risk(&[(MEM, letters[0]), (DISK, letters[1])]);
        forecasts::evaluate(
            &alerts,
            &name("ppdb001"),
            step * STEP_MS,
            1_000_000,
            true,
            &risk,
        );
    }
    let summaries: Vec<String> = told(&alerts, 1_000_000)
        .into_iter()
        .map(|n| n.summary)
        .collect();
    insta::assert_snapshot!(summaries.join("\n"), @r"
    ppdb001: memory used expected to pass 98 % in 45 min (probability 90 %, now 91.3 %)
    ppdb001: disk used is past 98 %, now 91.3 %
    ppdb001: memory used resolved (metric no longer observed)
    ppdb001: disk used resolved (probability 10 % for 3 consecutive forecasts)
    ");
}
