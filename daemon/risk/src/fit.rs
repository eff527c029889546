//! The curve from computed probabilities to observed frequencies, by isotonic regression.
//!
//! Windows are sorted by what was computed for them, and neighbours are pooled until the share that came true never
//! falls (pool adjacent violators). The curve crosses each pool from its first window to its last at about that share,
//! and joins (0, 0) to (1, 1): what was computed as impossible or certain is told so. Within a pool it rises a little
//! instead of lying flat, so that two entities with different risks never become equal and an explanation always finds
//! a slope. Some three hundred windows that were told rightly are added all along the curve: where hardly any data are,
//! it stays near what was computed.
//!
//! Windows are counted in cells of equal log-odds, so that memory does not grow with them and their order is nothing.

use std::iter::Sum;

use argus_fleet::Risk;
use argus_score::{ProbabilityScore, ProbabilitySums};

use crate::Calibration;
use crate::exceedance::log_odds;
use crate::outcome::Outcome;

/// Fewest windows that a curve is fitted to.
const LEAST_WINDOWS: u64 = 200;
/// All that is computed below lies in one cell, as does what is computed above.
const RANGE: [f64; 2] = [1e-12, 1.0 - 1e-8];
/// Width of a cell in log-odds: half a percent of the scale at its widest.
const CELL: f64 = 0.02;
const CELLS: usize = 2_304;
/// Places of the added windows between the ends of [`RANGE`], evenly by log-odds from −[`PRIOR_LOG_ODDS`] to it, and
/// how many windows each counts as.
const PRIOR_PLACES: usize = 29;
const PRIOR_LOG_ODDS: f64 = 7.0;
const PRIOR_WEIGHT: f64 = 10.0;
/// How much the curve rises within a pool, on either side of its mean, as a part of the way to the nearer neighbour.
const TILT: f64 = 0.1;

/// Collects what was computed and what came true.
#[derive(Debug, Clone, Default)]
pub struct CalibrationFit {
    horizon: Counts,
    soon: Counts,
}

impl CalibrationFit {
    /// Adds a window: its risk as computed, under [`Calibration::Identity`], and what came of it.
    pub fn add(&mut self, computed: &Risk, outcome: Outcome) {
        self.horizon
            .add(computed.prob_horizon, outcome.within_horizon);
        self.soon.add(computed.prob_30m, outcome.within_30m);
    }

    /// Takes the windows of another one too.
    pub fn merge(&mut self, other: &Self) {
        self.horizon.merge(&other.horizon);
        self.soon.merge(&other.soon);
    }

    /// How many windows there are.
    pub fn windows(&self) -> u64 {
        self.horizon.all().map(|cell| cell.count).sum()
    }

    /// How well a calibration tells what came true within the horizon; `None` without a window.
    pub fn score(&self, calibration: &Calibration) -> Option<ProbabilityScore> {
        let mut sums = ProbabilitySums::default();
        for cell in self.horizon.all() {
            let computed = cell.sum / cell.count as f64;
            sums.add_many(calibration.apply(computed), cell.count, cell.came_true);
        }
        sums.score()
    }

    /// The calibration; `None` where too few windows say anything. `whose` tells people what the windows are of.
    pub fn finish(&self, whose: &str) -> Option<Calibration> {
        let count = self.windows();
        if count < LEAST_WINDOWS {
            return None;
        }
        let ((x, y), (x_30m, y_30m)) = (self.horizon.curve(), self.soon.curve());
        Some(Calibration::Isotonic {
            x,
            y,
            x_30m,
            y_30m,
            note: format!("fitted to {count} windows of {whose}"),
        })
    }
}

/// Windows by what was computed for them.
#[derive(Debug, Clone, PartialEq)]
struct Counts {
    /// Ascending.
    cells: Vec<Cell>,
    /// What was computed as impossible, and as certain; no curve changes that.
    sure: [Cell; 2],
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    count: u64,
    came_true: u64,
    /// Sum, least and greatest of what was computed.
    sum: f64,
    first: f64,
    last: f64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            cells: vec![Cell::default(); CELLS],
            sure: [Cell::default(); 2],
        }
    }
}

impl Counts {
    fn add(&mut self, computed: f64, came_true: bool) {
        let cell = if computed.is_nan() {
            return;
        } else if computed <= 0.0 {
            &mut self.sure[0]
        } else if computed >= 1.0 {
            &mut self.sure[1]
        } else {
            let above = log_odds(computed.clamp(RANGE[0], RANGE[1])) - log_odds(RANGE[0]);
            &mut self.cells[((above / CELL) as usize).min(CELLS - 1)]
        };
        cell.merge(&Cell {
            count: 1,
            came_true: u64::from(came_true),
            sum: computed,
            first: computed,
            last: computed,
        });
    }

