//! Changed files under load: nothing is lost, nothing is doubled.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_plugin_host::{HostConfig, Plugin, PluginError, PluginState, SinkNotification};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{component, host_with, spec, target};

const DELIVERIES: usize = 1000;

/// Takes a while for each request, and counts them by idempotency key.
async fn slow_counter(
    pause: Duration,
) -> (std::net::SocketAddr, Arc<Mutex<BTreeMap<String, u32>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let counts: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let seen = counts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut pending = Vec::new();
                let mut buffer = [0; 16 << 10];
                loop {
                    let text = String::from_utf8_lossy(&pending).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        match stream.read(&mut buffer).await {
                            Ok(read) if read > 0 => pending.extend_from_slice(&buffer[..read]),
                            _ => return,
                        }
                        continue;
                    };
                    let field = |name: &str| {
                        let line = head.lines().find_map(|line| line.strip_prefix(name));
                        line.map(str::trim).map(str::to_owned)
                    };
                    let length = field("content-length:").and_then(|n| n.parse().ok());
                    let length: usize = length.expect("a length");
                    if body.len() < length {
                        match stream.read(&mut buffer).await {
                            Ok(read) if read > 0 => pending.extend_from_slice(&buffer[..read]),
                            _ => return,
                        }
                        continue;
                    }
                    let key = field("idempotency-key:").expect("a key");
                    *seen.lock().entry(key).or_default() += 1;
                    pending.drain(..head.len() + 4 + length);
                    tokio::time::sleep(pause).await;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, counts)
}

/// The same component with a remark in a custom section: another file that does the same.
fn another_version(wasm: &[u8], number: u8) -> Vec<u8> {
    let content = [&[4][..], b"note", &[number]].concat();
    [wasm, &[0, content.len() as u8], &content].concat()
}

fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{what} never came"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn deliver_all(plugin: &Arc<Plugin>) -> Vec<JoinHandle<Result<(), PluginError>>> {
    let one = |number: usize| {
        let plugin = plugin.clone();
        tokio::spawn(async move {
            let notification = SinkNotification {
                id: format!("n-{number}"),
                ..SinkNotification::test(0)
            };
            let key = format!("key-{number}");
            plugin.deliver(&notification, &key).await.map(drop)
        })
    };
    (0..DELIVERIES).map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_deliveries_survive_five_replacements() {
    let (address, counts) = slow_counter(Duration::from_millis(20)).await;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("sink.wasm");
    let good = fs::read(component("webhook")).expect("readable");
    fs::copy(component("webhook"), &path).expect("copied");
    let host = host_with(HostConfig {
        watch_every: Some(Duration::from_millis(20)),
        ..HostConfig::default()
    });
    let mut spec = spec("webhook", json!({}));
    spec.path = path.clone();
    spec.limits.timeout = Duration::from_secs(300);
    spec.targets.insert("webhook".into(), target(address));
    let plugin = host.load(spec).await.expect("loads");
    let first = plugin.status().sha256;

    let deliveries = deliver_all(&plugin);
    let delivered = || counts.lock().len();
    let mut during = Vec::new();
    let mut running = vec![first];
    let started = Instant::now();
    for number in 0..5_u8 {
        // Replaced while calls run and wait: after every eighth of them.
        until("progress", || {
            delivered() >= DELIVERIES / 8 * usize::from(number + 1)
        })
        .await;
        if number == 1 || number == 3 {
            replace(&path, &good[..good.len() / 2]);
            until("a refusal", || plugin.status().load_error.is_some()).await;
            let status = plugin.status();
            let error = status.load_error.expect("it is shown");
            assert_eq!(error.code, "not_a_component", "{}", error.message);
            assert_eq!(Some(&status.sha256), running.last(), "the old one runs on");
            assert_eq!(status.health, PluginState::Ready);
        } else {
            replace(&path, &another_version(&good, number));
            let old = running.last().cloned();
            until("another version", || Some(plugin.status().sha256) != old).await;
            assert_eq!(plugin.status().load_error, None);
            running.push(plugin.status().sha256);
        }
        during.push(delivered());
    }
    for delivery in deliveries {
        let delivered = delivery.await.expect("no panic");
        delivered.unwrap_or_else(|error| panic!("{error}"));
    }
    let counts = counts.lock();
    assert_eq!(counts.len(), DELIVERIES, "none is lost");
    assert!(counts.values().all(|count| *count == 1), "none is doubled");
    let status = plugin.status();
    assert_eq!((status.reloads, status.errors, status.running), (3, 0, 0));
    assert!(
        during.iter().all(|delivered| *delivered < DELIVERIES),
        "each replacement came while deliveries were under way: {during:?} in {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_plugin_that_was_missing_at_first_comes_up_when_its_file_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("sink.wasm");
    let host = host_with(HostConfig {
        watch_every: Some(Duration::from_millis(20)),
        ..HostConfig::default()
    });
    let mut spec = spec("hostile", json!({ "behaviour": "behave" }));
    spec.path = path.clone();
    let plugin = host.add(spec);
    let moment = Duration::from_millis(20);
    let tried = tokio::time::timeout(moment, plugin.tried()).await;
    tried.expect_err("nobody has looked for its file yet");
    assert_eq!(
        plugin.reload().await.expect_err("nothing there").code(),
        "unreadable_file"
    );
    plugin.tried().await;
    assert_eq!(plugin.status().health, PluginState::NotLoaded);
    let refused = crate::support::deliver(&plugin).await.expect_err("not yet");
    assert_eq!((refused.code(), refused.retryable()), ("not_loaded", true));
    assert!(refused.to_string().contains("cannot read"), "{refused}");
    replace(&path, &fs::read(component("hostile")).expect("readable"));
    until("the plugin", || {
        plugin.status().health == PluginState::Ready
    })
    .await;
    crate::support::deliver(&plugin).await.expect("delivers");
}
