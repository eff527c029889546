//! `[connectors.<name>]`: native connectors, which sources may ask.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::plugins::{self, Plugin, PluginKind};
use crate::secret::SecretSource;

/// One native connector: its library, its secrets and its own settings. Native code is trusted: it runs inside the
/// daemon, and a crash of it is the daemon's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// The library's file. A relative path is looked up beside the configuration file first, then among the connectors
    /// that come with Argus.
    pub path: PathBuf,
    /// SHA-256 of the file in hexadecimal; another file is not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether it is loaded.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// How long it may take to begin an answer.
    #[serde(default = "thirty_secs")]
    pub timeout_secs: u64,
    /// Requests at the same time; further ones wait within their own time.
    #[serde(default = "requests")]
    pub concurrent_requests: usize,
    /// Largest page of documents that is taken.
    #[serde(default = "page_mb")]
    pub page_mb: u64,
    /// Secrets by the name that the connector knows them by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// `[connectors.<name>.config]`: its own settings.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub config: toml::Table,
}

fn enabled() -> bool {
    true
}

fn thirty_secs() -> u64 {
    30
}

fn requests() -> usize {
    32
}

fn page_mb() -> u64 {
    64
}

impl Connector {
    /// Its own settings as JSON, which is how it receives them.
    pub fn config_json(&self) -> serde_json::Value {
        plugins::table_json(&self.config)
    }
}

/// When a source is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// From one poll to the next, while nothing waits to be fetched.
    pub interval_secs: u64,
    /// Records of one poll.
    pub max_records: u32,
    /// Pause after a first failure; each further one doubles it.
    pub first_backoff_secs: u64,
    /// Longest pause after failures.
    pub max_backoff_secs: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            interval_secs: 15,
            max_records: 5_000,
            first_backoff_secs: 1,
            max_backoff_secs: 300,
        }
    }
}

pub(crate) fn check(
    connectors: &BTreeMap<String, Connector>,
    sources: &BTreeMap<String, Plugin>,
    queue_records: usize,
    found: &mut Checker,
) {
    for (name, connector) in connectors {
        let path = |key: &'static str| ["connectors", name.as_str(), key];
        if !plugins::is_name(name) {
            found.report(
                &["connectors", name],
                format!("`{name}` cannot be a connector's name"),
                plugins::NAME_HELP,
            );
        }
        if connector.path.as_os_str().is_empty() {
            found.report(
                &path("path"),
                "the path is empty",
                "name the connector's library, a .so file",
            );
        }
        plugins::check_sha256(&path("sha256"), connector.sha256.as_deref(), found);
        found.range(&path("timeout_secs"), &connector.timeout_secs, 1..=3600);
        found.range(
            &path("concurrent_requests"),
            &connector.concurrent_requests,
            1..=1024,
        );
        found.range(&path("page_mb"), &connector.page_mb, 1..=1024);
    }
    for (name, plugin) in sources {
        check_grants(name, plugin, connectors, found);
        check_schedule(name, plugin, queue_records, found);
    }
}

fn check_grants(
    name: &str,
    plugin: &Plugin,
    connectors: &BTreeMap<String, Connector>,
    found: &mut Checker,
) {
    let path = ["plugins", name, "connectors"];
    if !plugin.connectors.is_empty() && plugin.kind != PluginKind::Source {
        found.report(
            &path,
            "only sources may ask connectors",
            "leave `connectors` out",
        );
    }
    for granted in &plugin.connectors {
        if !connectors.contains_key(granted) {
            found.report(
                &path,
                format!("there is no connector `{granted}`"),
                format!("write a section [connectors.{granted}], or leave it out"),
            );
        }
    }
}

fn check_schedule(name: &str, plugin: &Plugin, queue_records: usize, found: &mut Checker) {
    let Some(schedule) = &plugin.schedule else {
        return;
    };
    if plugin.kind != PluginKind::Source {
        found.report(
            &["plugins", name, "schedule"],
            "only sources have a schedule",
            "leave `schedule` out",
        );
    }
    let path = |key: &'static str| ["plugins", name, "schedule", key];
    found.range(&path("interval_secs"), &schedule.interval_secs, 1..=86_400);
    let most = u32::try_from(queue_records)
        .unwrap_or(u32::MAX)
        .min(1_000_000);
    found.range(&path("max_records"), &schedule.max_records, 1..=most);
    found.range(
        &path("first_backoff_secs"),
        &schedule.first_backoff_secs,
        1..=3600,
    );
    found.range(
        &path("max_backoff_secs"),
        &schedule.max_backoff_secs,
        schedule.first_backoff_secs..=86_400,
    );
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn problems(text: &str) -> String {
        match Config::from_toml_str("argus.toml", text) {
            Ok(_) => String::new(),
            Err(error) => error.drawing(false),
        }
    }

    const GOOD: &str = r#"
        [connectors.orders]
        path = "mongodb.so"
        secrets.password = { env = "ORDERS_PASSWORD" }
        [connectors.orders.config]
        hosts = ["db-1:27017"]

        [plugins.orders]
        kind = "source"
        path = "mongodb.wasm"
        connectors = ["orders"]
        schedule = { interval_secs = 5 }
    "#;

    #[test]
    fn a_source_with_its_connector() {
        let config = Config::from_toml_str("argus.toml", GOOD).expect("valid");
        let connector = &config.connectors["orders"];
        assert_eq!(connector.config_json()["hosts"][0], "db-1:27017");
        let plugin = &config.plugins["orders"];
        assert_eq!(plugin.connectors, ["orders"]);
        let schedule = plugin.schedule.expect("given");
        assert_eq!((schedule.interval_secs, schedule.max_records), (5, 5_000));
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (from, to, fragment) in [
            (
                "[\"orders\"]",
                "[\"order\"]",
                "there is no connector `order`",
            ),
            ("\"source\"", "\"sink\"", "only sources may ask connectors"),
            (
                "interval_secs = 5",
                "interval_secs = 0",
                "allowed: 1 to 86400",
            ),
            (
                "{ env = \"ORDERS_PASSWORD\" }",
                "\"hunter2\"",
                "a secret must not stand",
            ),
            (
                "path = \"mongodb.so\"",
                "path = \"mongodb.so\"\nsha256 = \"abc\"",
                "no SHA-256",
            ),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let told = problems(&GOOD.replacen(from, to, 1));
            assert!(told.contains(fragment), "{fragment}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
