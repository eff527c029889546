//! What an entity usually does at the hours of a forecast: summaries of its history before a forecast's first step.
//!
//! The encoder sees a day. Whatever repeats from day to day and differs between entities (a nightly job, the hours of
//! a site's visitors) is seen in it once, with that day's accidents; the days before say what of it to expect again.
//! They also say how far to trust it: how much this entity changes from one day to the next, and how much within hours.

mod alike;
mod places;

use std::sync::Arc;

use rand::rngs::StdRng;

use crate::direct_inputs::DirectConfig;
use crate::weights::standard_normal;
pub(crate) use alike::{Like, WAYS};
use places::{Places, REACH, Sums, distance};

/// Newest periods before the context that are told apart from the older ones.
const RECENT_PERIODS: usize = 3;
/// Periods between a bin and its like, where those differ among each other: days of a week.
const PERIODS_OF_LIKES: usize = 7;
/// Newest bins of the context whose usual mean is told, so that the present can be compared with it: one hour, three,
/// twelve and twenty-four of five-minute steps.
const SPANS: [usize; 4] = [12, 36, 144, 288];
/// Newest bins over which the present is compared with the period before and with what is usual.
const LATELY: [usize; 2] = [36, 288];
/// Steps over which the change of a metric is measured.
const STRIDES: [usize; 6] = [1, 4, 12, 24, 48, 96];

/// The usual course of each metric around one window, in the metrics' units.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual(Vec<Option<Arc<Course>>>);

/// Of one metric that was observed before the context; NaN is unknown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// One for each decoder step.
    pub(crate) ahead: Box<[Step]>,
    /// Usual means of the bins of each of [`SPANS`].
    pub(crate) lately: [f32; SPANS.len()],
    /// Mean size of the difference between two bins so many steps apart ([`STRIDES`]), over all that is known.
    pub(crate) drift: [f32; STRIDES.len()],
    /// Over the newest bins ([`LATELY`]), mean size of the difference to the bin a period before.
    pub(crate) unlike_before: [f32; LATELY.len()],
    /// Over the same, to the usual mean at that place of the period.
    pub(crate) unlike_usual: [f32; LATELY.len()],
    /// Mean difference between the newest period and the earlier one that is most like it, in each way of comparing.
    pub(crate) nearest: [f32; WAYS],
    /// Tells it from others.
    fingerprint: u64,
}

/// One step of a course.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// Mean at this place of the period, over all periods and the neighbours.
    pub(crate) mean: f32,
    /// Standard deviation of the same.
    pub(crate) spread: f32,
    /// Mean over the newest periods only.
    pub(crate) recent: f32,
    /// Mean size of the difference between a bin at this place and the one a period before, over all periods, the
    /// context's too, and the neighbours.
    pub(crate) change: f32,
    /// Mean a week before, over the neighbours, if what is known begins no later than that bin.
    pub(crate) week_ago: f32,
    /// Share of the bins that mean and spread could have been made of.
    pub(crate) known: f32,
    /// What earlier periods like the newest one say, in each way of comparing.
    pub(crate) alike: [Like; WAYS],
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
    /// Reads `history`, one series for each metric: the bins up to the newest one, as many as are known, NaN where
    /// missing. Without any before the context there is nothing usual.
    pub(crate) fn read(past: Past, history: &[&[f32]]) -> Self {
        let weights = alike::Weights::new(past.rhythm.period_steps as usize);
        let course = |values: &&[f32]| Course::read(past, &weights, values).map(Arc::new);
        Self(history.iter().map(course).collect())
    }

    /// Makes its differences others: few entities must not be told apart by how wide theirs are.
    pub(crate) fn blur(&mut self, rng: &mut StdRng) {
        for course in self.0.iter_mut().flatten().map(Arc::make_mut) {
            let mut factor = || (0.3 * standard_normal(rng) as f32).exp();
            let (spread, change, drift, unlike) = (factor(), factor(), factor(), factor());
            for step in &mut course.ahead {
                step.spread *= spread;
                step.change *= change;
                step.alike.iter_mut().for_each(|like| like.spread *= unlike);
            }
            course.nearest.iter_mut().for_each(|size| *size *= unlike);
            course.drift.iter_mut().for_each(|size| *size *= drift);
            let before = course.unlike_before.iter_mut();
            before.for_each(|size| *size *= change);
            let usual = course.unlike_usual.iter_mut();
            usual.for_each(|size| *size *= spread);
        }
    }

    pub(crate) fn course(&self, metric: usize) -> Option<&Course> {
        self.0.get(metric)?.as_deref()
    }

    /// Gives one metric another course: that of the only metric which `other` was read from.
    pub fn replace(&mut self, metric: usize, other: Option<&Self>) {
        if let Some(course) = self.0.get_mut(metric) {
            *course = other.and_then(|other| other.0.first().cloned().flatten());
        }
    }

    /// Another number, as good as surely, for anything else that is usual.
    pub fn fingerprint(&self) -> u64 {
        let courses = self.0.iter();
        let each = courses.map(|course| course.as_ref().map_or(0, |course| course.fingerprint));
        each.fold(0, mixed)
    }
}

