//! `[plugins.<name>]`: WebAssembly plugins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::connectors::Schedule;
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
    /// Which alerts a sink is told of.
    #[serde(default)]
    pub route: Route,
    /// Which connectors a source may ask, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<String>,
    /// When a source is polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
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
    /// Fetches records.
    Source,
    /// Explains forecasts.
    Explainer,
    /// Proposes and performs repairs.
    Remediation,
    /// Thinks about incidents.
    Investigator,
}

/// Which alerts a sink is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Alerts that never reach this severity are not told.
    pub min_severity: MinSeverity,
    /// Whether firing alerts are told again every `alerts.refresh_secs`: Alertmanager needs it, a chat does not.
    pub refresh: bool,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            min_severity: MinSeverity::Warning,
            refresh: true,
        }
    }
}

/// The least severity that a sink is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinSeverity {
    /// Warnings and critical alerts.
    Warning,
    /// Critical alerts only.
    Critical,
}

/// What one call of a plugin may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// Linear memory, all memories together.
    pub memory_mb: u32,
    /// Elements in all tables together.
    pub table_elements: usize,
    /// Time from call to answer, waiting for the network included.
    pub timeout_secs: u64,
    /// Time spent computing.
    pub compute_ms: u64,
    /// Calls at the same time; further ones wait within their own timeout.
    pub concurrent_calls: usize,
    /// HTTP requests.
    pub http_requests: u32,
    /// Bytes between plugin and host at once, either way: in each call of a host function and in the result.
    pub copied_bytes: usize,
    /// What it may remember from call to call; 0 for nothing.
    pub state_kb: usize,
    /// Variants of windows that a call may run through the model.
    pub model_evaluations: u32,
    /// Text logged.
    pub log_bytes: usize,
    /// Lines logged.
    pub log_lines: u32,
    /// Size of the plugin's file.
    pub file_mb: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            table_elements: 100_000,
            timeout_secs: 10,
            compute_ms: 2000,
            concurrent_calls: 4,
            http_requests: 16,
            copied_bytes: 8 << 20,
            state_kb: 1000,
            model_evaluations: 5000,
            log_bytes: 64 << 10,
            log_lines: 200,
            file_mb: 64,
        }
    }
}

impl Plugin {
    /// Its own settings as JSON, which is how the plugin receives them. Dates become their text.
    pub fn config_json(&self) -> serde_json::Value {
        table_json(&self.config)
    }
}

/// A table as a JSON object. Dates become their text.
pub(crate) fn table_json(table: &toml::Table) -> serde_json::Value {
    table.iter().map(|(k, v)| (k.clone(), to_json(v))).collect()
}

fn to_json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(to_json).collect(),
        toml::Value::Table(table) => table_json(table),
    }
}

pub(crate) fn check(plugins: &BTreeMap<String, Plugin>, found: &mut Checker) {
    for (name, plugin) in plugins {
        let path = ["plugins", name.as_str()];
        if !is_name(name) {
            found.report(
                &path,
                format!("`{name}` cannot be a plugin's name"),
                NAME_HELP,
            );
        }
        check_sha256(
            &["plugins", name, "sha256"],
            plugin.sha256.as_deref(),
            found,
        );
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
                    NAME_HELP,
                );
            }
            target.check(&["plugins", name, "targets", target_name], found);
        }
    }
}

pub(crate) fn check_sha256(path: &[&str], sha256: Option<&str>, found: &mut Checker) {
    if let Some(sha256) = sha256
        && (sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        found.report(
            path,
            format!("this is no SHA-256: {} characters", sha256.chars().count()),
            "write the 64 hexadecimal digits that `sha256sum` prints",
        );
    }
}

fn check_limits(name: &str, limits: &PluginLimits, found: &mut Checker) {
    let path = |key: &'static str| ["plugins", name, "limits", key];
    found.range(&path("memory_mb"), &limits.memory_mb, 1..=4096);
    found.range(
        &path("table_elements"),
        &limits.table_elements,
        1..=1_000_000,
    );
    found.range(&path("timeout_secs"), &limits.timeout_secs, 1..=600);
    found.range(&path("compute_ms"), &limits.compute_ms, 10..=600_000);
    found.range(&path("concurrent_calls"), &limits.concurrent_calls, 1..=64);
    found.range(&path("state_kb"), &limits.state_kb, 0..=100_000);
    found.range(
        &path("model_evaluations"),
        &limits.model_evaluations,
        0..=1_000_000,
    );
    found.range(&path("http_requests"), &limits.http_requests, 0..=10_000);
    found.range(&path("copied_bytes"), &limits.copied_bytes, 1024..=1 << 30);
    found.range(&path("log_bytes"), &limits.log_bytes, 0..=1 << 30);
    found.range(&path("log_lines"), &limits.log_lines, 0..=1_000_000);
    found.range(&path("file_mb"), &limits.file_mb, 1..=1024);
}

pub(crate) const NAME_HELP: &str =
    "a name has 1 to 64 of a–z, 0–9, - and _, and begins with a letter";

pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}
