//! What an entity did after those of its earlier periods that were most like the newest one.
//!
//! A mean over all days goes wrong where a server is given other work, or knows two kinds of days. Here a day counts the
//! more, the nearer its bins lie to those of the newest day, so that days of another kind hardly count: the method of
//! analogues (Lorenz 1969). Days are compared as they are, and moved to the present level.

use super::places::weighted_distance;
use crate::kernel::simd::{Simd, dispatched};
use crate::window::is_observed;

/// In how many ways periods are compared.
pub(crate) const WAYS: usize = 3;
/// Each with the number of bins after which, going back, a difference counts half as much.
const COMPARED: [(Moved, f32); WAYS] = [
    (Moved::Nowhere, 12.0),
    (Moved::Up, 36.0),
    (Moved::Times, f32::INFINITY),
];
/// Newest bins whose mean is the present level.
const LEVEL_BINS: usize = 12;
/// Most that a level is multiplied by, or divided.
const MOST_TIMES: f32 = 5.0;
/// Part of what is known of the newest period, by weight, that an earlier one must know too: the first hour of a history
/// would seem to be like anything that it is moved to the level of.
const LEAST_SHARED: f32 = 0.5;
/// Least difference that is told from none, as part of the mean difference of all periods.
const LEAST_DIFFERENCE: f32 = 1e-3;

/// What is done to an earlier period before it is compared, and before it says what comes next.
#[derive(Debug, Clone, Copy)]
enum Moved {
    Nowhere,
    /// To the present level, by adding.
    Up,
    /// To the present level, by a factor.
    Times,
}

/// What periods like the newest one say of a step; NaN is unknown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Like {
    /// Their mean.
    pub(crate) mean: f32,
    /// Their standard deviation.
    pub(crate) spread: f32,
}

/// What they say in one way of comparing.
#[derive(Debug, Clone)]
pub(super) struct Alike {
    /// One for each decoder step.
    pub(super) ahead: Vec<Like>,
    /// Mean difference between the newest period and the one that is most like it; NaN where none can be compared.
    pub(super) nearest: f32,
}

/// An earlier period, and what came after it.
struct Earlier<'a> {
    bins: &'a [f32],
    level: f32,
    next: Vec<f32>,
}

/// How much a difference counts, by its place in a period, in each way of comparing.
pub(super) struct Weights([Vec<f32>; WAYS]);

impl Weights {
    pub(super) fn new(period: usize) -> Self {
        Self(COMPARED.map(|(_, half_life)| {
            let ages = (0..period).rev();
            ages.map(|age| (-(age as f32) / half_life).exp2()).collect()
        }))
    }
}

/// Reads the bins up to the newest one, for so many steps ahead.
pub(super) fn read(weights: &Weights, horizon: usize, history: &[f32]) -> [Alike; WAYS] {
    let period = weights.0[0].len();
    let of_period = |end: usize| &history[end.saturating_sub(period)..end];
    let newest = of_period(history.len());
    let now = level(newest);
    let ends = (1..).map_while(|age: usize| history.len().checked_sub(age * period));
    let earlier: Vec<Earlier<'_>> = ends
        .take_while(|end| *end > 0)
        .map(|end| Earlier {
            bins: of_period(end),
            level: level(of_period(end)),
            next: around(history, end, horizon),
        })
        .collect();
    std::array::from_fn(|way| {
        let (moved, _) = COMPARED[way];
        let weights = &weights.0[way];
        let moves: Vec<[f32; 2]> = (earlier.iter())
            .map(|earlier| moved.between(earlier.level, now))
            .collect();
        let unknown = &weights[..period - newest.len()];
        let known = &weights[unknown.len()..];
        let [_, known] = weighted_distance(newest, newest, known, [1.0, 0.0]);
        let apart = earlier.iter().zip(&moves).map(|(earlier, moved)| {
            let first = period - earlier.bins.len();
            let [sum, weight] =
                weighted_distance(&newest[first..], earlier.bins, &weights[first..], *moved);
            if weight < LEAST_SHARED * known {
                return f32::NAN;
            }
            sum / weight
        });
        let apart: Vec<f32> = apart.collect();
        let mut sums = Sums::new(horizon, if now.is_nan() { 0.0 } else { now });
        for ((earlier, moved), share) in earlier.iter().zip(&moves).zip(shares(&apart)) {
            sums.add(&earlier.next, *moved, share);
        }
        Alike {
            ahead: sums.likes(),
            nearest: apart.into_iter().fold(f32::NAN, f32::min),
        }
    })
}

