//! `[server]`: the HTTP listener and its limits.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::check::Checker;

/// The HTTP listener and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port. Anything but loopback needs an API key (`argus key create`) before the daemon starts.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Origins whose pages may read the API from a browser (`https://host[:port]`); none by default.
    pub cors_origins: Vec<String>,
    /// Host header names accepted besides `localhost` and loopback addresses while no key exists; guards a
    /// keyless listener against pages that point their own name at this machine.
    pub allowed_hosts: Vec<String>,
    /// Greatest request body, before and after decompression.
    pub max_body_bytes: usize,
    /// Most records in one request.
    pub max_records: usize,
    /// Reads per minute for one key and address.
    pub reads_per_minute: u32,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most WebSocket clients at a time.
    pub max_websockets: usize,
    /// How long a client may take to send its headers, and how long an idle connection is kept.
    pub header_timeout_secs: u64,
    /// How long a client may take to send its body.
    pub body_timeout_secs: u64,
    /// How long running requests may take to finish at shutdown.
    pub drain_secs: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_body_bytes: 10 * 1024 * 1024,
            max_records: 10_000,
            reads_per_minute: 600,
            max_connections: 1024,
            max_websockets: 128,
            header_timeout_secs: 60,
            body_timeout_secs: 30,
            drain_secs: 10,
        }
    }
}

impl Server {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(
            &["server", "max_body_bytes"],
            &self.max_body_bytes,
            1024..=1 << 30,
        );
        found.range(&["server", "max_records"], &self.max_records, 1..=1_000_000);
        found.range(
            &["server", "reads_per_minute"],
            &self.reads_per_minute,
            1..=1_000_000,
        );
        found.range(
            &["server", "max_connections"],
            &self.max_connections,
            1..=65_536,
        );
        found.range(
            &["server", "max_websockets"],
            &self.max_websockets,
            0..=65_536,
        );
        found.range(
            &["server", "header_timeout_secs"],
            &self.header_timeout_secs,
            1..=600,
        );
        found.range(
            &["server", "body_timeout_secs"],
            &self.body_timeout_secs,
            1..=3600,
        );
        found.range(&["server", "drain_secs"], &self.drain_secs, 0..=600);
        for origin in &self.cors_origins {
            let uri = origin.parse::<http::Uri>().ok();
            let is_origin = uri.is_some_and(|u| {
                matches!(u.scheme_str(), Some("http" | "https"))
                    && u.path() == "/"
                    && !origin.ends_with('/')
            });
            if !is_origin && origin != "*" {
                found.report(
                    &["server", "cors_origins"],
                    format!("`{origin}` is no origin"),
                    "an origin is scheme, host and port without a path, such as \"https://dashboard.example.com\"",
                );
            }
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format_args!(
            "`{text}` is no address with a port; write one such as \"127.0.0.1:8000\" or \"[::1]:8000\""
        ))
    })
}
