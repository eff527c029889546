//! What does not come back with the day.

use rand::Rng;
use rand::rngs::StdRng;

use super::clock::Clock;
use super::log_uniform;
use crate::noise::{Correlated, exponential, normal};

/// Slow change of any kind, or none: wandering about a level or away from it, changes of level, leaks that a restart
/// now and then ends, a trend.
pub(super) fn drift(clock: Clock, rng: &mut StdRng) -> Vec<f64> {
    let mut values = vec![0.0; clock.bins];
    let day_secs = clock.per_day * clock.step_secs;
    if rng.random_bool(0.6) {
        let (size, memory) = (
            log_uniform(0.05, 0.8, rng),
            log_uniform(0.04, 3.0, rng) * day_secs,
        );
        let mut wandering = Correlated::new(memory, clock.step_secs, rng);
        values
            .iter_mut()
            .for_each(|value| *value += size * wandering.next(rng));
    }
    if rng.random_bool(0.3) {
        let size = log_uniform(0.03, 0.3, rng) / clock.per_day.sqrt();
        let mut at = 0.0;
        for value in &mut values {
            at += size * normal(rng);
            *value += at;
        }
    }
    if rng.random_bool(0.3) {
        for _ in 0..rng.random_range(1..5) {
            let from = rng.random_range(0..clock.bins.max(1));
            let change = log_uniform(0.2, 1.5, rng) * normal(rng);
            values[from..].iter_mut().for_each(|value| *value += change);
        }
    }
    if rng.random_bool(0.15) {
        leak(&mut values, clock, rng);
    }
    if rng.random_bool(0.15) {
        let change = rng.random_range(-1.0..1.0) / clock.bins.max(1) as f64;
        values
            .iter_mut()
            .enumerate()
            .for_each(|(bin, value)| *value += change * bin as f64);
    }
    values
}

/// Grows evenly until a restart, about once in so many days.
fn leak(values: &mut [f64], clock: Clock, rng: &mut StdRng) {
    let usual = log_uniform(0.5, 6.0, rng) * clock.per_day;
    let size = log_uniform(0.3, 2.0, rng);
    let mut rest = values;
    while !rest.is_empty() {
        let length = (usual * (0.3 * normal(rng)).exp()) as usize + 1;
        let (until_restart, after) = rest.split_at_mut(length.min(rest.len()));
        for (bin, value) in until_restart.iter_mut().enumerate() {
            *value += size * bin as f64 / usual;
        }
        rest = after;
    }
}

/// Now and then more for a while: each burst dies away, or ends at once. Some are seldom, short and of another size than
/// all else.
pub(super) fn bursts(clock: Clock, rng: &mut StdRng) -> Vec<f64> {
    let mut values = vec![0.0; clock.bins];
    let is_glitch = rng.random_bool(0.3);
    let (times_a_day, lasts, usual) = match is_glitch {
        true => (log_uniform(0.1, 2.0, rng), 1.0, log_uniform(1.0, 20.0, rng)),
        false => (
            log_uniform(0.3, 12.0, rng),
            log_uniform(1.0, 48.0, rng),
            1.0,
        ),
    };
    let between = clock.per_day / times_a_day;
    let length = lasts * clock.per_day / 288.0;
    let dies_away = !is_glitch && rng.random_bool(0.5);
    let mut start = exponential(rng, between);
    while (start as usize) < clock.bins {
        let size = usual * (0.7 * normal(rng)).exp();
        let lasts = if dies_away { 6.0 * length } else { length } as usize + 1;
        for (bin, value) in values[start as usize..].iter_mut().take(lasts).enumerate() {
            *value += if dies_away {
                size * (-(bin as f64) / length).exp()
            } else {
                size
            };
        }
        start += exponential(rng, between);
    }
    values
}
