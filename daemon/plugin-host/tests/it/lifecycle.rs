//! Loading, caching, reloading, slots, back-off and quarantine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use argus_plugin_host::{
    HealthPolicy, HostConfig, PluginHost, PluginKind, PluginSpec, PluginState,
};
use serde_json::json;

use crate::support::{
    Answer, ManualClock, component, deliver, host, host_with, hostile, load, serve, spec, target,
};

#[tokio::test]
async fn files_that_are_no_plugin_say_why() {
    let host = host();
    let dir = tempfile::tempdir().expect("a folder");
    let good = fs::read(component("webhook")).expect("readable");
    let patch = |from: &str, to: &str| {
        let mut bytes = good.clone();
        let positions: Vec<usize> = bytes
            .windows(from.len())
            .enumerate()
            .filter(|(_, w)| *w == from.as_bytes())
            .map(|(i, _)| i)
            .collect();
        for position in positions {
            bytes[position..position + to.len()].copy_from_slice(to.as_bytes());
        }
        bytes
    };
    for (name, bytes, code, fragment) in [
        (
            "text",
            b"hello".to_vec(),
            "not_a_component",
            "plugin text: ",
        ),
        (
            "module",
            b"\0asm\x01\0\0\0".to_vec(),
            "not_a_component",
            "component",
        ),
        (
            "torn",
            good[..good.len() / 2].to_vec(),
            "not_a_component",
            "component",
        ),
        (
            "kind",
            patch("\"kind\":\"sink\"", "\"kind\":\"sunk\""),
            "wrong_kind",
            "it is a sunk plugin",
        ),
        (
            "import",
            patch("argus:plugin/clock@", "argus:plugin/clogs@"),
            "unlinkable",
            "argus:plugin/clogs@0.1.0",
        ),
        (
            "export",
            patch("argus:plugin/delivery@", "argus:plugin/demolish@"),
            "unlinkable",
            "delivery",
        ),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("written");
        let error = host
            .load(PluginSpec::new(name, PluginKind::Sink, path))
            .await
            .expect_err(name);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(fragment), "{error}");
    }
    let error = host
        .load(PluginSpec::new(
            "gone",
            PluginKind::Sink,
            "/nonexistent.wasm",
        ))
        .await
        .expect_err("gone");
    assert_eq!(error.code(), "unreadable_file");
    let mut large = spec("webhook", json!({}));
    large.limits.file_bytes = 1000;
    assert_eq!(
        host.load(large).await.expect_err("large").code(),
        "file_too_large"
    );
}

#[tokio::test]
async fn a_pinned_hash_must_match() {
    let host = host();
    let plugin = load(&host, spec("webhook", json!({}))).await;
    let mut pinned = spec("webhook", json!({}));
    pinned.sha256 = Some(plugin.status().sha256.to_uppercase());
    load(&host, pinned.clone()).await;
    pinned.sha256 = Some("00".repeat(32));
    assert_eq!(
        host.load(pinned).await.expect_err("another file").code(),
        "wrong_hash"
    );
}

#[tokio::test]
async fn compiled_code_is_kept_private_and_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache_dir = dir.path().join("compiled");
    let host = || {
        let config = HostConfig {
            cache_dir: Some(cache_dir.clone()),
            ..HostConfig::default()
        };
        PluginHost::new(config).expect("a host")
    };
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    load(&host(), hostile(json!({ "behaviour": "behave" }))).await;
    let entries: Vec<_> = fs::read_dir(&cache_dir)
        .expect("there")
        .flatten()
        .map(|e| e.path())
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((mode(&cache_dir), mode(&entries[0])), (0o700, 0o600));
    let whole = fs::read(&entries[0]).expect("readable");
    for damaged in [
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        [&whole[..100], &[0xff], &whole[101..]].concat(),
    ] {
        fs::write(&entries[0], damaged).expect("written");
        let plugin = load(&host(), hostile(json!({ "behaviour": "behave" }))).await;
        deliver(&plugin).await.expect("compiled again");
        assert_eq!(fs::read(&entries[0]).expect("readable").len(), whole.len());
    }
    fs::set_permissions(&cache_dir, fs::Permissions::from_mode(0o777)).expect("ours");
    let _ = host();
    assert_eq!(mode(&cache_dir), 0o700);
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_version_running() {
    let host = host();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("plugin.wasm");
    fs::copy(component("hostile"), &path).expect("copied");
    let mut plugin = hostile(json!({ "behaviour": "behave" }));
    plugin.path = path.clone();
    let plugin = load(&host, plugin).await;
    fs::write(&path, b"broken").expect("written");
    assert_eq!(
        plugin.reload().await.expect_err("broken").code(),
        "not_a_component"
    );
    deliver(&plugin).await.expect("the old version runs");
    // A good file of a plugin whose schema refuses these settings.
    fs::copy(component("webhook"), &path).expect("copied");
    let error = plugin.reload().await.expect_err("unknown settings");
    assert!(
        error.to_string().contains("has no setting `behaviour`"),
        "{error}"
    );
    deliver(&plugin).await.expect("the old version runs");
    fs::copy(component("hostile"), &path).expect("copied");
    plugin.reload().await.expect("good again");
    deliver(&plugin).await.expect("runs");
}

