//! How good forecasts are: quantiles by pinball loss, coverage and absolute error, probabilities by their Brier score.
//!
//! Pure arithmetic, shared by whoever judges a forecast, so that a score means the same in a training report, in a
//! backtest and in a live score-card. [`QuantileSums`] and [`ProbabilitySums`] add single values up and can be merged;
//! [`QuantileScore`] and [`ProbabilityScore`] are what people read.
//!
//! The *weighted quantile loss* (wQL) is the mean over the levels of `2 · Σ pinball / Σ |y|`, where the pinball loss of
//! level `q` at error `e = y − forecast` is `max(q·e, (q − 1)·e)` (Koenker and Bassett, 1978). Of a point forecast, whose
//! quantiles are all alike, it is `Σ |e| / Σ |y|`, for levels that lie around one half.

mod probability;

pub use probability::{ProbabilityScore, ProbabilitySums, Tenth};

use serde::{Deserialize, Serialize};

/// Levels that are scored: p10, p50, p90.
pub const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// Ties count as inside.
const TIE: f64 = 1e-6;

/// Sums over scored values, from which a score follows. Sums of parts can be merged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QuantileSums {
    values: u64,
    pinball: f64,
    size: f64,
    inside: u64,
    error: f64,
    width: f64,
}

/// How good a forecast is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantileScore {
    /// Values that were scored.
    pub values: u64,
    /// Weighted quantile loss over [`LEVELS`]; lower is better.
    pub wql: f64,
    /// Mean absolute error of p50, in the metric's unit.
    pub mae: f64,
    /// Share of values from p10 to p90, ties inside; 0.8 is right.
    pub coverage: f64,
    /// Mean distance from p10 to p90, in the metric's unit.
    pub width: f64,
}

impl QuantileSums {
    /// Adds what came true, and what p10, p50 and p90 had been.
    pub fn add(&mut self, value: f64, quantiles: [f64; 3]) {
        let levels = LEVELS.into_iter().zip(quantiles);
        self.values += 1;
        self.pinball += levels.map(|(q, x)| pinball(q, value - x)).sum::<f64>();
        self.size += value.abs();
        self.error += (value - quantiles[1]).abs();
        self.inside += u64::from(value >= quantiles[0] - TIE && value <= quantiles[2] + TIE);
        self.width += quantiles[2] - quantiles[0];
    }

    /// The same for a forecast that is a single number: every quantile is that.
    pub fn add_point(&mut self, value: f64, point: f64) {
        let error = (value - point).abs();
        self.values += 1;
        // The levels lie around one half, so a point costs half its error at each, on average.
        self.pinball += error * LEVELS.len() as f64 / 2.0;
        self.size += value.abs();
        self.error += error;
        self.inside += u64::from(error <= TIE);
    }

    /// Takes other sums in.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.pinball += other.pinball;
        self.size += other.size;
        self.inside += other.inside;
        self.error += other.error;
        self.width += other.width;
    }

    /// Number of scored values.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// The score, in five significant digits; `None` without a value.
    pub fn score(&self) -> Option<QuantileScore> {
        if self.values == 0 {
            return None;
        }
        let count = self.values as f64;
        // A metric that is 0 throughout has nothing to weigh with; its loss is told as it is.
        let size = if self.size > 0.0 { self.size } else { 1.0 };
        Some(QuantileScore {
            values: self.values,
            wql: round(2.0 * self.pinball / LEVELS.len() as f64 / size),
            mae: round(self.error / count),
            coverage: round(self.inside as f64 / count),
            width: round(self.width / count),
        })
    }
}

/// Pinball loss of a level at `error` = truth − forecast.
pub fn pinball(level: f64, error: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

/// Position of the nearest of `levels` for each of [`LEVELS`].
pub fn nearest_levels(levels: &[f64]) -> [usize; 3] {
    LEVELS.map(|wanted| {
        let distance = |index: &usize| (levels[*index] - wanted).abs();
        (0..levels.len())
            .min_by(|left, right| distance(left).total_cmp(&distance(right)))
            .unwrap_or(0)
    })
}

/// Five significant digits are more than the data supports. What is no number stays none.
pub fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let factor = 10f64.powi(4 - value.abs().log10().floor() as i32);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_definition() {
        let mut sums = QuantileSums::default();
        assert_eq!(sums.score(), None);
        // Pinball at truth 20: 0.1 · 12 + 0.5 · 4 + 0.9 · 2 = 5.
        sums.add(20.0, [8.0, 16.0, 18.0]);
        sums.add(-10.0, [-12.0, -10.0, -9.0]);
        let score = sums.score().expect("two values");
        // The second: 0.1 · 2 + 0 + 0.1 · 1 = 0.3.
        assert_eq!(score.wql, round(2.0 * 5.3 / 3.0 / 30.0));
        assert_eq!((score.values, score.mae, score.coverage), (2, 2.0, 0.5));
        assert_eq!(score.width, 6.5);
    }

    #[test]
    fn a_point_is_all_quantiles_at_once_and_parts_add_up() {
        let (mut points, mut quantiles, mut whole) =
            <(QuantileSums, QuantileSums, QuantileSums)>::default();
        for (value, point) in [(3.0, 5.0), (4.0, 4.0), (-1.0, 2.5)] {
            points.add_point(value, point);
            quantiles.add(value, [point; 3]);
        }
        assert_eq!(points.score(), quantiles.score());
        whole.merge(&points);
        whole.merge(&quantiles);
        assert_eq!(whole.values(), 6);
        assert_eq!(whole.score().map(|s| s.wql), points.score().map(|s| s.wql));
    }

    #[test]
    fn levels_are_found_by_distance() {
        assert_eq!(
            nearest_levels(&[0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]),
            [1, 3, 5]
        );
        assert_eq!(nearest_levels(&[0.5]), [0, 0, 0]);
    }
}
