//! Summaries of a metric's own history, for the direct path of its outputs.
//!
//! All are in units of the window's scale, cut off at plus and minus [`CLIP`]; what has no observation is 0. They name
//! what a daily and hourly rhythm is made of: where the metric is now, over several spans; how it spread; what it did a
//! day before the predicted step, alone and averaged over its neighbours; how the predicted position within the cycle
//! (the hour) differs from the rest of its cycle; and what it usually did at that hour ([`crate::usual`]).

use serde::{Deserialize, Serialize};

use crate::calendar::DAY_INPUTS;
use crate::normalise::Scale;
use crate::usual::{Course, WAYS};
use crate::window::is_observed;

/// Inputs of one target at one decoder step.
pub const STEP_INPUTS: usize = 22;
/// Inputs of one target in one window.
pub const WINDOW_INPUTS: usize = 34;
/// Inputs that all targets share at one decoder step.
pub const TIME_INPUTS: usize = DAY_INPUTS + 2;

/// Least size that is told from none.
const LEAST_SIZE: f32 = 0.01;

/// Where inputs are cut off.
const CLIP: f32 = 10.0;

/// What the rhythms of a series are, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectConfig {
    /// The long period, a day.
    pub period_steps: u32,
    /// The short one, an hour.
    pub cycle_steps: u32,
    /// Long periods that a usual one is made of, those of the context among them.
    pub past_periods: u32,
}

/// The observed part of a metric's context with running sums, so that any mean costs two reads.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Sum and number of the observed values before each bin, in units of the scale.
    sums: Vec<(f64, u32)>,
    /// Of the squares.
    squares: Vec<f64>,
    /// Scaled; NaN where missing.
    values: Vec<f32>,
    /// Least, lower decile, median, upper decile and greatest of them.
    quantiles: [f32; 5],
    /// Working memory.
    observed: Vec<f32>,
    /// Mean difference to its cycle, of each position in the cycle: over all cycles and over the newest four.
    profile: Vec<[f32; 2]>,
}

/// Newest cycles of the short-lived profile.
const RECENT_CYCLES: usize = 4;

impl History {
    /// Takes a metric's context (oldest first, NaN missing), whose scale is known.
    pub(crate) fn read(&mut self, config: DirectConfig, values: &[f32], scale: &Scale) {
        self.values.clear();
        self.sums.clear();
        self.squares.clear();
        self.observed.clear();
        let (mut sum, mut count, mut square) = (0.0, 0, 0.0);
        for value in values {
            self.sums.push((sum, count));
            self.squares.push(square);
            let scaled = if is_observed(*value) {
                scale.normalise(*value)
            } else {
                f32::NAN
            };
            if scaled.is_finite() {
                sum += f64::from(scaled);
                square += f64::from(scaled).powi(2);
                count += 1;
                self.observed.push(scaled);
                self.values.push(scaled);
            } else {
                self.values.push(f32::NAN);
            }
        }
        self.sums.push((sum, count));
        self.squares.push(square);
        self.quantiles = quantiles(&mut self.observed);
        self.fill_profile(config.cycle_steps as usize);
    }

    /// Cycles are counted back from the newest bin.
    fn fill_profile(&mut self, cycle: usize) {
        self.profile.clear();
        let mut sums = vec![[(0.0f32, 0u32); 2]; cycle];
        let mut end = self.values.len();
        let mut age = 0;
        while cycle > 0 && end >= cycle {
            let start = end - cycle;
            if let Some(mean) = self.mean(start as i64, end as i64) {
                for (position, value) in self.values[start..end].iter().enumerate() {
                    if value.is_nan() {
                        continue;
                    }
                    let spans = if age < RECENT_CYCLES { 2 } else { 1 };
                    for (sum, count) in &mut sums[position][..spans] {
                        *sum += value - mean;
                        *count += 1;
                    }
                }
            }
            end = start;
            age += 1;
        }
        let mean = |(sum, count): (f32, u32)| if count == 0 { 0.0 } else { sum / count as f32 };
        self.profile
            .extend(sums.iter().map(|of_position| of_position.map(mean)));
    }

