//! The curve from computed probabilities to observed frequencies, by isotonic regression.
//!
//! Windows are sorted by what was computed for them, and neighbours are pooled until the share that came true never
//! falls (pool adjacent violators). The curve crosses each pool from its first window to its last at about that share,
//! and joins (0, 0) to (1, 1): what cannot be stays impossible, what must be stays certain. Within a pool it rises a
//! little instead of lying flat, so that two entities with different risks never become equal and an explanation always
//! finds a slope. A few windows that were told rightly are added all along the curve: where hardly any data are, it
//! stays near what was computed.

use std::iter::Sum;

use argus_fleet::Risk;
use argus_score::{ProbabilityScore, ProbabilitySums};

use crate::Calibration;
use crate::outcome::Outcome;

/// Fewest windows that a curve is fitted to.
const LEAST_WINDOWS: usize = 200;
/// Places of the added windows, evenly by log-odds from −[`PRIOR_LOG_ODDS`] to it, and how many windows each counts as.
const PRIOR_PLACES: usize = 29;
const PRIOR_LOG_ODDS: f64 = 7.0;
const PRIOR_WEIGHT: f64 = 10.0;
/// What is computed below this is as good as impossible.
const LEAST: f64 = 1e-12;
/// Of more pools, neighbours are joined.
const MOST_POOLS: usize = 2_000;
/// How much the curve rises within a pool, on either side of its mean, as a part of the way to the nearer neighbour.
const TILT: f64 = 0.1;

/// Collects what was computed and what came true.
#[derive(Debug, Clone, Default)]
pub struct CalibrationFit {
    horizon: Pairs,
    soon: Pairs,
}

impl CalibrationFit {
    /// Adds a window: its risk as computed, under [`Calibration::Identity`], and what came of it.
    pub fn add(&mut self, computed: &Risk, outcome: Outcome) {
        self.horizon
            .add(computed.prob_horizon, outcome.within_horizon);
        self.soon.add(computed.prob_30m, outcome.within_30m);
    }

    /// Takes the windows of another one too.
    pub fn merge(&mut self, other: Self) {
        self.horizon.0.extend(other.horizon.0);
        self.soon.0.extend(other.soon.0);
    }

    /// How well a calibration tells what came true within the horizon; `None` without a window.
    pub fn score(&self, calibration: &Calibration) -> Option<ProbabilityScore> {
        let mut sums = ProbabilitySums::default();
        for (computed, came_true) in &self.horizon.0 {
            sums.add(calibration.apply(*computed), *came_true);
        }
        sums.score()
    }

    /// The calibration; `None` where too few windows say anything.
    pub fn finish(&self) -> Option<Calibration> {
        let count = self.horizon.0.len();
        if count < LEAST_WINDOWS {
            return None;
        }
        let ((x, y), (x_30m, y_30m)) = (self.horizon.curve(), self.soon.curve());
        Some(Calibration::Isotonic {
            x,
            y,
            x_30m,
            y_30m,
            note: format!("fitted to {count} windows of validation data"),
        })
    }
}

/// Computed probability, and whether it came true.
#[derive(Debug, Clone, Default)]
struct Pairs(Vec<(f64, bool)>);

impl Pairs {
    fn add(&mut self, computed: f64, came_true: bool) {
        if computed.is_finite() {
            self.0.push((computed.clamp(0.0, 1.0), came_true));
        }
    }

    fn curve(&self) -> (Vec<f64>, Vec<f64>) {
        let own = (self.0.iter()).map(|(p, came)| Pool::new(*p, f64::from(u8::from(*came)), 1.0));
        let prior = (0..PRIOR_PLACES).map(|place| {
            let share = place as f64 / (PRIOR_PLACES - 1) as f64;
            let p = 1.0 / (1.0 + (PRIOR_LOG_ODDS * (1.0 - 2.0 * share)).exp());
            Pool::new(p, p, PRIOR_WEIGHT)
        });
        let mut pools: Vec<Pool> = own.chain(prior).collect();
        pools.sort_by(|a, b| a.first.total_cmp(&b.first));
        let pools = pooled(pools);
        let joined = pools.chunks(pools.len().div_ceil(MOST_POOLS));
        let pools: Vec<Pool> = joined.map(|pools| pools.iter().copied().sum()).collect();
        let observed = |place: Option<usize>| Some(pools.get(place?)?.observed());
        let mut points = vec![(0.0, 0.0)];
        for (place, pool) in pools.iter().enumerate() {
            let (own, below) = (pool.observed(), observed(place.checked_sub(1)));
            let to_next = observed(Some(place + 1)).unwrap_or(1.0) - own;
            let tilt = TILT * (own - below.unwrap_or(0.0)).min(to_next);
            let (first, last) = (pool.first.max(LEAST), pool.last.max(LEAST));
            match first < last {
                true => points.extend([(first, own - tilt), (last, own + tilt)]),
                false => points.push((first, own)),
            }
        }
        points.retain(|(computed, _)| *computed < 1.0);
        points.push((1.0, 1.0));
        points.dedup_by_key(|(computed, _)| short(*computed));
        (points.into_iter())
            .map(|(computed, observed)| (short(computed), short(observed)))
            .unzip()
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
    fn new(computed: f64, observed: f64, weight: f64) -> Self {
        Self {
            first: computed,
            last: computed,
            weight,
            observed: weight * observed,
        }
    }

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
        let curve = fit.finish().expect("enough");
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

    #[test]
    fn it_rises_everywhere_and_keeps_what_is_certain() {
        let mut fit = CalibrationFit::default();
        for window in 0..400 {
            fit.horizon.add(f64::from(window) / 400.0, window % 7 == 0);
            fit.soon.add(0.0, false);
        }
        let curve = fit.finish().expect("enough");
        assert_eq!([0.0, 1.0].map(|p| curve.apply(p)), [0.0, 1.0]);
        assert_eq!([0.0, 1.0].map(|p| curve.apply_30m(p)), [0.0, 1.0]);
        let told: Vec<f64> = (0..=100)
            .map(|p| curve.apply(f64::from(p) / 100.0))
            .collect();
        assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
        let text = serde_json::to_string(&curve).expect("serialises");
        assert_eq!(Calibration::from_json(&text).expect("valid"), curve);
    }

    #[test]
    fn without_data_it_stays_near_what_was_computed() {
        let mut fit = CalibrationFit::default();
        for _ in 0..LEAST_WINDOWS - 1 {
            fit.horizon.add(0.001, false);
            fit.soon.add(0.001, false);
        }
        assert_eq!(fit.finish(), None);
        fit.horizon.add(0.001, false);
        let curve = fit.finish().expect("enough");
        for p in [0.1, 0.5, 0.9] {
            assert!((curve.apply(p) - p).abs() < 0.02, "{p}: {}", curve.apply(p));
        }
    }
}
