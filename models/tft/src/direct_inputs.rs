//! Summaries of a metric's own history, for the direct path of its outputs.
//!
//! All are in units of the window's scale, cut off at plus and minus [`CLIP`]; what has no observation is 0. They name
//! what a daily and hourly rhythm is made of: where the metric is now, over several spans; how it spread; what it did a
//! day before the predicted step, alone and averaged over its neighbours; how the predicted position within the cycle
//! (the hour) differs from the rest of its cycle; and what it usually did at that hour ([`crate::usual`]).

use serde::{Deserialize, Serialize};

use crate::normalise::Scale;
use crate::usual::Course;
use crate::window::is_observed;

/// Inputs of one target at one decoder step.
pub const STEP_INPUTS: usize = 12;
/// Inputs of one target in one window.
pub const WINDOW_INPUTS: usize = 21;
/// Inputs that all targets share at one decoder step.
pub const TIME_INPUTS: usize = 10;

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
    sorted: Vec<f32>,
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
        self.sorted.clear();
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
                self.sorted.push(scaled);
                self.values.push(scaled);
            } else {
                self.values.push(f32::NAN);
            }
        }
        self.sums.push((sum, count));
        self.squares.push(square);
        self.sorted.sort_unstable_by(f32::total_cmp);
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

    fn quantile(&self, level: f32) -> f32 {
        let last = self.sorted.len().saturating_sub(1);
        let place = (level * last as f32).round() as usize;
        self.sorted.get(place).copied().unwrap_or(0.0)
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
        let len = self.values.len() as i64;
        let recent = |bins: i64| self.mean(len - bins, len).unwrap_or(0.0);
        let newest = self.values.iter().rev().find(|value| !value.is_nan());
        *out = [
            newest.copied().unwrap_or(0.0),
            recent(3),
            recent(12),
            recent(36),
            recent(144),
            recent(len),
            self.deviation(len - 36),
            self.deviation(0),
            self.quantile(0.5),
            self.quantile(0.1),
            self.quantile(0.9),
            self.quantile(0.0),
            self.quantile(1.0),
            self.mean(0, 12).unwrap_or(0.0),
            tells[0],
            tells[1],
            tells[2],
            hour,
            hours,
            half_day,
            day,
        ];
        clip(out);
    }

    /// The inputs of this metric at decoder step `ahead`, from 0.
    pub(crate) fn step_inputs(
        &self,
        config: DirectConfig,
        ahead: usize,
        scale: &Scale,
        course: Option<&Course>,
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
        let past = past.map_or([0.0; 5], |step| {
            let at = |value: f32| known(scale.normalise(value));
            let spread = scale.normalise(step.mean + step.spread) - scale.normalise(step.mean);
            let week = f32::from(u8::from(!step.week_ago.is_nan()));
            [
                at(step.mean),
                known(spread),
                at(step.week_ago),
                step.known,
                week,
            ]
        });
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
        ];
        clip(out);
    }
}

/// The inputs of the time at decoder step `ahead` (from 0) of `horizon`, whose bin starts at `bin_ms` UTC.
pub(crate) fn time_inputs(bin_ms: i64, ahead: usize, horizon: usize) -> [f32; TIME_INPUTS] {
    let turn = |period_ms: i64| {
        let share = bin_ms.rem_euclid(period_ms) as f64 / period_ms as f64;
        (share * std::f64::consts::TAU) as f32
    };
    let (day, hour) = (turn(86_400_000), turn(3_600_000));
    let share = (ahead + 1) as f32 / horizon as f32;
    [
        day.sin(),
        day.cos(),
        (2.0 * day).sin(),
        (2.0 * day).cos(),
        hour.sin(),
        hour.cos(),
        (2.0 * hour).sin(),
        (2.0 * hour).cos(),
        share,
        share.sqrt(),
    ]
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
        history.step_inputs(CONFIG, 2, &SCALE, None, &mut out);
        assert_eq!(out[0], 2.0, "14 is 2 scales above the centre");
        assert_eq!(out[1], 1.2, "the mean of bins 0 to 4");
        assert_eq!(
            out[4], 0.5,
            "the third of a cycle lies half a scale above its mean"
        );
        assert_eq!(out[6], 1.0);
    }

    #[test]
    fn what_was_never_seen_is_zero_and_flagged() {
        let history = read(&[f32::NAN; 8]);
        let mut steps = [1.0; STEP_INPUTS];
        history.step_inputs(CONFIG, 0, &SCALE, None, &mut steps);
        assert_eq!(steps, [0.0; STEP_INPUTS]);
        let mut window = [1.0; WINDOW_INPUTS];
        history.window_inputs([0.0; 3], &SCALE, None, &mut window);
        assert_eq!(window, [0.0; WINDOW_INPUTS]);
    }

    #[test]
    fn a_context_shorter_than_a_day_has_no_value_before() {
        let history = read(&[10.0, 12.0]);
        let mut out = [1.0; STEP_INPUTS];
        history.step_inputs(CONFIG, 0, &SCALE, None, &mut out);
        assert_eq!(out[0], 0.0);
        assert_eq!(out[6], 0.0);
    }
}