impl Moved {
    /// Factor and summand that take a level to another; not to where it is not known.
    fn between(self, then: f32, now: f32) -> [f32; 2] {
        match self {
            Self::Nowhere => [1.0, 0.0],
            Self::Up => [1.0, now - then],
            Self::Times if now > 0.0 && then > 0.0 => {
                [(now / then).clamp(1.0 / MOST_TIMES, MOST_TIMES), 0.0]
            }
            Self::Times => [1.0, 0.0],
        }
    }
}

/// How much each period counts, by its difference: as its inverse to the fourth power. 0 where there is none.
fn shares(apart: &[f32]) -> impl Iterator<Item = f32> {
    let known = || apart.iter().copied().filter(|apart| !apart.is_nan());
    let mean = known().sum::<f32>() / known().count().max(1) as f32;
    let least = known().fold(f32::INFINITY, f32::min);
    let none = LEAST_DIFFERENCE * mean + f32::MIN_POSITIVE;
    apart.iter().map(move |apart| {
        let near = (least + none) / (apart + none);
        if near.is_nan() { 0.0 } else { near.powi(4) }
    })
}

/// Mean of the newest observed bins of a period; NaN without any.
fn level(bins: &[f32]) -> f32 {
    let newest = &bins[bins.len().saturating_sub(LEVEL_BINS)..];
    mean(newest)
}

fn mean(bins: &[f32]) -> f32 {
    let observed = bins.iter().filter(|bin| is_observed(**bin));
    let (sum, count) = observed.fold((0.0, 0.0), |(sum, count), bin| (sum + bin, count + 1.0));
    sum / count
}

/// Each bin from `first` on averaged with its two neighbours (few, as several periods are averaged); NaN where none of
/// them is known.
fn around(history: &[f32], first: usize, bins: usize) -> Vec<f32> {
    let mut near = vec![f32::NAN; bins + 2];
    let known = &history[first - 1..(first + bins + 1).min(history.len())];
    near[..known.len()].copy_from_slice(known);
    let mut means = vec![0.0; bins];
    average_three(&near, &mut means);
    means
}

/// Weighted sums over periods, of each step.
struct Sums {
    /// Taken away before squares are summed, which would drown small differences.
    centre: f32,
    weight: Vec<f32>,
    sum: Vec<f32>,
    square: Vec<f32>,
}

impl Sums {
    fn new(steps: usize, centre: f32) -> Self {
        Self {
            centre,
            weight: vec![0.0; steps],
            sum: vec![0.0; steps],
            square: vec![0.0; steps],
        }
    }

    fn add(&mut self, next: &[f32], [factor, summand]: [f32; 2], share: f32) {
        if share > 0.0 {
            let terms = [factor, summand - self.centre, share];
            add_moved(
                next,
                terms,
                &mut self.weight,
                &mut self.sum,
                &mut self.square,
            );
        }
    }

    fn likes(&self) -> Vec<Like> {
        let sums = self.weight.iter().zip(&self.sum).zip(&self.square);
        let like = |((weight, sum), square): ((&f32, &f32), &f32)| {
            let mean = sum / weight;
            let variance = square / weight - mean * mean;
            Like {
                mean: mean + self.centre,
                // Not `max`, which would make zeros of what is unknown.
                spread: variance.clamp(0.0, f32::INFINITY).sqrt(),
            }
        };
        sums.map(like).collect()
    }
}

dispatched! {
    /// The mean of each bin with the two after it, as far as they are observed.
    fn average_three(bins: &[f32], means: &mut [f32]) = average_three_body;
    fn add_moved(next: &[f32], terms: [f32; 3], weight: &mut [f32], sum: &mut [f32], square: &mut [f32])
        = add_moved_body;
}

#[inline(always)]
fn average_three_body<S: Simd>(_: S, bins: &[f32], means: &mut [f32]) {
    let three = bins.iter().zip(&bins[1..]).zip(&bins[2..]);
    for (((a, b), c), mean) in three.zip(means) {
        let (mut sum, mut count) = (0.0, 0.0);
        for bin in [*a, *b, *c] {
            let is_observed = is_observed(bin);
            sum += if is_observed { bin } else { 0.0 };
            count += if is_observed { 1.0 } else { 0.0 };
        }
        *mean = sum / count;
    }
}

