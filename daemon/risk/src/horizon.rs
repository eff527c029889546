//! From the probability at each step to the probability at any step.
//!
//! Quantile forecasts say how probable a breach is *at* each step, not how the steps hang together. Two bounds are known:
//!
//! * `low` = the maximum over the steps. True if the steps are comonotonic: the uncertainty is one level that the whole
//!   horizon shares (a disk that fills, a leak). A lower bound in any case.
//! * `high` = `1 − ∏(1 − max of a block)` over at most four consecutive blocks (of 2 hours at the default step): steps
//!   within a block move together, blocks are drawn anew. Treating all 96 steps as independent would turn 1 % per step
//!   into 62 % and page for every noisy metric.
//!
//! Where between them, the forecast itself says: if the spread is as wide at the first step as later, the uncertainty
//! is noise that is drawn anew (`high`); if it starts narrow and grows, it is drift that accumulates and persists
//! (`low`). With `w` = spread of the first step / greatest spread, `p = low + w · (high − low)`.
//!
//! The blend is shift-invariant and monotone in every step's probability; the isotonic calibration that follows
//! corrects what remains of its bias, so what matters most is that it ranks well.

use crate::exceedance::probability;

const BLOCK_SECS: u64 = 2 * 3600;
const MAX_BLOCKS: usize = 4;
const SOON_SECS: u32 = 30 * 60;

/// How a horizon is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    block_steps: usize,
    soon_steps: usize,
}

impl Cut {
    /// For a horizon of `steps` steps of `step_secs` seconds.
    pub fn new(steps: usize, step_secs: u32) -> Self {
        let step_secs = step_secs.max(1);
        let block = usize::try_from(BLOCK_SECS / u64::from(step_secs)).unwrap_or(usize::MAX);
        Self {
            block_steps: block.max(steps.div_ceil(MAX_BLOCKS)).max(1),
            // A step longer than half an hour: the first one is the nearest to an answer.
            soon_steps: usize::try_from(SOON_SECS / step_secs)
                .unwrap_or(usize::MAX)
                .max(1),
        }
    }

    /// Steps within 30 minutes.
    pub fn soon_steps(self) -> usize {
        self.soon_steps
    }
}

/// Gathers one threshold's log-odds step by step.
#[derive(Debug, Clone)]
pub(crate) struct Horizon {
    cut: Cut,
    /// The block that the newest step belongs to, and the first position after it.
    block: usize,
    block_end: usize,
    blocks: [f64; MAX_BLOCKS],
    soon: f64,
    pub expected_step: Option<u32>,
    pub earliest_step: Option<u32>,
    pub latest_step: Option<u32>,
}

/// ln(.9 / .1): the odds at which p90 (p10 on the low side) passes the threshold.
const DECILE_LOG_ODDS: f64 = 2.197_224_577_336_22;
/// Levels are `f32`, so that the decile's log-odds are off by about 1e-7.
const ODDS_SLACK: f64 = 1e-5;

impl Horizon {
    pub fn new(cut: Cut) -> Self {
        Self {
            cut,
            block: 0,
            block_end: cut.block_steps,
            blocks: [f64::NEG_INFINITY; MAX_BLOCKS],
            soon: f64::NEG_INFINITY,
            expected_step: None,
            earliest_step: None,
            latest_step: None,
        }
    }

    /// Adds the step at position `index` (from 0); steps come in order, some may be left out.
    pub fn add(&mut self, index: usize, log_odds: f64) {
        while index >= self.block_end && self.block + 1 < MAX_BLOCKS {
            self.block += 1;
            self.block_end += self.cut.block_steps;
        }
        self.blocks[self.block] = self.blocks[self.block].max(log_odds);
        if index < self.cut.soon_steps {
            self.soon = self.soon.max(log_odds);
        }
        // Far from the threshold, as most steps are.
        if log_odds < -DECILE_LOG_ODDS - ODDS_SLACK {
            return;
        }
        let first_at = |step: &mut Option<u32>, least: f64| {
            if step.is_none() && log_odds >= least - ODDS_SLACK {
                *step = u32::try_from(index + 1).ok();
            }
        };
        first_at(&mut self.earliest_step, -DECILE_LOG_ODDS);
        first_at(&mut self.expected_step, 0.0);
        first_at(&mut self.latest_step, DECILE_LOG_ODDS);
    }

