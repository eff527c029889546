//! The shipped sinks, through the real host, to a real socket.

use argus_plugin_host::SinkNotification;
use serde_json::{Value, json};

use crate::support::{Answer, deliver, host, load, serve, spec, target};

fn notification() -> SinkNotification {
    SinkNotification {
        id: "n-1".into(),
        fingerprint: "f-1".into(),
        event: "firing".into(),
        severity: "critical".into(),
        level: "warning".into(),
        risk_score: Some(71.5),
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
        ends_at_ms: Some(4_102_444_800_000),
        summary: "db-01: memory runs out in 2 h".into(),
        labels: vec![("condition".into(), "breach_8h".into())],
        annotations: vec![("drivers".into(), "mem_used_pct".into())],
        link: Some("http://argus.example/servers/db-01".into()),
    }
}

fn body(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn webhook_posts_every_field() {
    let (address, mut requests) = serve(Answer::status("204 No Content")).await;
    let host = host();
    let mut spec = spec("webhook", json!({ "path": "in" }));
    spec.targets.insert("webhook".into(), target(address));
    let plugin = load(&host, spec).await;
    plugin.check().await.expect("valid");
    let receipt = plugin
        .deliver(&notification(), "key-9")
        .await
        .expect("delivered");
    assert_eq!(receipt.message.as_deref(), Some("answered 204"));
    let request = requests.recv().await.expect("a request");
    assert!(
        request.starts_with("POST /base/in HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("idempotency-key: key-9\r\n"), "{request}");
    let expected = json!({
        "version": "1",
        "idempotency_key": "key-9",
        "notification": {
            "id": "n-1",
            "fingerprint": "f-1",
            "event": "firing",
            "severity": "critical",
            "level": "warning",
            "risk_score": 71.5,
            "entity_kind": "server",
            "entity": "db-01",
            "profile": "database",
            "metric": "mem_used_pct",
            "unit": "%",
            "threshold": 95.0,
            "probability": 0.875,
            "current_value": 81.5,
            "expected_breach": "2026-02-03T06:05:06.789Z",
            "started_at": "2026-02-03T03:50:06.789Z",
            "updated_at": "2026-02-03T04:05:06.789Z",
            "ends_at": "2100-01-01T00:00:00.000Z",
            "summary": "db-01: memory runs out in 2 h",
            "labels": { "condition": "breach_8h" },
            "annotations": { "drivers": "mem_used_pct" },
            "link": "http://argus.example/servers/db-01",
        },
    });
    assert_eq!(body(&request), expected);
    let status = plugin.status();
    assert_eq!(
        (status.version.as_str(), status.calls, status.errors),
        ("0.1.0", 2, 0)
    );
    assert!(status.memory_high_water_bytes > 0 && status.mean_ms > 0.0);
    assert_eq!(status.http_requests, 1);
}

#[tokio::test]
async fn alertmanager_posts_alerts() {
    let (address, mut requests) = serve(Answer::status("200 OK")).await;
    let host = host();
    let mut spec = spec("alertmanager", json!({ "labels": { "team": "ops" } }));
    spec.targets.insert("alertmanager".into(), target(address));
    let plugin = load(&host, spec).await;
    plugin.check().await.expect("valid");
    plugin
        .deliver(&notification(), "k")
        .await
        .expect("delivered");
    let request = requests.recv().await.expect("a request");
    assert!(
        request.starts_with("POST /base/api/v2/alerts HTTP/1.1\r\n"),
        "{request}"
    );
    let alert = &body(&request)[0];
    assert_eq!(alert["labels"]["server"], "db-01");
    assert_eq!(alert["labels"]["team"], "ops");
    assert_eq!(alert["endsAt"], "2100-01-01T00:00:00.000Z");
    let mut resolved = notification();
    resolved.event = "resolved".into();
    plugin.deliver(&resolved, "k2").await.expect("delivered");
    let after = body(&requests.recv().await.expect("a request"))[0].clone();
    assert_eq!(after["labels"], alert["labels"]);
    // "Now" by the host's clock: neither in the far future nor long ago.
    let ends_at = after["endsAt"].as_str().expect("text");
    assert!(("2026".."2100").contains(&ends_at), "{ends_at}");
}

#[tokio::test]
async fn invalid_settings_fail_the_load_and_name_the_setting() {
    let host = host();
    for (plugin, config, setting) in [
        ("webhook", json!({ "fromat": "argus" }), "`fromat`"),
        (
            "alertmanager",
            json!({ "hold_secs": "soon" }),
            "config.hold_secs",
        ),
        ("slack", json!({ "chanel": "#ops" }), "`chanel`"),
        ("slack", json!({}), "channel"),
        (
            "pagerduty",
            json!({ "severities": { "fatal": "error" } }),
            "`fatal`",
        ),
    ] {
        let error = host.load(spec(plugin, config)).await;
        let error = error.expect_err(setting).to_string();
        assert!(
            error.starts_with(&format!("plugin {plugin} 0.1.0: ")) && error.contains(setting),
            "{error}"
        );
    }
    let error = host
        .load(spec("webhook", json!([])))
        .await
        .expect_err("no table");
    assert_eq!(
        error.to_string(),
        "plugin webhook 0.1.0: its settings are unusable: they must be a table"
    );
}

#[tokio::test]
async fn a_target_that_is_not_configured_is_named() {
    let host = host();
    let plugin = load(&host, spec("webhook", json!({ "target": "elsewhere" }))).await;
    let error = deliver(&plugin).await.expect_err("no such target");
    assert_eq!(error.code(), "unknown_target");
    assert!(error.to_string().contains("\"elsewhere\""), "{error}");
}
