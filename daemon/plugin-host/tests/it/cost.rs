//! What a call costs. Prints; run in release:
//! `cargo test --release -p argus-plugin-host --test it -- --ignored --nocapture cost`.

#![expect(clippy::print_stderr, reason = "a measurement is there to be read")]

use std::time::Instant;

use argus_plugin_host::SinkNotification;
use serde_json::json;

use crate::support::{host, hostile, load};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement, meaningful only in release"]
async fn cost_of_a_fresh_instance_and_a_trivial_call() {
    let host = host();
    let plugin = load(&host, hostile(json!({ "behaviour": "behave" }))).await;
    let notification = SinkNotification::test(0);
    let mut checks = Vec::new();
    let mut deliveries = Vec::new();
    for round in 0..2200 {
        let started = Instant::now();
        plugin.check().await.expect("valid");
        let checked = started.elapsed();
        let started = Instant::now();
        plugin
            .deliver(&notification, "key")
            .await
            .expect("delivered");
        if round >= 200 {
            checks.push(checked);
            deliveries.push(started.elapsed());
        }
    }
    let status = plugin.status();
    for (what, times) in [("check", &mut checks), ("deliver", &mut deliveries)] {
        times.sort();
        let at = |share: usize| times[times.len() * share / 1000].as_secs_f64() * 1e6;
        eprintln!(
            "{what}: median {:.1} us, p99 {:.1} us, p99.9 {:.1} us",
            at(500),
            at(990),
            at(999)
        );
    }
    eprintln!(
        "inside the plugins' thread: mean {:.1} us",
        status.mean_ms * 1000.0
    );
}
