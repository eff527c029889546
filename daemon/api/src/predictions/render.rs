//! One entity's prediction as JSON text.
//!
//! Written by hand into one buffer: a fleet of a thousand servers is 60 MB, and building a tree first would double time
//! and memory. Numbers are written as `f32` in the shortest form that reads back to the same value; NaN is null.

use std::io::Write as _;

use argus_fleet::{BreachForecast, EntityForecast, EntityState, Level, MetricForecast, Risk};
use argus_schema::{Schema, server_id};
use serde::Serialize;
use serde_json::{Value, json};

use super::display;
use crate::problem::rfc3339;

/// The levels shown, by the names clients know. Order as the older daemon had it.
const SHOWN: [(&str, f32); 3] = [("p50", 0.5), ("p10", 0.1), ("p90", 0.9)];

/// Which parts of an entity are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Columns of the metrics wanted; `None` for all.
    pub metrics: Option<Vec<usize>>,
}

impl Parts {
    pub fn has(&self, metric: usize) -> bool {
        self.metrics
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&metric))
    }
}

/// The members of an entity's object without its braces: everything that holds until its state changes.
pub(crate) fn members(schema: &Schema, entity: &EntityState, parts: &Parts) -> Vec<u8> {
    let mut out = Vec::with_capacity(if entity.forecast.is_some() {
        64 * 1024
    } else {
        4 * 1024
    });
    identity(&mut out, schema, entity);
    for (index, metric) in schema.metrics.iter().enumerate() {
        if parts.has(index) {
            out.push(b',');
            write_json(&mut out, &metric.name);
            out.push(b':');
            let forecast = entity.forecast.as_deref();
            let quantiles = forecast.and_then(|f| f.metrics.get(index)?.as_ref().map(|m| (f, m)));
            let current = entity.current.get(index).copied().unwrap_or(f32::NAN);
            metric_object(&mut out, index, quantiles, current);
        }
    }
    judgement(&mut out, schema, entity);
    out
}

fn identity(out: &mut Vec<u8>, schema: &Schema, entity: &EntityState) {
    let name = entity.name.as_str();
    let profile = schema.profiles.get(usize::from(entity.profile));
    field(out, "server_name", &name);
    out.push(b',');
    field(out, "server_id", &server_id(name));
    out.push(b',');
    field(out, "profile", &profile.map(|p| p.id.as_str()));
    out.push(b',');
    field(out, "profile_label", &profile.map(|p| p.label.as_str()));
    out.push(b',');
    field(out, "cores", &entity.cores);
    out.push(b',');
    field(out, "forecast_state", &entity.state);
    out.push(b',');
    field(out, "closed_steps", &entity.closed_bins);
    let forecast = entity.forecast.as_deref();
    out.push(b',');
    field(out, "context_steps", &forecast.map(|f| f.context_steps));
    out.push(b',');
    field(
        out,
        "forecast_origin",
        &forecast.map(|f| rfc3339(f.origin_ms)),
    );
    out.push(b',');
    field(out, "forecast_time", &forecast.map(|f| rfc3339(f.made_ms)));
}