    /// Mean of the observed bins in `start..end`, as far as they lie in the context.
    fn mean(&self, start: i64, end: i64) -> Option<f32> {
        let len = self.values.len() as i64;
        let (start, end) = (start.clamp(0, len) as usize, end.clamp(0, len) as usize);
        if start >= end {
            return None;
        }
        let ((before, few), (after, many)) = (self.sums[start], self.sums[end]);
        (many > few).then(|| ((after - before) / f64::from(many - few)) as f32)
    }

    fn deviation(&self, start: i64) -> f32 {
        let (start, end) = (start.max(0) as usize, self.values.len());
        let count = self.sums[end].1 - self.sums[start].1;
        if count == 0 {
            return 0.0;
        }
        let count = f64::from(count);
        let mean = (self.sums[end].0 - self.sums[start].0) / count;
        let square = (self.squares[end] - self.squares[start]) / count;
        (square - mean * mean).max(0.0).sqrt() as f32
    }

    /// The window's inputs of this metric; `tells` are its centre and scale as the network sees them and the share
    /// of observed bins.
    pub(crate) fn window_inputs(
        &self,
        tells: [f32; 3],
        scale: &Scale,
        course: Option<&Course>,
        out: &mut [f32; WINDOW_INPUTS],
    ) {
        let [hour, hours, half_day, day] = course.map_or([0.0; 4], |course| {
            course.lately.map(|mean| known(scale.normalise(mean)))
        });
        let drift = course.map_or([0.0; 6], |course| {
            course.drift.map(|size| size_in(scale, size))
        });
        let [before, before_day] = course.map_or([0.0; 2], |course| {
            course.unlike_before.map(|size| size_in(scale, size))
        });
        let [usual, usual_day] = course.map_or([0.0; 2], |course| {
            course.unlike_usual.map(|size| size_in(scale, size))
        });
        let nearest = course.map_or([0.0; WAYS], |course| {
            course.nearest.map(|size| magnitude_in(scale, size))
        });
        let len = self.values.len() as i64;
        let recent = |bins: i64| self.mean(len - bins, len).unwrap_or(0.0);
        let newest = self.values.iter().rev().find(|value| !value.is_nan());
        let [least, lower, median, upper, greatest] = self.quantiles;
        *out = [
            newest.copied().unwrap_or(0.0),
            recent(3),
            recent(12),
            recent(36),
            recent(144),
            recent(len),
            self.deviation(len - 36),
            self.deviation(0),
            median,
            lower,
            upper,
            least,
            greatest,
            self.mean(0, 12).unwrap_or(0.0),
            tells[0],
            tells[1],
            tells[2],
            hour,
            hours,
            half_day,
            day,
            drift[0],
            drift[1],
            drift[2],
            drift[3],
            drift[4],
            drift[5],
            before,
            before_day,
            usual,
            usual_day,
            nearest[0],
            nearest[1],
            nearest[2],
        ];
        clip(out);
    }

    /// How many times the usual the newest three hours were; 1 where that says nothing.
    pub(crate) fn times_usual(&self, scale: &Scale, course: Option<&Course>) -> f32 {
        let len = self.values.len() as i64;
        let (Some(course), Some(newest)) = (course, self.mean(len - 36, len)) else {
            return 1.0;
        };
        let (now, usual) = (scale.restore(newest), course.lately[1]);
        if now > 0.0 && usual > 0.0 {
            (now / usual).clamp(0.2, 5.0)
        } else {
            1.0
        }
    }

