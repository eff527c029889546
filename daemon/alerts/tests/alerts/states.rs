//! The engine over sequences of forecasts: states, strikes, history, acknowledgement, staleness.

use crate::forecasts;
use crate::forecasts::{Fleet, MEM, STEP_MS, name};
use argus_alerts::{
    AcknowledgeError, AlertConfig, AlertState, Alerts, HistoryQuery, SeverityRule, SinkRoute,
    TransitionKind,
};
use argus_fleet::Level;

/// Feeds one letter per forecast of one metric and compares what happened at each: `.` nothing, `p`ending, `d`ropped,
/// `F`ired, `S`everity changed, `R`esolved.
#[track_caller]
fn check(config: &AlertConfig, letters: &str, expected: &str) {
    let alerts = Alerts::in_memory(config.clone()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    let got: String = letters
        .chars()
        .map(|letter| fleet.forecast(letter))
        .collect();
    assert_eq!(got, expected, "for {letters}");
}

fn with_warnings() -> AlertConfig {
    AlertConfig {
        warning: Some(SeverityRule::default()),
        ..AlertConfig::default()
    }
}

#[test]
fn three_strikes_fire_and_three_clear() {
    let config = AlertConfig::default();
    check(&config, "ccchhh", "...p.F");
    check(&config, "hh-hhh", "p.dp.F");
    check(&config, "hhhhcc-ccc", "p.F......R");
    // In breach now is hot, however improbable the forecast finds it.
    check(&config, "nnn", "p.F");
    // Warnings are quiet by default.
    check(&config, "wwwwww", "......");
    // Not observed any more counts as clear.
    check(&config, "hhhuuu", "p.F..R");
}

#[test]
fn warning_escalates_as_one_alert() {
    check(&with_warnings(), "wwwhhhccc", "p.F..S..R");
    check(&with_warnings(), "hhhwwwwccc", "p.F..S...R");
    let alerts = Alerts::in_memory(with_warnings()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    "wwwhhh"
        .chars()
        .for_each(|letter| _ = fleet.forecast(letter));
    let active = alerts.active();
    assert_eq!(
        (active.len(), active[0].severity, active[0].threshold),
        (1, Level::Critical, 98.0)
    );
    assert_eq!(
        alerts
            .history(&HistoryQuery::default())
            .expect("history")
            .len(),
        3
    );
}

#[test]
fn on_demand_and_repeated_forecasts_are_no_strikes() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    assert_eq!(fleet.forecast('h'), 'p');
    for _ in 0..5 {
        assert_eq!(fleet.on_demand('h'), '.');
        fleet.origin_ms -= STEP_MS;
        assert_eq!(fleet.forecast('h'), '.', "the same origin again");
    }
    fleet.origin_ms -= 3 * STEP_MS;
    assert_eq!(fleet.forecast('h'), '.', "an older origin");
    fleet.origin_ms += 2 * STEP_MS;
    assert_eq!((fleet.forecast('h'), fleet.forecast('h')), ('.', 'F'));
    let stats = alerts.stats();
    assert_eq!(
        (
            stats.evaluated,
            stats.ignored_on_demand,
            stats.ignored_repeated
        ),
        (3, 5, 6)
    );
    assert_eq!((stats.pending, stats.firing, stats.fired), (0, 1, 1));
}

#[test]
fn forecasts_far_apart_are_not_consecutive() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    assert_eq!((fleet.forecast('h'), fleet.forecast('h')), ('p', '.'));
    fleet.origin_ms += 3 * 3_600_000;
    assert_eq!(
        (
            fleet.forecast('h'),
            fleet.forecast('h'),
            fleet.forecast('h')
        ),
        ('.', '.', 'F')
    );
}

#[test]
fn flapping_is_damped() {
    // Fires and resolves once; from then on a short calm does not resolve it.
    check(
        &AlertConfig::default(),
        "hhhccchhhccchhhccccc-",
        "p.F..Rp.F............",
    );
    // Six of six resolve a first relapse, and the one after needs twelve.
    let letters = "hhhccchhhcccccchhhccccccccccc-cccccccccccc";
    check(
        &AlertConfig::default(),
        letters,
        "p.F..Rp.F.....Rp.F.......................R",
    );
    let calm = AlertConfig {
        flap_window_secs: 0,
        ..AlertConfig::default()
    };
    check(&calm, "hhhccchhhccc", "p.F..Rp.F..R");
}

#[test]
fn every_transition_is_in_history_with_who_and_why() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    "hchhh"
        .chars()
        .for_each(|letter| _ = fleet.forecast(letter));
    let id = alerts.active()[0].id;
    let acknowledged = alerts
        .acknowledge(id, "kim", Some("looking"), fleet.now_ms)
        .expect("active");
    assert_eq!(acknowledged.acknowledged.expect("set").who, "kim");
    "ccc".chars().for_each(|letter| _ = fleet.forecast(letter));
    let history = alerts.history(&HistoryQuery::default()).expect("history");
    let told: Vec<String> = history
        .iter()
        .rev()
        .map(|t| format!("{} {}: {}", t.kind.as_str(), t.who, t.why))
        .collect();
    insta_like(
        &told,
        &[
            "pending argus: probability 90 % of at least 60 %, 1 consecutive forecast",
            "dropped argus: the next forecast did not agree",
            "pending argus: probability 90 % of at least 60 %, 1 consecutive forecast",
            "firing argus: probability 90 % of at least 60 %, 3 consecutive forecasts",
            "acknowledged kim: looking",
            "resolved argus: probability 10 % for 3 consecutive forecasts",
        ],
    );
    // By time and by entity.
    let resolved_at = history[0].at_ms;
    let late = alerts
        .history(&HistoryQuery::between(resolved_at, i64::MAX))
        .expect("history");
    assert_eq!(late.len(), 1);
    let other = HistoryQuery {
        entity: Some(name("other")),
        ..HistoryQuery::default()
    };
    assert_eq!(alerts.history(&other).expect("history"), []);
    let fired = alerts.fired(&HistoryQuery::default()).expect("fired");
    assert_eq!((fired.len(), fired[0].state), (1, AlertState::Resolved));
    assert_eq!(alerts.alert(id).expect("read"), Some(fired[0].clone()));
    assert!(matches!(
        alerts.acknowledge(id, "kim", None, 78),
        Err(AcknowledgeError::NotActive(_))
    ));
    assert!(matches!(
        alerts.acknowledge(id, "", None, 78),
        Err(AcknowledgeError::Text)
    ));
}

