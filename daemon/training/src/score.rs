//! How good forecasts are, beside the value of a day before.

use std::collections::BTreeMap;

use argus_schema::Schema;
use argus_score::{QuantileSums, nearest_levels};
use serde::{Deserialize, Serialize};

use crate::forecast::OriginForecast;

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
    /// Position of p10, p50 and p90 among the model's quantiles.
    columns: [usize; 3],
    levels: usize,
    day_steps: usize,
    sums: Vec<Sums>,
}

#[derive(Clone, Default)]
struct Sums {
    model: QuantileSums,
    naive: QuantileSums,
}

impl<'a> Scorer<'a> {
    /// `levels` are the model's quantile levels; the nearest ones are scored.
    pub(crate) fn new(schema: &'a Schema, levels: &[f64], step_secs: u32) -> Self {
        Self {
            schema,
            columns: nearest_levels(levels),
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
                let value = f64::from(value);
                sums.model
                    .add(value, self.columns.map(|column| f64::from(row[column])));
                sums.naive.add_point(value, f64::from(naive));
            }
        }
    }

    pub(crate) fn finish(self) -> Scores {
        let scored = self
            .schema
            .metrics
            .iter()
            .zip(self.sums)
            .filter_map(|(metric, sums)| Some((metric.name.clone(), sums.score()?)));
        scored.collect()
    }
}

impl Sums {
    fn score(&self) -> Option<MetricScore> {
        let (model, naive) = (self.model.score()?, self.naive.score()?);
        Some(MetricScore {
            values: model.values,
            wql: model.wql,
            seasonal_naive_wql: naive.wql,
            coverage: model.coverage,
            mae: model.mae,
        })
    }
}

#[cfg(test)]
mod tests {
    use argus_score::round;
    use argus_tft::train::Track;

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
        scorer.add(&OriginForecast {
            server: "a",
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
