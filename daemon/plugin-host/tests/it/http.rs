//! Named targets: secrets go out, never back; nothing leaves the base URL.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use argus_plugin_host::{
    Failure, PluginError, Receipt, SecretSource, SinkNotification, TargetSpec,
};
use serde_json::{Value, json};

use crate::support::{Answer, deliver, host, hostile, load, serve, spec, target};

const TOKEN: &str = "tok\"en/with specials";

fn with_token(address: SocketAddr) -> TargetSpec {
    let mut target = target(address);
    target
        .secrets
        .insert("token".into(), SecretSource::Value(TOKEN.into()));
    target
}

/// One request of the hostile sink to a target; `request` are settings beside the behaviour.
async fn send(target: TargetSpec, mut request: Value) -> Result<Receipt, PluginError> {
    request["behaviour"] = "http".into();
    let mut spec = hostile(request);
    spec.targets.insert("target".into(), target);
    let host = host();
    deliver(&*load(&host, spec).await).await
}

#[track_caller]
fn check_reported(result: Result<Receipt, PluginError>, code: &str, retryable: bool) -> String {
    let error = result.expect_err(code);
    assert!(
        matches!(&error.failure, Failure::Reported { .. }),
        "{error}"
    );
    assert_eq!(
        (error.code(), error.retryable()),
        (code, retryable),
        "{error}"
    );
    error.to_string()
}