impl Course {
    fn read(past: Past, weights: &alike::Weights, history: &[f32]) -> Option<Self> {
        let period = past.rhythm.period_steps as usize;
        let periods = past.rhythm.past_periods as usize;
        let most = (period * periods).max(past.context);
        let history = &history[history.len().saturating_sub(most)..];
        let before = &history[..history.len().saturating_sub(past.context)];
        let mut usual = Places::new(period);
        let mut recent = None;
        for (age, of_period) in before.rchunks(period).enumerate() {
            usual.add(period - of_period.len(), of_period);
            if age + 1 == RECENT_PERIODS {
                recent = Some(usual.clone());
            }
        }
        if usual.is_empty() {
            return None;
        }
        // From here on places count from the window's newest bin, which is at 0.
        let newest = (past.context + period - 1) % period;
        let recent = recent.map(|recent| recent.turned(newest).around());
        let usual = usual.turned(newest);
        let around = usual.around();
        let recent = recent.as_ref().unwrap_or(&around);
        let means: Vec<f32> = (0..period).map(|place| around.at(place).mean()).collect();

        let changes: Vec<f32> = (history
            .iter()
            .zip(history.get(period..).unwrap_or_default()))
        .map(|(before, value)| (value - before).abs())
        .collect();
        let mut change = Places::new(period);
        for of_period in changes.rchunks(period) {
            change.add(period - of_period.len(), of_period);
        }
        let change = change.turned(period - 1).around();

        let likes = Self::likes(past, before);
        let alike = alike::read(weights, past.horizon, history);
        let full = ((most - past.context) / period).max(1) * (2 * REACH + 1);
        let step = |ahead: usize| {
            let place = (ahead + 1) % period;
            let sums = around.at(place);
            Step {
                mean: means[place],
                spread: sums.spread(),
                recent: recent.at(place).mean(),
                change: change.at(place).mean(),
                week_ago: likes.at(ahead).mean(),
                known: (sums.count as f32 / full as f32).min(1.0),
                alike: std::array::from_fn(|way| alike[way].ahead[ahead]),
            }
        };
        let mut newest = Sums::default();
        let mut ages = 0..period;
        let lately = SPANS.map(|bins| {
            let more = bins.saturating_sub(ages.start);
            newest = (ages.by_ref().take(more)).fold(newest, |sums, age| {
                sums.with(usual.at(if age == 0 { 0 } else { period - age }))
            });
            newest.mean()
        });
        let earlier = &history[..history.len().saturating_sub(period)];
        // Usual means at the newest places, oldest first.
        let oldest = (1 + (period - 1) * LATELY[1]) % period;
        let places = means.iter().cycle().skip(oldest);
        let usually: Vec<f32> = places.take(LATELY[1]).copied().collect();
        let apart = |bins: usize, from: &[f32]| {
            let bins = bins.min(from.len()).min(history.len());
            distance(&history[history.len() - bins..], &from[from.len() - bins..])
        };
        let course = Self {
            ahead: (0..past.horizon).map(step).collect(),
            lately,
            drift: STRIDES
                .map(|stride| distance(history, history.get(stride..).unwrap_or_default())),
            unlike_before: LATELY.map(|bins| apart(bins, earlier)),
            unlike_usual: LATELY.map(|bins| apart(bins, &usually)),
            nearest: std::array::from_fn(|way| alike[way].nearest),
            fingerprint: 0,
        };
        let fingerprint = course.numbers();
        Some(Self {
            fingerprint,
            ..course
        })
    }

