//! Components that load and then do harm in a call.

use std::time::Instant;

use argus_plugin_host::PluginKind;

use super::cases::{CASES, In};
use super::text::{Sink, source};
use super::{check_error, set_up, spec, works};
use crate::support::deliver;

#[tokio::test]
async fn calls_that_do_harm_end_with_an_error() {
    let (host, good, dir) = set_up().await;
    works(&good, "nothing").await;
    for case in CASES {
        let name = case.name;
        let plugin = spec(&dir, name, PluginKind::Sink, &case.sink.component());
        let began = Instant::now();
        // Some cannot even be made ready, which is as well.
        let error = match host.load(plugin).await {
            Err(error) => error,
            Ok(plugin) => {
                let began = Instant::now();
                let outcome = match case.call {
                    In::Check => plugin.check().await,
                    In::Deliver => deliver(&plugin).await.map(drop),
                };
                let error = outcome
                    .err()
                    .unwrap_or_else(|| panic!("{name} did no harm"));
                check_error(name, &error, case.codes, began);
                assert_eq!(plugin.status().running, 0, "{name}");
                error
            }
        };
        check_error(name, &error, case.codes, began);
        works(&good, name).await;
    }
}

#[tokio::test]
async fn the_same_parts_without_harm_work() {
    let (host, good, dir) = set_up().await;
    let plugin = spec(&dir, "harmless", PluginKind::Sink, &Sink::GOOD.component());
    let plugin = host.load(plugin).await.expect("loads");
    plugin.check().await.expect("checks");
    deliver(&plugin).await.expect("delivers");
    assert_eq!(plugin.status().version, "6.6.6");
    works(&good, "harmless").await;
}

#[tokio::test]
async fn forged_and_stale_handles_trap() {
    const NEXT: &str = r#"(import "argus:plugin/connector@0.1.0" "[method]cursor.next"
        (func $next (param i32 i32 i32 i32 i32)))"#;
    const DROP: &str = r#"(import "argus:plugin/connector@0.1.0" "[resource-drop]cursor" (func $drop (param i32)))"#;
    let (host, good, dir) = set_up().await;
    for (name, imports, poll) in [
        (
            "forged-handle",
            NEXT,
            "(call $next (i32.const 12345) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 512)) (i32.const 0)",
        ),
        (
            "null-handle",
            NEXT,
            "(call $next (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 512)) (i32.const 0)",
        ),
        (
            "negative-handle",
            NEXT,
            "(call $next (i32.const -1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 512)) (i32.const 0)",
        ),
        (
            "drops-a-forged-handle",
            DROP,
            "(call $drop (i32.const 1)) (i32.const 0)",
        ),
        (
            "drops-many",
            DROP,
            "(loop $l (call $drop (i32.const 2)) (br $l)) (i32.const 0)",
        ),
    ] {
        let plugin = spec(&dir, name, PluginKind::Source, &source(imports, poll));
        let plugin = host
            .load(plugin)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let began = Instant::now();
        let error = plugin.poll(None, 10).await.expect_err(name);
        check_error(name, &error, &["trapped"], began);
        works(&good, name).await;
    }
}

#[tokio::test]
async fn batches_that_lie_are_refused() {
    let (host, good, dir) = set_up().await;
    // A batch: content (where, length), items (where, length), checkpoint (where, length), more, skipped; after the
    // result's first byte.
    let batch = |items_len: i64, checkpoint_len: i64, more: u8| {
        format!(
            "(i32.store (i32.const 4) (i32.const 64)) (i32.store (i32.const 8) (i32.const 0))
             (i32.store (i32.const 12) (i32.const 64)) (i32.store (i32.const 16) (i32.const {items_len}))
             (i32.store (i32.const 20) (i32.const 64)) (i32.store (i32.const 24) (i32.const {checkpoint_len}))
             (i32.store8 (i32.const 28) (i32.const {more})) (i32.const 0)"
        )
    };
    for (name, poll, codes) in [
        (
            "items-beyond-memory",
            batch(2_000_000_000, 0, 0),
            &["trapped", "too_much_data"][..],
        ),
        (
            "items-of-negative-length",
            batch(-1, 0, 0),
            &["trapped", "too_much_data"],
        ),
        (
            "checkpoint-too-long",
            batch(0, 70_000, 0),
            &["checkpoint_too_large"],
        ),
    ] {
        let plugin = spec(&dir, name, PluginKind::Source, &source("", &poll));
        let plugin = host
            .load(plugin)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let began = Instant::now();
        let error = plugin.poll(None, 10).await.expect_err(name);
        check_error(name, &error, codes, began);
        works(&good, name).await;
    }
    // Any byte but 0 is true.
    let plugin = spec(
        &dir,
        "odd-truth",
        PluginKind::Source,
        &source("", &batch(0, 3, 0xff)),
    );
    let plugin = host
        .load(plugin)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let fetched = plugin.poll(None, 10).await.expect("a batch");
    assert!(fetched.more && fetched.checkpoint.len() == 3, "{fetched:?}");
}

#[tokio::test]
async fn memory_comes_back_from_all_of_them() {
    let (host, good, dir) = set_up().await;
    let mut plugins = Vec::new();
    for case in CASES {
        let plugin = spec(&dir, case.name, PluginKind::Sink, &case.sink.component());
        if let Ok(plugin) = host.load(plugin).await {
            plugins.push((case.call, plugin));
        }
    }
    let provoke_all = async || {
        for (call, plugin) in &plugins {
            plugin.release();
            let ended = match call {
                In::Check => plugin.check().await,
                In::Deliver => deliver(plugin).await.map(drop),
            };
            ended.expect_err("does harm");
        }
    };
    provoke_all().await;
    // Other tests of this process take memory and give it back; what each round keeps for good adds up.
    let before = resident_bytes();
    for round in 1.. {
        provoke_all().await;
        let kept = resident_bytes().saturating_sub(before) / round;
        if round >= 3 && kept < MOST_KEPT {
            break;
        }
        assert!(round < 20, "each of {round} rounds kept {kept} bytes");
    }
    works(&good, "all of them").await;
}

/// Less than a single one of the memories that were filled.
const MOST_KEPT: u64 = 8 << 20;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * 4096)
}
