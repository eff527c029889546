//! What an entity usually does at the hours of a forecast: summaries of the days before its context.
//!
//! The encoder sees a day. Whatever repeats from day to day and differs between entities (a nightly job, the hours of
//! a site's visitors) is seen in it once, with that day's accidents; the days before say what of it to expect again.

use rand::rngs::StdRng;

use crate::direct_inputs::DirectConfig;
use crate::weights::standard_normal;
use crate::window::is_observed;

/// Neighbours on each side that a bin of the usual course is averaged with.
const REACH: usize = 3;
/// Periods between a bin and its like, where those differ among each other: days of a week.
const PERIODS_OF_LIKES: usize = 7;
/// Newest bins of the context whose usual mean is told, so that the present can be compared with it: one hour, three,
/// twelve and twenty-four of five-minute steps.
const SPANS: [usize; 4] = [12, 36, 144, 288];

/// The usual course of each metric around one window, in the metrics' units.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual(Vec<Option<Course>>);

/// Of one metric that was observed before the context.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// One for each decoder step.
    pub(crate) ahead: Box<[Step]>,
    /// Usual means of the bins of each of [`SPANS`]; NaN where none was observed.
    pub(crate) lately: [f32; SPANS.len()],
}

/// One step of a course; NaN is unknown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// Mean at this place of the period, over all periods and the neighbours.
    pub(crate) mean: f32,
    /// Standard deviation of the same.
    pub(crate) spread: f32,
    /// Mean a week before, over the neighbours, if what is known begins no later than that bin.
    pub(crate) week_ago: f32,
    /// Share of the bins that these could have been made of.
    pub(crate) known: f32,
}

/// Sums over the bins at one place of the period.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    sum: f64,
    square: f64,
    count: u32,
}

/// How windows of a model lie in their entity's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) rhythm: DirectConfig,
    /// Longest encoder.
    pub(crate) context: usize,
    /// Decoder steps.
    pub(crate) horizon: usize,
}

impl Usual {
    /// Reads `before`, one series for each metric: the bins that end `context` steps before a forecast's first one, and
    /// as many before them as are known, NaN where missing.
    pub(crate) fn read(past: Past, before: &[&[f32]]) -> Self {
        Self(
            before
                .iter()
                .map(|values| Course::read(past, values))
                .collect(),
        )
    }

    /// Moves each course up or down by about half its own spread and makes its spread another: few entities must not be
    /// told apart by how high theirs lies.
    pub(crate) fn blur(&mut self, rng: &mut StdRng) {
        for course in self.0.iter_mut().flatten() {
            let spreads = course.ahead.iter().map(|step| step.spread);
            let known = spreads.filter(|spread| !spread.is_nan());
            let (sum, count) = known.fold((0.0, 0_u32), |(sum, n), spread| (sum + spread, n + 1));
            let offset = 0.5 * standard_normal(rng) as f32 * sum / count.max(1) as f32;
            let factor = (0.3 * standard_normal(rng) as f32).exp();
            for step in &mut course.ahead {
                step.mean += offset;
                step.week_ago += offset;
                step.spread *= factor;
            }
            course.lately.iter_mut().for_each(|mean| *mean += offset);
        }
    }

    pub(crate) fn course(&self, metric: usize) -> Option<&Course> {
        self.0.get(metric)?.as_ref()
    }

    /// Every number, NaN where unknown, for telling whether two are the same.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        self.0.iter().flat_map(|course| {
            let steps = course.iter().flat_map(|course| {
                let ahead = course.ahead.iter();
                let ahead = ahead.flat_map(|s| [s.mean, s.spread, s.week_ago, s.known]);
                ahead.chain(course.lately)
            });
            steps.chain([f32::NAN])
        })
    }
}

impl Course {
    fn read(past: Past, before: &[f32]) -> Option<Self> {
        let period = past.rhythm.period_steps as usize;
        let periods = past.rhythm.past_periods as usize;
        let most = (period * periods).saturating_sub(past.context);
        let before = &before[before.len().saturating_sub(most)..];
        // A place counts from the window's newest bin, which is at 0.
        let mut places = vec![Sums::default(); period];
        let newest = period - past.context % period;
        let mut place = newest % period;
        for value in before.iter().rev() {
            if is_observed(*value) {
                places[place].add(*value);
            }
            place = place.checked_sub(1).unwrap_or(period - 1);
        }
        if places.iter().all(|place| place.count == 0) {
            return None;
        }
        let around = |middle: usize| {
            let first = middle + period - REACH.min(period);
            let near = (first..first + 2 * REACH + 1).map(|place| places[place % period]);
            near.fold(Sums::default(), Sums::with)
        };
        let full = (most / period).max(1) * (2 * REACH + 1);
        let week = (PERIODS_OF_LIKES * period).checked_sub(past.context);
        let step = |ahead: usize| {
            let sums = around(ahead % period);
            // The bin a week before the step lies so many before the end of `before`, its neighbours on both sides.
            let like = week.and_then(|week| (before.len() + ahead).checked_sub(week + 1));
            let like = like.map_or(Sums::default(), |middle| {
                let near = middle.saturating_sub(REACH)..(middle + REACH + 1).min(before.len());
                let near = before.get(near).unwrap_or_default();
                let observed = near.iter().filter(|value| is_observed(**value));
                observed.fold(Sums::default(), |mut sums, value| {
                    sums.add(*value);
                    sums
                })
            });
            Step {
                mean: sums.mean(),
                spread: sums.spread(),
                week_ago: like.mean(),
                known: (sums.count as f32 / full as f32).min(1.0),
            }
        };
        let lately = |bins: usize| {
            let places = (0..bins.min(period)).map(|age| places[(period - age) % period]);
            places.fold(Sums::default(), Sums::with).mean()
        };
        Some(Self {
            ahead: (1..=past.horizon).map(step).collect(),
            lately: SPANS.map(lately),
        })
    }
}