    /// All numbers in one.
    fn numbers(&self) -> u64 {
        let steps = self.ahead.iter();
        let steps = steps.map(|s| {
            let [a, b, c] = s.alike.map(|like| like.mean + like.spread);
            [
                s.mean, s.spread, s.recent, s.change, s.week_ago, s.known, a, b, c,
            ]
        });
        let ahead = steps.fold([0; 9], |all: [u64; 9], step| {
            std::array::from_fn(|at| mixed(all[at], u64::from(step[at].to_bits())))
        });
        let unlike = self.unlike_before.iter().chain(&self.unlike_usual);
        let rest = self.lately.iter().chain(&self.drift).chain(unlike);
        let rest = rest.chain(&self.nearest);
        let rest = rest.map(|number| u64::from(number.to_bits()));
        ahead.into_iter().chain(rest).fold(0, mixed)
    }

    /// What was [`PERIODS_OF_LIKES`] before each step, over its neighbours; nothing where that lies before `before`.
    fn likes(past: Past, before: &[f32]) -> Places {
        let ago = PERIODS_OF_LIKES * past.rhythm.period_steps as usize;
        // The like of step 0 lies so many bins before the end of `before`.
        let Some(end) = ago.checked_sub(past.context) else {
            return Places::new(past.horizon);
        };
        let unknown = end.saturating_sub(before.len()).min(past.horizon);
        let first = before.len().saturating_sub(end);
        let mut bins = Places::new(past.horizon + 2 * REACH);
        let from = first.saturating_sub(REACH);
        let near = &before[from..(first + past.horizon + REACH).min(before.len())];
        bins.add(unknown + REACH - (first - from), near);
        let mut likes = bins.sliding();
        likes.forget(unknown);
        likes
    }

    /// The mean size of a change over so many steps, between those that were measured, or as the one of them that was.
    pub(crate) fn drift_over(&self, steps: usize) -> f32 {
        let above = STRIDES.partition_point(|stride| *stride < steps);
        let above = above.clamp(1, STRIDES.len() - 1);
        let (low, high) = (STRIDES[above - 1] as f32, STRIDES[above] as f32);
        let share = ((steps as f32 - low) / (high - low)).clamp(0.0, 1.0);
        let (below, above) = (self.drift[above - 1], self.drift[above]);
        match (below.is_nan(), above.is_nan()) {
            (true, _) => above,
            (_, true) => below,
            _ => below + share * (above - below),
        }
    }
}