#[tokio::test]
async fn secrets_are_filled_in_and_scrubbed_from_the_echo() {
    let (address, mut requests) = serve(Answer::Echo).await;
    let mut target = with_token(address);
    target
        .headers
        .insert("authorization".into(), "Bearer {{secret:token}}".into());
    let request = json!({
        "path": "hooks/{{secret:token}}?key={{secret:token}}",
        "headers": [
            ["content-type", "application/json"],
            ["x-token", "{{secret:token}}"],
            ["Authorization", "mine"],
            ["Host", "evil.example"],
            ["Transfer-Encoding", "chunked"],
            ["Accept-Encoding", "gzip"],
        ],
        "body": r#"{"token":"{{secret:token}}"}"#,
    });
    let receipt = send(target, request).await.expect("answered");
    let seen = requests.recv().await.expect("a request");
    assert!(
        seen.starts_with(
            "POST /base/hooks/tok%22en/with%20specials?key=tok%22en/with%20specials HTTP/1.1"
        ),
        "{seen}"
    );
    assert!(
        seen.contains("x-token: tok\"en/with specials\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains("authorization: Bearer tok\"en/with specials\r\n"),
        "{seen}"
    );
    assert!(
        seen.ends_with(r#"{"token":"tok\"en/with specials"}"#),
        "{seen}"
    );
    assert!(seen.contains(&format!("host: {address}\r\n")), "{seen}");
    for absent in ["mine", "evil", "chunked", "gzip", "{{secret"] {
        assert!(!seen.contains(absent), "{absent}: {seen}");
    }
    let echoed = receipt.message.expect("the echo");
    assert!(!echoed.contains("specials"), "{echoed}");
    assert_eq!(echoed.matches("[secret]").count(), 5, "{echoed}");
}

#[tokio::test]
async fn outside_text_cannot_ask_for_secrets() {
    let (address, mut requests) = serve(Answer::status("200 OK")).await;
    let mut spec = spec("webhook", json!({}));
    spec.targets.insert("webhook".into(), with_token(address));
    let host = host();
    let plugin = load(&host, spec).await;
    let mut notification = SinkNotification::test(0);
    notification.entity = "{{secret:token}}".into();
    notification
        .labels
        .push(("a".into(), "{{secret:token}}".into()));
    plugin.deliver(&notification, "k").await.expect("delivered");
    let seen = requests.recv().await.expect("a request");
    assert!(
        seen.contains("{{ secret:token}}") && !seen.contains("specials"),
        "{seen}"
    );
}

#[tokio::test]
async fn requests_stay_inside_the_target() {
    let (address, mut requests) = serve(Answer::status("200 OK")).await;
    for (request, code) in [
        (json!({ "target": "other" }), "unknown_target"),
        (json!({ "target": "http://127.0.0.1/" }), "unknown_target"),
        (json!({ "method": "DELETE" }), "method_not_allowed"),
        (json!({ "path": "../admin" }), "invalid_path"),
        (json!({ "path": "%2e%2e/admin" }), "invalid_path"),
        (json!({ "path": "a b" }), "invalid_path"),
        (json!({ "path": "{{secret:other}}" }), "unknown_secret"),
        (json!({ "body": "{{secret:other}}" }), "unknown_secret"),
        (json!({ "headers": [["a b", "c"]] }), "invalid_header"),
        (json!({ "headers": [["a", "b\r\nc: d"]] }), "invalid_header"),
    ] {
        let text = check_reported(send(with_token(address), request).await, code, false);
        assert!(!text.contains("specials"), "{text}");
    }
    assert!(requests.try_recv().is_err(), "nothing was sent");
    send(with_token(address), json!({ "path": "//evil.example/x" }))
        .await
        .expect("a path like any other");
    let seen = requests.recv().await.expect("a request");
    assert!(seen.starts_with("POST /base//evil.example/x"), "{seen}");
}

#[tokio::test]
async fn private_addresses_are_refused_unless_configured_there() {
    let (address, mut requests) = serve(Answer::status("200 OK")).await;
    // A name that resolves to loopback, as under DNS rebinding: the machine's own.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .expect("Linux")
        .trim()
        .to_owned();
    let by_name = TargetSpec::new(format!("http://{name}:{}/", address.port()));
    let error = send(by_name, json!({})).await.expect_err("private");
    assert!(
        matches!(error.code(), "address_refused" | "name_not_found"),
        "{error}"
    );
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    assert!(requests.try_recv().is_err(), "nothing was sent");
    let configured = TargetSpec::new(format!("http://localhost:{}/", address.port()));
    send(configured, json!({})).await.expect("configured there");
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_are_answers() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n";
    let (large, _requests) = serve(Answer::Bytes([head.as_bytes(), &[b'x'; 5000]].concat())).await;
    let small_cap = TargetSpec {
        max_response_bytes: 100,
        ..target(large)
    };
    check_reported(
        send(small_cap, json!({})).await,
        "response_too_large",
        false,
    );
    let small_cap = TargetSpec {
        max_request_bytes: 3,
        ..target(large)
    };
    check_reported(
        send(small_cap, json!({ "body": "1234" })).await,
        "request_too_large",
        false,
    );
    let compressed =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n".to_vec();
    let (compressed, _requests) = serve(Answer::Bytes(compressed)).await;
    check_reported(
        send(target(compressed), json!({})).await,
        "protocol_error",
        false,
    );
    let (elsewhere, mut followed) = serve(Answer::status("200 OK")).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let (redirecting, _requests) = serve(Answer::Bytes(redirect.into_bytes())).await;
    check_reported(
        send(target(redirecting), json!({})).await,
        "http_302",
        false,
    );
    assert!(followed.try_recv().is_err());
}

#[tokio::test]
async fn failures_are_explained_to_the_plugin() {
    let (silent, _requests) = serve(Answer::Silence).await;
    let impatient = TargetSpec {
        timeout: Duration::from_millis(50),
        ..target(silent)
    };
    check_reported(send(impatient, json!({})).await, "timed_out", true);
    check_reported(
        send(target(silent), json!({ "timeout_ms": 50 })).await,
        "timed_out",
        true,
    );
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind")
        .local_addr()
        .expect("address");
    check_reported(
        send(target(closed), json!({})).await,
        "connect_failed",
        true,
    );
    let unresolvable = TargetSpec::new("https://name.invalid/");
    check_reported(send(unresolvable, json!({})).await, "name_not_found", true);
}

#[tokio::test]
async fn the_far_sides_patience_is_passed_on() {
    for (status, expected) in [
        ("429 Too Many Requests", Some(7)),
        ("503 Unavailable", Some(7)),
        ("500 Oops", None),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n");
        let (address, _requests) = serve(Answer::Bytes(answer.into_bytes())).await;
        let error = send(target(address), json!({}))
            .await
            .expect_err("no success");
        assert!(error.retryable(), "{error}");
        assert_eq!(
            error.retry_after,
            expected.map(Duration::from_secs),
            "{error}"
        );
    }
}

#[tokio::test]
async fn unusable_targets_fail_the_load() {
    let host = host();
    let mut spec = hostile(json!({ "behaviour": "behave" }));
    let secrets = BTreeMap::from([(
        "token".to_owned(),
        SecretSource::Env("ARGUS_TEST_SURELY_NOT_SET".into()),
    )]);
    spec.targets.insert(
        "chat".into(),
        TargetSpec {
            secrets,
            ..TargetSpec::new("https://chat.example/")
        },
    );
    let error = host.load(spec).await.expect_err("no secret");
    assert_eq!(
        error.to_string(),
        "plugin hostile 0.1.0: target \"chat\" is unusable: secret \"token\": the environment variable \
         ARGUS_TEST_SURELY_NOT_SET is not set"
    );
}