#[tokio::test]
async fn repeated_faults_lead_to_back_off_and_quarantine() {
    let clock = Arc::new(ManualClock::default());
    let health = HealthPolicy {
        faults_before_back_off: 2,
        first_back_off: Duration::from_secs(1),
        faults_before_quarantine: 3,
        quarantine: Duration::from_secs(60),
    };
    let host = host_with(HostConfig {
        clock: clock.clone(),
        health,
        ..HostConfig::default()
    });
    let plugin = load(&host, hostile(json!({ "behaviour": "panic" }))).await;
    for code in ["panicked", "panicked", "backing_off"] {
        assert_eq!(deliver(&plugin).await.expect_err("panics").code(), code);
    }
    clock.advance(1_000);
    for code in ["panicked", "quarantined"] {
        assert_eq!(deliver(&plugin).await.expect_err("panics").code(), code);
    }
    let refused = deliver(&plugin).await.expect_err("quarantined");
    assert_eq!(refused.retry_after, Some(Duration::from_secs(60)));
    assert!(
        refused.retryable() && refused.to_string().starts_with("plugin hostile 0.1.0: "),
        "{refused}"
    );
    let status = plugin.status();
    assert!(
        matches!(status.health, PluginState::Quarantined { faults: 3, .. }),
        "{status:?}"
    );
    assert_eq!((status.calls, status.faults, status.refused), (3, 3, 3));
    clock.advance(60_000);
    assert_eq!(
        deliver(&plugin).await.expect_err("the trial").code(),
        "panicked"
    );
    assert_eq!(
        deliver(&plugin).await.expect_err("again").code(),
        "quarantined"
    );
    plugin.release();
    assert_eq!(plugin.status().health, PluginState::Ready);
    assert_eq!(
        deliver(&plugin).await.expect_err("panics").code(),
        "panicked"
    );
}

#[tokio::test]
async fn slots_are_limited_and_come_back_when_callers_leave() {
    let (address, _requests) = serve(Answer::Silence).await;
    let host = host();
    let mut spec = hostile(json!({ "behaviour": "http" }));
    spec.limits.concurrent_calls = 1;
    spec.limits.timeout = Duration::from_millis(400);
    spec.targets.insert("target".into(), target(address));
    let plugin = load(&host, spec).await;
    let left = tokio::time::timeout(Duration::from_millis(100), deliver(&plugin)).await;
    assert!(left.is_err(), "the caller left first");
    assert_eq!(plugin.status().running, 0);
    let (first, second) = tokio::join!(deliver(&plugin), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        deliver(&plugin).await
    });
    assert_eq!(first.expect_err("silence").code(), "timed_out");
    // It waited for the slot, then for its own answer.
    assert!(matches!(
        second.expect_err("silence").code(),
        "timed_out" | "busy"
    ));
}

#[tokio::test]
async fn dropping_the_host_inside_a_runtime_is_fine() {
    let host = host();
    let plugin = load(&host, hostile(json!({ "behaviour": "behave" }))).await;
    drop(host);
    deliver(&plugin).await.expect("the plugin keeps its host");
    drop(plugin);
}
