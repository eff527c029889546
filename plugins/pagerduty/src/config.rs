//! The settings; `config.schema.json` describes them for tools.

use std::collections::BTreeMap;

use argus_plugin::Error;
use serde::Deserialize;

/// `[plugins.NAME.config]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the target.
    pub target: String,
    /// Name of the target's secret that is the integration's key.
    pub routing_key: String,
    /// Begins every `dedup_key`; two Argus that report to one service need different ones.
    pub dedup_prefix: String,
    /// PagerDuty's severity for each of Argus's.
    pub severities: BTreeMap<String, Severity>,
    /// Field `client`: who says so.
    pub client: String,
}

/// PagerDuty's severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The worst.
    Critical,
    /// Bad.
    Error,
    /// Not good.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word in the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: "pagerduty".into(),
            routing_key: "routing_key".into(),
            dedup_prefix: "argus/".into(),
            severities: BTreeMap::new(),
            client: "Argus".into(),
        }
    }
}

const SEVERITIES: [&str; 3] = ["critical", "warning", "degraded"];

impl Config {
    /// What types cannot say.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |message: &str| Err(Error::new("invalid_config", message));
        if self.target.is_empty() {
            return invalid("config.target must not be empty");
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !is_name(&self.routing_key) {
            // The key itself has only letters and digits too; it is not repeated here.
            return invalid("config.routing_key is the name of the target's secret, not the key");
        }
        if self.dedup_prefix.chars().count() > 100 {
            return invalid("config.dedup_prefix may have 100 characters");
        }
        for severity in self.severities.keys() {
            if !SEVERITIES.contains(&severity.as_str()) {
                let known = SEVERITIES.join(", ");
                return invalid(&format!(
                    "config.severities.{severity}: severities are {known}"
                ));
            }
        }
        Ok(())
    }

    /// PagerDuty's word for a severity.
    pub fn severity(&self, severity: &str) -> &'static str {
        let usual = match severity {
            "critical" => Severity::Critical,
            "warning" => Severity::Warning,
            _ => Severity::Info,
        };
        self.severities
            .get(severity)
            .copied()
            .unwrap_or(usual)
            .as_str()
    }
}
