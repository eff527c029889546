//! What the shipped sinks really send: captured from the wire, held against the services' schemas and limits.
//!
//! The schemas in `tests/schemas/` are written from the services' documentation. The servers here answer as the
//! services do; Slack's refuses what Slack would refuse.

use argus_plugin_host::{HostConfig, SecretSource, SinkNotification, TargetSpec, check_schema};
use serde_json::{Value, json};

use crate::capture::{Capture, Captured, Reply};
use crate::support::{host_with, load, spec};

const SLACK: &str = include_str!("../schemas/slack-message.json");
const PAGERDUTY: &str = include_str!("../schemas/pagerduty-event.json");
const ROUTING_KEY: &str = "e93facc04764012d7bfb002500d5d1a6";

#[track_caller]
fn check_body(schema: &str, request: &Captured) {
    let schema: Value = serde_json::from_str(schema).expect("a schema");
    if let Err(findings) = check_schema(&schema, &request.json()) {
        panic!("{}: {findings}", request.line);
    }
}

fn usual(event: &str) -> SinkNotification {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    SinkNotification {
        id: format!("id-{event}"),
        fingerprint: "a1b2c3d4e5f60718".into(),
        event: event.into(),
        severity: "critical".into(),
        level: "warning".into(),
        risk_score: Some(87.0),
        entity_kind: "server".into(),
        entity: "db-01".into(),
        profile: "database".into(),
        metric: Some("mem_used_pct".into()),
        unit: Some("%".into()),
        threshold: Some(95.0),
        probability: Some(0.875),
        current_value: Some(81.5),
        expected_breach_ms: Some(1_770_098_706_789),
        started_at_ms: 1_770_090_606_789,
        updated_at_ms: 1_770_091_506_789,
        ends_at_ms: Some(1_770_092_506_789),
        summary: "db-01: memory used expected to pass 95 % in 2 h".into(),
        labels: vec![pair("alertname", "ArgusForecastBreach")],
        annotations: vec![
            pair("drivers", "swap_used_pct, io_wait_pct"),
            pair("runbook_url", "https://wiki.example/memory"),
        ],
        link: Some("https://argus.example/?server=db-01".into()),
    }
}

/// Everything too long, much of it dangerous.
fn worst(event: &str) -> SinkNotification {
    let long = |text: &str, times: usize| text.repeat(times);
    let mut notification = SinkNotification {
        fingerprint: long("f", 64),
        entity: long("<!channel>&\u{7}", 30),
        profile: long("p😀", 200),
        metric: Some(long("m&", 400)),
        unit: Some(long("u", 300)),
        summary: long("<@U1> *a* & b\n😀", 400),
        link: Some(format!("https://argus.example/?server={}", long("x", 4000))),
        ..usual(event)
    };
    for i in 0..200 {
        let name = format!("note_{i}{}", long("n", 300));
        notification.annotations.push((name, long("ä<b>&", 3000)));
    }
    for (name, value) in [
        ("description", long("line & <text>\n", 1000)),
        ("drivers", long("swap_used_pct, ", 1000)),
        ("reason", long("because <", 1000)),
        ("acknowledged_by", long("<!here>", 300)),
        ("script_url", "javascript:alert(1)".to_owned()),
        ("odd_url", "https://a b".to_owned()),
    ] {
        notification.annotations.push((name.into(), value));
    }
    notification
}

/// As little as there can be.
fn least(event: &str) -> SinkNotification {
    SinkNotification {
        fingerprint: "f".into(),
        event: event.into(),
        entity: String::new(),
        summary: "\u{0}".into(),
        ..SinkNotification::default()
    }
}

/// Slack as its clients know it: channels by name become ids, messages have a ts, and what is not there is refused.
fn slack(request: &Captured) -> Reply {
    const TS: &str = "1503435956.000247";
    let refuse = |word: &str| Reply::json(&json!({ "ok": false, "error": word }));
    if request.header("authorization") != Some("Bearer xoxb-the-token") {
        return refuse("invalid_auth");
    }
    if request.path() == "/api/auth.test" {
        return Reply::json(&json!({ "ok": true, "team_id": "T024BE7LD" }));
    }
    let body = request.json();
    let known = |field: &str| body[field] == TS && body["channel"] == "C024BE91L";
    match request.path() {
        "/api/chat.update" if known("ts") => {}
        "/api/chat.update" => return refuse("message_not_found"),
        "/api/chat.postMessage" if body.get("thread_ts").is_none() || known("thread_ts") => {}
        "/api/chat.postMessage" => return refuse("thread_not_found"),
        _ => return refuse("unknown_method"),
    }
    Reply::json(&json!({ "ok": true, "channel": "C024BE91L", "ts": TS, "message": {} }))
}

fn target(url: String, secret: (&str, &str)) -> TargetSpec {
    let mut target = TargetSpec::new(url);
    let value = SecretSource::Value(secret.1.into());
    target.secrets.insert(secret.0.into(), value);
    target
}

