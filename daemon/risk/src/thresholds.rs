//! Which thresholds hold for an entity.
//!
//! The most specific statement wins, and of two equally specific ones the operator's: server → profile → profile in
//! the schema → metric → metric in the schema. So a new limit for all memory does not page on databases, which the
//! schema says run at 98 %, until somebody says it for them too.

use std::collections::BTreeMap;

use argus_schema::{Breach, EntityName, Metric, Schema, Thresholds};
use serde::{Deserialize, Serialize};

/// Thresholds that differ from the schema's, by metric name. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThresholdRules {
    /// By metric name.
    pub metrics: BTreeMap<String, MetricRules>,
}

/// Thresholds of one metric, in its unit (per core where the schema says so).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricRules {
    /// For entities of which nothing more specific is said; together with `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// Together with `warning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
    /// By profile id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, Thresholds>,
    /// By full name of the entity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Thresholds>,
}

/// Why rules do not fit a schema.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// No such metric.
    #[error("thresholds name a metric `{0}` that the schema does not have")]
    UnknownMetric(String),
    /// A metric without a bad side.
    #[error("metric `{0}` cannot have thresholds: the schema gives it no `breach` side")]
    NoSide(String),
    /// No such profile.
    #[error("thresholds of `{metric}` name a profile `{profile}` that the schema does not have")]
    UnknownProfile {
        /// The metric.
        metric: String,
        /// What was named.
        profile: String,
    },
    /// Only one of two.
    #[error("thresholds of `{0}` need both `warning` and `critical`")]
    Half(String),
    /// Not finite, or warning past critical.
    #[error(
        "thresholds of `{metric}`: warning {warning} lies past critical {critical}, or one is no number"
    )]
    Order {
        /// The metric.
        metric: String,
        /// Its warning value.
        warning: f64,
        /// Its critical value.
        critical: f64,
    },
}

impl MetricRules {
    fn base(&self) -> Option<Thresholds> {
        Some(Thresholds {
            warning: self.warning?,
            critical: self.critical?,
        })
    }
}

impl ThresholdRules {
    /// Checks the rules against a schema.
    ///
    /// # Errors
    /// The first rule that names something unknown or whose values cannot be thresholds.
    pub fn check(&self, schema: &Schema) -> Result<(), RuleError> {
        for (name, rules) in &self.metrics {
            let metric = schema
                .metrics
                .iter()
                .find(|m| m.name == *name)
                .ok_or_else(|| RuleError::UnknownMetric(name.clone()))?;
            let side = metric
                .breach
                .ok_or_else(|| RuleError::NoSide(name.clone()))?;
            if rules.warning.is_some() != rules.critical.is_some() {
                return Err(RuleError::Half(name.clone()));
            }
            if let Some(profile) = rules
                .profiles
                .keys()
                .find(|id| schema.profile_code(id).is_none())
            {
                return Err(RuleError::UnknownProfile {
                    metric: name.clone(),
                    profile: profile.clone(),
                });
            }
            for limits in rules
                .base()
                .iter()
                .chain(rules.profiles.values())
                .chain(rules.servers.values())
            {
                let Thresholds { warning, critical } = *limits;
                let ordered = match side {
                    Breach::Above => warning <= critical,
                    Breach::Below => warning >= critical,
                };
                if !ordered || !warning.is_finite() || !critical.is_finite() {
                    return Err(RuleError::Order {
                        metric: name.clone(),
                        warning,
                        critical,
                    });
                }
            }
        }
        Ok(())
    }

    /// Thresholds of a metric for an entity, in the metric's unit; `None` where there are none, or where they are per
    /// core and the number of cores is unknown.
    pub fn resolve(
        &self,
        metric: &Metric,
        profile_id: &str,
        name: &EntityName,
        cores: Option<f32>,
    ) -> Option<Thresholds> {
        let rules = self.metrics.get(&metric.name);
        let limits = rules
            .and_then(|r| {
                r.servers
                    .get(name.as_str())
                    .or_else(|| r.profiles.get(profile_id))
                    .copied()
            })
            .or_else(|| metric.profile_thresholds.get(profile_id).copied())
            .or_else(|| rules.and_then(MetricRules::base))
            .or(metric.thresholds)?;
        if !metric.per_core {
            return Some(limits);
        }
        let cores = f64::from(cores.filter(|c| c.is_finite() && *c > 0.0)?);
        Some(Thresholds {
            warning: limits.warning * cores,
            critical: limits.critical * cores,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> ThresholdRules {
        let text = r#"{
            "mem_used_pct": {"warning": 80, "critical": 90,
                "profiles": {"web_api": {"warning": 70, "critical": 85}},
                "servers": {"ppweb001": {"warning": 60, "critical": 75}}},
            "load_average": {"profiles": {"generic": {"warning": 1, "critical": 2}}}}"#;
        serde_json::from_str(text).expect("valid")
    }

    #[track_caller]
    fn check(metric: &str, profile: &str, name: &str, cores: Option<f32>, critical: Option<f64>) {
        let schema = Schema::server();
        let metric = &schema.metrics[schema.metric_index(metric).expect("a metric")];
        let name = EntityName::new(name).expect("a name");
        assert_eq!(
            rules()
                .resolve(metric, profile, &name, cores)
                .map(|t| t.critical),
            critical
        );
    }

    #[test]
    fn the_most_specific_statement_wins() {
        check("mem_used_pct", "web_api", "ppweb001", None, Some(75.0));
        check("mem_used_pct", "web_api", "ppweb002", None, Some(85.0));
        check("mem_used_pct", "database", "ppdb001", None, Some(99.0));
        check("mem_used_pct", "generic", "other", None, Some(90.0));
        check("disk_usage_pct", "generic", "other", None, Some(95.0));
        check("net_in_mb_s", "generic", "other", None, None);
    }

    #[test]
    fn load_counts_per_core_and_not_without_cores() {
        check("load_average", "generic", "a", Some(4.0), Some(8.0));
        check("load_average", "database", "a", Some(4.0), Some(4.8));
        check("load_average", "database", "a", None, None);
        check("load_average", "database", "a", Some(0.0), None);
        check("load_average", "database", "a", Some(f32::NAN), None);
    }

    #[test]
    fn rules_that_do_not_fit_are_named() {
        let schema = Schema::server();
        rules().check(&schema).expect("fits");
        for (text, says) in [
            (r#"{"mem": {}}"#, "`mem`"),
            (r#"{"uptime_days": {}}"#, "breach"),
            (r#"{"mem_used_pct": {"warning": 3}}"#, "both"),
            (
                r#"{"mem_used_pct": {"profiles": {"db": {"warning": 1, "critical": 2}}}}"#,
                "`db`",
            ),
            (
                r#"{"mem_used_pct": {"servers": {"a": {"warning": 9, "critical": 2}}}}"#,
                "past critical",
            ),
            (
                r#"{"cpu_idle_pct": {"warning": 2, "critical": 10}}"#,
                "past critical",
            ),
        ] {
            let rules: ThresholdRules = serde_json::from_str(text).expect("the right shape");
            let error = rules.check(&schema).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
