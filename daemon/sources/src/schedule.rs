//! When the next poll is due. Pure: time and chance come in.

use std::time::Duration;

/// When a source is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From the start of one poll to the start of the next, while nothing waits to be fetched.
    pub interval: Duration,
    /// Pause after a first failure; each further one doubles it.
    pub first_backoff: Duration,
    /// Longest pause after failures.
    pub max_backoff: Duration,
    /// Most records of one poll.
    pub max_records: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            first_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(300),
            max_records: 5_000,
        }
    }
}

/// Batches in a row that may bring nothing and say that there is more, before there are pauses between them.
const FREE_EMPTY_BATCHES: u32 = 3;
/// The first of these pauses; each further one doubles it.
const FIRST_EMPTY_PAUSE: Duration = Duration::from_millis(100);

/// Part of a pause that is left to chance, so that many sources do not ask one server at the same moment.
const JITTER: f64 = 0.1;

impl Schedule {
    /// Time until the next poll after one that began `elapsed` ago and left nothing to fetch. `chance` lies in 0 to 1.
    pub(crate) fn after_success(&self, elapsed: Duration, chance: f64) -> Duration {
        jittered(self.interval, chance).saturating_sub(elapsed)
    }

    /// Time until the next poll of a source that says there is more, after `empty` batches in a row without a record.
    pub(crate) fn after_empty(&self, empty: u32, chance: f64) -> Duration {
        let Some(doublings) = empty.checked_sub(FREE_EMPTY_BATCHES + 1) else {
            return Duration::ZERO;
        };
        let pause = FIRST_EMPTY_PAUSE.saturating_mul(1 << doublings.min(31));
        jittered(pause.min(self.interval), chance)
    }

    /// Time until the next poll after `failures` (at least 1) in a row. `asked` is what the far side asked for.
    pub(crate) fn after_failure(
        &self,
        failures: u32,
        asked: Option<Duration>,
        chance: f64,
    ) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let pause = self.first_backoff.saturating_mul(1 << doublings);
        jittered(pause.min(self.max_backoff), chance).max(asked.unwrap_or_default())
    }
}

fn jittered(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

/// Chance from a seed: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Debug)]
pub(crate) struct Chance(pub u64);

impl Chance {
    /// A number from 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        interval: Duration::from_secs(10),
        first_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(60),
        max_records: 1,
    };

    #[test]
    fn the_interval_is_counted_from_start_to_start() {
        let after = |elapsed_secs, chance| {
            SCHEDULE.after_success(Duration::from_secs(elapsed_secs), chance)
        };
        assert_eq!(after(0, 0.5), Duration::from_secs(10));
        assert_eq!(after(3, 0.5), Duration::from_secs(7));
        assert_eq!(after(30, 0.5), Duration::ZERO, "late polls do not pile up");
        assert_eq!(
            (after(0, 0.0), after(0, 1.0)),
            (Duration::from_secs(9), Duration::from_secs(11))
        );
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u64> = (1..=9)
            .map(|failures| SCHEDULE.after_failure(failures, None, 0.5).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(SCHEDULE.after_failure(u32::MAX, None, 0.5).as_secs(), 60);
        let asked = Some(Duration::from_secs(90));
        assert_eq!(SCHEDULE.after_failure(1, asked, 0.5).as_secs(), 90);
    }

    #[test]
    fn empty_batches_are_free_at_first_and_then_cost_up_to_the_interval() {
        let pauses: Vec<_> = (0..=12)
            .map(|empty| SCHEDULE.after_empty(empty, 0.5).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [
                0, 0, 0, 0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000
            ]
        );
        assert_eq!(SCHEDULE.after_empty(u32::MAX, 0.5).as_secs(), 10);
    }

    #[test]
    fn chance_lies_between_its_bounds_and_moves() {
        let mut chance = Chance(7);
        let drawn: Vec<f64> = (0..1000).map(|_| chance.next()).collect();
        assert!(drawn.iter().all(|x| (0.0..=1.0).contains(x)));
        let mean = drawn.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