/// Of the numbers before and one more; the multiplier is that of Knuth's multiplicative hashing, 2⁶⁴ / φ.
fn mixed(before: u64, number: u64) -> u64 {
    (before.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    /// A history by place, counted from its newest bin at 0, that is as long as it counts.
    fn placed(history: &[f32]) -> BTreeMap<i64, f64> {
        let newest = history.iter().rev().take(240).zip(0_i64..);
        let placed = newest.map(|(value, age)| (-age, f64::from(*value)));
        placed.filter(|(_, value)| !value.is_nan()).collect()
    }

    /// Mean and standard deviation, and of how many.
    fn moments(values: impl Iterator<Item = f64>) -> (f32, f32, usize) {
        let values: Vec<f64> = values.collect();
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
            values in prop::collection::vec(prop::option::weighted(0.7, -50.0_f32..50.0), 0..290),
        ) {
            let history: Vec<f32> = values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect();
            let usual = Usual::read(PAST, &[&history]);
            let known = placed(&history);
            let before: BTreeMap<i64, f64> = known.range(..=-30).map(|(place, value)| (*place, *value)).collect();
            prop_assert_eq!(usual.course(0).is_some(), !before.is_empty());
            let Some(course) = usual.course(0) else { return Ok(()) };

            let near = |place: i64, ahead: i64| {
                let apart = (place - ahead).rem_euclid(24);
                apart <= 3 || apart >= 21
            };
            let mean_at = |ahead: i64, from: i64| {
                moments(before.range(from..).filter(|(place, _)| near(**place, ahead)).map(|(_, value)| *value))
            };
            let changes: BTreeMap<i64, f64> = (known.iter())
                .filter_map(|(place, value)| Some((*place, (value - known.get(&(place - 24))?).abs())))
                .collect();
            let oldest = 1 - history.len().min(240) as i64;
            let recent_from = if history.len() >= 30 + 72 { -30 - 71 } else { oldest };
            for (step, ahead) in course.ahead.iter().zip(1_i64..) {
                let (mean, spread, count) = mean_at(ahead, oldest);
                prop_assert!(alike(step.mean, mean), "{ahead}: {} {mean}", step.mean);
                prop_assert!(alike(step.spread, spread), "{ahead}: {} {spread}", step.spread);
                prop_assert!(alike(step.known, (count as f32 / 56.0).min(1.0)));
                let (recent, ..) = mean_at(ahead, recent_from);
                prop_assert!(alike(step.recent, recent), "{ahead}: {} {recent}", step.recent);
                let at_place = changes.iter().filter(|(place, _)| near(**place, ahead));
                let (change, ..) = moments(at_place.map(|(_, size)| *size));
                prop_assert!(alike(step.change, change), "{ahead}: {} {change}", step.change);
                let is_like = |place: i64| oldest <= ahead - 168 && (place - ahead + 168).abs() <= 3;
                let likes = before.iter().filter(|(place, _)| is_like(**place));
                let (mean, ..) = moments(likes.map(|(_, value)| *value));
                prop_assert!(alike(step.week_ago, mean), "{ahead}: {} {mean}", step.week_ago);
            }
            for (lately, bins) in course.lately.iter().zip(SPANS) {
                let bins = bins.min(24) as i64;
                let newest = before.iter().filter(|(place, _)| (-**place).rem_euclid(24) < bins);
                let (mean, ..) = moments(newest.map(|(_, value)| *value));
                prop_assert!(alike(*lately, mean), "{bins}: {lately} {mean}");
            }
            for (drift, stride) in course.drift.iter().zip(STRIDES) {
                let later = |place: i64| known.get(&(place + stride as i64));
                let sizes = known.iter().filter_map(|(place, value)| Some((later(*place)? - value).abs()));
                let (mean, ..) = moments(sizes);
                prop_assert!(alike(*drift, mean), "{stride}: {drift} {mean}");
            }
            for (at, bins) in LATELY.into_iter().enumerate() {
                let from = 1 - bins as i64;
                let (mean, ..) = moments(changes.range(from..).map(|(_, size)| *size));
                prop_assert!(alike(course.unlike_before[at], mean));
                let unlike = known.range(from..).map(|(place, value)| (value - f64::from(mean_at(*place, oldest).0)).abs());
                let (mean, ..) = moments(unlike.filter(|size| !size.is_nan()));
                prop_assert!(alike(course.unlike_usual[at], mean), "{bins}: {} {mean}", course.unlike_usual[at]);
            }
        }
    }

    #[test]
    fn nothing_before_says_nothing() {
        let mut history = [f32::NAN; 50];
        history[20..].fill(1.0);
        let usual = Usual::read(PAST, &[&history, &[], &[1.0; 30]]);
        assert!(usual.course(0).is_none() && usual.course(1).is_none());
        assert!(usual.course(2).is_none() && usual.course(3).is_none());
    }

    #[test]
    fn another_course_has_another_fingerprint() {
        let mut history: Vec<f32> = (0..240).map(|bin| (bin * 7 % 31) as f32).collect();
        let usual = Usual::read(PAST, &[&history, &history[..200]]);
        let same = Usual::read(PAST, &[&history, &history[..200]]);
        assert_eq!(usual.fingerprint(), same.fingerprint());
        let turned = Usual::read(PAST, &[&history[..200], &history]);
        assert_ne!(usual.fingerprint(), turned.fingerprint());
        let mut lost = usual.clone();
        lost.replace(1, None);
        assert_ne!(usual.fingerprint(), lost.fingerprint());
        history[100] += 1.0;
        let moved = Usual::read(PAST, &[&history, &history[..200]]);
        assert_ne!(usual.fingerprint(), moved.fingerprint());
    }

    #[test]
    fn drift_lies_between_what_was_measured() {
        let history: Vec<f32> = (0..240).map(|bin| bin as f32).collect();
        let usual = Usual::read(PAST, &[&history]);
        let course = usual.course(0).expect("is known");
        for (steps, expected) in [(1, 1.0), (2, 2.0), (30, 30.0), (96, 96.0), (120, 96.0)] {
            assert_eq!(course.drift_over(steps), expected);
        }
        // A sender of every fourth bin: nothing is known of one step, and all of four.
        let sparse = history
            .iter()
            .map(|bin| if bin % 4.0 == 0.0 { *bin } else { f32::NAN });
        let sparse: Vec<f32> = sparse.collect();
        let usual = Usual::read(PAST, &[&sparse]);
        let course = usual.course(0).expect("is known");
        for (steps, expected) in [(1, 4.0), (2, 4.0), (4, 4.0), (8, 8.0)] {
            assert_eq!(course.drift_over(steps), expected);
        }
    }
}
