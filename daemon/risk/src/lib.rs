//! Risk and breaches from the quantiles of a forecast.
//!
//! Pure arithmetic from an [`argus_fleet::EntityForecast`] to an [`argus_fleet::Risk`]; where the forecast came from is not known here.
//! Each stage has its file, and each file opens with its formula and why it was chosen:
//!
//! 1. `exceedance`: quantiles of one step → probability of reaching a threshold at that step;
//! 2. `horizon`: steps → probability of reaching it at any step;
//! 3. `judgement`: one metric against its warning and critical thresholds ([`ThresholdRules`]);
//! 4. [`Subject::assess`]: metrics → entity, then [`Calibration`], score and floor;
//! 5. [`fleet_risk`]: entities → fleet;
//! 6. [`CalibrationFit`]: what was computed, and what came true ([`Subject::outcome`]) → [`Calibration`].
//!
//! Over metrics: metrics that share a cause (the schema's `group`: CPU idle, iowait and load; memory and swap) count
//! as one trouble seen several times, so a group is as probable as its most probable member; groups are taken as
//! independent, `1 − ∏(1 − p)`. Multiplying all metrics would count one busy CPU three times, and the maximum over
//! everything would make a second, unrelated trouble free of charge.

mod calibration;
mod cpu;
mod exceedance;
mod fit;
mod fleet;
mod horizon;
mod judgement;
mod outcome;
mod thresholds;

pub use calibration::{Calibration, CalibrationError};
pub use fit::CalibrationFit;
pub use fleet::fleet_risk;
pub use outcome::Outcome;
pub use thresholds::{MetricRules, RuleError, ThresholdRules};

use argus_fleet::{EntityForecast, Level, MetricForecast, Risk};
use argus_schema::{Breach, EntityName, Schema, Thresholds};

use crate::judgement::{Judge, Verdict};

/// Least score of an entity that is in breach now.
pub const IN_BREACH_FLOOR: f64 = 80.0;

/// Conditions less probable than this, and not breached now, are not listed in [`Risk::breaches`].
pub const MIN_LISTED_PROBABILITY: f64 = 0.01;

/// One entity as it is judged.
///
/// Missing, NaN or empty parts are left out of a judgement, never taken for 0.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What there is to judge.
    pub schema: &'a Schema,
    /// Thresholds that differ from the schema's.
    pub rules: &'a ThresholdRules,
    /// From computed probabilities to observed frequencies.
    pub calibration: &'a Calibration,
    /// Its position in [`Schema::profiles`].
    pub profile: u8,
    /// Its number of cores, where known.
    pub cores: Option<f32>,
    /// Whose forecast.
    pub name: &'a EntityName,
    /// Newest observed value of each metric, NaN where there is none.
    pub current: &'a [f32],
    /// Metrics that were taken away from an input which has them: nothing is put together in their place, or nobody
    /// could ask what depends on them. May be shorter than the schema.
    pub hidden: &'a [bool],
}

/// [`Subject::hidden`] of an input that `left` is left of, one series for each metric: what it observed and `left` did not.
pub fn hidden<'a>(
    own: impl IntoIterator<Item = &'a [f32]>,
    left: impl IntoIterator<Item = &'a [f32]>,
) -> Vec<bool> {
    let has = |values: &[f32]| values.iter().any(|value| !value.is_nan());
    let each = own.into_iter().zip(left);
    each.map(|(own, left)| has(own) && !has(left)).collect()
}

