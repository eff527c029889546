//! Against the SDK's fake host.

use argus_plugin::{Response, testing};
use serde_json::{Value, json};

use super::*;

const POSTED: &str = r#"{"ok":true,"channel":"C024BE91L","ts":"1503435956.000247"}"#;

fn sink(config: Value) -> Slack {
    testing::sink(config).expect("good settings")
}

fn ops() -> Slack {
    sink(json!({ "channel": "#ops" }))
}

fn event(event: &str) -> Notification {
    let mut notification = testing::notification();
    notification.event = event.into();
    notification
}

fn body(host: &testing::Host, request: usize) -> (String, Value) {
    let request = &host.requests()[request];
    let body = serde_json::from_slice(&request.body).expect("JSON");
    (request.path.clone(), body)
}

#[test]
fn an_alert_has_one_message_and_its_story_a_thread() {
    let host = testing::Host::new().respond("slack", 200, POSTED);
    let slack = ops();
    let deliver = |notification: &Notification, key: &str| {
        slack
            .deliver(&host, notification, key)
            .expect("delivered")
            .message
            .expect("a remark")
    };
    assert_eq!(deliver(&event("firing"), "k1"), "posted");
    assert_eq!(deliver(&event("firing"), "k1"), "was told already");
    assert_eq!(deliver(&event("refresh"), "k2"), "nothing new to tell");
    assert_eq!(deliver(&event("severity_changed"), "k3"), "updated");
    assert_eq!(deliver(&event("resolved"), "k4"), "updated");
    assert_eq!(deliver(&event("resolved"), "k4"), "was told already");

    let (path, root) = body(&host, 0);
    assert_eq!(path, "chat.postMessage");
    assert_eq!(root["channel"], "#ops");
    assert_eq!(root["metadata"]["event_payload"]["idempotency_key"], "k1");
    assert!(root.get("thread_ts").is_none());
    let calls: Vec<String> = host.requests().iter().map(|r| r.path.clone()).collect();
    assert_eq!(
        calls,
        [
            "chat.postMessage",
            "chat.update",
            "chat.postMessage",
            "chat.update",
            "chat.postMessage"
        ]
    );
    for i in 1..5 {
        assert_eq!(body(&host, i).1["channel"], "C024BE91L", "by its id");
    }
    assert_eq!(body(&host, 1).1["ts"], "1503435956.000247");
    assert_eq!(body(&host, 2).1["thread_ts"], "1503435956.000247");
    let updated = body(&host, 3).1["blocks"][0]["text"]["text"].clone();
    assert!(
        updated.as_str().expect("text").starts_with("✅ "),
        "{updated}"
    );
    let told = body(&host, 4).1["text"].clone();
    let told = told.as_str().expect("text");
    assert!(told.starts_with("✅ *Resolved* after 30 min: "), "{told}");
}

#[test]
fn a_new_alert_about_the_same_condition_gets_a_message_of_its_own() {
    let host = testing::Host::new().respond("slack", 200, POSTED);
    let slack = ops();
    let mut notification = event("firing");
    for started_at_ms in [1_000, 2_000] {
        notification.started_at_ms = started_at_ms;
        let key = started_at_ms.to_string();
        slack
            .deliver(&host, &notification, &key)
            .expect("delivered");
    }
    assert!(host.requests().iter().all(|r| r.path == "chat.postMessage"));
    assert_eq!(host.requests().len(), 2);
}

#[test]
fn what_follows_a_lost_message_is_posted() {
    let host = testing::Host::new().respond("slack", 200, POSTED);
    ops()
        .deliver(&host, &event("resolved"), "k")
        .expect("delivered");
    assert_eq!(host.requests().len(), 1);
    let gone = r#"{"ok":false,"error":"message_not_found"}"#;
    let host = testing::Host::new()
        .respond("slack", 200, POSTED)
        .respond("slack", 200, gone)
        .respond("slack", 200, POSTED);
    let slack = ops();
    slack
        .deliver(&host, &event("firing"), "k1")
        .expect("delivered");
    slack
        .deliver(&host, &event("resolved"), "k2")
        .expect("somebody deleted the message");
    assert_eq!(host.requests().len(), 3);
}

#[test]
fn an_update_that_fails_is_repeated_before_anything_is_posted() {
    let host = testing::Host::new()
        .respond("slack", 200, POSTED)
        .respond("slack", 503, "")
        .respond("slack", 200, POSTED);
    let slack = ops();
    slack
        .deliver(&host, &event("firing"), "k1")
        .expect("delivered");
    let error = slack.deliver(&host, &event("resolved"), "k2");
    assert!(error.expect_err("503").retryable);
    slack
        .deliver(&host, &event("resolved"), "k2")
        .expect("again");
    let calls: Vec<String> = host.requests().iter().map(|r| r.path.clone()).collect();
    assert_eq!(
        calls[1..],
        ["chat.update", "chat.update", "chat.postMessage"]
    );
}