    /// Probability over the horizon; `renewal` is the `w` of the module's formula, 0 to 1.
    pub fn within(&self, renewal: f64) -> f64 {
        let per_block = self.blocks.map(probability);
        let low = per_block.iter().fold(0.0, |most: f64, p| most.max(*p));
        let high = 1.0 - per_block.iter().map(|p| 1.0 - p).product::<f64>();
        (low + renewal * (high - low)).clamp(low, 1.0)
    }

    /// Probability within 30 minutes, which is a single block.
    pub fn soon(&self) -> f64 {
        probability(self.soon)
    }
}

/// Spread of the first step over the greatest spread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Renewal {
    first: Option<f64>,
    greatest: f64,
}

impl Renewal {
    /// Adds the spread of the next step.
    pub fn add(&mut self, spread: f64) {
        self.first.get_or_insert(spread);
        self.greatest = self.greatest.max(spread);
    }

    /// 0 (drift, or no spread at all) to 1 (noise).
    pub fn share(self) -> f64 {
        match self.first {
            Some(first) if self.greatest > 0.0 => (first / self.greatest).clamp(0.0, 1.0),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exceedance::log_odds;

    fn constant(steps: usize, step_secs: u32, p: f64) -> Horizon {
        let mut horizon = Horizon::new(Cut::new(steps, step_secs));
        (0..steps).for_each(|i| horizon.add(i, log_odds(p)));
        horizon
    }

    #[test]
    fn lies_between_comonotonic_and_four_independent_blocks() {
        let horizon = constant(96, 300, 0.01);
        assert!((horizon.within(0.0) - 0.01).abs() < 1e-12);
        assert!((horizon.within(1.0) - (1.0 - 0.99_f64.powi(4))).abs() < 1e-12);
        assert!((horizon.soon() - 0.01).abs() < 1e-12);
    }

    #[test]
    fn a_short_horizon_is_one_block_and_a_long_one_at_most_four() {
        assert!((constant(96, 10, 0.2).within(1.0) - 0.2).abs() < 1e-12);
        assert!((constant(96, 3600, 0.2).within(1.0) - (1.0 - 0.8_f64.powi(4))).abs() < 1e-12);
    }

    #[test]
    fn thirty_minutes_follow_the_step_length() {
        for (step_secs, last_step_within) in [(300, 6), (60, 30), (900, 2), (1800, 1), (3600, 1)] {
            let mut horizon = Horizon::new(Cut::new(96, step_secs));
            (0..96).for_each(|i| {
                horizon.add(
                    i,
                    if i + 1 == last_step_within {
                        0.0
                    } else {
                        -20.0
                    },
                )
            });
            assert!((horizon.soon() - 0.5).abs() < 1e-9, "{step_secs} s");
            let mut later = Horizon::new(Cut::new(96, step_secs));
            (0..96).for_each(|i| later.add(i, if i == last_step_within { 0.0 } else { -20.0 }));
            assert!(later.soon() < 1e-6, "{step_secs} s");
        }
    }

    #[test]
    fn steps_of_passing_are_ordered() {
        let mut horizon = Horizon::new(Cut::new(96, 300));
        (0..96).for_each(|i| horizon.add(i, log_odds((i as f64 + 0.5) / 97.0)));
        assert_eq!(
            (
                horizon.earliest_step,
                horizon.expected_step,
                horizon.latest_step
            ),
            (Some(11), Some(49), Some(88))
        );
    }
}
