//! Forecasts against what came true, beside three forecasters that need no model.
//!
//! | baseline | its forecast of every step |
//! |---|---|
//! | naive last | the newest observed value |
//! | seasonal naive | the value 24 hours before the step, else the newest one; further ahead than a day, a day earlier still |
//! | moving average | the mean of what was observed in the last hour, else the newest value |
//!
//! They exist to judge the model, never to answer for it.

use std::collections::BTreeMap;

use argus_fleet::EntityForecast;
use argus_schema::Schema;
use argus_score::{QuantileScore, QuantileSums, nearest_levels};
use serde::Serialize;

use crate::replay::Answer;

/// Ends of the horizons that are told, in seconds; each counts from the origin.
pub const HORIZONS: [(&str, u32); 3] = [("30m", 1800), ("2h", 7200), ("8h", 28_800)];
const HOUR_SECS: u32 = 3600;
const DAY_SECS: u32 = 86_400;

/// Scores of one metric within one horizon; each baseline is a point, so that it has no coverage to speak of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HorizonScore {
    /// The model.
    pub model: QuantileScore,
    /// The newest value.
    pub naive_last: PointScore,
    /// The value a day before.
    pub seasonal_naive: PointScore,
    /// The mean of the last hour.
    pub moving_average: PointScore,
}

/// How good a forecast of single numbers is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PointScore {
    /// Weighted quantile loss, each quantile being the number.
    pub wql: f64,
    /// Mean absolute error, in the metric's unit.
    pub mae: f64,
}

/// Scores by metric, then by horizon; metrics that were never forecast are absent.
pub type Scores = BTreeMap<String, BTreeMap<&'static str, HorizonScore>>;

/// Sums of one metric and one stretch of steps.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    model: QuantileSums,
    last: QuantileSums,
    seasonal: QuantileSums,
    average: QuantileSums,
}

impl Sums {
    fn merge(&mut self, other: &Self) {
        self.model.merge(&other.model);
        self.last.merge(&other.last);
        self.seasonal.merge(&other.seasonal);
        self.average.merge(&other.average);
    }

    fn score(&self) -> Option<HorizonScore> {
        let point = |sums: &QuantileSums| {
            sums.score().map(|score| PointScore {
                wql: score.wql,
                mae: score.mae,
            })
        };
        Some(HorizonScore {
            model: self.model.score()?,
            naive_last: point(&self.last)?,
            seasonal_naive: point(&self.seasonal)?,
            moving_average: point(&self.average)?,
        })
    }
}

/// Adds forecasts up; tallies of parts can be merged.
#[derive(Debug, Clone)]
pub struct Tally {
    /// `[metric][horizon]`; the stretch of a horizon begins where the one before it ends.
    sums: Vec<[Sums; HORIZONS.len()]>,
    step_secs: u32,
    /// Position of p10, p50 and p90 among the model's quantiles.
    levels: [usize; 3],
}

impl Tally {
    /// Nothing yet, for forecasts with these quantile levels.
    pub fn new(schema: &Schema, levels: &[f64], step_secs: u32) -> Self {
        Self {
            sums: vec![Default::default(); schema.metrics.len()],
            step_secs,
            levels: nearest_levels(levels),
        }
    }

    /// Scores a forecast against the server's own later bins.
    pub fn add(&mut self, answer: &Answer<'_>) {
        let day = (DAY_SECS / self.step_secs.max(1)).max(1) as usize;
        let hour = (HOUR_SECS / self.step_secs.max(1)).max(1) as usize;
        let origin = answer.stroke.origin;
        let levels = answer.forecast.quantile_levels.len();
        let metrics = self.sums.iter_mut().zip(&answer.forecast.metrics);
        for ((sums, forecast), truth) in metrics.zip(&answer.server.values) {
            let Some(forecast) = forecast else { continue };
            let last = f64::from(forecast.current);
            let recent = &truth[(origin + 1).saturating_sub(hour)..=origin];
            let (count, sum) = recent
                .iter()
                .filter(|value| !value.is_nan())
                .fold((0u32, 0.0), |(n, sum), value| {
                    (n + 1, sum + f64::from(*value))
                });
            let average = if count > 0 {
                sum / f64::from(count)
            } else {
                last
            };
            let ahead = truth.get(origin + 1..).unwrap_or_default();
            let rows = forecast.quantiles.chunks_exact(levels);
            for (step, (row, value)) in rows.zip(ahead).enumerate() {
                if value.is_nan() {
                    continue;
                }
                let value = f64::from(*value);
                let days = step / day + 1;
                let before = (origin + 1 + step).checked_sub(days * day);
                let seasonal = before.and_then(|bin| truth.get(bin)).copied();
                let seasonal = seasonal
                    .filter(|value| !value.is_nan())
                    .map_or(last, f64::from);
                let ends_secs = (step as u64 + 1) * u64::from(self.step_secs);
                let stretch = HORIZONS
                    .iter()
                    .position(|(_, end)| ends_secs <= u64::from(*end));
                let Some(sums) = stretch.and_then(|stretch| sums.get_mut(stretch)) else {
                    continue;
                };
                let quantiles = self.levels.map(|level| f64::from(row[level]));
                sums.model.add(value, quantiles);
                sums.last.add_point(value, last);
                sums.seasonal.add_point(value, seasonal);
                sums.average.add_point(value, average);
            }
        }
    }

    /// Takes another tally in.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self
            .sums
            .iter_mut()
            .flatten()
            .zip(other.sums.iter().flatten());
        pairs.for_each(|(sums, other)| sums.merge(other));
    }

    /// Scores by metric and horizon.
    pub fn scores(&self, schema: &Schema) -> Scores {
        let of_metric = |sums: &[Sums; HORIZONS.len()]| {
            let mut until = Sums::default();
            let mut scores = BTreeMap::new();
            for ((name, _), stretch) in HORIZONS.iter().zip(sums) {
                until.merge(stretch);
                scores.extend(until.score().map(|score| (*name, score)));
            }
            scores
        };
        let metrics = schema.metrics.iter().zip(&self.sums);
        metrics
            .map(|(metric, sums)| (metric.name.clone(), of_metric(sums)))
            .filter(|(_, scores)| !scores.is_empty())
            .collect()
    }
}

/// p10, p50 and p90 of a metric for each step ahead; empty where the forecast or a level is missing.
pub fn deciles(forecast: &EntityForecast, metric: usize) -> impl Iterator<Item = [f32; 3]> + '_ {
    let [low, median, high] = [0.1, 0.5, 0.9].map(|level| forecast.series(metric, level));
    low.zip(median)
        .zip(high)
        .map(|((low, median), high)| [low, median, high])
}
