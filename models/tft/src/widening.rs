//! Conformal widening: how far served quantiles lie from the median, measured on windows that were not learned from.
//!
//! A network that has seen little data is too sure of itself, and not equally so everywhere: the spread it gives a busy
//! server may be right and that of a quiet one too wide. So the distance of each quantile to the median is multiplied
//! with a factor that depends on the median's own size, chosen such that on held-back windows as much of the truth lies
//! between a quantile and its mirror image as their levels say (split conformal prediction with a score scaled by the
//! forecast's own spread: Romano, Patterson & Candès 2019, Mondrian by level). Both sides share a factor: what a few
//! held-back days say of a forecast's bias is true of those days only. Medians are never moved.

use serde::{Deserialize, Serialize};

use crate::normalise::compress;

/// Groups of medians of like size that get factors of their own.
const GROUPS: usize = 6;
/// Fewer samples say too little of the outer quantiles for a group of their own.
const LEAST_SAMPLES: usize = 2_000;
/// Samples kept of a metric in a source; beyond, half of them are dropped.
const MOST_SAMPLES: usize = 1 << 15;
/// Factors beyond these would hide a forecast that is of no use.
const FACTORS: std::ops::RangeInclusive<f32> = 0.33..=3.0;

/// The factors of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widening {
    /// The metric.
    pub metric: String,
    /// Medians that factors are known for, as `sign · ln(1 + |median|)` in the metric's unit, rising. Between two,
    /// factors are interpolated; outside, the nearest count.
    pub medians: Vec<f32>,
    /// A row for each of these, with a factor for each quantile level.
    pub factors: Vec<Vec<f32>>,
}

impl Widening {
    /// Says what is wrong with it, for so many quantile levels.
    pub(crate) fn check(&self, levels: usize) -> Result<(), String> {
        let rises = self.medians.windows(2).all(|pair| pair[0] < pair[1]);
        let legal = |factor: &f32| FACTORS.contains(factor);
        let fits = |row: &Vec<f32>| row.len() == levels && row.iter().all(legal);
        if !self.medians.is_empty()
            && self.medians.iter().all(|median| median.is_finite())
            && rises
            && self.factors.len() == self.medians.len()
            && self.factors.iter().all(fits)
        {
            return Ok(());
        }
        Err(format!(
            "`widening` of `{}` needs rising finite medians and for each a row of {levels} factors within {} to {}",
            self.metric,
            FACTORS.start(),
            FACTORS.end()
        ))
    }

    /// Widens a rising row of quantiles, whose median is at `middle`, within a metric's legal range; afterwards they may
    /// cross. A quantile at the range's edge stays: the truth is often exactly there, and never beyond.
    pub(crate) fn apply(&self, middle: usize, (least, most): (f32, f32), row: &mut [f32]) {
        let median = row[middle];
        let at = compress(median);
        let next = self.medians.partition_point(|known| *known <= at);
        let (low, high) = (next.saturating_sub(1), next.min(self.medians.len() - 1));
        let gap = self.medians[high] - self.medians[low];
        let share = if gap > 0.0 {
            (at - self.medians[low]) / gap
        } else {
            0.0
        };
        let (low, high) = (&self.factors[low], &self.factors[high]);
        for (level, value) in row.iter_mut().enumerate() {
            if *value > least && *value < most {
                let factor = low[level] + (high[level] - low[level]) * share;
                *value = (median + (*value - median) * factor).clamp(least, most);
            }
        }
    }
}

/// Position of the median, or of the level nearest to it.
pub(crate) fn middle(levels: &[f64]) -> usize {
    let gap = |level: &f64| (level - 0.5).abs();
    let nearest = levels.iter().enumerate();
    nearest
        .min_by(|(_, a), (_, b)| gap(a).total_cmp(&gap(b)))
        .map_or(0, |(position, _)| position)
}

/// Finds a metric's factors from forecasts and what came true. Every source of data counts the same.
#[derive(Debug)]
pub struct WideningFit {
    levels: Vec<f64>,
    middle: usize,
    /// The metric's legal range.
    range: (f32, f32),
    /// By source.
    sources: Vec<Samples>,
}

/// An even part of a source's forecasts, however many come.
#[derive(Debug, Clone, Default)]
struct Samples {
    /// Compressed median, and for each level how far the truth lies from the median, in multiples of the distance of the
    /// quantile on that side: this one or its mirror image.
    rows: Vec<(f32, Vec<f32>)>,
    /// What decides how long each row is kept.
    luck: Vec<u32>,
    seen: u64,
    /// Least luck of a row that is kept; half of all have each further one.
    thinned: u32,
}