    /// The inputs of this metric at decoder step `ahead`, from 0; `times` is [`Self::times_usual`].
    pub(crate) fn step_inputs(
        &self,
        config: DirectConfig,
        ahead: usize,
        scale: &Scale,
        (course, times): (Option<&Course>, f32),
        out: &mut [f32; STEP_INPUTS],
    ) {
        let at = (self.values.len() + ahead) as i64 - i64::from(config.period_steps);
        let around = |reach: i64| self.mean(at - reach, at + reach + 1);
        let alone = around(0);
        let close = around(2);
        let [usual, lately] = if self.profile.is_empty() {
            [0.0; 2]
        } else {
            self.profile[ahead % self.profile.len()]
        };
        let past = course.and_then(|course| course.ahead.get(ahead));
        let past = past.map_or([0.0; 14], |step| {
            let at = |value: f32| known(scale.normalise(value));
            let [as_was, added, multiplied] = step.alike;
            let week = f32::from(u8::from(!step.week_ago.is_nan()));
            [
                at(step.mean),
                size_in(scale, step.spread),
                at(step.week_ago),
                step.known,
                week,
                at(step.recent),
                size_in(scale, step.change),
                at(times * step.mean),
                at(as_was.mean),
                at(added.mean),
                at(multiplied.mean),
                magnitude_in(scale, as_was.spread),
                magnitude_in(scale, added.spread),
                magnitude_in(scale, multiplied.spread),
            ]
        });
        let drift = course.map_or(0.0, |course| size_in(scale, course.drift_over(ahead + 1)));
        *out = [
            alone.or(close).unwrap_or(0.0),
            close.unwrap_or(0.0),
            around(6).unwrap_or(0.0),
            around(24).unwrap_or(0.0),
            usual,
            lately,
            f32::from(u8::from(close.is_some())),
            past[0],
            past[1],
            past[2],
            past[3],
            past[4],
            past[5],
            past[6],
            drift,
            past[7],
            past[8],
            past[9],
            past[10],
            past[11],
            past[12],
            past[13],
        ];
        clip(out);
    }
}

/// The inputs of the time at decoder step `ahead` (from 0) of `horizon`, whose bin has this place in the day.
pub(crate) fn time_inputs(
    of_day: [f32; DAY_INPUTS],
    ahead: usize,
    horizon: usize,
) -> [f32; TIME_INPUTS] {
    let share = (ahead + 1) as f32 / horizon as f32;
    let mut inputs = [share; TIME_INPUTS];
    inputs[..DAY_INPUTS].copy_from_slice(&of_day);
    inputs[TIME_INPUTS - 1] = share.sqrt();
    inputs
}

/// Least value, lower decile, median, upper decile and greatest, each the nearest of the values; 0 without any. Puts them
/// into another order.
fn quantiles(values: &mut [f32]) -> [f32; 5] {
    let Some(last) = values.len().checked_sub(1) else {
        return [0.0; 5];
    };
    let place = |level: f32| (level * last as f32).round() as usize;
    let (low, middle, high) = (place(0.1), place(0.5), place(0.9));
    let (below, median, above) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let median = *median;
    let nth = |values: &mut [f32], at: usize| *values.select_nth_unstable_by(at, f32::total_cmp).1;
    let lower = if low < middle {
        nth(below, low)
    } else {
        median
    };
    let upper = if high > middle {
        nth(above, high - middle - 1)
    } else {
        median
    };
    let least = below.iter().copied().fold(median, f32::min);
    let greatest = above.iter().copied().fold(median, f32::max);
    [least, lower, median, upper, greatest]
}

/// The size of a difference, around the centre, in units of the scale; 0 where unknown.
fn size_in(scale: &Scale, size: f32) -> f32 {
    let center = scale.restore(0.0);
    known(scale.normalise(center + size) - scale.normalise(center))
}

/// The logarithm of the same, of which it takes to tell small ones apart; 0 where unknown.
fn magnitude_in(scale: &Scale, size: f32) -> f32 {
    if size.is_nan() {
        return 0.0;
    }
    (size_in(scale, size) + LEAST_SIZE).ln()
}

/// 0 for what is unknown.
fn known(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value }
}

