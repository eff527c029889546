//! `[plugins.<name>]`: WebAssembly plugins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::target::Target;

/// One WebAssembly plugin: its file, what it may use up, whom it may talk to, and its own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// What it does for the daemon.
    pub kind: PluginKind,
    /// The component file. A relative path is looked up beside the configuration file first, then among the plugins
    /// that come with Argus.
    pub path: PathBuf,
    /// SHA-256 of the file in hexadecimal; another file is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether it is loaded.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// What one call may use up.
    #[serde(default)]
    pub limits: PluginLimits,
    /// `[plugins.<name>.targets.<target>]`: where it may send HTTP requests, by the name that it uses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, Target>,
    /// `[plugins.<name>.config]`: its own settings, checked against the schema in its file before it starts.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub config: toml::Table,
}

fn enabled() -> bool {
    true
}

/// What a plugin does for the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// Delivers notifications.
    Sink,
}

/// What one call of a plugin may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// Linear memory.
    pub memory_mb: u32,
    /// Time from call to answer, waiting for the network included.
    pub timeout_secs: u64,
    /// HTTP requests.
    pub http_requests: u32,
    /// Body of one HTTP answer.
    pub http_response_bytes: usize,
    /// Text logged.
    pub log_bytes: usize,
    /// Calls at the same time.
    pub concurrent_calls: u32,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            timeout_secs: 10,
            http_requests: 16,
            http_response_bytes: 1 << 20,
            log_bytes: 64 << 10,
            concurrent_calls: 4,
        }
    }
}

impl Plugin {
    /// Its own settings as JSON, which is how the plugin receives them. Dates become their text.
    pub fn config_json(&self) -> serde_json::Value {
        serde_json::Value::Object(
            self.config
                .iter()
                .map(|(k, v)| (k.clone(), to_json(v)))
                .collect(),
        )
    }
}

fn to_json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(to_json).collect(),
        toml::Value::Table(table) => table.iter().map(|(k, v)| (k.clone(), to_json(v))).collect(),
    }
}

pub(crate) fn check(plugins: &BTreeMap<String, Plugin>, found: &mut Checker) {
    for (name, plugin) in plugins {
        let path = ["plugins", name.as_str()];
        if !is_name(name) {
            found.report(
                &path,
                format!("`{name}` cannot be a plugin's name"),
                "a name has 1 to 64 of a–z, 0–9, - and _, and begins with a letter",
            );
        }
        if let Some(sha256) = &plugin.sha256
            && (sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            found.report(
                &["plugins", name, "sha256"],
                format!("this is no SHA-256: {} characters", sha256.chars().count()),
                "write the 64 hexadecimal digits that `sha256sum` prints",
            );
        }
        if plugin.path.as_os_str().is_empty() {
            found.report(
                &["plugins", name, "path"],
                "the path is empty",
                "name the plugin's .wasm file",
            );
        }
        check_limits(name, &plugin.limits, found);
        for (target_name, target) in &plugin.targets {
            if !is_name(target_name) {
                found.report(
                    &["plugins", name, "targets", target_name],
                    format!("`{target_name}` cannot be a target's name"),
                    "a name has 1 to 64 of a–z, 0–9, - and _, and begins with a letter",
                );
            }
            target.check(&["plugins", name, "targets", target_name], found);
        }
    }
}

fn check_limits(name: &str, limits: &PluginLimits, found: &mut Checker) {
    found.range(
        &["plugins", name, "limits", "memory_mb"],
        &limits.memory_mb,
        1..=4096,
    );
    found.range(
        &["plugins", name, "limits", "timeout_secs"],
        &limits.timeout_secs,
        1..=600,
    );
    found.range(
        &["plugins", name, "limits", "http_requests"],
        &limits.http_requests,
        0..=10_000,
    );
    found.range(
        &["plugins", name, "limits", "http_response_bytes"],
        &limits.http_response_bytes,
        0..=1 << 30,
    );
    found.range(
        &["plugins", name, "limits", "log_bytes"],
        &limits.log_bytes,
        0..=1 << 30,
    );
    found.range(
        &["plugins", name, "limits", "concurrent_calls"],
        &limits.concurrent_calls,
        1..=1024,
    );
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}
