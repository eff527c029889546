//! What a model needs to know of the schema it was made for.

use serde::{Deserialize, Serialize};

/// The identity of a schema and the vocabulary that codes refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRef {
    /// The entity kind, e.g. `server`.
    pub id: String,
    /// Version; a model of another version is refused.
    pub version: u32,
    /// Metrics in column order.
    pub metrics: Vec<MetricRef>,
    /// Status categories in schema order; code `i + 1` is `statuses[i]`, code 0 is missing.
    pub statuses: Vec<String>,
    /// Profile ids.
    pub profiles: Vec<String>,
}

/// One metric of a schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRef {
    /// Its name.
    pub name: String,
    /// Least legal value, in its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest legal value, in its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl MetricRef {
    /// The least and the greatest legal value as the network's numbers; where there is no limit, the type's.
    pub fn range(&self) -> (f32, f32) {
        let least = self.min.map_or(f32::MIN, |min| min as f32);
        let most = self.max.map_or(f32::MAX, |max| max as f32);
        (least, most)
    }
}

#[cfg(test)]
impl SchemaRef {
    /// So many metrics `m0`, `m1` … without limits, statuses `s0` … and profiles `p0` …
    pub(crate) fn sized(metrics: usize, statuses: usize, profiles: usize) -> Self {
        let named = |prefix: &str, count: usize| -> Vec<String> {
            (0..count).map(|index| format!("{prefix}{index}")).collect()
        };
        let metric = |name: String| MetricRef {
            name,
            min: None,
            max: None,
        };
        Self {
            id: "server".to_owned(),
            version: 1,
            metrics: named("m", metrics).into_iter().map(metric).collect(),
            statuses: named("s", statuses),
            profiles: named("p", profiles),
        }
    }
}

impl SchemaRef {
    /// Column of a metric.
    pub fn metric_index(&self, name: &str) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.name == name)
    }

    /// Says why a model made for `self` cannot serve `wanted`; `None` if it can.
    ///
    /// Legal ranges and profiles may differ: the former are applied as wanted, the latter are looked up by id.
    pub(crate) fn difference(&self, wanted: &Self) -> Option<String> {
        let named = |schema: &Self| format!("`{}` version {}", schema.id, schema.version);
        if (&self.id, self.version) != (&wanted.id, wanted.version) {
            return Some(format!(
                "it is for {}, wanted is {}",
                named(self),
                named(wanted)
            ));
        }
        if self.metrics.len() != wanted.metrics.len() {
            return Some(format!(
                "it has {} metrics, wanted are {}",
                self.metrics.len(),
                wanted.metrics.len()
            ));
        }
        let metrics = self.metrics.iter().zip(&wanted.metrics).enumerate();
        let mut other = metrics.filter(|(_, (ours, theirs))| ours.name != theirs.name);
        if let Some((column, (ours, theirs))) = other.next() {
            return Some(format!(
                "its metric {column} is `{}`, wanted is `{}`",
                ours.name, theirs.name
            ));
        }
        (self.statuses != wanted.statuses).then(|| "its statuses or their order differ".to_owned())
    }
}