fn clip(values: &mut [f32]) {
    for value in values {
        *value = value.clamp(-CLIP, CLIP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simple_forecasts::SIMPLE;
    use crate::usual::{Past, Usual};

    const CONFIG: DirectConfig = DirectConfig {
        period_steps: 8,
        cycle_steps: 4,
        past_periods: 3,
    };

    const SCALE: Scale = Scale {
        center: 10.0,
        scale: 2.0,
        present: 1.0,
        transformation: None,
    };

    fn read(values: &[f32]) -> History {
        let mut history = History::default();
        history.read(CONFIG, values, &SCALE);
        history
    }

    #[test]
    fn a_day_before_the_predicted_step_is_found() {
        let history = read(&[10.0, 12.0, 14.0, 16.0, 10.0, 12.0, 14.0, 16.0]);
        let mut out = [0.0; STEP_INPUTS];
        history.step_inputs(CONFIG, 2, &SCALE, (None, 1.0), &mut out);
        assert_eq!(out[0], 2.0, "14 is 2 scales above the centre");
        assert_eq!(out[1], 1.2, "the mean of bins 0 to 4");
        assert_eq!(
            out[4], 0.5,
            "the third of a cycle lies half a scale above its mean"
        );
        assert_eq!(out[6], 1.0);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        for len in 0..60 {
            let values: Vec<f32> = (0..len).map(|n| (n * 37 % 61) as f32).collect();
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            let at = |level: f32| {
                let place = (level * (len as f32 - 1.0)).round() as usize;
                sorted.get(place).copied().unwrap_or(0.0)
            };
            let expected = [0.0, 0.1, 0.5, 0.9, 1.0].map(at);
            assert_eq!(quantiles(&mut values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn half_the_usual_level_is_told_and_nonsense_is_not() {
        let past = Past {
            rhythm: CONFIG,
            context: 8,
            horizon: 2,
        };
        let times = |before: f32, now: f32| {
            let bins: Vec<f32> = (0..24)
                .map(|bin| if bin < 16 { before } else { now })
                .collect();
            let usual = Usual::read(past, &[&bins]);
            let history = read(&bins[16..]);
            let (course, mut out) = (usual.course(0), [0.0; STEP_INPUTS]);
            let times = history.times_usual(&SCALE, course);
            history.step_inputs(CONFIG, 0, &SCALE, (course, times), &mut out);
            (times, out[15])
        };
        assert_eq!(
            times(24.0, 12.0),
            (0.5, 1.0),
            "12 is a scale above the centre"
        );
        assert_eq!(times(0.0, 12.0), (1.0, -5.0));
        assert_eq!(times(-4.0, 12.0).0, 1.0);
        assert_eq!(times(1.0, 1e9).0, 5.0);
        assert_eq!(read(&[1.0; 8]).times_usual(&SCALE, None), 1.0);
    }

    #[test]
    fn what_followed_the_days_before_is_told_as_it_was_and_moved() {
        let past = Past {
            rhythm: CONFIG,
            context: 8,
            horizon: 2,
        };
        // Two days alike, and one half as high again.
        let day = [10.0, 12.0, 14.0, 16.0, 10.0, 12.0, 14.0, 16.0];
        let bins = [day, day, day.map(|bin| 1.5 * bin)].concat();
        let usual = Usual::read(past, &[&bins]);
        let (mut step, mut window) = ([0.0; STEP_INPUTS], [0.0; WINDOW_INPUTS]);
        let history = read(&bins[16..]);
        history.step_inputs(CONFIG, 1, &SCALE, (usual.course(0), 1.0), &mut step);
        // What followed the first day is 12 at its second bin, with the neighbours; what followed the second is 18.
        let expected = [15.0, 15.0 + 6.5, 1.5 * 15.0];
        for (simple, expected) in SIMPLE[6..9].iter().zip(expected) {
            let told = SCALE.restore(simple.step.map_or(f32::NAN, |input| step[input]));
            assert!((told - expected).abs() < 0.01, "{told} {expected}");
        }
        history.window_inputs([0.0; 3], &SCALE, usual.course(0), &mut window);
        let nearest = [31, 32, 33].map(|input| SCALE.scale * window[input].exp());
        assert!((6.0..7.0).contains(&nearest[0]), "{nearest:?}");
        assert!((0.5..2.0).contains(&nearest[1]), "{nearest:?}");
        assert!(nearest[2] < 0.05, "{nearest:?}");
    }

    #[test]
    fn what_was_never_seen_is_zero_and_flagged() {
        let history = read(&[f32::NAN; 8]);
        let mut steps = [1.0; STEP_INPUTS];
        history.step_inputs(CONFIG, 0, &SCALE, (None, 1.0), &mut steps);
        assert_eq!(steps, [0.0; STEP_INPUTS]);
        let mut window = [1.0; WINDOW_INPUTS];
        history.window_inputs([0.0; 3], &SCALE, None, &mut window);
        assert_eq!(window, [0.0; WINDOW_INPUTS]);
    }

    #[test]
    fn a_context_shorter_than_a_day_has_no_value_before() {
        let history = read(&[10.0, 12.0]);
        let mut out = [1.0; STEP_INPUTS];
        history.step_inputs(CONFIG, 0, &SCALE, (None, 1.0), &mut out);
        assert_eq!(out[0], 0.0);
        assert_eq!(out[6], 0.0);
    }
}
