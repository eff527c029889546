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

/// A quantile: value (mirrored where low values are bad) and log-odds of its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub value: f64,
    pub log_odds: f64,
}

/// The log-odds of quantile levels; NaN for a level that is not between 0 and 1, whose column is then ignored.
pub(crate) fn level_log_odds(levels: &[f32]) -> Vec<f64> {
    levels
        .iter()
        .map(|&level| log_odds(f64::from(level)))
        .collect()
}

/// `ln(p / (1 − p))`, NaN outside of the open interval.
pub(crate) fn log_odds(p: f64) -> f64 {
    if p > 0.0 && p < 1.0 {
        (p / (1.0 - p)).ln()
    } else {
        f64::NAN
    }
}

/// Inverse of [`log_odds`]; 0 and 1 at the infinities.
pub(crate) fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Writes one step's quantiles into `points`, ascending, so that "reached" always means "at or above".
///
/// Values that are not finite are left out with their level; values that cross are raised to their predecessor.
pub(crate) fn orient(row: &[f32], level_odds: &[f64], side: Breach, points: &mut Vec<Point>) {
    points.clear();
    let mut least = f64::NEG_INFINITY;
    let mut push = |value: f64, log_odds: f64| {
        if value.is_finite() && !log_odds.is_nan() {
            least = least.max(value);
            points.push(Point {
                value: least,
                log_odds,
            });
        }
    };
    let columns = row.iter().zip(level_odds);
    match side {
        Breach::Above => columns.for_each(|(&value, &odds)| push(f64::from(value), odds)),
        Breach::Below => columns
            .rev()
            .for_each(|(&value, &odds)| push(-f64::from(value), -odds)),
    }
}

/// Log-odds that the step reaches `threshold` (in the orientation of `points`); `None` without points.
pub(crate) fn reach_log_odds(points: &[Point], threshold: f64) -> Option<f64> {
    let (lowest, highest) = (*points.first()?, *points.last()?);
    let threshold = threshold - 1e-6 * threshold.abs().max(1.0);
    if lowest.value >= highest.value {
        return Some(if lowest.value >= threshold {
            f64::INFINITY
        } else {
            f64::NEG_INFINITY
        });
    }
    let at = points.partition_point(|p| p.value < threshold);
    let (below, above) = match at {
        0 => {
            // The lower tail goes on from the lowest level with the slope of the first segment that has a width.
            let next = points.iter().position(|p| p.value > lowest.value)?;
            return Some(-extend(lowest, points[next - 1], points[next], threshold));
        }
        at if at == points.len() => {
            let previous = points.iter().rposition(|p| p.value < highest.value)?;
            return Some(-extend(
                highest,
                points[previous],
                points[previous + 1],
                threshold,
            ));
        }
        at => (points[at - 1], points[at]),
    };
    let share = (threshold - below.value) / (above.value - below.value);
    Some(-(below.log_odds + share * (above.log_odds - below.log_odds)))
}

/// The line through `left` and `right`, moved to pass through `from`, at `value`.
fn extend(from: Point, left: Point, right: Point, value: f64) -> f64 {
    let distance = value - from.value;
    if distance == 0.0 {
        return from.log_odds;
    }
    from.log_odds + distance * (right.log_odds - left.log_odds) / (right.value - left.value)
}

/// The value whose log-odds are 0, the median; `None` without points. Beyond the given levels: the outermost value.
pub(crate) fn median(points: &[Point]) -> Option<f64> {
    let (lowest, highest) = (points.first()?, points.last()?);
    let at = points.partition_point(|p| p.log_odds < 0.0);
    if at == 0 {
        return Some(lowest.value);
    }
    let Some(above) = points.get(at) else {
        return Some(highest.value);
    };
    let below = points[at - 1];
    let share = -below.log_odds / (above.log_odds - below.log_odds);
    Some(below.value + share * (above.value - below.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f32; 7] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98];

    #[track_caller]
    fn check(row: [f32; 7], side: Breach, threshold: f64, expected: f64) {
        let mut points = Vec::new();
        orient(&row, &level_log_odds(&LEVELS), side, &mut points);
        let oriented = if side == Breach::Above {
            threshold
        } else {
            -threshold
        };
        let got = reach_log_odds(&points, oriented)
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
        check(
            [f32::NAN, 20.0, 30.0, 40.0, 50.0, f32::INFINITY, f32::NAN],
            Breach::Above,
            40.0,
            0.5,
        );
        let mut points = Vec::new();
        orient(
            &[f32::NAN; 7],
            &level_log_odds(&LEVELS),
            Breach::Above,
            &mut points,
        );
        assert_eq!(reach_log_odds(&points, 1.0), None);
        orient(
            &[1.0, 2.0],
            &level_log_odds(&[0.0, 1.5]),
            Breach::Above,
            &mut points,
        );
        assert_eq!(points, []);
    }

    #[test]
    fn the_median_is_found_between_levels() {
        let mut points = Vec::new();
        orient(
            &[10.0, 30.0],
            &level_log_odds(&[0.25, 0.75]),
            Breach::Above,
            &mut points,
        );
        assert_eq!(median(&points), Some(20.0));
        orient(
            &[10.0, 30.0],
            &level_log_odds(&[0.75, 0.9]),
            Breach::Above,
            &mut points,
        );
        assert_eq!(median(&points), Some(10.0));
    }
}
