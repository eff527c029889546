//! From the quantiles of one step to the probability of reaching a threshold.
//!
//! Between two quantiles the *log-odds* of the distribution function, `ln(F / (1 − F))`, are interpolated linearly in
//! the value; beyond the outermost quantiles the line through the last two distinct ones goes on. One rule thus covers
//! the inside and the tails: it passes through every quantile, is monotone, is exact for a logistic distribution, and
//! its tails are exponential with the scale that the two outer quantiles state (for levels .9 and .98, 1.70 per
//! distance between them; an exponential fitted to the same two points has 1.61). Linear interpolation of `F` itself
//! would put too much mass next to p98 and could say nothing beyond it.
//!
//! *Legal range*: mass that a tail would put beyond the metric's range sits on its limit. That changes no probability
//! of a threshold inside the range; a threshold beyond it is never, one at the near limit always reached.
//!
//! *Ties*: quantiles of equal value are an atom, which counts as reached when it lies on the threshold. If all
//! quantiles are equal the forecast is a point and the probability 0 or 1. A value less than one millionth short of
//! the threshold counts as on it, because quantiles are `f32`.

use argus_schema::Breach;

/// `ln(p / (1 − p))`, NaN outside of the open interval.
pub(crate) fn log_odds(p: f64) -> f64 {
    if p > 0.0 && p < 1.0 {
        (p / (1.0 - p)).ln()
    } else {
        f64::NAN
    }
}

/// Nothing is more probable, short of certain.
const MOST_PROBABLE: f64 = 1.0 - 1e-12;

/// Inverse of [`log_odds`]; 0 and 1 at the infinities and, however large the odds, nowhere else.
pub(crate) fn probability(log_odds: f64) -> f64 {
    let p = 1.0 / (1.0 + (-log_odds).exp());
    match log_odds.is_finite() {
        true => p.clamp(f64::MIN_POSITIVE, MOST_PROBABLE),
        false => p,
    }
}

/// The log-odds of quantile levels, mirrored for metrics whose low values are bad, so that "reached" always means "at
/// or above"; NaN for a level that is not between 0 and 1, whose column is then ignored.
pub(crate) fn level_log_odds(levels: &[f32], side: Breach) -> Vec<f64> {
    let odds = levels.iter().map(|&level| log_odds(f64::from(level)));
    match side {
        Breach::Above => odds.collect(),
        Breach::Below => odds.rev().map(|odds| -odds).collect(),
    }
}

/// One step's quantiles after another, oriented like their levels: ascending, bad above.
pub(crate) struct Quantiles<'a> {
    side: Breach,
    level_odds: &'a [f64],
    levels_usable: bool,
    median_column: Option<usize>,
    values: Vec<f64>,
    /// Log-odds of `values` where columns had to be left out; empty: `level_odds` fit.
    kept_odds: Vec<f64>,
}

impl<'a> Quantiles<'a> {
    /// For rows with these levels, from [`level_log_odds`] of the same side.
    pub fn new(side: Breach, level_odds: &'a [f64]) -> Self {
        Self {
            side,
            level_odds,
            levels_usable: level_odds.is_sorted() && !level_odds.iter().any(|odds| odds.is_nan()),
            median_column: level_odds.iter().position(|odds| *odds == 0.0),
            values: Vec::with_capacity(level_odds.len()),
            kept_odds: Vec::new(),
        }
    }

    /// Takes the next step, a value per level. Values that are not finite are left out with their level, values that
    /// cross are raised to their predecessor.
    pub fn load(&mut self, row: &[f32]) {
        self.values.clear();
        self.kept_odds.clear();
        if row.len() != self.level_odds.len() {
            return;
        }
        match self.side {
            Breach::Above => self.values.extend(row.iter().map(|v| f64::from(*v))),
            Breach::Below => self.values.extend(row.iter().rev().map(|v| -f64::from(*v))),
        }
        // NaN is never sorted, so that finite ends mean finite values.
        let ends_finite = self.values.first().is_some_and(|v| v.is_finite())
            && self.values.last().is_some_and(|v| v.is_finite());
        if !(self.levels_usable && ends_finite && self.values.is_sorted()) {
            self.repair();
        }
    }

