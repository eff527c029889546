//! Libraries and connectors for the tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argus_connector_host::{Connector, ConnectorError, ConnectorSpec, Cursor};
use serde_json::{Value, json};

/// More than anything takes that is not meant to hang.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The library of a crate that this one has as a dev-dependency: cargo puts it beside the test's executable.
pub fn library(name: &str) -> PathBuf {
    let beside = std::env::current_exe().unwrap();
    let path = beside
        .parent()
        .unwrap()
        .join(format!("libargus_connector_{name}.so"));
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// A connector of that library, named like it.
pub fn spec(name: &str, config: Value) -> ConnectorSpec {
    ConnectorSpec {
        config,
        ..ConnectorSpec::new(name, library(name))
    }
}

pub async fn memory() -> Arc<Connector> {
    Connector::open(spec("memory", json!({}))).await.unwrap()
}

pub async fn query(
    connector: &Arc<Connector>,
    operation: &str,
    body: Value,
) -> Result<Cursor, ConnectorError> {
    let body = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    connector.query(operation, &[], body, PATIENCE).await
}

/// Polls until `holds`.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "{what} did not happen"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
