//! What a connector is given.

use std::path::PathBuf;
use std::time::Duration;

use argus_connector_abi::Secrets;

/// One connector as the operator configured it.
#[derive(Debug, Clone)]
pub struct ConnectorSpec {
    /// Its name in the configuration; names it in every error and log line.
    pub name: String,
    /// The library's file.
    pub path: PathBuf,
    /// SHA-256 that the file must have, hexadecimal.
    pub sha256: Option<String>,
    /// The connector's own settings, a JSON object.
    pub config: serde_json::Value,
    /// Secrets by name, already fetched.
    pub secrets: Secrets,
    /// What it may take.
    pub limits: Limits,
}

impl ConnectorSpec {
    /// A connector without settings and with default limits.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            sha256: None,
            config: serde_json::Value::Object(serde_json::Map::new()),
            secrets: Secrets::default(),
            limits: Limits::default(),
        }
    }
}

/// What a connector may take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time to open.
    pub open_timeout: Duration,
    /// Time to begin an answer. Pages have the time that the asker gives them.
    pub query_timeout: Duration,
    /// Requests at the same time; further ones wait within their own time.
    pub concurrent_requests: usize,
    /// Largest page.
    pub page_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_timeout: Duration::from_secs(30),
            query_timeout: Duration::from_secs(30),
            concurrent_requests: 32,
            page_bytes: 64 << 20,
        }
    }
}
