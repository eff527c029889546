//! How good forecasts are, beside the value of a day before.

use std::collections::BTreeMap;

use argus_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::forecast::OriginForecast;

/// Quantile levels that scores are made of.
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// Ties count as inside.
const TIE: f64 = 1e-6;

/// Scores of one metric over all servers, origins and steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricScore {
    /// Observed values that were forecast.
    pub values: u64,
    /// Weighted quantile loss: mean over the levels 0.1, 0.5 and 0.9 of 2 · Σ pinball / Σ |y|; lower is better.
    pub wql: f64,
    /// The same of seasonal naive: every quantile is the value 24 hours before, else the last one seen.
    pub seasonal_naive_wql: f64,
    /// Share of values from p10 to p90; 0.8 is right.
    pub coverage: f64,
    /// Mean absolute error of p50, in the metric's unit.
    pub mae: f64,
}

/// Scores by metric name.
pub type Scores = BTreeMap<String, MetricScore>;

/// Adds forecasts up.
pub(crate) struct Scorer<'a> {
    schema: &'a Schema,
    /// Position of each of [`LEVELS`] among the model's quantiles.
    columns: [usize; 3],
    levels: usize,
    day_steps: usize,
    sums: Vec<Sums>,
}

#[derive(Clone, Default)]
struct Sums {
    values: u64,
    pinball: f64,
    naive_pinball: f64,
    size: f64,
    inside: u64,
    error: f64,
}

impl<'a> Scorer<'a> {
    /// `levels` are the model's quantile levels; the nearest ones are scored.
    pub(crate) fn new(schema: &'a Schema, levels: &[f64], step_secs: u32) -> Self {
        let nearest = |wanted: f64| {
            let distance = |index: &usize| (levels[*index] - wanted).abs();
            (0..levels.len())
                .min_by(|left, right| distance(left).total_cmp(&distance(right)))
                .unwrap_or(0)
        };
        Self {
            schema,
            columns: LEVELS.map(nearest),
            levels: levels.len(),
            day_steps: (86_400 / step_secs.max(1)) as usize,
            sums: vec![Sums::default(); schema.metrics.len()],
        }
    }

    pub(crate) fn add(&mut self, forecast: &OriginForecast<'_>) {
        let (track, bin) = (forecast.track, forecast.bin);
        for ((sums, metric), truth) in self
            .sums
            .iter_mut()
            .zip(forecast.metrics)
            .zip(&track.values)
        {
            let Some(quantiles) = metric else { continue };
            let seen = &truth[..=bin];
            let last = seen
                .iter()
                .rev()
                .copied()
                .find(|value| !value.is_nan())
                .unwrap_or(f32::NAN);
            for (step, row) in quantiles.chunks_exact(self.levels).enumerate() {
                let Some(value) = truth
                    .get(bin + 1 + step)
                    .copied()
                    .filter(|value| !value.is_nan())
                else {
                    continue;
                };
                let day_before = (bin + 1 + step)
                    .checked_sub(self.day_steps)
                    .and_then(|bin| seen.get(bin));
                let naive = day_before
                    .copied()
                    .filter(|value| !value.is_nan())
                    .unwrap_or(last);
                sums.add(
                    f64::from(value),
                    self.columns.map(|column| f64::from(row[column])),
                    f64::from(naive),
                );
            }
        }
    }

    pub(crate) fn finish(self) -> Scores {
        let scored = self
            .schema
            .metrics
            .iter()
            .zip(self.sums)
            .filter(|(_, sums)| sums.values > 0);
        scored
            .map(|(metric, sums)| (metric.name.clone(), sums.score()))
            .collect()
    }
}

impl Sums {
    fn add(&mut self, value: f64, quantiles: [f64; 3], naive: f64) {
        let pinball = |level: f64, quantile: f64| {
            let error = value - quantile;
            (level * error).max((level - 1.0) * error)
        };
        let total = |quantiles: [f64; 3]| -> f64 {
            LEVELS
                .into_iter()
                .zip(quantiles)
                .map(|(l, q)| pinball(l, q))
                .sum()
        };
        self.values += 1;
        self.pinball += total(quantiles);
        self.naive_pinball += total([naive; 3]);
        self.size += value.abs();
        self.error += (value - quantiles[1]).abs();
        self.inside += u64::from(value >= quantiles[0] - TIE && value <= quantiles[2] + TIE);
    }

    fn score(&self) -> MetricScore {
        let count = self.values as f64;
        // A metric that is 0 throughout has nothing to weigh with; its loss is told as it is.
        let size = if self.size > 0.0 { self.size } else { 1.0 };
        let wql = |pinball: f64| round(2.0 * pinball / LEVELS.len() as f64 / size);
        MetricScore {
            values: self.values,
            wql: wql(self.pinball),
            seasonal_naive_wql: wql(self.naive_pinball),
            coverage: round(self.inside as f64 / count),
            mae: round(self.error / count),
        }
    }
}

/// Five significant digits are more than the data supports.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let factor = 10f64.powi(4 - value.abs().log10().floor() as i32);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use argus_tft::train::Track;
    use argus_trace::Origin;

    use super::*;

    #[test]
    fn scores_are_those_of_the_definition() {
        let schema = Schema::server();
        let mut scorer = Scorer::new(&schema, &[0.02, 0.1, 0.5, 0.9], 300);
        let mut values = vec![vec![f32::NAN; 4]; schema.metrics.len()];
        values[0] = vec![10.0, 12.0, 20.0, f32::NAN];
        let track = Track {
            profile: String::new(),
            first_bin_ms: 0,
            values,
            status: vec![0; 4],
        };
        let mut metrics: Vec<Option<Box<[f32]>>> = vec![None; schema.metrics.len()];
        metrics[0] = Some([[0.0, 8.0, 16.0, 18.0], [0.0; 4]].concat().into());
        let origin = Origin {
            server: "a".to_owned(),
            origin_ms: 300_000,
        };
        scorer.add(&OriginForecast {
            origin: &origin,
            metrics: &metrics,
            track: &track,
            bin: 1,
        });
        let scores = scorer.finish();
        assert_eq!(scores.len(), 1);
        let score = scores["cpu_user_pct"];
        // Pinball at truth 20: 0.1 · 12 + 0.5 · 4 + 0.9 · 2 = 5; naive from 12: 1.5 · 8 = 12.
        assert_eq!((score.values, score.mae, score.coverage), (1, 4.0, 0.0));
        assert_eq!(
            (score.wql, score.seasonal_naive_wql),
            (round(2.0 * 5.0 / 60.0), round(2.0 * 12.0 / 60.0))
        );
    }
}
