//! Field names that people already send, and what each one means.
//!
//! A mapping is explicit: a name means one metric in one unit. Units are never guessed from values.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// Which names besides the schema's own are understood in records.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Whether any name but the schema's own is understood. Off, a record needs `server_name`, `timestamp` and the
    /// schema's metric names; everything else counts as an unknown field.
    pub enabled: bool,
    /// What the number in an `*_mbps` field is multiplied with to give MB/s (10⁶ bytes per second). These names
    /// mean megabytes per second in the fleets that send them, hence 1; senders of megabits set 0.125.
    pub mbps_factor: f64,
    /// Other names of metrics, in order of precedence.
    pub aliases: Vec<Alias>,
}

/// Another name of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// Field name in records.
    pub name: String,
    /// The schema's metric; an alias of a metric that the schema lacks is not understood.
    pub metric: String,
    /// How its number becomes the metric's.
    #[serde(default)]
    pub meaning: Meaning,
}

/// How the number of an aliased field becomes the metric's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// As it is.
    #[default]
    Same,
    /// Times [`Mapping::mbps_factor`].
    Mbps,
    /// The processor's use in one number: `cpu_idle_pct` = 100 − it, and `cpu_user_pct` = it where the record has
    /// none of user, sys and iowait.
    CpuUsed,
}

/// Names of the server, in order of precedence. `host` may also be an object with `name` or `hostname`.
pub(crate) const SERVER_NAMES: [&str; 5] = [
    "server_name",
    "hostname",
    "host.name",
    "host.hostname",
    "host",
];
/// Names of the time, in order of precedence.
pub(crate) const TIME_NAMES: [&str; 3] = ["timestamp", "@timestamp", "collection_time"];
/// Names of the status, in order of precedence; both are canonical.
pub(crate) const STATUS_NAMES: [&str; 2] = ["status", "state"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasFile {
    alias: Vec<Alias>,
}

static SERVER_ALIASES: LazyLock<Vec<Alias>> = LazyLock::new(|| {
    let file: AliasFile = toml::from_str(include_str!("../schemas/server-aliases.toml"))
        .expect("the built-in table is tested");
    file.alias
});

impl Default for Mapping {
    fn default() -> Self {
        Self {
            enabled: true,
            mbps_factor: 1.0,
            aliases: SERVER_ALIASES.clone(),
        }
    }
}

impl Mapping {
    /// Understands only the schema's own names.
    pub fn off() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }

    /// Adds a name; it wins over the built-in ones.
    #[must_use]
    pub fn with_alias(mut self, alias: Alias) -> Self {
        self.aliases.insert(0, alias);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::Schema;

    #[test]
    fn built_in_aliases_name_metrics_of_the_server_schema_once_each() {
        let schema = Schema::server();
        let mut seen = HashSet::new();
        for alias in &Mapping::default().aliases {
            assert!(schema.metric_index(&alias.metric).is_some(), "{alias:?}");
            assert!(
                schema.metric_index(&alias.name).is_none(),
                "{alias:?} hides a metric"
            );
            assert!(seen.insert(alias.name.clone()), "{alias:?} repeats");
        }
    }
}
