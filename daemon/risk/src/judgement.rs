//! One metric against its two thresholds.

use std::borrow::Cow;

use argus_fleet::{BreachForecast, EntityForecast, Level};
use argus_schema::{Breach, Metric, Schema, Thresholds};

use crate::calibration::Calibration;
use crate::exceedance::{Quantiles, level_log_odds};
use crate::horizon::{Cut, Horizon, Renewal};
use crate::{SEVERITIES, Subject, cpu, passes};

/// What was found about one threshold.
pub(crate) struct Finding {
    /// Probability over the horizon before calibration.
    pub raw: f64,
    /// The same within 30 minutes.
    pub raw_30m: f64,
    /// The condition as readers see it, calibrated.
    pub breach: BreachForecast,
}

/// Both thresholds of one metric.
pub(crate) struct Verdict {
    pub critical: Finding,
    pub warning: Finding,
}

/// Judges the metrics of one entity; holds what they share.
pub(crate) struct Judge<'a> {
    schema: &'a Schema,
    calibration: &'a Calibration,
    current: &'a [f32],
    hidden: &'a [bool],
    forecast: &'a EntityForecast,
    odds_above: Vec<f64>,
    odds_below: Vec<f64>,
    cut: Cut,
}

/// The numbers of one metric, in the orientation in which they are judged.
struct Series<'a> {
    quantiles: Cow<'a, [f32]>,
    current: f64,
    side: Breach,
    derived: bool,
}

impl Series<'_> {
    /// From the metric's unit to "at or above is bad".
    fn oriented(&self, value: f64) -> f64 {
        let value = if self.derived {
            cpu::ALL - value
        } else {
            value
        };
        match self.side {
            Breach::Above => value,
            Breach::Below => -value,
        }
    }

    /// The way back.
    fn in_metric_unit(&self, oriented: f64) -> f64 {
        let value = match self.side {
            Breach::Above => oriented,
            Breach::Below => -oriented,
        };
        if self.derived {
            cpu::ALL - value
        } else {
            value
        }
    }
}

impl<'a> Judge<'a> {
    pub fn new(subject: &Subject<'a>, forecast: &'a EntityForecast) -> Self {
        let Subject {
            schema,
            calibration,
            current,
            hidden,
            ..
        } = *subject;
        Self {
            schema,
            calibration,
            current,
            hidden,
            forecast,
            odds_above: level_log_odds(&forecast.quantile_levels, Breach::Above),
            odds_below: level_log_odds(&forecast.quantile_levels, Breach::Below),
            cut: Cut::new(forecast.horizon(), forecast.step_secs),
        }
    }

    /// Judges one metric; `None` where it has no side to breach or nothing to judge it by.
    pub fn metric(&self, index: usize, metric: &Metric, limits: Thresholds) -> Option<Verdict> {
        let side = metric.breach?;
        let series = self.series(index, metric, side)?;
        let thresholds = [limits.critical, limits.warning];
        let oriented = thresholds.map(|t| series.oriented(t));
        let mut horizons = thresholds.map(|_| Horizon::new(self.cut));
        let mut renewal = Renewal::default();
        let mut peak = f64::NEG_INFINITY;

        let level_odds = match series.side {
            Breach::Above => &self.odds_above,
            Breach::Below => &self.odds_below,
        };
        let mut quantiles = Quantiles::new(series.side, level_odds);
        let rows = series.quantiles.chunks_exact(level_odds.len().max(1));
        for (step, row) in rows.enumerate() {
            quantiles.load(row);
            let Some(median) = quantiles.median() else {
                continue;
            };
            peak = peak.max(median);
            renewal.add(quantiles.spread());
            for (horizon, threshold) in horizons.iter_mut().zip(oriented) {
                if let Some(log_odds) = quantiles.reach_log_odds(threshold) {
                    horizon.add(step, log_odds);
                }
            }
        }
        if peak == f64::NEG_INFINITY {
            return None;
        }

        let finding = |position: usize| {
            let horizon = &horizons[position];
            let (raw, raw_30m) = match beyond_range(metric, side, thresholds[position]) {
                Some(certain) => (certain, certain),
                None => (horizon.within(renewal.share()), horizon.soon()),
            };
            let probability = self.calibration.apply(raw);
            Finding {
                raw,
                raw_30m,
                breach: BreachForecast {
                    metric_index: index,
                    metric: metric.name.clone(),
                    unit: metric.unit.clone(),
                    derived: series.derived,
                    severity: SEVERITIES[position],
                    threshold: thresholds[position],
                    side,
                    current: series.current.is_finite().then_some(series.current),
                    probability,
                    probability_30m: self.calibration.apply_30m(raw_30m).min(probability),
                    now: passes(side, series.current, thresholds[position]),
                    expected_step: horizon.expected_step,
                    earliest_step: horizon.earliest_step,
                    latest_step: horizon.latest_step,
                    peak_median: series.in_metric_unit(peak),
                },
            }
        };
        debug_assert_eq!(SEVERITIES, [Level::Critical, Level::Warning]);
        Some(Verdict {
            critical: finding(0),
            warning: finding(1),
        })
    }

    fn series(&self, index: usize, metric: &Metric, side: Breach) -> Option<Series<'a>> {
        let observed = self.current.get(index).copied().map_or(f64::NAN, f64::from);
        if let Some(forecast) = self.forecast.metrics.get(index)? {
            return Some(Series {
                quantiles: Cow::Borrowed(&forecast.quantiles),
                current: observed,
                side,
                derived: false,
            });
        }
        let is_hidden = self.hidden.get(index).is_some_and(|hidden| *hidden);
        if is_hidden || metric.name != cpu::IDLE || side != Breach::Below {
            return None;
        }
        let quantiles = cpu::used_quantiles(self.schema, self.forecast)?;
        let used = cpu::used_now(self.schema, self.current);
        let current = if observed.is_finite() {
            observed
        } else {
            cpu::ALL - used
        };
        Some(Series {
            quantiles: Cow::Owned(quantiles),
            current,
            side: Breach::Above,
            derived: true,
        })
    }
}

/// What is certain because the threshold does not lie inside the legal range.
fn beyond_range(metric: &Metric, side: Breach, threshold: f64) -> Option<f64> {
    let (min, max) = (
        metric.min.unwrap_or(f64::NEG_INFINITY),
        metric.max.unwrap_or(f64::INFINITY),
    );
    let (never, always) = match side {
        Breach::Above => (threshold > max, threshold <= min),
        Breach::Below => (threshold < min, threshold >= max),
    };
    match (never, always) {
        (true, _) => Some(0.0),
        (_, true) => Some(1.0),
        _ => None,
    }
}
