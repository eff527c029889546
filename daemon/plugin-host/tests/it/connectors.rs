//! Sources and native connectors: what is granted, what comes through, what is closed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_connector_host::{Connector, ConnectorSpec};
use argus_plugin_host::services::Services;
use argus_plugin_host::{HostConfig, Plugin, PluginHost, PluginKind, PluginSpec, plain_words};
use serde_json::{Value, json};

use crate::support::{component, host_with};

/// The library of a crate that this one has as a dev-dependency: cargo puts it beside the test's executable.
fn library() -> PathBuf {
    let executable = std::env::current_exe().expect("a path");
    let folder = executable.parent().expect("a folder");
    folder.join("libargus_connector_memory.so")
}

async fn host_with_connectors() -> (Arc<PluginHost>, Arc<Connector>) {
    let spec = ConnectorSpec::new("numbers", library());
    let numbers = Connector::open(spec).await.expect("opens");
    let connectors = [
        ("numbers".to_owned(), Ok(numbers.clone())),
        (
            "broken".to_owned(),
            Err("connector broken: no such file".to_owned()),
        ),
        ("secret".to_owned(), Ok(numbers.clone())),
    ];
    let services = Services {
        connectors: connectors.into_iter().collect(),
        ..Services::default()
    };
    let host = host_with(HostConfig {
        services,
        ..HostConfig::default()
    });
    (host, numbers)
}

fn source(config: Value) -> PluginSpec {
    let mut spec = PluginSpec::new("numbers", PluginKind::Source, component("hostile-source"));
    spec.config = config;
    spec.connectors = vec!["numbers".to_owned(), "broken".to_owned()];
    spec.limits.timeout = Duration::from_millis(1500);
    spec
}

async fn load(host: &Arc<PluginHost>, config: Value) -> Arc<Plugin> {
    host.load(source(config)).await.expect("loads")
}

#[tokio::test]
async fn documents_come_page_by_page_and_the_checkpoint_goes_on() {
    let (host, numbers) = host_with_connectors().await;
    let config = json!({ "connector": "numbers", "total": 1300, "servers": 3, "spacing_ms": 1000 });
    let plugin = load(&host, config).await;
    let first = plugin.poll(None, 1200).await.expect("a batch");
    assert_eq!(
        (first.content.as_str(), first.checkpoint.as_slice()),
        ("records", &b"1200"[..])
    );
    assert_eq!(first.items.split(|byte| *byte == b'\n').count(), 1201);
    assert!(first.more && first.skipped == 0);
    // Three pages of 500, and what the connector counted is what came.
    let status = numbers.status();
    assert_eq!(
        (status.documents, status.requests, status.cursors),
        (1200, 4, 0)
    );
    let last = plugin
        .poll(Some(first.checkpoint), 1200)
        .await
        .expect("a batch");
    assert_eq!(
        (last.more, last.checkpoint.as_slice()),
        (false, &b"1300"[..])
    );
    let record: Value = last
        .items
        .split(|byte| *byte == b'\n')
        .next()
        .map(|line| serde_json::from_slice(line).expect("a record"))
        .expect("a line");
    assert_eq!(record["server_name"], "source-0");
    assert_eq!(record["timestamp"], 1_200_000);
}

#[tokio::test]
async fn only_what_was_granted_can_be_asked() {
    let (host, numbers) = host_with_connectors().await;
    for (connector, code, fragment) in [
        (
            "secret",
            "unknown_connector",
            "no connector \"secret\" for this plugin",
        ),
        (
            "elsewhere",
            "unknown_connector",
            "no connector \"elsewhere\"",
        ),
        (
            "broken",
            "connector_failed",
            "connector broken: no such file",
        ),
    ] {
        let plugin = load(&host, json!({ "connector": connector, "total": 5 })).await;
        let error = plugin.poll(None, 5).await.expect_err(connector);
        assert_eq!(error.code(), code);
        assert!(
            error.to_string().starts_with("plugin numbers 0.1.0: "),
            "{error}"
        );
        assert!(error.to_string().contains(fragment), "{error}");
        assert!(
            !error.failure.is_fault(),
            "an error that it could have handled"
        );
    }
    assert_eq!(numbers.status().requests, 0);
    let words = plain_words(&source(json!({})));
    assert!(words.contains("ask the connector `numbers`"), "{words}");
}

#[tokio::test]
async fn what_a_call_leaves_open_is_closed_with_it() {
    let (host, numbers) = host_with_connectors().await;
    for (behaviour, code) in [("cursors", "query_failed"), ("wait", "timed_out")] {
        let plugin = load(
            &host,
            json!({ "connector": "numbers", "behaviour": behaviour }),
        )
        .await;
        let error = plugin.poll(None, 5).await.expect_err(behaviour);
        assert_eq!(error.code(), code, "{error}");
        let deadline = Instant::now() + Duration::from_secs(5);
        while numbers.status().cursors > 0 || numbers.status().waiting > 0 {
            assert!(
                Instant::now() < deadline,
                "{behaviour}: {:?}",
                numbers.status()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(numbers.status().owed, 0);
    }
}
