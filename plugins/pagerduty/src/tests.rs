//! Against the SDK's fake host.

use argus_plugin::testing;
use serde_json::{Value, json};

use super::*;

const ACCEPTED: &str = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;

fn deliver(config: Value, notification: &Notification) -> testing::Host {
    let host = testing::Host::new().respond("pagerduty", 202, ACCEPTED);
    let sink: PagerDuty = testing::sink(config).expect("good settings");
    sink.deliver(&host, notification, "k").expect("accepted");
    host
}

fn event(event: &str) -> Notification {
    let mut notification = testing::notification();
    notification.event = event.into();
    notification
}

#[test]
fn a_trigger_says_everything() {
    let mut notification = event("firing");
    notification
        .annotations
        .push(("runbook_url".into(), "https://wiki.example/mem".into()));
    let sent = deliver(json!({}), &notification).last_json();
    assert_eq!(sent["routing_key"], "{{secret:routing_key}}");
    assert_eq!(sent["event_action"], "trigger");
    assert_eq!(sent["dedup_key"], "argus/a1b2c3d4e5f60718");
    assert_eq!(sent["client_url"], "http://argus.example/servers/db-01");
    assert_eq!(
        sent["links"][1],
        json!({ "href": "https://wiki.example/mem", "text": "runbook" })
    );
    let payload = &sent["payload"];
    assert_eq!(payload["source"], "db-01");
    assert_eq!(payload["component"], "mem_used_pct");
    assert_eq!(payload["group"], "database");
    assert_eq!(payload["severity"], "critical");
    assert_eq!(payload["timestamp"], "2026-02-03T03:50:06.789Z");
    assert_eq!(payload["custom_details"]["probability"], 0.87);
    assert_eq!(payload["custom_details"]["condition"], "breach_8h");
}

#[test]
fn all_events_of_an_alert_have_one_key() {
    for (name, actions) in [
        ("firing", &["trigger"][..]),
        ("severity_changed", &["trigger"]),
        ("acknowledged", &["acknowledge"]),
        ("resolved", &["resolve"]),
        ("refresh", &[]),
        ("a word of the future", &[]),
        ("test", &["trigger", "resolve"]),
    ] {
        let host = deliver(json!({ "dedup_prefix": "eu/" }), &event(name));
        let sent: Vec<Value> = host
            .requests()
            .iter()
            .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
            .collect();
        let told: Vec<_> = sent.iter().map(|event| &event["event_action"]).collect();
        assert_eq!(told, actions, "{name}");
        assert!(sent.iter().all(|e| e["dedup_key"] == "eu/a1b2c3d4e5f60718"));
    }
}

#[test]
fn severities_are_mapped() {
    let severity = |config: Value, severity: &str| {
        let mut notification = event("firing");
        notification.severity = severity.into();
        deliver(config, &notification).last_json()["payload"]["severity"].clone()
    };
    assert_eq!(severity(json!({}), "critical"), "critical");
    assert_eq!(severity(json!({}), "warning"), "warning");
    assert_eq!(severity(json!({}), "degraded"), "info");
    let own = json!({ "severities": { "warning": "error" } });
    assert_eq!(severity(own, "warning"), "error");
}

#[test]
fn refusals_are_told() {
    let sink: PagerDuty = testing::sink(json!({})).expect("good settings");
    let refused = r#"{"status":"invalid event","message":"Event object is invalid","errors":["'payload.source' is missing"]}"#;
    for (status, answer, code, retryable) in [
        (400, refused, "invalid_event", false),
        (429, "", "http_429", true),
        (503, "", "http_503", true),
        (403, "", "http_403", false),
    ] {
        let host = testing::Host::new().respond("pagerduty", status, answer);
        let error = sink.deliver(&host, &event("firing"), "k").expect_err(code);
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable));
    }
    let host = testing::Host::new().respond("pagerduty", 400, refused);
    let error = sink.deliver(&host, &event("firing"), "k").expect_err("400");
    assert!(
        error.message.contains("'payload.source' is missing"),
        "{error}"
    );
}

#[test]
fn bad_settings_are_named() {
    for (config, fragment) in [
        (
            json!({ "routing_key": "{{secret:x}}" }),
            "name of the target's secret",
        ),
        (
            json!({ "severities": { "fatal": "critical" } }),
            "config.severities.fatal",
        ),
        (
            json!({ "severities": { "warning": "bad" } }),
            "unknown variant `bad`",
        ),
        (json!({ "dedup_prefix": "x".repeat(101) }), "100 characters"),
    ] {
        let error = testing::sink::<PagerDuty>(config).expect_err(fragment);
        assert!(error.message.contains(fragment), "{error}");
    }
}

#[test]
fn the_schema_matches() {
    testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
}
