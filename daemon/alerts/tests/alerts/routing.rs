//! Who is told: rules, hours, and that nobody is left in the middle of a story.

use std::collections::BTreeMap;
use std::sync::Arc;

use argus_alerts::routing::{Glob, Hours, Routing, Rule};
use argus_alerts::{AlertConfig, Alerts, SeverityRule, SinkRoute};
use argus_fleet::Level;

use crate::forecasts::Fleet;

const HOUR_MS: i64 = 3_600_000;

fn alerts(rules: Vec<Rule>, sinks: &[&str]) -> Arc<Alerts> {
    let config = AlertConfig {
        warning: Some(SeverityRule::default()),
        stale_secs: 365 * 24 * 3600,
        ..AlertConfig::default()
    };
    let alerts = Alerts::in_memory(config).expect("opens");
    alerts.set_routing(Routing { rules });
    let quiet = |name: &&str| SinkRoute {
        refresh: false,
        ..SinkRoute::all(name)
    };
    alerts.set_sinks(sinks.iter().map(quiet).collect());
    alerts
}

/// Events by sink, in order, of everything that was put into the outbox more than four hours before.
fn told(alerts: &Alerts, now_ms: i64) -> BTreeMap<String, Vec<&'static str>> {
    alerts.upkeep(now_ms + 5 * HOUR_MS).expect("written");
    let mut told: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for letter in alerts.dead_letters(100).expect("read").into_iter().rev() {
        let event = letter.notification.event.as_str();
        told.entry(letter.sink).or_default().push(event);
    }
    told
}

fn feed(fleet: &mut Fleet<'_>, letters: &str) {
    letters
        .chars()
        .for_each(|letter| _ = fleet.forecast(letter));
}

fn to(sinks: &[&str]) -> Rule {
    Rule {
        sinks: sinks.iter().map(|s| (*s).to_owned()).collect(),
        ..Rule::default()
    }
}

#[test]
fn without_rules_everybody_hears_everything() {
    let alerts = alerts(vec![], &["a", "b"]);
    let mut fleet = Fleet::new(&alerts);
    feed(&mut fleet, "hhhccc");
    let story = vec!["firing", "resolved"];
    let expected = BTreeMap::from([("a".to_owned(), story.clone()), ("b".to_owned(), story)]);
    assert_eq!(told(&alerts, fleet.now_ms), expected);
}

#[test]
fn who_heard_the_beginning_hears_the_end() {
    let critical = Rule {
        severities: vec![Level::Critical],
        ..to(&["pager"])
    };
    let alerts = alerts(vec![critical, to(&["chat"])], &["chat", "pager"]);
    let mut fleet = Fleet::new(&alerts);
    // A warning, which becomes critical, a warning again, and ends.
    feed(&mut fleet, "wwwhhhwwwccc");
    let expected = BTreeMap::from([
        (
            "chat".to_owned(),
            vec!["firing", "severity_changed", "severity_changed", "resolved"],
        ),
        (
            "pager".to_owned(),
            vec!["firing", "severity_changed", "resolved"],
        ),
    ]);
    assert_eq!(told(&alerts, fleet.now_ms), expected);
}

#[test]
fn an_alert_that_still_fires_when_the_hours_begin_is_told_then() {
    // The clock of these tests starts at midnight, 1970.
    let office = Rule {
        hours: Some(Hours::new(&[], Some("08:00-18:00"), "UTC").expect("hours")),
        ..to(&["chat"])
    };
    let alerts = alerts(vec![office, to(&[])], &["chat"]);
    let mut fleet = Fleet::new(&alerts);
    feed(&mut fleet, "hhh");
    let midnight = fleet.now_ms - fleet.now_ms.rem_euclid(24 * HOUR_MS);
    assert!(fleet.now_ms < midnight + 7 * HOUR_MS, "still night");
    for hour in 0..8 {
        let now_ms = (midnight + hour * HOUR_MS).max(fleet.now_ms);
        alerts.upkeep(now_ms).expect("written");
        assert_eq!(alerts.stats().sinks[0].queued, 0, "{hour}:00");
    }
    alerts.upkeep(midnight + 8 * HOUR_MS).expect("written");
    alerts.upkeep(midnight + 9 * HOUR_MS).expect("written");
    assert_eq!(alerts.stats().sinks[0].queued, 1, "once");
    // The end comes at night; whoever heard of the alert hears of it all the same.
    fleet.now_ms = midnight + 20 * HOUR_MS;
    feed(&mut fleet, "ccc");
    let told = told(&alerts, fleet.now_ms);
    assert_eq!(told["chat"], ["firing", "resolved"]);
}

#[test]
fn servers_that_are_kept_quiet_are_told_to_nobody() {
    let quiet = Rule {
        servers: vec![Glob::new("*")],
        ..to(&[])
    };
    let alerts = alerts(vec![quiet], &["chat"]);
    let mut fleet = Fleet::new(&alerts);
    feed(&mut fleet, "hhhccc");
    assert!(told(&alerts, fleet.now_ms).is_empty());
    assert_eq!(alerts.stats().fired, 1, "in history it is all the same");
}

#[test]
fn an_acknowledgement_is_told_to_who_knows_of_the_alert() {
    let alerts = alerts(vec![to(&["chat"])], &["chat", "pager"]);
    let mut fleet = Fleet::new(&alerts);
    feed(&mut fleet, "h");
    let id = alerts.active()[0].id;
    alerts
        .acknowledge(id, "ana", None, fleet.now_ms)
        .expect("pending, told to nobody yet");
    feed(&mut fleet, "hh");
    alerts
        .acknowledge(id, "ben", Some("on it"), fleet.now_ms)
        .expect("firing");
    feed(&mut fleet, "ccc");
    let expected = vec!["firing", "acknowledged", "resolved"];
    let now_ms = fleet.now_ms;
    assert_eq!(
        told(&alerts, now_ms),
        BTreeMap::from([("chat".to_owned(), expected)])
    );
    let letters = alerts.dead_letters(100).expect("read");
    let acknowledged = &letters[1].notification;
    assert_eq!(acknowledged.annotations["acknowledged_by"], "ben");
    assert_eq!(acknowledged.annotations["reason"], "on it");
}
