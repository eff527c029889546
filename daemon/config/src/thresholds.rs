//! `[thresholds.<metric>]`: what counts as a breach.

use std::collections::BTreeMap;

use argus_schema::{Breach, Metric, Schema};
use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::self_source::check_profile;
use crate::suggest;

/// Thresholds of one metric, where they differ from the schema's. The most specific wins: server, profile, metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricThresholds {
    /// From here on worth knowing, in the metric's unit (per core where the schema says so).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// From here on an incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
    /// By profile id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, Limits>,
    /// By full server name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Limits>,
}

/// A pair of thresholds, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// From here on worth knowing.
    pub warning: f64,
    /// From here on an incident.
    pub critical: f64,
}

pub(crate) fn check(thresholds: &BTreeMap<String, MetricThresholds>, found: &mut Checker) {
    let schema = Schema::server();
    for (name, limits) in thresholds {
        let Some(metric) = schema
            .metric_index(name)
            .and_then(|i| schema.metrics.get(i))
        else {
            let known: Vec<&str> = schema.metrics.iter().map(|m| m.name.as_str()).collect();
            found.report(
                &["thresholds", name],
                format!("there is no metric `{name}`"),
                suggest::offer(name, known),
            );
            continue;
        };
        if metric.breach.is_none() {
            found.report(
                &["thresholds", name],
                format!("`{name}` cannot have thresholds"),
                "neither high nor low values of it are bad in themselves",
            );
            continue;
        }
        check_metric(metric, limits, found);
    }
}

fn check_metric(metric: &Metric, limits: &MetricThresholds, found: &mut Checker) {
    let name = metric.name.as_str();
    match (limits.warning, limits.critical) {
        (Some(warning), Some(critical)) => {
            check_limits(
                &["thresholds", name, "critical"],
                metric,
                Limits { warning, critical },
                found,
            );
        }
        (None, None) => {}
        _ => found.report(
            &["thresholds", name],
            "one of the two thresholds is missing",
            "set `warning` and `critical`",
        ),
    }
    for (profile, pair) in &limits.profiles {
        let path = ["thresholds", name, "profiles", profile];
        check_profile(&path, profile, found);
        check_limits(&path, metric, *pair, found);
    }
    for (server, pair) in &limits.servers {
        check_limits(
            &["thresholds", name, "servers", server],
            metric,
            *pair,
            found,
        );
    }
}

fn check_limits(path: &[&str], metric: &Metric, limits: Limits, found: &mut Checker) {
    let Limits { warning, critical } = limits;
    let ordered = match metric.breach {
        Some(Breach::Below) => critical <= warning,
        Some(Breach::Above) | None => warning <= critical,
    };
    if !ordered || !warning.is_finite() || !critical.is_finite() {
        let side = if metric.breach == Some(Breach::Below) {
            "low"
        } else {
            "high"
        };
        found.report(
            path,
            format!("warning {warning} would be reached after critical {critical}"),
            format!(
                "{side} values of `{}` are bad, so warning must come first",
                metric.name
            ),
        );
    }
    // Per-core thresholds are not on the metric's own scale.
    let (min, max) = (
        metric.min.unwrap_or(f64::MIN),
        metric.max.unwrap_or(f64::MAX),
    );
    if !metric.per_core && [warning, critical].iter().any(|v| *v < min || *v > max) {
        found.report(
            path,
            format!(
                "thresholds {warning} and {critical} lie outside the range of `{}`",
                metric.name
            ),
            format!("allowed: {min} to {max} {}", metric.unit)
                .trim_end()
                .to_owned(),
        );
    }
}