/// Leading zeros of a number's hash. Steps ahead come in turn, so what is kept must not depend on a number's divisors.
fn luck(number: u64) -> u32 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).leading_zeros()
}

impl WideningFit {
    /// For forecasts of a metric with a legal range, at some quantile levels, from so many sources.
    pub fn new(levels: &[f64], range: (f32, f32), sources: usize) -> Self {
        Self {
            levels: levels.to_vec(),
            middle: middle(levels),
            range,
            sources: vec![Samples::default(); sources],
        }
    }

    /// Takes a forecast's rising `quantiles`, not widened, and what came true.
    pub fn add(&mut self, source: usize, quantiles: &[f32], truth: f32) {
        let samples = &mut self.sources[source];
        samples.seen += 1;
        let luck = luck(samples.seen);
        if luck < samples.thinned {
            return;
        }
        let median = quantiles[self.middle];
        let off = truth - median;
        let ratio = |level: usize| {
            let (own, mirror) = (quantiles[level], quantiles[self.levels.len() - 1 - level]);
            let (low, high) = (own.min(mirror), own.max(mirror));
            let (quantile, edge) = if off < 0.0 {
                (low, low <= self.range.0)
            } else {
                (high, high >= self.range.1)
            };
            if off == 0.0 || edge {
                0.0
            } else if quantile == median {
                // No factor would reach the truth.
                f32::INFINITY
            } else {
                off / (quantile - median)
            }
        };
        let ratios = (0..self.levels.len()).map(ratio).collect();
        samples.rows.push((compress(median), ratios));
        samples.luck.push(luck);
        if samples.rows.len() >= MOST_SAMPLES {
            samples.thinned += 1;
            let mut kept = samples.luck.iter().map(|luck| *luck >= samples.thinned);
            samples.rows.retain(|_| kept.next().unwrap_or(false));
            samples.luck.retain(|luck| *luck >= samples.thinned);
        }
    }

