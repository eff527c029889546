//! The figures people look at first, rounded.

use argus_fleet::{EntityForecast, EntityState};
use argus_schema::Schema;
use serde_json::{Map, Value, json};

/// Steps whose mean is shown as "predicted": half an hour of five-minute steps.
const PREDICTED_STEPS: usize = 6;

/// Name for people → metric of the server schema, unit.
const SHOWN: [(&str, &str, &str); 7] = [
    ("memory", "mem_used_pct", "%"),
    ("iowait", "cpu_iowait_pct", "%"),
    ("swap", "swap_used_pct", "%"),
    ("load", "load_average", ""),
    ("disk", "disk_usage_pct", "%"),
    ("net_in", "net_in_mb_s", "MB/s"),
    ("net_out", "net_out_mb_s", "MB/s"),
];

/// What CPU used is made of where idle is not reported.
const CPU_PARTS: [&str; 3] = ["cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct"];

/// CPU used, memory and so on: now, predicted, difference, and the direction in a word.
pub(crate) fn metrics(schema: &Schema, entity: &EntityState) -> Value {
    let mut shown = Map::new();
    shown.insert("cpu".to_owned(), cpu(schema, entity));
    for (name, metric, unit) in SHOWN {
        let index = schema.metric_index(metric);
        let now = index.and_then(|i| current(entity, i));
        let ahead = index.and_then(|i| predicted(entity.forecast.as_deref()?, i));
        shown.insert(name.to_owned(), figure(now, ahead, unit));
    }
    Value::Object(shown)
}

/// CPU used is 100 − idle; the sum of the parts that are there where idle is not reported, marked as derived.
fn cpu(schema: &Schema, entity: &EntityState) -> Value {
    let (now, ahead) = cpu_used(schema, entity);
    let mut object = figure(now, ahead, "%");
    let idle_is_known = schema
        .metric_index("cpu_idle_pct")
        .and_then(|i| current(entity, i))
        .is_some();
    if !idle_is_known && now.is_some() {
        object["derived"] = Value::Bool(true);
    }
    object
}

/// CPU used in percent: now and predicted.
pub(crate) fn cpu_used(schema: &Schema, entity: &EntityState) -> (Option<f64>, Option<f64>) {
    let forecast = entity.forecast.as_deref();
    if let Some(idle) = schema.metric_index("cpu_idle_pct")
        && let Some(now) = current(entity, idle)
    {
        return (
            Some(100.0 - now),
            forecast
                .and_then(|f| predicted(f, idle))
                .map(|ahead| 100.0 - ahead),
        );
    }
    let parts: Vec<usize> = CPU_PARTS
        .iter()
        .filter_map(|name| schema.metric_index(name))
        .collect();
    let sum = |value: &dyn Fn(usize) -> Option<f64>| {
        parts
            .iter()
            .filter_map(|&i| value(i))
            .reduce(|a, b| a + b)
            .map(|used| used.min(100.0))
    };
    (
        sum(&|i| current(entity, i)),
        sum(&|i| predicted(forecast?, i)),
    )
}

/// The newest observation of a metric.
pub(crate) fn current(entity: &EntityState, metric: usize) -> Option<f64> {
    entity
        .current
        .get(metric)
        .copied()
        .filter(|v| v.is_finite())
        .map(f64::from)
}

fn predicted(forecast: &EntityForecast, metric: usize) -> Option<f64> {
    let ahead: Vec<f64> = forecast
        .series(metric, 0.5)
        .take(PREDICTED_STEPS)
        .map(f64::from)
        .collect();
    (!ahead.is_empty()).then(|| ahead.iter().sum::<f64>() / ahead.len() as f64)
}

fn figure(now: Option<f64>, ahead: Option<f64>, unit: &str) -> Value {
    let now = now.map(one_decimal);
    let ahead = ahead.map(one_decimal);
    let delta = now.zip(ahead).map(|(now, ahead)| one_decimal(ahead - now));
    let trend = delta.map(|delta| match delta {
        d if d > 0.0 => "increasing",
        d if d < 0.0 => "decreasing",
        _ => "stable",
    });
    json!({"current": now, "predicted": ahead, "delta": delta, "unit": unit, "trend": trend})
}

/// One decimal, and no negative zero.
pub(crate) fn one_decimal(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_and_named() {
        let shown = figure(Some(32.04), Some(31.96), "%");
        assert_eq!(
            shown,
            json!({"current": 32.0, "predicted": 32.0, "delta": 0.0, "unit": "%", "trend": "stable"})
        );
        let unknown = figure(Some(1.0), None, "");
        assert_eq!(
            unknown,
            json!({"current": 1.0, "predicted": null, "delta": null, "unit": "", "trend": null})
        );
    }
}
