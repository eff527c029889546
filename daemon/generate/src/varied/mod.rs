//! Servers of no kind: metrics that run in many ways, no two servers alike.
//!
//! A model that learned from a few dozen servers knows those; one that also learned from thousands of days that were
//! drawn at random has to read a server's ways from its own past (Ansari et al. 2024, Dooley et al. 2023 train on such
//! series alone). Each series adds up what [`rhythm`] and [`drift`] draw, with noise, and is brought into its metric's
//! range. Metrics of a server share causes more often than not. Profiles are unknown, no incidents are told.

mod clock;
mod drift;
mod rhythm;

use argus_schema::{Metric, Schema};
use argus_trace::Series;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::clock::Clock;
use crate::noise::{Correlated, mix, normal};
use crate::profiles::metric;
use crate::{FleetSpec, GeneratedServer};

/// Share of the metrics that a server has.
const PRESENT: f64 = 0.75;
/// Share of its metrics that run on their own and not as one of its [`CAUSES`] has them run.
const ALONE: f64 = 0.45;
/// What a server's metrics may have in common.
const CAUSES: usize = 2;

/// The server at a place in the fleet.
pub(crate) fn server(spec: &FleetSpec, place: u32) -> GeneratedServer {
    let rng = &mut StdRng::seed_from_u64(mix(spec.seed, u64::from(place)));
    let clock = Clock::new(spec);
    let phase = rng.random::<f64>();
    let causes: [Vec<f64>; CAUSES] = std::array::from_fn(|_| course(clock, phase, rng));
    let mut one = |(column, metric): (usize, &Metric)| {
        // Idle time is what the others leave, and a host's age runs one way only.
        let is_drawn = !matches!(column, metric::IDLE | metric::UPTIME);
        if !is_drawn || !rng.random_bool(PRESENT) {
            return vec![f32::NAN; clock.bins];
        }
        let mut values = match rng.random_bool(ALONE) {
            true => course(clock, phase, rng),
            false => {
                let mut values = causes[rng.random_range(0..CAUSES)].clone();
                add(
                    &mut values,
                    0.4 * rng.random::<f64>(),
                    &drift::drift(clock, rng),
                );
                values
            }
        };
        add_noise(&mut values, clock, rng);
        in_range(values, metric, rng)
    };
    let schema = Schema::server();
    let values = schema.metrics.iter().enumerate().map(&mut one).collect();
    let step_ms = i64::from(spec.step_secs) * 1_000;
    GeneratedServer {
        series: Series {
            name: format!("varied{place:05}"),
            profile: None,
            cores: None,
            times_ms: (0..clock.bins as i64)
                .map(|bin| spec.start_ms + bin * step_ms)
                .collect(),
            values,
            status: vec![0; clock.bins],
        },
        incidents: Vec::new(),
    }
}

/// One way to run, in no unit; `phase` is when the server's day begins, as a share of a day.
fn course(clock: Clock, phase: f64, rng: &mut StdRng) -> Vec<f64> {
    let mut values = drift::drift(clock, rng);
    let rhythms = [0, 1, 1, 1, 1, 2, 2][rng.random_range(0..7)];
    for _ in 0..rhythms {
        // What a server does by the day, it mostly does at about one time.
        let off = match rng.random_bool(0.7) {
            true => rng.random_range(-0.1..0.1),
            false => rng.random(),
        };
        let phase = (phase + off).rem_euclid(1.0);
        add(
            &mut values,
            log_uniform(0.2, 2.0, rng),
            &rhythm::rhythm(clock, phase, rng),
        );
    }
    if rng.random_bool(0.35) {
        add(
            &mut values,
            log_uniform(0.2, 2.0, rng),
            &drift::bursts(clock, rng),
        );
    }
    values
}

/// Noise of any size, with light or heavy tails, of one step or remembered, the same always or greater at greater values.
fn add_noise(values: &mut [f64], clock: Clock, rng: &mut StdRng) {
    let (mean, deviation) = mean_and_deviation(values);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let unit = deviation + 0.1;
    let size = log_uniform(0.01, 0.3, rng) * unit;
    let (is_heavy, is_remembered, is_relative) = (
        rng.random_bool(0.4),
        rng.random_bool(0.4),
        rng.random_bool(0.4),
    );
    let memory_secs = log_uniform(2.0, 12.0, rng) * clock.step_secs;
    let mut remembered = Correlated::new(memory_secs, clock.step_secs, rng);
    for value in values {
        let mut noise = normal(rng);
        if is_heavy {
            // Student's t with three degrees of freedom.
            let squares = (0..3).map(|_| normal(rng).powi(2)).sum::<f64>();
            noise /= (squares / 3.0).sqrt().max(0.05);
        }
        if is_remembered {
            noise = 0.5 * noise + 0.8 * remembered.next(rng);
        }
        let size = match is_relative {
            true => size * (*value - least) / unit.max(mean - least),
            false => size,
        };
        *value += size * noise;
    }
}

/// As values of a metric: at some level of its range or against its end, upside down or not, skewed or not, some mostly
/// zero, some rounded.
fn in_range(mut values: Vec<f64>, metric: &Metric, rng: &mut StdRng) -> Vec<f32> {
    let (_, deviation) = mean_and_deviation(&values);
    let middle = quantile(&values, 0.5);
    let sign = if rng.random_bool(0.25) { -1.0 } else { 1.0 };
    let is_skewed = rng.random_bool(0.45);
    let spread = match is_skewed {
        true => log_uniform(0.1, 1.0, rng),
        false => log_uniform(0.05, 0.7, rng),
    };
    for value in &mut values {
        let score = sign * spread * (*value - middle) / (deviation + 1e-6);
        *value = match is_skewed {
            true => score.clamp(-4.0, 4.0).exp(),
            false => (1.0 + score).max(0.0),
        };
    }
    if rng.random_bool(0.1) {
        let floor = quantile(&values, rng.random_range(0.2..0.8));
        values
            .iter_mut()
            .for_each(|value| *value = (*value - floor).max(0.0));
    }
    let level = match metric.max {
        Some(most) if metric.unit == "%" && rng.random_bool(0.4) => {
            most * rng.random_range(0.03..1.1)
        }
        Some(most) if metric.unit == "%" => most * log_uniform(0.001, 0.4, rng),
        _ => log_uniform(0.005, 200.0, rng),
    };
    let resolution = match metric.unit.as_str() {
        "count" => 1.0,
        _ if rng.random_bool(0.2) => {
            level * quantile(&values, 0.99) / log_uniform(10.0, 200.0, rng)
        }
        _ => 0.0,
    };
    let most = metric.max.unwrap_or(f64::INFINITY);
    let shown = |value: f64| {
        let value = level * value;
        let rounded = if resolution > 0.0 {
            (value / resolution).round() * resolution
        } else {
            value
        };
        rounded.min(most) as f32
    };
    values.into_iter().map(shown).collect()
}

fn add(values: &mut [f64], factor: f64, more: &[f64]) {
    for (value, more) in values.iter_mut().zip(more) {
        *value += factor * more;
    }
}

/// A number between two whose logarithm is uniform.
fn log_uniform(least: f64, most: f64, rng: &mut StdRng) -> f64 {
    rng.random_range(least.ln()..most.ln()).exp()
}

/// Mean and standard deviation.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    (mean, (squares / count).sqrt())
}

/// The value below which a share of all lies.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    match sorted.is_empty() {
        true => 0.0,
        false => *sorted.select_nth_unstable_by(place, f64::total_cmp).1,
    }
}