#[track_caller]
fn insta_like(got: &[String], expected: &[&str]) {
    assert_eq!(got, expected, "got {got:#?}");
}

#[test]
fn a_retired_entity_resolves() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    "hhh".chars().for_each(|letter| _ = fleet.forecast(letter));
    let transitions = alerts.retire(&name("ppdb001"), "kim", 5).expect("written");
    assert_eq!(
        (transitions[0].kind, transitions[0].who.as_str()),
        (TransitionKind::Resolved, "kim")
    );
    assert!(alerts.active().is_empty());
    // It may come back, from any origin.
    fleet.origin_ms = 0;
    assert_eq!(fleet.forecast('h'), 'p');
    assert_eq!(
        alerts
            .retire(&name("ppdb001"), "kim", 6)
            .expect("written")
            .len(),
        1
    );
    assert_eq!(
        alerts
            .retire(&name("never seen"), "kim", 7)
            .expect("written"),
        []
    );
}

#[test]
fn a_silent_entity_resolves_but_not_because_the_daemon_slept() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    "hhh".chars().for_each(|letter| _ = fleet.forecast(letter));
    let day_ms = 24 * 3_600_000;
    // The first look after a long outage.
    assert_eq!(alerts.upkeep(10 * day_ms).expect("written"), []);
    assert_eq!(alerts.upkeep(11 * day_ms - 1).expect("written"), []);
    let transitions = alerts.upkeep(11 * day_ms).expect("written");
    assert_eq!(transitions[0].why, "entity is no longer forecast");
    assert!(alerts.active().is_empty());
}

#[test]
fn history_is_bounded() {
    let config = AlertConfig {
        history_max_rows: 10,
        flap_window_secs: 0,
        ..AlertConfig::default()
    };
    let alerts = Alerts::in_memory(config).expect("opens");
    let mut fleet = Fleet::new(&alerts);
    "hhhccc"
        .repeat(20)
        .chars()
        .for_each(|letter| _ = fleet.forecast(letter));
    alerts.upkeep(fleet.now_ms).expect("written");
    assert_eq!(
        alerts
            .history(&HistoryQuery::default())
            .expect("history")
            .len(),
        10
    );
    assert!(alerts.fired(&HistoryQuery::default()).expect("fired").len() <= 10);
    alerts
        .upkeep(fleet.now_ms + 100 * 24 * 3_600_000)
        .expect("written");
    assert_eq!(
        alerts.history(&HistoryQuery::default()).expect("history"),
        []
    );
    assert_eq!(alerts.fired(&HistoryQuery::default()).expect("fired"), []);
}

#[test]
fn sinks_hear_what_concerns_them() {
    let alerts = Alerts::in_memory(with_warnings()).expect("opens");
    let all = SinkRoute::all("all");
    let critical = SinkRoute {
        min_severity: Level::Critical,
        refresh: false,
        ..SinkRoute::all("pager")
    };
    alerts.set_sinks(vec![all, critical]);
    let mut fleet = Fleet::new(&alerts);
    let queued =
        |alerts: &Alerts| -> Vec<u64> { alerts.stats().sinks.iter().map(|s| s.queued).collect() };
    "www".chars().for_each(|letter| _ = fleet.forecast(letter));
    assert_eq!(queued(&alerts), [1, 0], "a warning");
    "hhh".chars().for_each(|letter| _ = fleet.forecast(letter));
    assert_eq!(queued(&alerts), [2, 1], "an escalation is news to both");
    alerts.upkeep(fleet.now_ms + 1_000_000).expect("written");
    alerts.upkeep(fleet.now_ms + 2_000_000).expect("written");
    assert_eq!(
        queued(&alerts),
        [3, 1],
        "refreshes are coalesced, and not for everybody"
    );
    "ccc".chars().for_each(|letter| _ = fleet.forecast(letter));
    assert_eq!(
        queued(&alerts),
        [3, 2],
        "resolved, which removes the refresh"
    );
    assert_eq!(alerts.stats().sinks[0].refreshes_dropped, 2);
}

#[test]
fn two_metrics_and_two_entities_are_four_alerts() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    for step in 0..3 {
        for entity in ["a", "b"] {
            let risk = forecasts::risk(&[(MEM, 'h'), (forecasts::DISK, 'h')]);
            forecasts::evaluate(
                &alerts,
                &name(entity),
                step * STEP_MS,
                step * STEP_MS,
                true,
                &risk,
            );
        }
    }
    let active = alerts.active();
    assert_eq!(
        active
            .iter()
            .filter(|a| a.state == AlertState::Firing)
            .count(),
        4
    );
    let prints: std::collections::BTreeSet<_> =
        active.iter().map(|a| a.fingerprint.clone()).collect();
    assert_eq!(prints.len(), 4);
}