    fn merge(&mut self, other: &Self) {
        let own = self.cells.iter_mut().chain(&mut self.sure);
        let pairs = own.zip(other.cells.iter().chain(&other.sure));
        pairs.for_each(|(cell, other)| cell.merge(other));
    }

    /// Those that hold anything.
    fn all(&self) -> impl Iterator<Item = &Cell> {
        let cells = self.cells.iter().chain(&self.sure);
        cells.filter(|cell| cell.count > 0)
    }

    fn curve(&self) -> (Vec<f64>, Vec<f64>) {
        let unsure = self.cells.iter().filter(|cell| cell.count > 0);
        let own = unsure.map(|cell| Pool {
            first: cell.first,
            last: cell.last,
            weight: cell.count as f64,
            observed: cell.came_true as f64,
        });
        let between = (0..PRIOR_PLACES).map(|place| {
            let share = place as f64 / (PRIOR_PLACES - 1) as f64;
            1.0 / (1.0 + (PRIOR_LOG_ODDS * (1.0 - 2.0 * share)).exp())
        });
        let prior = between.chain(RANGE).map(|p| Pool {
            first: p,
            last: p,
            weight: PRIOR_WEIGHT,
            observed: PRIOR_WEIGHT * p,
        });
        let mut pools: Vec<Pool> = own.chain(prior).collect();
        pools.sort_by(|a, b| a.first.total_cmp(&b.first));
        let pools = pooled(pools);
        let observed = |place: Option<usize>| Some(pools.get(place?)?.observed());
        let mut points = vec![(0.0, 0.0)];
        for (place, pool) in pools.iter().enumerate() {
            let (own, below) = (pool.observed(), observed(place.checked_sub(1)));
            let to_next = observed(Some(place + 1)).unwrap_or(1.0) - own;
            let tilt = TILT * (own - below.unwrap_or(0.0)).min(to_next);
            match pool.first < pool.last {
                true => points.extend([(pool.first, own - tilt), (pool.last, own + tilt)]),
                false => points.push((pool.first, own)),
            }
        }
        points.push((1.0, 1.0));
        (points.into_iter())
            .map(|(computed, observed)| (short(computed), short(observed)))
            .unzip()
    }
}

impl Cell {
    fn merge(&mut self, other: &Self) {
        if self.count == 0 {
            *self = *other;
        } else if other.count > 0 {
            self.count += other.count;
            self.came_true += other.came_true;
            self.sum += other.sum;
            self.first = self.first.min(other.first);
            self.last = self.last.max(other.last);
        }
    }
}

