//! The settings; `config.schema.json` describes them for tools.

use std::collections::BTreeMap;

use argus_formats::AlertSettings;
use argus_plugin::Error;
use serde::Deserialize;

/// What the body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Argus JSON.
    Argus,
    /// The body of Alertmanager's webhook, version 4.
    Alertmanager,
}

/// `[plugins.NAME.config]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the body looks like.
    pub format: Format,
    /// Name of the target to post to.
    pub target: String,
    /// Appended to the target's URL.
    pub path: String,
    /// Label `alertname`; else the daemon's.
    pub alertname: Option<String>,
    /// Field `receiver`.
    pub receiver: String,
    /// Labels added to every alert.
    pub labels: BTreeMap<String, String>,
    /// How long an alert that names no end lives on, in seconds.
    pub hold_secs: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::Argus,
            target: "webhook".into(),
            path: String::new(),
            alertname: None,
            receiver: "argus".into(),
            labels: BTreeMap::new(),
            hold_secs: 900,
        }
    }
}

impl Config {
    /// What types cannot say.
    pub fn validate(&self) -> Result<(), Error> {
        if self.target.is_empty() {
            return Err(Error::new(
                "invalid_config",
                "config.target must not be empty",
            ));
        }
        self.alert_settings().validate()
    }

    /// The part that makes alerts.
    pub fn alert_settings(&self) -> AlertSettings {
        AlertSettings {
            alertname: self.alertname.clone(),
            labels: self.labels.clone(),
            hold_secs: self.hold_secs,
        }
    }
}
