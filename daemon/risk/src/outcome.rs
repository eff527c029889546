//! What came of a forecast: whether a critical threshold was passed.

use crate::horizon::Cut;
use crate::{Subject, cpu, passes};

/// Least share of a horizon's steps with an observation; with fewer nobody knows what was missed.
const LEAST_OBSERVED: f64 = 0.9;

/// Whether an entity passed a critical threshold after a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Within the horizon.
    pub within_horizon: bool,
    /// Within 30 minutes.
    pub within_30m: bool,
}

impl Subject<'_> {
    /// What came true in the bins after a forecast, one series for each metric; counted are the metrics that
    /// [`argus_fleet::Risk::assessed`] names. `None` where less than nine tenths of the horizon were observed.
    pub fn outcome(
        &self,
        assessed: u64,
        future: &[&[f32]],
        horizon: usize,
        step_secs: u32,
    ) -> Option<Outcome> {
        let conditions: Vec<_> = (self.schema.metrics.iter().enumerate().take(64))
            .filter(|(index, _)| assessed & (1 << index) != 0)
            .filter_map(|(index, metric)| {
                let critical = self.limits(index)?.critical;
                Some((index, metric.name == cpu::IDLE, metric.breach?, critical))
            })
            .collect();
        let at = |index: usize, step: usize| {
            let series = future.get(index).copied().unwrap_or_default();
            series.get(step).copied().unwrap_or(f32::NAN)
        };
        let mut observed = 0;
        let mut first = None;
        for step in 0..horizon {
            let mut any = false;
            for &(index, is_idle, side, limit) in &conditions {
                let mut value = f64::from(at(index, step));
                if value.is_nan() && is_idle {
                    let now: Vec<f32> = (0..future.len()).map(|index| at(index, step)).collect();
                    value = cpu::ALL - cpu::used_now(self.schema, &now);
                }
                any |= !value.is_nan();
                if passes(side, value, limit) {
                    first.get_or_insert(step);
                }
            }
            observed += usize::from(any);
        }
        let soon = Cut::new(horizon, step_secs).soon_steps();
        (observed > 0 && observed as f64 >= LEAST_OBSERVED * horizon as f64).then_some(Outcome {
            within_horizon: first.is_some(),
            within_30m: first.is_some_and(|step| step < soon),
        })
    }
}