/// To nine digits: enough, and a parser of JSON reads no two neighbours in the wrong order.
fn short(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

/// Neighbouring windows that are told the same.
#[derive(Debug, Clone, Copy, Default)]
struct Pool {
    /// Least and greatest of what was computed.
    first: f64,
    last: f64,
    weight: f64,
    /// Sum of what came true.
    observed: f64,
}

impl Pool {
    fn observed(&self) -> f64 {
        self.observed / self.weight
    }
}

/// Of neighbours, ascending.
impl Sum for Pool {
    fn sum<I: Iterator<Item = Self>>(pools: I) -> Self {
        let join = |a: Self, b: Self| Self {
            first: a.first,
            last: b.last,
            weight: a.weight + b.weight,
            observed: a.observed + b.observed,
        };
        pools.reduce(join).unwrap_or_default()
    }
}

/// Pools, ascending by what was computed, until what was observed rises from each to the next.
fn pooled(pools: Vec<Pool>) -> Vec<Pool> {
    let mut kept: Vec<Pool> = Vec::new();
    for mut pool in pools {
        while let Some(last) =
            kept.pop_if(|last| last.observed() >= pool.observed() || last.last >= pool.first)
        {
            pool = [last, pool].into_iter().sum();
        }
        kept.push(pool);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows whose computed probability is the square of the true one.
    fn too_sure_of_peace(windows: usize) -> CalibrationFit {
        let mut fit = CalibrationFit::default();
        for window in 0..windows {
            let p = (window % 100) as f64 / 100.0;
            // Each hundredth as often as it says.
            let came = (window / 100) % 100 < window % 100;
            fit.horizon.add(p * p, came);
            fit.soon.add(p, came);
        }
        fit
    }

    #[test]
    fn a_curve_tells_how_often_it_came_true() {
        let fit = too_sure_of_peace(100_000);
        let curve = fit.finish("a test").expect("enough");
        for p in [0.1, 0.3, 0.5, 0.8] {
            let told = curve.apply(p * p);
            assert!((told - p).abs() < 0.02, "{p}: {told}");
            assert!((curve.apply_30m(p) - p).abs() < 0.02, "{p}");
        }
        let told = fit.score(&curve).expect("has windows");
        assert_eq!((told.count, told.came_true), (100_000, 49_500));
        // p (1 - p), averaged, is what nobody can tell.
        assert!((told.brier - 1.0 / 6.0).abs() < 1e-3);
        let computed = fit.score(&Calibration::Identity).expect("has windows");
        assert!(computed.brier > told.brier + 0.01);
    }

    /// What any curve must be.
    fn check_sound(fit: &CalibrationFit) {
        let curve = fit.finish("a test").expect("enough");
        let text = serde_json::to_string(&curve).expect("serialises");
        let read = Calibration::from_json(&text).expect("valid");
        for told in [Calibration::apply, Calibration::apply_30m] {
            assert_eq!([0.0, 1.0].map(|p| told(&read, p)), [0.0, 1.0]);
            let odds = (-600..=400).map(|tenth| f64::from(tenth) / 25.0);
            let told: Vec<f64> = odds
                .map(|odds| told(&read, 1.0 / (1.0 + (-odds).exp())))
                .collect();
            assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{text}");
        }
    }

    #[test]
    fn any_curve_rises_everywhere_and_can_be_read() {
        let of = |windows: &[(u32, f64, bool)]| {
            let mut fit = CalibrationFit::default();
            for (count, p, came) in windows {
                for _ in 0..*count {
                    fit.horizon.add(*p, *came);
                    fit.soon.add(1.0 - *p, *came);
                }
            }
            fit
        };
        for computed in [0.0, 1e-300, 1e-9, 0.3, 1.0 - 1e-11, 1.0, 7.0] {
            check_sound(&of(&[(250, computed, false)]));
            check_sound(&of(&[(250, computed, true)]));
            check_sound(&of(&[
                (250, computed, true),
                (250, 0.5, false),
                (9, f64::NAN, true),
            ]));
        }
        check_sound(&of(&[
            (700, 0.95, true),
            (300, 0.95, false),
            (600, 1.0, true),
            (400, 1.0, false),
        ]));
        let spread: Vec<_> = (0..5_000_u32)
            .map(|window| (1, f64::from(window) / 4_999.0, window % 7 == 0))
            .collect();
        check_sound(&of(&spread));
    }

    #[test]
    fn what_is_nearly_certain_is_told_as_often_as_it_came_true() {
        let mut fit = CalibrationFit::default();
        for window in 0..2_000 {
            fit.horizon
                .add(0.9 + 1e-4 * f64::from(window / 2), window % 10 < 7);
            fit.horizon.add(1.0 - 1e-11, window % 10 < 6);
            fit.soon.add(1e-20, window % 10 == 0);
        }
        let curve = fit.finish("a test").expect("enough");
        for p in [0.95, 0.98, 0.999_999] {
            assert!(
                (curve.apply(p) - 0.65).abs() < 0.04,
                "{p}: {}",
                curve.apply(p)
            );
        }
        for p in [1e-20, 1e-15, 1e-11] {
            assert!((curve.apply_30m(p) - 0.1).abs() < 0.02, "{p}");
        }
    }

    #[test]
    fn parts_add_up_in_any_order() {
        let mut parts = [CalibrationFit::default(), CalibrationFit::default()];
        let mut whole = CalibrationFit::default();
        for window in 0..500_u32 {
            let (p, came) = (f64::from(window % 64) / 64.0, window % 3 == 0);
            parts[(window % 2) as usize].horizon.add(p, came);
            whole.horizon.add(p, came);
        }
        let [mut one, other] = parts;
        one.merge(&other);
        assert_eq!((one.windows(), one.finish("x")), (500, whole.finish("x")));
    }

    #[test]
    fn without_data_it_stays_near_what_was_computed() {
        let mut fit = CalibrationFit::default();
        for _ in 0..LEAST_WINDOWS - 1 {
            fit.horizon.add(0.001, false);
            fit.soon.add(0.001, false);
        }
        assert_eq!(fit.finish("a test"), None);
        fit.horizon.add(0.001, false);
        let curve = fit.finish("a test").expect("enough");
        for p in [0.1, 0.5, 0.9] {
            assert!((curve.apply(p) - p).abs() < 0.02, "{p}: {}", curve.apply(p));
        }
    }
}
