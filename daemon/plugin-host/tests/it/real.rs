//! The `alertmanager` sink against a real Alertmanager:
//! `ARGUS_TEST_ALERTMANAGER_URL=http://127.0.0.1:9093 cargo test -p argus-plugin-host --test it -- --ignored real`.

use argus_outbound_http::{Client, Method, Request};
use argus_plugin_host::{Clock, SinkNotification, SystemClock, TargetSpec};
use serde_json::{Value, json};

use crate::support::{host, load, spec};

async fn active(url: &str) -> Vec<Value> {
    let uri = format!("{url}/api/v2/alerts?active=true")
        .parse()
        .expect("a URL");
    let answer = Client::trusted()
        .expect("a client")
        .send(Request::new(Method::GET, uri))
        .await
        .expect("an answer");
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[tokio::test]
#[ignore = "needs a real Alertmanager at ARGUS_TEST_ALERTMANAGER_URL"]
async fn an_alert_comes_changes_and_goes() {
    let url =
        std::env::var("ARGUS_TEST_ALERTMANAGER_URL").expect("ARGUS_TEST_ALERTMANAGER_URL is set");
    let host = host();
    let mut spec = spec(
        "alertmanager",
        json!({ "labels": { "team": "ops" }, "require_ready": true }),
    );
    let target = TargetSpec {
        methods: vec!["GET".into(), "POST".into()],
        ..TargetSpec::new(&url)
    };
    spec.targets.insert("alertmanager".into(), target);
    let plugin = load(&host, spec).await;
    plugin.check().await.expect("ready");
    let now = SystemClock.now_ms();
    let mut notification = SinkNotification {
        event: "firing".into(),
        severity: "warning".into(),
        entity: format!("db-{now}"),
        metric: Some("mem_used_pct".into()),
        started_at_ms: now - 60_000,
        updated_at_ms: now,
        ends_at_ms: Some(now + 900_000),
        summary: "memory runs out in 2 h".into(),
        link: Some("http://argus.example/?server=db".into()),
        ..SinkNotification::default()
    };
    let of_entity = async |notification: &SinkNotification| {
        let receipt = plugin.deliver(notification, "key").await.expect("taken");
        let mut alerts = active(&url).await;
        alerts.retain(|alert| alert["labels"]["server"] == notification.entity.as_str());
        (receipt.remote_id.expect("a fingerprint"), alerts)
    };
    let (fingerprint, firing) = of_entity(&notification).await;
    assert_eq!(firing.len(), 1, "{firing:?}");
    assert_eq!(firing[0]["fingerprint"], fingerprint.as_str());
    assert_eq!(firing[0]["labels"]["team"], "ops");
    assert_eq!(firing[0]["generatorURL"], "http://argus.example/?server=db");
    notification.event = "refresh".into();
    notification.ends_at_ms = Some(now + 1_800_000);
    let (same, refreshed) = of_entity(&notification).await;
    assert_eq!((same, refreshed.len()), (fingerprint.clone(), 1));
    assert_ne!(refreshed[0]["endsAt"], firing[0]["endsAt"]);
    notification.event = "severity_changed".into();
    notification.severity = "critical".into();
    let (other, worse) = of_entity(&notification).await;
    assert_ne!(other, fingerprint);
    assert_eq!(worse.len(), 1, "the warning ended: {worse:?}");
    assert_eq!(worse[0]["labels"]["severity"], "critical");
    notification.event = "resolved".into();
    let (_, gone) = of_entity(&notification).await;
    assert!(gone.is_empty(), "{gone:?}");
}