    /// The factors, where there was enough to find any; none for levels that do not mirror each other.
    pub fn finish(self, metric: &str) -> Option<Widening> {
        let mirrored = self.levels.iter().zip(self.levels.iter().rev());
        if !mirrored
            .map(|(a, b)| a + b - 1.0)
            .all(|gap| gap.abs() < 1e-9)
        {
            return None;
        }
        let mut rows = Vec::new();
        for samples in &self.sources {
            let weight = 1.0 / samples.rows.len() as f64;
            rows.extend(
                samples
                    .rows
                    .iter()
                    .map(|(at, ratios)| (*at, weight, ratios)),
            );
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = rows.iter().map(|(_, weight, _)| weight).sum();
        let (mut medians, mut factors) = (Vec::new(), Vec::new());
        let (mut rest, mut left) = (rows.as_slice(), total);
        while rest.len() >= LEAST_SAMPLES {
            let groups_left = (left / total * GROUPS as f64).round().max(1.0);
            let mut size = 0;
            let mut weight = 0.0;
            // Medians of the same size are never parted, and no group is too small, nor what is left after it.
            while size < rest.len()
                && (weight < left / groups_left
                    || size < LEAST_SAMPLES
                    || rest.len() - size < LEAST_SAMPLES
                    || rest[size].0 <= rest[size - 1].0)
            {
                weight += rest[size].1;
                size += 1;
            }
            let group;
            (group, rest) = rest.split_at(size);
            left -= weight;
            medians.push(weighted_quantile(
                group.iter().map(|row| (row.0, row.1)),
                0.5,
            ));
            factors.push(self.factors_of(group));
        }
        (!medians.is_empty()).then(|| Widening {
            metric: metric.to_owned(),
            medians,
            factors,
        })
    }

    fn factors_of(&self, group: &[(f32, f64, &Vec<f32>)]) -> Vec<f32> {
        let of_level = |(level, share): (usize, &f64)| {
            if level == self.middle {
                return 1.0;
            }
            // What lies between this level and its mirror image.
            let share = (2.0 * share - 1.0).abs();
            let ratios = group
                .iter()
                .map(|(_, weight, ratios)| (ratios[level], *weight));
            weighted_quantile(ratios, share).clamp(*FACTORS.start(), *FACTORS.end())
        };
        self.levels.iter().enumerate().map(of_level).collect()
    }
}

/// The least value that at least a share of the weight does not exceed.
fn weighted_quantile(values: impl Iterator<Item = (f32, f64)>, share: f64) -> f32 {
    let mut values: Vec<(f32, f64)> = values.collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = share * values.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut sum = 0.0;
    for (value, weight) in &values {
        sum += weight;
        if sum >= wanted {
            return *value;
        }
    }
    values.last().map_or(1.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
    const RANGE: (f32, f32) = (-1e6, 1e6);

    /// Truths spread evenly over -1..1 around the median, times `spread`; a forecast that says -0.4 to 0.4.
    fn fit(spreads: [f32; 2]) -> Widening {
        let mut fit = WideningFit::new(&LEVELS, RANGE, 2);
        for (source, spread) in spreads.into_iter().enumerate() {
            // The sources' medians differ, as those of two fleets do.
            let median = 10f32.powi(3 * source as i32);
            for i in 0..10_000 {
                let truth = median + ((i as f32 + 0.5) / 5_000.0 - 1.0) * spread;
                fit.add(source, &[median - 0.4, median, median + 0.4], truth);
            }
        }
        fit.finish("m").expect("enough samples")
    }

    #[test]
    fn too_narrow_is_widened_and_too_wide_narrowed() {
        let widening = fit([1.0, 0.25]);
        widening.check(3).expect("is legal");
        for (median, spread) in [(1.0f32, 1.0), (1_000.0, 0.25)] {
            let mut row = [median - 0.4, median, median + 0.4];
            widening.apply(1, RANGE, &mut row);
            let right = 0.8 * spread;
            assert!(
                (row[0] - (median - right)).abs() < 2e-3 * right.max(median),
                "{row:?}"
            );
            assert!(
                (row[2] - (median + right)).abs() < 2e-3 * right.max(median),
                "{row:?}"
            );
            assert_eq!(row[1], median);
        }
    }

    #[test]
    fn factors_between_two_medians_lie_between() {
        let widening = fit([1.0, 0.25]);
        let mut row = [99.6, 100.0, 100.4];
        widening.apply(1, RANGE, &mut row);
        assert!(row[2] > 100.25 && row[2] < 100.75, "{row:?}");
    }

    #[test]
    fn nothing_is_said_without_samples() {
        let mut fit = WideningFit::new(&LEVELS, RANGE, 1);
        for _ in 0..LEAST_SAMPLES - 1 {
            fit.add(0, &[0.0, 1.0, 2.0], 5.0);
        }
        assert_eq!(fit.finish("m"), None);
    }

    #[test]
    fn however_many_samples_come_few_are_kept() {
        let mut fit = WideningFit::new(&LEVELS, RANGE, 1);
        for i in 0..400_000 {
            // Twice 32 steps ahead, on which forecasts are off by as much as they are far.
            fit.add(0, &[0.0, 1.0, 2.0], 1.0 + (i % 64) as f32 / 31.5 - 1.0);
        }
        let kept = fit.sources[0].rows.len();
        assert!(kept < MOST_SAMPLES && kept > MOST_SAMPLES / 4, "{kept}");
        let widening = fit.finish("m").expect("enough samples");
        assert!((widening.factors[0][2] - 0.8).abs() < 0.02, "{widening:?}");
    }

    #[test]
    fn silent_series_are_not_blown_up() {
        let mut fit = WideningFit::new(&LEVELS, RANGE, 1);
        for i in 0..10_000 {
            let truth = if i % 50 == 0 { 3.0 } else { 0.0 };
            fit.add(0, &[0.0, 0.0, 0.0], truth);
        }
        let widening = fit.finish("m").expect("enough samples");
        let mut row = [0.0, 0.0, 0.0];
        widening.apply(1, RANGE, &mut row);
        assert_eq!(row, [0.0; 3]);
        widening.check(3).expect("is legal");
    }

    #[test]
    fn what_lies_at_the_edge_of_the_range_stays_there() {
        let mut fit = WideningFit::new(&LEVELS, (0.0, 100.0), 1);
        for i in 0..10_000 {
            // Far too wide above, and often exactly as low as can be.
            fit.add(0, &[0.0, 1.0, 9.0], (i % 4) as f32);
        }
        let widening = fit.finish("m").expect("enough samples");
        let mut row = [0.0, 1.0, 9.0];
        widening.apply(1, (0.0, 100.0), &mut row);
        assert_eq!(row[0], 0.0);
        assert!((3.0..4.0).contains(&row[2]), "{row:?}");
    }

    #[test]
    fn nonsense_is_refused() {
        let good = fit([1.0, 0.25]);
        type Spoil = fn(&mut Widening);
        let spoilt: [Spoil; 5] = [
            |w| w.medians.clear(),
            |w| w.medians.reverse(),
            |w| w.factors[0][0] = f32::NAN,
            |w| w.factors[0][0] = -1.0,
            |w| w.factors[1].truncate(1),
        ];
        for spoil in spoilt {
            let mut widening = good.clone();
            spoil(&mut widening);
            assert!(widening.check(3).is_err(), "{widening:?}");
        }
    }
}
