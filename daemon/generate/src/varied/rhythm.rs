//! What comes back every day.

use std::f64::consts::TAU;

use rand::Rng;
use rand::rngs::StdRng;

use super::clock::Clock;
use super::log_uniform;
use crate::noise::normal;

/// Jobs a day that runs at fixed times; how often each comes up is how often it is listed.
const JOBS_PER_DAY: [usize; 10] = [24, 24, 12, 8, 6, 4, 4, 3, 2, 1];

/// A value between about 0 and 1 for each bin: a pattern of a day, stronger on some days than on others.
pub(super) fn rhythm(clock: Clock, phase: f64, rng: &mut StdRng) -> Vec<f64> {
    let strength = strengths(clock.days(), rng);
    let pattern = match rng.random_range(0..10) {
        0..3 => waves(rng),
        3..6 => humps(clock.days(), rng),
        6..8 => sawtooth(clock.days(), rng),
        _ => jobs(clock, rng),
    };
    let value = |bin| {
        let (day, at) = clock.at(bin, phase);
        strength[day] * pattern(day, at)
    };
    (0..clock.bins).map(value).collect()
}

/// A pattern: from the number of a day and the share of it that has passed, 0 to 1.
type Pattern = Box<dyn Fn(usize, f64) -> f64>;

/// How strong each day's pattern is, from the day's beginning on, wherever the pattern then is: near the day before, and
/// for half of the series less or hardly at all at weekends.
fn strengths(days: usize, rng: &mut StdRng) -> Vec<f64> {
    let spread = rng.random_range(0.0..0.35);
    let mut strengths = by_day(days, spread, rng);
    if rng.random_bool(0.5) {
        let (offset, weekend) = (rng.random_range(0..7), rng.random_range(0.0..0.9));
        for (day, strength) in strengths.iter_mut().enumerate() {
            if (day + offset) % 7 < 2 {
                *strength *= 1.0 - weekend;
            }
        }
    }
    strengths
}

/// A factor about 1 for each day that keeps half of its deviation from one to the next; `spread` is the standard
/// deviation of its logarithm.
fn by_day(days: usize, spread: f64, rng: &mut StdRng) -> Vec<f64> {
    let mut score = normal(rng);
    (0..days)
        .map(|_| {
            score = 0.5 * score + 0.75_f64.sqrt() * normal(rng);
            (spread * score).exp()
        })
        .collect()
}

fn waves(rng: &mut StdRng) -> Pattern {
    let count = rng.random_range(1..6);
    let waves: Vec<(f64, f64, f64)> = (1..=count)
        .map(|number| {
            let times_a_day = f64::from(number);
            (times_a_day, normal(rng) / times_a_day, rng.random())
        })
        .collect();
    let size = 2.0 * waves.iter().map(|(_, size, _)| size.abs()).sum::<f64>() + 1e-9;
    Box::new(move |_, at| {
        let sum =
            |(times, size, phase): &(f64, f64, f64)| size * (TAU * (times * at + phase)).cos();
        0.5 + waves.iter().map(sum).sum::<f64>() / size
    })
}

/// Up to three times of the day at which there is more, each with its own edges.
fn humps(days: usize, rng: &mut StdRng) -> Pattern {
    struct Hump {
        start: Vec<f64>,
        length: f64,
        rise: f64,
        fall: f64,
        height: Vec<f64>,
    }
    let count = rng.random_range(1..4);
    let humps: Vec<Hump> = (0..count)
        .map(|_| {
            let (start, late) = (rng.random::<f64>(), rng.random_range(0.0..0.01));
            let size = log_uniform(0.3, 1.0, rng);
            let spread = rng.random_range(0.0..0.5);
            Hump {
                start: (0..days).map(|_| start + late * normal(rng)).collect(),
                length: log_uniform(0.03, 0.5, rng),
                rise: log_uniform(0.002, 0.1, rng),
                fall: log_uniform(0.002, 0.1, rng),
                height: (by_day(days, spread, rng).into_iter())
                    .map(|factor| size * factor)
                    .collect(),
            }
        })
        .collect();
    Box::new(move |day, at| {
        let height = |hump: &Hump| {
            let since = (at - hump.start[day]).rem_euclid(1.0);
            let up = (since / hump.rise).min(1.0);
            let down = ((hump.length - since) / hump.fall).clamp(0.0, 1.0);
            hump.height[day] * up * down
        };
        humps.iter().map(height).sum()
    })
}

/// Grows (or, seldom, shrinks) all day and starts again: memory until a nightly restart, logs until they are rotated.
fn sawtooth(days: usize, rng: &mut StdRng) -> Pattern {
    let base = rng.random::<f64>();
    let bent = log_uniform(0.4, 2.5, rng);
    let bends = if rng.random_bool(0.3) { 0.3 } else { 0.0 };
    let spread = rng.random_range(0.0..0.5);
    let starts: Vec<f64> = (0..days)
        .map(|_| base * (0.5 * normal(rng)).abs())
        .collect();
    let growths = by_day(days, spread, rng);
    let powers: Vec<f64> = (by_day(days, bends, rng).into_iter())
        .map(|factor| bent * factor)
        .collect();
    let shrinks = rng.random_bool(0.2);
    let most = rng.random_range(0.6..2.0);
    Box::new(move |day, at| {
        let passed = if shrinks { 1.0 - at } else { at };
        (starts[day] + growths[day] * passed.powf(powers[day])).min(most)
    })
}

/// Runs at fixed times, some longer or harder than others, some left out.
fn jobs(clock: Clock, rng: &mut StdRng) -> Pattern {
    let per_day = JOBS_PER_DAY[rng.random_range(0..JOBS_PER_DAY.len())];
    let every = 1.0 / per_day as f64;
    let usual = log_uniform((1.0 / clock.per_day).min(0.3 * every), 0.6 * every, rng);
    let (harder, longer) = (rng.random_range(0.0..0.6), rng.random_range(0.0..0.4));
    let left_out = match rng.random_bool(0.3) {
        true => rng.random_range(0.0..0.3),
        false => 0.0,
    };
    let runs: Vec<(f64, f64)> = (0..clock.days() * per_day)
        .map(|_| {
            let size = if rng.random_bool(left_out) {
                0.0
            } else {
                (harder * normal(rng)).exp()
            };
            (size, usual * (longer * normal(rng)).exp())
        })
        .collect();
    Box::new(move |day, at| {
        let turn = ((at / every) as usize).min(per_day - 1);
        let (size, length) = runs[day * per_day + turn];
        if at - turn as f64 * every < length {
            size
        } else {
            0.0
        }
    })
}