fn metric_object(
    out: &mut Vec<u8>,
    index: usize,
    quantiles: Option<(&EntityForecast, &MetricForecast)>,
    current: f32,
) {
    out.push(b'{');
    for (name, level) in SHOWN {
        write_json(out, &name);
        out.push(b':');
        match quantiles {
            Some((forecast, _)) if forecast.level_index(level).is_some() => {
                series(out, forecast.series(index, level));
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.push(b',');
    }
    field(out, "current", &current);
    out.push(b',');
    let trend = quantiles.and_then(|(forecast, _)| slope(forecast.series(index, 0.5)));
    field(out, "trend", &trend);
    out.push(b'}');
}

fn series(out: &mut Vec<u8>, values: impl Iterator<Item = f32>) {
    out.push(b'[');
    for (position, value) in values.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_json(out, &value);
    }
    out.push(b']');
}

/// Least-squares slope per step; nothing for fewer than two steps.
fn slope(values: impl Iterator<Item = f32>) -> Option<f32> {
    let values: Vec<f64> = values.map(f64::from).collect();
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (step, value) in values.iter().enumerate() {
        let distance = step as f64 - middle;
        above += distance * (value - mean);
        below += distance * distance;
    }
    Some((above / below) as f32)
}

fn judgement(out: &mut Vec<u8>, schema: &Schema, entity: &EntityState) {
    let risk = entity.risk.as_deref();
    out.push(b',');
    field(out, "risk_score", &risk.map(|r| r.score));
    out.push(b',');
    field(out, "risk_unclamped", &risk.map(|r| r.unclamped));
    out.push(b',');
    field(out, "risk_30m", &risk.map(|r| r.score_30m));
    out.push(b',');
    field(out, "prob_30m", &risk.map(|r| r.prob_30m));
    out.push(b',');
    field(out, "prob_8h", &risk.map(|r| r.prob_horizon));
    out.push(b',');
    field(out, "in_breach", &risk.map(|r| r.in_breach));
    out.push(b',');
    field(out, "calibration", &risk.map(|r| r.calibration));
    out.push(b',');
    field(out, "alert", &risk.map(badge));
    out.push(b',');
    field(out, "display_metrics", &display::metrics(schema, entity));
    out.push(b',');
    field(out, "breaches", &breaches(entity));
}

/// Level of an entity as people see it.
pub(crate) fn badge(risk: &Risk) -> Value {
    let level = Level::of(risk.score);
    let (label, emoji) = match level {
        Level::Critical => ("Critical", "🔴"),
        Level::Warning => ("Warning", "🟠"),
        Level::Degraded => ("Degraded", "🟡"),
        Level::Healthy => ("Healthy", "🟢"),
    };
    json!({"level": level.as_str(), "score": risk.score, "color": level.color(), "emoji": emoji, "label": label})
}

/// Conditions expected or present, most probable first, with times.
fn breaches(entity: &EntityState) -> Vec<Value> {
    let (Some(risk), Some(forecast)) = (entity.risk.as_deref(), entity.forecast.as_deref()) else {
        return Vec::new();
    };
    risk.breaches
        .iter()
        .map(|breach| breach_object(breach, forecast))
        .collect()
}

fn breach_object(breach: &BreachForecast, forecast: &EntityForecast) -> Value {
    let at = |step: Option<u32>| step.map(|step| rfc3339(step_start_ms(forecast, step)));
    let mut object = serde_json::to_value(breach).unwrap_or_default();
    if let Some(members) = object.as_object_mut() {
        members.insert(
            "expected_at".to_owned(),
            at(breach.expected_step).unwrap_or_default(),
        );
        members.insert(
            "earliest_at".to_owned(),
            at(breach.earliest_step).unwrap_or_default(),
        );
        members.insert(
            "latest_at".to_owned(),
            at(breach.latest_step).unwrap_or_default(),
        );
        let minutes = breach
            .expected_step
            .map(|step| minutes_ahead(forecast, step));
        members.insert("minutes_ahead".to_owned(), json!(minutes));
    }
    object
}

/// Start of the bin of a step ahead, ms since the epoch.
pub(crate) fn step_start_ms(forecast: &EntityForecast, step: u32) -> i64 {
    forecast.origin_ms + i64::from(step) * i64::from(forecast.step_secs) * 1000
}

/// A step ahead in minutes from the newest bin the model saw.
pub(crate) fn minutes_ahead(forecast: &EntityForecast, step: u32) -> f64 {
    f64::from(step) * f64::from(forecast.step_secs) / 60.0
}

/// `"name":value`.
fn field(out: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    write_json(out, name);
    out.push(b':');
    write_json(out, value);
}

/// Compact JSON. Writing plain data into a vector cannot fail; should it ever, null keeps the text well formed.
pub(crate) fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// The members that change with the wall clock: how old the entity's newest record is.
pub(crate) fn freshness(out: &mut Vec<u8>, age: Age) {
    // Writing into a vector cannot fail.
    let _ = write!(
        out,
        "\"as_of\":{},\"stale_secs\":{},\"stale\":{}",
        rfc3339(age.newest_ms),
        age.secs,
        age.is_stale
    );
}

/// How old the newest record of an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// Its time, ms since the epoch.
    pub newest_ms: i64,
    /// Seconds since then by the wall clock.
    pub secs: i64,
    /// Whether it should have reported again by now.
    pub is_stale: bool,
}

impl Age {
    /// Three missed steps are stale, and never less than a minute: agents report a few times a minute at best.
    pub fn new(newest_ms: i64, now_ms: i64, step_secs: u32) -> Self {
        let secs = (now_ms.saturating_sub(newest_ms) / 1000).max(0);
        Self {
            newest_ms,
            secs,
            is_stale: secs > (3 * i64::from(step_secs)).max(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_per_step() {
        assert_eq!(slope([1.0, 3.0, 5.0].into_iter()), Some(2.0));
        assert_eq!(slope([7.0].into_iter()), None);
        assert_eq!(slope([4.0; 96].into_iter()), Some(0.0));
    }

    #[test]
    fn floats_keep_their_own_precision() {
        let mut out = Vec::new();
        series(
            &mut out,
            [0.1_f32, 25.0, f32::NAN, 16_777_216.0].into_iter(),
        );
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "[0.1,25.0,null,16777216.0]"
        );
    }

    #[test]
    fn three_missed_steps_are_stale() {
        assert!(!Age::new(0, 900_000, 300).is_stale);
        assert!(Age::new(0, 901_000, 300).is_stale);
        assert!(!Age::new(0, 60_000, 5).is_stale);
        assert_eq!(Age::new(10_000, 0, 5).secs, 0);
    }
}