#[test]
fn refreshes_update_where_told_and_mentions_come_once() {
    let config = json!({ "channel": "C1", "refresh": "update", "broadcast_resolved": true,
                         "mention": { "critical": "<!here> <@U1>" } });
    let slack = sink(config);
    let host = testing::Host::new().respond("slack", 200, POSTED);
    for (i, name) in ["firing", "refresh", "resolved"].into_iter().enumerate() {
        let key = format!("k{i}");
        slack.deliver(&host, &event(name), &key).expect("delivered");
    }
    assert_eq!(
        body(&host, 0).1["blocks"][0]["text"]["text"],
        "<!here> <@U1>"
    );
    let (path, refreshed) = body(&host, 1);
    assert_eq!(path, "chat.update");
    assert_eq!(
        refreshed["blocks"][0]["type"], "header",
        "nobody is called again"
    );
    assert_eq!(body(&host, 3).1["reply_broadcast"], true);
}

#[test]
fn an_acknowledgement_names_who() {
    let host = testing::Host::new().respond("slack", 200, POSTED);
    let slack = ops();
    slack
        .deliver(&host, &event("firing"), "k1")
        .expect("delivered");
    let mut acknowledged = event("acknowledged");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    acknowledged.annotations = vec![pair("acknowledged_by", "<ana>"), pair("reason", "on it")];
    slack
        .deliver(&host, &acknowledged, "k2")
        .expect("delivered");
    let text = host.last_json()["text"].clone();
    assert_eq!(text, "👀 Acknowledged by *&lt;ana&gt;*: on it");
}

#[test]
fn slacks_refusals_are_told_with_advice() {
    for (answer, code, retryable, advice) in [
        (
            r#"{"ok":false,"error":"not_in_channel"}"#,
            "not_in_channel",
            false,
            "invite the app",
        ),
        (
            r#"{"ok":false,"error":"invalid_auth"}"#,
            "invalid_auth",
            false,
            "valid bot token",
        ),
        (
            r#"{"ok":false,"error":"ratelimited"}"#,
            "ratelimited",
            true,
            "ratelimited",
        ),
        (
            r#"{"ok":false,"error":"internal_error"}"#,
            "internal_error",
            true,
            "refused",
        ),
        (
            r#"{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] no more than 50"]}}"#,
            "invalid_blocks",
            false,
            "no more than 50",
        ),
        ("<html>", "not_slack", true, "https://slack.com/api/"),
    ] {
        let host = testing::Host::new().respond("slack", 200, answer);
        let error = ops().deliver(&host, &event("firing"), "k").expect_err(code);
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable));
        assert!(error.message.contains(advice), "{error}");
    }
    let busy = Response {
        status: 429,
        headers: vec![("retry-after".into(), "30".into())],
        ..Response::default()
    };
    let host = testing::Host::new().respond_with("slack", busy);
    let error = ops()
        .deliver(&host, &event("firing"), "k")
        .expect_err("busy");
    assert_eq!((error.code.as_str(), error.retryable), ("http_429", true));
}

#[test]
fn the_check_blames_settings_only() {
    let bad = testing::Host::new().respond("slack", 200, r#"{"ok":false,"error":"invalid_auth"}"#);
    assert!(ops().check(&bad).is_err());
    let down = testing::Host::new().respond("slack", 503, "");
    ops().check(&down).expect("Slack is down");
    let silent = testing::Host::new();
    let quiet = sink(json!({ "channel": "#ops", "check_token": false }));
    quiet.check(&silent).expect("nothing asked");
    assert!(silent.requests().is_empty());
}

#[test]
fn bad_settings_are_named() {
    for (config, fragment) in [
        (json!({}), "missing field `channel`"),
        (json!({ "channel": "" }), "neither #name"),
        (json!({ "channel": "#a b" }), "neither #name"),
        (
            json!({ "channel": "#a", "mention": { "bad": "<!here>" } }),
            "config.mention.bad",
        ),
        (
            json!({ "channel": "#a", "mention": { "critical": "@here" } }),
            "write <!here>",
        ),
        (
            json!({ "channel": "#a", "chanel": "#a" }),
            "unknown field `chanel`",
        ),
    ] {
        let error = testing::sink::<Slack>(config).expect_err(fragment);
        assert_eq!(error.code, "invalid_config");
        assert!(error.message.contains(fragment), "{error}");
    }
}

#[test]
fn the_schema_matches() {
    testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
}