    #[cold]
    #[inline(never)]
    fn repair(&mut self) {
        let mut least = f64::NEG_INFINITY;
        let mut kept = 0;
        for column in 0..self.values.len() {
            let (value, odds) = (self.values[column], self.level_odds[column]);
            if value.is_finite() && !odds.is_nan() {
                least = least.max(value);
                self.values[kept] = least;
                self.kept_odds.push(odds);
                kept += 1;
            }
        }
        self.values.truncate(kept);
    }

    /// Log-odds of the value at `at`.
    fn odds(&self, at: usize) -> f64 {
        if self.kept_odds.is_empty() {
            self.level_odds[at]
        } else {
            self.kept_odds[at]
        }
    }

    /// Distance of the outermost quantiles; 0 without any.
    pub fn spread(&self) -> f64 {
        match (self.values.first(), self.values.last()) {
            (Some(lowest), Some(highest)) => highest - lowest,
            _ => 0.0,
        }
    }

    /// The value whose log-odds are 0; `None` without values. Beyond the given levels: the outermost value.
    pub fn median(&self) -> Option<f64> {
        if let (Some(column), true) = (self.median_column, self.kept_odds.is_empty()) {
            return self.values.get(column).copied();
        }
        let (lowest, highest) = (*self.values.first()?, *self.values.last()?);
        match (0..self.values.len()).find(|at| self.odds(*at) >= 0.0) {
            None => Some(highest),
            Some(0) => Some(lowest),
            Some(at) => {
                let (below, above) = (self.odds(at - 1), self.odds(at));
                let share = -below / (above - below);
                Some(self.values[at - 1] + share * (self.values[at] - self.values[at - 1]))
            }
        }
    }

    /// Log-odds that the step reaches `threshold` (oriented as well); `None` without values.
    pub fn reach_log_odds(&self, threshold: f64) -> Option<f64> {
        let values = self.values.as_slice();
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let threshold = threshold - 1e-6 * threshold.abs().max(1.0);
        if lowest >= highest {
            let certain = if lowest >= threshold {
                f64::INFINITY
            } else {
                f64::NEG_INFINITY
            };
            return Some(certain);
        }
        // The quantile to start from, and the end of the segment whose line is followed. Most thresholds lie far above
        // all values, so that case comes first; so few values are scanned faster than they are searched.
        let (from, segment_end) = if threshold > highest {
            let last = values.len() - 1;
            (last, values[..last].iter().rposition(|v| *v < highest)? + 1)
        } else if threshold <= lowest {
            (0, values.iter().position(|v| *v > lowest)?)
        } else {
            let at = values.iter().position(|v| *v >= threshold)?;
            (at, at)
        };
        let odds = if self.kept_odds.is_empty() {
            self.level_odds
        } else {
            &self.kept_odds
        };
        let distance = threshold - values[from];
        if distance == 0.0 {
            return Some(-odds[from]);
        }
        let rise = odds[segment_end] - odds[segment_end - 1];
        let width = values[segment_end] - values[segment_end - 1];
        Some(-(odds[from] + distance * rise / width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f32; 7] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98];

    #[track_caller]
    fn check(row: [f32; 7], side: Breach, threshold: f64, expected: f64) {
        let odds = level_log_odds(&LEVELS, side);
        let mut quantiles = Quantiles::new(side, &odds);
        quantiles.load(&row);
        let oriented = if side == Breach::Above {
            threshold
        } else {
            -threshold
        };
        let got = quantiles
            .reach_log_odds(oriented)
            .map(probability)
            .expect("there are points");
        assert!(
            (got - expected).abs() < 2e-3,
            "P = {got}, expected {expected}"
        );
    }

    #[test]
    fn passes_through_the_quantiles() {
        let row = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0];
        check(row, Breach::Above, 60.0, 0.10);
        check(row, Breach::Above, 40.0, 0.50);
        check(row, Breach::Below, 20.0, 0.10);
        check(row, Breach::Above, 10.0, 0.98);
    }