impl Subject<'_> {
    /// Its risk by a forecast. One without any usable metric gives risk 0 with [`Risk::assessed`] 0.
    ///
    /// The score counts critical thresholds only; warnings are listed beside them.
    pub fn assess(&self, forecast: &EntityForecast) -> Risk {
        let Self {
            schema,
            calibration,
            ..
        } = *self;
        let judge = Judge::new(self, forecast);
        let mut groups = Groups::default();
        let mut breaches = Vec::new();
        let mut assessed = 0_u64;
        let mut in_breach = false;

        for (index, metric) in schema.metrics.iter().enumerate() {
            let Some(Verdict { critical, warning }) = self.verdict(&judge, index) else {
                continue;
            };
            if index < 64 {
                assessed |= 1 << index;
            }
            groups.add(metric.group.as_deref(), critical.raw, critical.raw_30m);
            in_breach |= critical.breach.now;
            breaches.extend(
                [critical.breach, warning.breach]
                    .into_iter()
                    .filter(|b| b.now || b.probability >= MIN_LISTED_PROBABILITY),
            );
        }

        breaches.sort_by(|a, b| {
            let by_probability = b.probability.total_cmp(&a.probability);
            by_probability
                .then(b.now.cmp(&a.now))
                .then(b.severity.cmp(&a.severity))
                .then(a.metric_index.cmp(&b.metric_index))
        });
        let (raw, raw_30m) = groups.combined();
        let prob_horizon = calibration.apply(raw);
        let prob_30m = calibration.apply_30m(raw_30m).min(prob_horizon);
        let floor = if in_breach { IN_BREACH_FLOOR } else { 0.0 };
        let unclamped = score_of(prob_horizon);
        Risk {
            score: unclamped.max(floor),
            unclamped,
            score_30m: score_of(prob_30m).max(floor),
            prob_horizon,
            prob_30m,
            in_breach,
            calibration: calibration.kind(),
            breaches,
            assessed,
        }
    }

    /// Calibrated probability, 0 to 1, that a metric passes its critical threshold within the first `steps` of a
    /// forecast; `None` where it has no threshold or nothing to judge it by.
    pub fn breach_probability(
        &self,
        forecast: &EntityForecast,
        metric: usize,
        steps: usize,
    ) -> Option<f64> {
        let kept = steps * forecast.quantile_levels.len();
        let first_steps = |metric: &MetricForecast| MetricForecast {
            quantiles: metric.quantiles.iter().take(kept).copied().collect(),
            current: metric.current,
        };
        let columns = forecast.metrics.iter();
        let forecast = EntityForecast {
            metrics: columns.map(|m| m.as_ref().map(first_steps)).collect(),
            ..forecast.clone()
        };
        let judge = Judge::new(self, &forecast);
        let verdict = self.verdict(&judge, metric)?;
        Some(verdict.critical.breach.probability)
    }

    fn verdict(&self, judge: &Judge<'_>, index: usize) -> Option<Verdict> {
        let metric = self.schema.metrics.get(index)?;
        judge.metric(index, metric, self.limits(index)?)
    }

    fn limits(&self, index: usize) -> Option<Thresholds> {
        let metric = self.schema.metrics.get(index)?;
        let profile = self.schema.profiles.get(usize::from(self.profile));
        let profile_id = profile.map_or("", |profile| profile.id.as_str());
        self.rules
            .resolve(metric, profile_id, self.name, self.cores)
    }
}

/// Whether a value is at a threshold or beyond. What was not observed is not: NaN compares false.
fn passes(side: Breach, value: f64, threshold: f64) -> bool {
    match side {
        Breach::Above => value >= threshold,
        Breach::Below => value <= threshold,
    }
}

/// 0 to 100 with one decimal.
fn score_of(probability: f64) -> f64 {
    (probability * 1000.0).round() / 10.0
}

/// Level of breaches of each threshold, so that the two names stay in one place.
const SEVERITIES: [Level; 2] = [Level::Critical, Level::Warning];

/// Most probable member of each group of metrics.
#[derive(Default)]
struct Groups<'a> {
    /// Group name (`None`: a metric on its own), probability over the horizon, within 30 minutes.
    members: Vec<(Option<&'a str>, f64, f64)>,
}

impl<'a> Groups<'a> {
    fn add(&mut self, group: Option<&'a str>, horizon: f64, within_30m: f64) {
        let known = self
            .members
            .iter_mut()
            .find(|(name, ..)| group.is_some() && *name == group);
        match known {
            Some((_, most, most_30m)) => {
                *most = most.max(horizon);
                *most_30m = most_30m.max(within_30m);
            }
            None => self.members.push((group, horizon, within_30m)),
        }
    }

    /// Probability that any group is in trouble: over the horizon, within 30 minutes.
    fn combined(&self) -> (f64, f64) {
        let (fine, fine_30m) = self
            .members
            .iter()
            .fold((1.0, 1.0), |(fine, fine_30m), (_, p, p_30m)| {
                (fine * (1.0 - p), fine_30m * (1.0 - p_30m))
            });
        (1.0 - fine, 1.0 - fine_30m)
    }
}
