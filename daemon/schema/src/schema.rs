//! The shape of what is monitored: metrics in a fixed order, statuses, profiles.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// An ordered list of metrics with what is needed to validate, judge and show them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The entity kind, e.g. `server`.
    pub id: String,
    /// Grows when the meaning or order of metrics changes; a model of another version is refused.
    pub version: u32,
    /// Categories a record's `status` may take, sorted; a missing status is no category.
    pub statuses: Vec<String>,
    /// Static categories of entities; the last one is what an unknown entity gets.
    pub profiles: Vec<Profile>,
    /// The metrics; their position is the column everywhere (window store, tensors, history).
    pub metrics: Vec<Metric>,
}

/// A class of entities that behave alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Stable id, e.g. `database`.
    pub id: String,
    /// What people see, e.g. `Database`.
    pub label: String,
}

/// One metric of a schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Field name in records, with the unit in it.
    pub name: String,
    /// Unit as shown to people; empty for dimensionless.
    pub unit: String,
    /// Least legal value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest legal value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// On which side of a threshold trouble lies; `None` for metrics without thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach: Option<Breach>,
    /// Whether thresholds are multiplied by the entity's number of cores (and do not apply while it is unknown).
    #[serde(default)]
    pub per_core: bool,
    /// Metrics of one group share a cause (CPU idle and load, memory and swap): risk does not count them as
    /// independent troubles. A metric without one stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Default thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Thresholds of single profiles, by profile id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profile_thresholds: BTreeMap<String, Thresholds>,
}

/// On which side of a threshold trouble lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// High values are bad.
    Above,
    /// Low values are bad.
    Below,
}

/// Warning and critical values, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// From here on worth knowing.
    pub warning: f64,
    /// From here on an incident.
    pub critical: f64,
}

/// Why a schema is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not TOML of the right shape.
    #[error("schema is not valid TOML: {0}")]
    Toml(#[from] toml::de::Error),
    /// The shape is right, the content is not.
    #[error("schema `{schema}`: {problem}")]
    Invalid {
        /// Its id.
        schema: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}

static SERVER: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::new(
        Schema::from_toml(include_str!("../schemas/server.toml"))
            .expect("the built-in schema is tested"),
    )
});

impl Schema {
    /// The built-in schema of servers: 14 metrics, 8 statuses, 7 profiles.
    pub fn server() -> Arc<Self> {
        Arc::clone(&SERVER)
    }

    /// Reads and checks a schema.
    ///
    /// # Errors
    /// When the text is not TOML, a name repeats or is empty, a range is empty, or a threshold lies outside it.
    pub fn from_toml(text: &str) -> Result<Self, SchemaError> {
        let schema: Self = toml::from_str(text)?;
        schema.check().map_err(|problem| SchemaError::Invalid {
            schema: schema.id.clone(),
            problem,
        })?;
        Ok(schema)
    }

    fn check(&self) -> Result<(), String> {
        if self.metrics.is_empty() || self.metrics.len() > 64 {
            return Err(format!(
                "has {} metrics; 1 to 64 are possible",
                self.metrics.len()
            ));
        }
        if self.profiles.is_empty() {
            return Err("needs at least one profile; the last one is the default".to_owned());
        }
        if !self.statuses.is_sorted() {
            return Err("`statuses` must be sorted".to_owned());
        }
        for (position, metric) in self.metrics.iter().enumerate() {
            let name = &metric.name;
            if name.is_empty() || self.metrics[..position].iter().any(|m| m.name == *name) {
                return Err(format!("metric name `{name}` is empty or repeats"));
            }
            if let (Some(min), Some(max)) = (metric.min, metric.max)
                && min >= max
            {
                return Err(format!("metric `{name}`: min {min} is not below max {max}"));
            }
            let limits = metric
                .thresholds
                .iter()
                .chain(metric.profile_thresholds.values());
            for t in limits {
                let ordered = match metric.breach {
                    Some(Breach::Above) => t.warning <= t.critical,
                    Some(Breach::Below) => t.warning >= t.critical,
                    None => {
                        return Err(format!(
                            "metric `{name}` has thresholds but no `breach` side"
                        ));
                    }
                };
                if !ordered {
                    return Err(format!(
                        "metric `{name}`: warning {} lies past critical {}",
                        t.warning, t.critical
                    ));
                }
            }
            for profile in metric.profile_thresholds.keys() {
                if self.profile_code(profile).is_none() {
                    return Err(format!("metric `{name}`: no profile `{profile}`"));
                }
            }
        }
        Ok(())
    }

    /// Column of a metric.
    pub fn metric_index(&self, name: &str) -> Option<usize> {
        self.metrics.iter().position(|m| m.name == name)
    }

    /// Position of a profile in [`Schema::profiles`].
    pub fn profile_code(&self, id: &str) -> Option<u8> {
        self.profiles
            .iter()
            .position(|p| p.id == id)
            .and_then(|i| u8::try_from(i).ok())
    }

    /// The profile that an entity has while nothing better is known: the last one.
    pub fn default_profile(&self) -> u8 {
        u8::try_from(self.profiles.len().saturating_sub(1)).unwrap_or(0)
    }

    /// Category code of a status: 1-based position, because 0 means missing.
    pub fn status_code(&self, status: &str) -> Option<u8> {
        self.statuses
            .iter()
            .position(|s| s == status)
            .and_then(|i| u8::try_from(i + 1).ok())
    }
}

impl Metric {
    /// Thresholds in the metric's unit for an entity; `None` where there are none, or where they are per core and
    /// the number of cores is unknown.
    pub fn thresholds_for(&self, profile_id: &str, cores: Option<f32>) -> Option<Thresholds> {
        let limits = *self
            .profile_thresholds
            .get(profile_id)
            .or(self.thresholds.as_ref())?;
        if !self.per_core {
            return Some(limits);
        }
        let cores = f64::from(cores?);
        Some(Thresholds {
            warning: limits.warning * cores,
            critical: limits.critical * cores,
        })
    }
}