impl Sums {
    fn add(&mut self, value: f32) {
        self.sum += f64::from(value);
        self.square += f64::from(value) * f64::from(value);
        self.count += 1;
    }

    fn with(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            square: self.square + other.square,
            count: self.count + other.count,
        }
    }

    fn mean(self) -> f32 {
        if self.count == 0 {
            return f32::NAN;
        }
        (self.sum / f64::from(self.count)) as f32
    }

    fn spread(self) -> f32 {
        if self.count == 0 {
            return f32::NAN;
        }
        let mean = self.sum / f64::from(self.count);
        (self.square / f64::from(self.count) - mean * mean)
            .max(0.0)
            .sqrt() as f32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAST: Past = Past {
        rhythm: DirectConfig {
            period_steps: 24,
            cycle_steps: 4,
            past_periods: 10,
        },
        context: 30,
        horizon: 40,
    };

    /// Mean and standard deviation of what was observed at places that `is_wanted`, places counted from the origin.
    fn over(before: &[f32], is_wanted: impl Fn(i64) -> bool) -> (f32, f32, usize) {
        let end = -(PAST.context as i64);
        let placed = before.iter().rev().zip((0..210).map(|age| end - age));
        let wanted = placed.filter(|(value, place)| !value.is_nan() && is_wanted(*place));
        let values: Vec<f64> = wanted.map(|(value, _)| f64::from(*value)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| (value - mean).powi(2));
        (
            mean as f32,
            (square.sum::<f64>() / count).sqrt() as f32,
            values.len(),
        )
    }

    fn alike(left: f32, right: f32) -> bool {
        (left.is_nan() && right.is_nan()) || (left - right).abs() <= 1e-3
    }

    proptest! {
        #[test]
        fn it_is_what_its_words_say(
            values in prop::collection::vec(prop::option::weighted(0.7, -50.0_f32..50.0), 0..260),
        ) {
            let before: Vec<f32> = values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect();
            let usual = Usual::read(PAST, &[&before]);
            let newest = &before[before.len().saturating_sub(210)..];
            let is_known = newest.iter().any(|value| !value.is_nan());
            prop_assert_eq!(usual.course(0).is_some(), is_known);
            let Some(course) = usual.course(0) else { return Ok(()) };
            for (step, ahead) in course.ahead.iter().zip(1_i64..) {
                let is_near = |place: i64| {
                    let apart = (place - ahead).rem_euclid(24);
                    apart <= 3 || apart >= 21
                };
                let (mean, spread, count) = over(&before, is_near);
                prop_assert!(alike(step.mean, mean), "{ahead}: {} {mean}", step.mean);
                prop_assert!(alike(step.spread, spread), "{ahead}: {} {spread}", step.spread);
                prop_assert!(alike(step.known, (count as f32 / 56.0).min(1.0)));
                let begin = 1 - (PAST.context + newest.len()) as i64;
                let is_like = |place: i64| begin <= ahead - 168 && (place - ahead + 168).abs() <= 3;
                let (mean, ..) = over(&before, is_like);
                prop_assert!(alike(step.week_ago, mean), "{ahead}: {} {mean}", step.week_ago);
            }
            for (lately, bins) in course.lately.iter().zip(SPANS) {
                let bins = bins.min(24) as i64;
                let (mean, ..) = over(&before, |place| (-place).rem_euclid(24) < bins);
                prop_assert!(alike(*lately, mean), "{bins}: {lately} {mean}");
            }
        }
    }

    #[test]
    fn nothing_before_says_nothing() {
        let usual = Usual::read(PAST, &[&[f32::NAN; 50], &[]]);
        assert!(usual.course(0).is_none() && usual.course(1).is_none());
        assert!(usual.course(2).is_none());
    }
}
