//! CPU used where idle is not observed.
//!
//! People are shown "CPU used" = 100 − `cpu_idle_pct`, and its thresholds are thresholds on idle. A sender without idle
//! still tells user, system and iowait: used is then the sum of those that are present, quantile by quantile. That is
//! the comonotonic sum: exact if the parts rise and fall together, and the widest spread any dependence gives in the
//! upper half, so it errs towards warning. Java is part of user and not added.

use argus_fleet::{EntityForecast, MetricForecast};
use argus_schema::Schema;

/// The metric that stands for CPU used, as its complement.
pub(crate) const IDLE: &str = "cpu_idle_pct";
const PARTS: [&str; 3] = ["cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct"];
/// Everything there is, in percent.
pub(crate) const ALL: f64 = 100.0;

/// Quantiles of CPU used, `[step][level]`, from the parts that are forecast; `None` if none is.
pub(crate) fn used_quantiles(schema: &Schema, forecast: &EntityForecast) -> Option<Vec<f32>> {
    let parts: Vec<&MetricForecast> = parts(schema)
        .filter_map(|i| forecast.metrics.get(i)?.as_ref())
        .collect();
    let length = parts.iter().map(|p| p.quantiles.len()).min()?;
    let sum = |i: usize| {
        parts
            .iter()
            .map(|p| p.quantiles[i])
            .sum::<f32>()
            .min(ALL as f32)
    };
    Some((0..length).map(sum).collect())
}

/// CPU used now from the parts that were observed; NaN if none was.
pub(crate) fn used_now(schema: &Schema, current: &[f32]) -> f64 {
    let observed = parts(schema)
        .filter_map(|i| current.get(i).copied())
        .filter(|v| v.is_finite());
    let sum = observed.map(f64::from).reduce(|a, b| a + b);
    sum.map_or(f64::NAN, |used| used.min(ALL))
}

fn parts(schema: &Schema) -> impl Iterator<Item = usize> + '_ {
    PARTS.iter().filter_map(|name| schema.metric_index(name))
}
