//! Whatever a plugin does costs its own call an error that names plugin and version, and nobody else anything.

use std::time::Duration;

use argus_plugin_host::{Failure, PluginError};
use serde_json::{Value, json};

use crate::support::{Answer, deliver, host, hostile, load, serve, target};

/// The error of a call with that behaviour.
async fn provoke(config: Value) -> PluginError {
    let host = host();
    let plugin = load(&host, hostile(config)).await;
    let error = deliver(&plugin)
        .await
        .expect_err("misbehaviour is an error");
    let status = plugin.status();
    assert_eq!((status.calls, status.errors, status.running), (1, 1, 0));
    let last = status.last_error.expect("the last error is shown");
    assert_eq!(
        (last.code.as_str(), last.message),
        (error.code(), error.to_string())
    );
    error
}

#[track_caller]
fn check(error: &PluginError, code: &str, fragment: &str) {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(text.starts_with("plugin hostile 0.1.0: "), "{text}");
    assert!(text.contains(fragment), "{text}");
    assert!(error.failure.is_fault() && error.retryable(), "{text}");
}

#[tokio::test]
async fn endless_loops() {
    for behaviour in ["loop", "clock_flood"] {
        let error = provoke(json!({ "behaviour": behaviour })).await;
        check(&error, "compute_exceeded", "100ms");
    }
}

#[tokio::test]
async fn hunger_for_memory() {
    let error = provoke(json!({ "behaviour": "allocate" })).await;
    check(&error, "memory_exceeded", "32 MB");
}

#[tokio::test]
async fn panics_and_traps() {
    let error = provoke(json!({ "behaviour": "panic" })).await;
    check(&error, "panicked", "I was told to panic");
    let error = provoke(json!({ "behaviour": "trap" })).await;
    check(&error, "trapped", "unreachable");
}

#[tokio::test]
async fn endless_recursion() {
    let error = provoke(json!({ "behaviour": "recurse" })).await;
    check(&error, "stack_exhausted", "stack");
}

#[tokio::test]
async fn floods_of_log_lines() {
    let error = provoke(json!({ "behaviour": "log_flood" })).await;
    check(&error, "log_flood", "200 lines");
    let error = provoke(json!({ "behaviour": "long_line", "size": 100_000 })).await;
    check(&error, "log_flood", "65536 bytes");
}

#[tokio::test]
async fn giant_values() {
    let error = provoke(json!({ "behaviour": "giant_return", "size": 12 << 20 })).await;
    check(&error, "too_much_data", "8388608 bytes");
    let error = provoke(json!({ "behaviour": "giant_request", "size": 12 << 20 })).await;
    check(&error, "too_much_data", "8388608 bytes");
    // Below the limit: long texts are only cut.
    let host = host();
    let plugin = load(
        &host,
        hostile(json!({ "behaviour": "giant_return", "size": 100_000 })),
    )
    .await;
    let message = deliver(&plugin)
        .await
        .expect("delivered")
        .message
        .expect("a message");
    assert!(message.len() < 3000);
}

#[tokio::test]
async fn parking_in_a_host_call() {
    let (address, _requests) = serve(Answer::Silence).await;
    let host = host();
    let mut spec = hostile(json!({ "behaviour": "http" }));
    spec.limits.timeout = Duration::from_millis(200);
    let mut silent = target(address);
    silent.timeout = Duration::from_secs(60);
    spec.targets.insert("target".into(), silent);
    let plugin = load(&host, spec).await;
    let error = deliver(&plugin).await.expect_err("nobody answers");
    assert_eq!(error.code(), "timed_out", "{error}");
    // The far side was slow, not the plugin: it was left the time to say so.
    assert!(
        matches!(error.failure, Failure::Reported { .. }),
        "{error:?}"
    );
    assert_eq!(plugin.status().faults, 0);
}

#[tokio::test]
async fn floods_of_requests() {
    let (address, mut requests) = serve(Answer::status("200 OK")).await;
    let host = host();
    let mut spec = hostile(json!({ "behaviour": "http_flood" }));
    spec.targets.insert("target".into(), target(address));
    let plugin = load(&host, spec).await;
    let error = deliver(&plugin).await.expect_err("never returns");
    check(&error, "compute_exceeded", "computed");
    let mut sent = 0;
    while requests.try_recv().is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 16);
    assert_eq!(plugin.status().http_requests, 16);
}

#[tokio::test]
async fn misbehaviour_in_check() {
    let host = host();
    let plugin = load(
        &host,
        hostile(json!({ "behaviour": "panic", "in_check": true })),
    )
    .await;
    check(
        &plugin.check().await.expect_err("panics"),
        "panicked",
        "told to panic",
    );
}

#[tokio::test]
async fn errors_that_a_plugin_returns_are_no_faults() {
    let host = host();
    let plugin = load(&host, hostile(json!({ "behaviour": "fail" }))).await;
    for _ in 0..20 {
        let error = deliver(&plugin).await.expect_err("told to fail");
        assert_eq!(
            error.to_string(),
            "plugin hostile 0.1.0: I was told to fail (told_to_fail)"
        );
        assert!(error.retryable() && !error.failure.is_fault());
    }
    assert_eq!(plugin.status().faults, 0);
}

#[tokio::test]
async fn memory_comes_back() {
    let host = host();
    let greedy = load(&host, hostile(json!({ "behaviour": "allocate" }))).await;
    let hungry = load(
        &host,
        hostile(json!({ "behaviour": "use", "size": 24 << 20 })),
    )
    .await;
    deliver(&hungry).await.expect("within its limit");
    let before = resident_bytes();
    for _ in 0..20 {
        greedy.release();
        deliver(&greedy).await.expect_err("too much");
        deliver(&hungry).await.expect("within its limit");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "grew by {grown} bytes over 40 calls");
    let high_water = greedy.status().memory_high_water_bytes;
    assert!(
        (30_000_000..=32_000_000).contains(&high_water),
        "{high_water}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_plugin_works_beside_hostile_ones() {
    let host = host();
    let healthy = load(&host, hostile(json!({ "behaviour": "behave" }))).await;
    let mut neighbours = Vec::new();
    for behaviour in [
        "loop",
        "allocate",
        "recurse",
        "log_flood",
        "clock_flood",
        "loop",
    ] {
        let mut spec = hostile(json!({ "behaviour": behaviour }));
        spec.limits.compute = Duration::from_secs(1);
        let plugin = load(&host, spec).await;
        neighbours.push(tokio::spawn(async move {
            for _ in 0..3 {
                plugin.release();
                deliver(&plugin).await.expect_err("misbehaves");
            }
        }));
    }
    while !neighbours.iter().all(tokio::task::JoinHandle::is_finished) {
        deliver(&healthy).await.expect("is healthy");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for neighbour in neighbours {
        neighbour.await.expect("all failed as they should");
    }
    let status = healthy.status();
    assert!(status.calls > 10 && status.errors == 0, "{status:?}");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("pages");
    pages * 4096
}