    #[test]
    fn is_exact_for_a_logistic_distribution() {
        let row = LEVELS.map(|q| 50.0 + 4.0 * (q / (1.0 - q)).ln());
        for threshold in [20.0, 35.0, 47.0, 50.0, 61.0, 70.0, 90.0] {
            let exact = probability(-(threshold - 50.0) / 4.0);
            check(row, Breach::Above, threshold, exact);
            check(row, Breach::Below, threshold, 1.0 - exact);
        }
    }

    #[test]
    fn a_point_forecast_on_the_threshold_reaches_it() {
        check([95.0; 7], Breach::Above, 95.0, 1.0);
        check([95.0; 7], Breach::Above, 95.1, 0.0);
        check([95.0; 7], Breach::Above, 94.0, 1.0);
        check([2.0; 7], Breach::Below, 2.0, 1.0);
        // The float next to the threshold is the threshold.
        check([94.999_99; 7], Breach::Above, 95.0, 1.0);
    }

    #[test]
    fn an_atom_on_the_threshold_counts_as_reached() {
        check(
            [0.0, 0.0, 0.0, 50.0, 50.0, 50.0, 80.0],
            Breach::Above,
            50.0,
            0.5,
        );
        check(
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0],
            Breach::Above,
            5.0,
            0.02,
        );
        check([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0], Breach::Above, 1e6, 0.0);
    }

    #[test]
    fn broken_quantiles_are_left_out() {
        let nan = f32::NAN;
        check(
            [nan, 20.0, 30.0, 40.0, 50.0, f32::INFINITY, nan],
            Breach::Above,
            40.0,
            0.5,
        );
        check(
            [nan, 20.0, 30.0, 40.0, 50.0, nan, nan],
            Breach::Below,
            20.0,
            0.1,
        );
        // Crossing ones are raised.
        check(
            [10.0, 20.0, 30.0, 40.0, 35.0, 60.0, 70.0],
            Breach::Above,
            60.0,
            0.1,
        );
        assert_eq!(reach(&[nan; 7], &LEVELS, 1.0), None);
        assert_eq!(reach(&[1.0, 2.0], &[0.0, 1.5], 1.0), None);
        assert_eq!(reach(&[], &[], 1.0), None);
        let one_usable = reach(&[1.0, 2.0, 3.0], &[0.0, 0.5, f32::NAN], 2.0);
        assert_eq!(one_usable, Some(f64::INFINITY));
    }

    fn reach(row: &[f32], levels: &[f32], threshold: f64) -> Option<f64> {
        let odds = level_log_odds(levels, Breach::Above);
        let mut quantiles = Quantiles::new(Breach::Above, &odds);
        quantiles.load(row);
        quantiles.reach_log_odds(threshold)
    }

    #[test]
    fn the_median_is_found_between_levels() {
        for (row, levels, expected) in [
            ([10.0, 30.0], [0.25, 0.75], 20.0),
            ([10.0, 30.0], [0.75, 0.9], 10.0),
            ([10.0, 30.0], [0.1, 0.25], 30.0),
            ([10.0, 30.0], [0.5, 0.75], 10.0),
            ([f32::NAN, 30.0], [0.5, 0.75], 30.0),
        ] {
            let odds = level_log_odds(&levels, Breach::Above);
            let mut quantiles = Quantiles::new(Breach::Above, &odds);
            quantiles.load(&row);
            assert_eq!(quantiles.median(), Some(expected));
        }
    }
}