#[tokio::test]
async fn slack_takes_every_message() {
    let server = Capture::start(slack).await;
    let state = tempfile::tempdir().expect("a folder");
    let host = host_with(HostConfig {
        state_dir: Some(state.path().to_owned()),
        ..HostConfig::default()
    });
    let config = json!({ "channel": "#ops", "mention": { "critical": "<!here>" }, "broadcast_resolved": true });
    let mut spec = spec("slack", config);
    let mut target = target(format!("{}api/", server.url()), ("token", "xoxb-the-token"));
    let bearer = "Bearer {{secret:token}}".to_owned();
    target.headers.insert("authorization".into(), bearer);
    spec.targets.insert("slack".into(), target);
    let plugin = load(&host, spec).await;
    plugin.check().await.expect("a good token");
    for (i, make) in [usual, worst, least].into_iter().enumerate() {
        server.take();
        for event in ["firing", "severity_changed", "acknowledged", "resolved"] {
            let mut notification = make(event);
            notification.fingerprint.push_str(&i.to_string());
            let key = format!("{i}-{event}");
            // Twice: the second time nothing may be sent.
            for _ in 0..2 {
                plugin.deliver(&notification, &key).await.expect(event);
            }
        }
        let requests = server.take();
        let paths: Vec<&str> = requests.iter().map(Captured::path).collect();
        let (post, update) = ("/api/chat.postMessage", "/api/chat.update");
        assert_eq!(paths, [post, update, post, update, post, update, post]);
        for request in &requests {
            check_body(SLACK, request);
            let kind = request.header("content-type");
            assert_eq!(kind, Some("application/json; charset=utf-8"));
        }
        let root = requests[0].json();
        let called = root["blocks"][0]["text"]["text"] == "<!here>";
        assert_eq!(called, make("firing").severity == "critical");
        let ended = requests[5].json()["blocks"][0]["text"]["text"].clone();
        assert!(ended.as_str().expect("text").starts_with("✅"), "{ended}");
        assert_eq!(requests[6].json()["reply_broadcast"], true);
    }
}

#[tokio::test]
async fn slacks_patience_is_respected() {
    let busy = |_: &Captured| Reply::new(429, "").header("retry-after", "30");
    let server = Capture::start(busy).await;
    let host = host_with(HostConfig::default());
    let mut spec = spec("slack", json!({ "channel": "#ops" }));
    let target = target(server.url(), ("token", "xoxb-the-token"));
    spec.targets.insert("slack".into(), target);
    let plugin = load(&host, spec).await;
    let error = plugin.deliver(&usual("firing"), "k").await;
    let error = error.expect_err("429");
    assert!(error.retryable(), "{error}");
    assert_eq!(error.retry_after.map(|wait| wait.as_secs()), Some(30));
}

#[tokio::test]
async fn pagerduty_takes_every_event() {
    const LIMIT_BYTES: usize = 512 << 10;
    let accepted = json!({ "status": "success", "message": "Event processed", "dedup_key": "k" });
    let server = Capture::start(move |_| Reply {
        status: 202,
        ..Reply::json(&accepted)
    })
    .await;
    let host = host_with(HostConfig::default());
    let mut spec = spec("pagerduty", json!({}));
    let key = ("routing_key", ROUTING_KEY);
    let target = target(format!("{}v2/", server.url()), key);
    spec.targets.insert("pagerduty".into(), target);
    spec.limits.copied_bytes = 16 << 20;
    let plugin = load(&host, spec).await;
    plugin.check().await.expect("good settings");
    for make in [usual, worst, least] {
        server.take();
        for event in [
            "firing",
            "refresh",
            "severity_changed",
            "acknowledged",
            "resolved",
        ] {
            plugin.deliver(&make(event), event).await.expect(event);
        }
        let requests = server.take();
        let actions: Vec<_> = requests
            .iter()
            .map(|request| request.json()["event_action"].clone())
            .collect();
        assert_eq!(actions, ["trigger", "trigger", "acknowledge", "resolve"]);
        let first = requests[0].json()["dedup_key"].clone();
        for request in &requests {
            assert_eq!(request.line, "POST /v2/enqueue HTTP/1.1");
            check_body(PAGERDUTY, request);
            assert!(request.body.len() <= LIMIT_BYTES, "{}", request.body.len());
            let body = request.json();
            assert_eq!(body["routing_key"], ROUTING_KEY);
            assert_eq!(body["dedup_key"], first);
        }
    }
}

#[test]
fn the_schemas_refuse_what_the_services_would() {
    let refused = |schema: &str, body: Value| {
        let schema: Value = serde_json::from_str(schema).expect("a schema");
        assert!(check_schema(&schema, &body).is_err(), "{body}");
    };
    let slack = |block: Value| json!({ "channel": "#ops", "text": "t", "blocks": [block] });
    let header =
        |text: String| json!({ "type": "header", "text": { "type": "plain_text", "text": text } });
    let section =
        |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    refused(SLACK, slack(header("x".repeat(151))));
    refused(SLACK, slack(header(String::new())));
    refused(SLACK, slack(section("x".repeat(3001))));
    refused(SLACK, slack(section("a & b".to_owned())));
    refused(SLACK, slack(section("<!channel>".to_owned())));
    refused(SLACK, slack(json!({ "type": "section" })));
    let many: Vec<Value> = (0..51).map(|_| section("x".to_owned())).collect();
    refused(
        SLACK,
        json!({ "channel": "#ops", "text": "t", "blocks": many }),
    );
    let event = |summary: String, action: &str| {
        json!({ "routing_key": ROUTING_KEY, "event_action": action, "dedup_key": "k",
                "payload": { "summary": summary, "severity": "critical", "source": "s" } })
    };
    refused(PAGERDUTY, event("x".repeat(1025), "trigger"));
    refused(PAGERDUTY, event("x".to_owned(), "close"));
    let mut without = event("x".to_owned(), "trigger");
    without["payload"] = Value::Null;
    refused(PAGERDUTY, without);
}
