//! Bins counted in days.

use crate::FleetSpec;

/// The bins of a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) bins: usize,
    pub(super) step_secs: f64,
    pub(super) per_day: f64,
}

impl Clock {
    pub(super) fn new(spec: &FleetSpec) -> Self {
        let step_secs = f64::from(spec.step_secs);
        Self {
            bins: spec.steps(),
            step_secs,
            per_day: 86_400.0 / step_secs,
        }
    }

    /// Days that the span touches, wherever in it days begin.
    pub(super) fn days(self) -> usize {
        (self.bins as f64 / self.per_day).ceil() as usize + 1
    }

    /// Day and share of it that has passed at a bin, where days begin at `phase`, a share of one.
    pub(super) fn at(self, bin: usize, phase: f64) -> (usize, f64) {
        let days = bin as f64 / self.per_day + 1.0 - phase;
        (days as usize, days.fract())
    }
}