#[inline(always)]
fn add_moved_body<S: Simd>(
    _: S,
    next: &[f32],
    [factor, summand, share]: [f32; 3],
    weight: &mut [f32],
    sum: &mut [f32],
    square: &mut [f32],
) {
    let sums = weight.iter_mut().zip(sum).zip(square);
    for (((weight, sum), square), next) in sums.zip(next) {
        let moved = factor * next + summand;
        let (moved, share) = if moved.is_nan() {
            (0.0, 0.0)
        } else {
            (moved, share)
        };
        *weight += share;
        *sum += share * moved;
        *square += share * moved * moved;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Days of ten bins: `kinds` of them one after the other, and the first five bins of the newest.
    fn days(kinds: &[fn(usize) -> f32]) -> Vec<f32> {
        let days = kinds
            .iter()
            .flat_map(|day| (0..10).map(day).collect::<Vec<_>>());
        let mut history: Vec<f32> = days.collect();
        history.truncate(history.len() - 5);
        history
    }

    const FLAT: fn(usize) -> f32 = |_| 5.0;
    const RISING: fn(usize) -> f32 = |bin| bin as f32;
    const HIGHER: fn(usize) -> f32 = |bin| bin as f32 + 100.0;
    const TWICE: fn(usize) -> f32 = |bin| 2.0 * bin as f32;

    fn assert_near(like: Like, mean: f32) {
        assert!((like.mean - mean).abs() < 0.1, "{} {mean}", like.mean);
        assert!(like.spread < 0.5, "{}", like.spread);
    }

    #[test]
    fn days_of_another_kind_hardly_count() {
        let history = days(&[FLAT, RISING, RISING, FLAT, FLAT, RISING, RISING]);
        let [as_they_are, ..] = read(&Weights::new(10), 4, &history);
        // Bins 5 to 8 of a rising day, each averaged with its neighbours.
        for (step, like) in as_they_are.ahead.iter().enumerate() {
            assert_near(*like, 5.0 + step as f32);
        }
        assert!(as_they_are.nearest < 0.01, "{}", as_they_are.nearest);
    }

    #[test]
    fn days_on_another_level_are_moved_to_the_present_one() {
        let expected = |way: &Alike, factor: f32, summand: f32| {
            for (step, like) in way.ahead.iter().enumerate() {
                assert_near(*like, factor * (5.0 + step as f32) + summand);
            }
        };
        let [_, up, _] = read(
            &Weights::new(10),
            4,
            &days(&[RISING, RISING, RISING, HIGHER, HIGHER]),
        );
        expected(&up, 1.0, 100.0);
        let [.., times] = read(
            &Weights::new(10),
            4,
            &days(&[RISING, RISING, RISING, TWICE, TWICE]),
        );
        expected(&times, 2.0, 0.0);
    }

    /// Mean of what is known of some bins; NaN without any.
    fn plain_mean(bins: impl Iterator<Item = f64>) -> f64 {
        let known: Vec<f64> = bins.filter(|bin| !bin.is_nan()).collect();
        known.iter().sum::<f64>() / known.len() as f64
    }

    /// What is read of a history, from its definition: one way, days of `period` bins.
    fn plain(period: i64, horizon: i64, history: &[f32], way: usize) -> (Vec<[f64; 2]>, f64) {
        let len = history.len() as i64;
        let at = |bin: i64| {
            (0..len)
                .contains(&bin)
                .then(|| f64::from(history[bin as usize]))
        };
        let bin = |bin: i64| at(bin).unwrap_or(f64::NAN);
        let (moved, half_life) = COMPARED[way];
        let level = |end: i64| plain_mean((end - period.min(12)..end).map(bin));
        let now = level(len);
        let weight = |age: i64| (-(age as f64 - 1.0) / f64::from(half_life)).exp2();
        let known = (1..=period.min(len)).filter(|age| !bin(len - age).is_nan());
        let known: f64 = known.map(weight).sum();
        let mut days = Vec::new();
        for end in (1..)
            .map(|age| len - age * period)
            .take_while(|end| *end > 0)
        {
            let then = level(end);
            let [factor, summand] = match moved {
                Moved::Nowhere => [1.0, 0.0],
                Moved::Up => [1.0, now - then],
                Moved::Times if now > 0.0 && then > 0.0 => [(now / then).clamp(0.2, 5.0), 0.0],
                Moved::Times => [1.0, 0.0],
            };
            let differences = (1..=period).filter_map(|age| {
                let difference = (bin(len - age) - factor * bin(end - age) - summand).abs();
                (!difference.is_nan()).then_some((difference * weight(age), weight(age)))
            });
            let differences: Vec<(f64, f64)> = differences.collect();
            let weight: f64 = differences.iter().map(|(_, weight)| weight).sum();
            if weight > 0.0 && weight >= 0.5 * known {
                let apart = differences.iter().map(|(size, _)| size).sum::<f64>() / weight;
                let next = |ahead: i64| plain_mean((end + ahead - 1..=end + ahead + 1).map(bin));
                let next = (0..horizon).map(|ahead| factor * next(ahead) + summand);
                days.push((apart, next.collect::<Vec<f64>>()));
            }
        }
        let none = 1e-3 * plain_mean(days.iter().map(|(apart, _)| *apart)) + 1e-30;
        let ahead = (0..horizon as usize).map(|ahead| {
            let known = days.iter().filter(|(_, next)| !next[ahead].is_nan());
            let terms = known.map(|(apart, next)| ((apart + none).powi(-4), next[ahead]));
            let terms: Vec<(f64, f64)> = terms.collect();
            let weight: f64 = terms.iter().map(|(share, _)| share).sum();
            let mean = terms.iter().map(|(share, next)| share * next).sum::<f64>() / weight;
            let square = terms
                .iter()
                .map(|(share, next)| share * (next - mean).powi(2));
            [mean, (square.sum::<f64>() / weight).sqrt()]
        });
        (
            ahead.collect(),
            days.iter()
                .map(|(apart, _)| *apart)
                .fold(f64::NAN, f64::min),
        )
    }

    fn agrees(found: f32, expected: f64) -> bool {
        let found = f64::from(found);
        (found.is_nan() && expected.is_nan()) || (found - expected).abs() <= 0.05
    }

    proptest! {
        #[test]
        fn it_is_what_its_words_say(
            values in prop::collection::vec(prop::option::weighted(0.7, 0.0_f32..50.0), 0..100),
        ) {
            let history: Vec<f32> = values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect();
            for (way, found) in read(&Weights::new(16), 20, &history).into_iter().enumerate() {
                let (ahead, nearest) = plain(16, 20, &history, way);
                prop_assert!(agrees(found.nearest, nearest), "{} {nearest}", found.nearest);
                for (found, [mean, spread]) in found.ahead.iter().zip(ahead) {
                    prop_assert!(agrees(found.mean, mean), "{way}: {} {mean}", found.mean);
                    prop_assert!(agrees(found.spread, spread), "{way}: {} {spread}", found.spread);
                }
            }
        }
    }

    #[test]
    fn what_is_unknown_stays_so() {
        for history in [vec![], vec![1.0; 7], vec![1.0; 10], vec![f32::NAN; 40]] {
            for way in read(&Weights::new(10), 3, &history) {
                assert!(way.nearest.is_nan(), "{history:?}");
                let unknown = |like: &Like| like.mean.is_nan() && like.spread.is_nan();
                assert!(way.ahead.iter().all(unknown), "{history:?}");
            }
        }
    }

    #[test]
    fn the_first_hours_of_a_history_are_no_day_like_the_newest() {
        // Three bins as the newest three are, and after them a day that is another.
        let [rising, flat] = [RISING, FLAT].map(|day| (0..10).map(day).collect::<Vec<_>>());
        let history = [&rising[7..], &flat, &rising].concat();
        let [as_they_are, ..] = read(&Weights::new(10), 4, &history);
        assert!(as_they_are.nearest > 2.0, "{}", as_they_are.nearest);
    }

    #[test]
    fn an_exact_repetition_is_repeated() {
        let [as_they_are, ..] = read(&Weights::new(10), 20, &days(&[FLAT; 4]));
        assert_eq!(as_they_are.nearest, 0.0);
        // The second half of the steps lies beyond a whole period.
        let expected = Like {
            mean: 5.0,
            spread: 0.0,
        };
        assert_eq!(as_they_are.ahead, vec![expected; 20]);
    }
}
