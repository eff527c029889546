//! Memory comes back after hostile calls. A process of its own: nothing else may allocate meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use argus_plugin_host::{
    HealthPolicy, HostConfig, PluginHost, PluginKind, PluginSpec, SinkNotification,
};
use serde_json::json;

/// Resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn memory_comes_back_after_hostile_calls() {
    const CALLS: usize = 24;
    /// What a call may take, and many calls at once would keep.
    const MEMORY_BYTES: usize = 64_000_000;
    /// Slots that stay warm, code pages, the allocator's own reserve.
    const TOLERANCE_BYTES: u64 = 32 << 20;
    let host = PluginHost::new(HostConfig {
        cache_dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins")),
        health: HealthPolicy {
            faults_before_back_off: u32::MAX,
            faults_before_quarantine: u32::MAX,
            ..HealthPolicy::default()
        },
        ..HostConfig::default()
    })
    .expect("a host");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins/dist/hostile.wasm");
    let behaviours = [
        ("behave", json!({ "behaviour": "behave" }), None),
        (
            "allocate",
            json!({ "behaviour": "allocate" }),
            Some("memory_exceeded"),
        ),
        (
            "recurse",
            json!({ "behaviour": "recurse" }),
            Some("stack_exhausted"),
        ),
        (
            "giant_return",
            json!({ "behaviour": "giant_return", "size": 30_000_000 }),
            Some("too_much_data"),
        ),
        (
            "giant_request",
            json!({ "behaviour": "giant_request", "size": 30_000_000 }),
            Some("too_much_data"),
        ),
        (
            "log_flood",
            json!({ "behaviour": "log_flood" }),
            Some("log_flood"),
        ),
        ("panic", json!({ "behaviour": "panic" }), Some("panicked")),
    ];
    let mut plugins = Vec::new();
    for (name, config, code) in behaviours {
        let mut spec = PluginSpec::new(name, PluginKind::Sink, &path);
        spec.config = config;
        spec.limits.memory_bytes = MEMORY_BYTES;
        spec.limits.timeout = Duration::from_secs(20);
        spec.limits.compute = Duration::from_secs(10);
        spec.limits.concurrent_calls = 8;
        plugins.push((host.load(spec).await.expect("loads"), code));
    }
    let notification = SinkNotification::test(0);
    // One round to fill what stays, then the one that counts.
    let mut levels = Vec::new();
    for round in 0..3 {
        for (plugin, code) in &plugins {
            let calls = (0..CALLS).map(|_| {
                let (plugin, notification) = (plugin.clone(), notification.clone());
                tokio::spawn(async move { plugin.deliver(&notification, "key").await })
            });
            for call in calls.collect::<Vec<_>>() {
                let ended = call.await.expect("no panic");
                let found = ended.as_ref().err().map(|error| error.code());
                assert_eq!(found, *code, "{}: {ended:?}", plugin.name());
            }
        }
        let (behaves, _) = &plugins[0];
        behaves.deliver(&notification, "key").await.expect("works");
        levels.push(resident_bytes());
        assert!(
            round == 0 || levels[round] < levels[0] + TOLERANCE_BYTES,
            "memory does not come back: {levels:?}"
        );
    }
    // Nothing near what one of them had while it ran.
    assert!(
        levels[2] < 300 << 20,
        "{} MiB stay resident",
        levels[2] >> 20
    );
    let allocated = plugins[1].0.status().memory_high_water_bytes;
    assert!(
        allocated > MEMORY_BYTES as u64 * 3 / 4,
        "the hostile calls did take memory: {allocated}"
    );
}
