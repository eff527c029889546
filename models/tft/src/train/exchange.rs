//! Windows in which some metrics run as others of the same host did.
//!
//! How a series goes on has little to do with its name, and a metric that few servers of a trace have is soon learned by
//! heart. So each metric now and then gets the course of another one, at about its own level: each then learns from all
//! that the data hold, and one that a source does not have learns from that source too.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::corpus::Track;
use super::sample::Shape;
use crate::weights::standard_normal;
use crate::window::is_observed;

/// Greatest share of a window's metrics that are given another's course.
const MOST_EXCHANGED: f64 = 0.6;
/// Standard deviation of the logarithm of the new level over the metric's own.
const LEVEL_SPREAD: f64 = 0.5;

/// Which metrics of a window get another's course.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exchange {
    seed: u64,
}

impl Exchange {
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        Self { seed: rng.random() }
    }

    /// Gives some metrics of a track, each on its own, the values of a random other one that was observed, times a
    /// factor: the mean size becomes about the metric's own (without one, about the other's), and no value leaves the
    /// metric's range.
    pub(crate) fn apply(self, track: &mut Track, shape: Shape<'_>) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let share = rng.random_range(0.0..MOST_EXCHANGED);
        let own = track.values.clone();
        let sizes: Vec<Option<Size>> = own.iter().map(|values| Size::of(values)).collect();
        let observed: Vec<(usize, Size)> = (sizes.iter().enumerate())
            .filter_map(|(metric, size)| Some((metric, (*size)?)))
            .collect();
        if observed.is_empty() {
            return;
        }
        for (metric, values) in track.values.iter_mut().enumerate() {
            if !rng.random_bool(share) {
                continue;
            }
            let (other, size) = observed[rng.random_range(0..observed.len())];
            let spread = (LEVEL_SPREAD * standard_normal(&mut rng)).exp() as f32;
            if other == metric {
                continue;
            }
            let level = spread * sizes[metric].unwrap_or(size).mean;
            let factor = (level / size.mean).min(shape.most(metric) / size.greatest);
            for (value, other) in values.iter_mut().zip(&own[other]) {
                *value = factor * other;
            }
        }
    }
}

/// How large a metric's values are, signs left out.
#[derive(Debug, Clone, Copy)]
struct Size {
    mean: f32,
    greatest: f32,
}

impl Size {
    /// `None` for what was never observed, or never anything but 0.
    fn of(values: &[f32]) -> Option<Self> {
        let sizes = || (values.iter().copied().filter(|value| is_observed(*value))).map(f32::abs);
        let sum: f64 = sizes().map(f64::from).sum();
        (sum > 0.0).then(|| Self {
            mean: (sum / sizes().count() as f64) as f32,
            greatest: sizes().fold(0.0, f32::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema_ref::SchemaRef;

    #[test]
    fn metrics_run_as_others_did_within_their_range() {
        let mut metrics = SchemaRef::sized(3, 0, 0).metrics;
        metrics[1].max = Some(100.0);
        metrics[2].max = Some(2.0);
        let shape = Shape {
            encoder: 10,
            decoder: 10,
            asks: None,
            metrics: &metrics,
        };
        let load: Vec<f32> = (0..40).map(|bin| (bin % 7) as f32).collect();
        let mut cpu: Vec<f32> = (0..40).map(|bin| 30.0 + (bin % 5) as f32).collect();
        cpu[20] = f32::NAN;
        let track = Track {
            profile: "generic".to_owned(),
            first_bin_ms: 0,
            values: vec![load, cpu, vec![f32::NAN; 40]],
            status: vec![1; 40],
        };
        let mut rng = StdRng::seed_from_u64(1);
        let mut exchanged = [0; 3];
        for _ in 0..200 {
            let mut changed = track.clone();
            Exchange::draw(&mut rng).apply(&mut changed, shape);
            for (metric, values) in changed.values.iter().enumerate() {
                let most = shape.most(metric);
                assert!(values.iter().all(|value| value.is_nan() || *value <= most));
                if values[1].to_bits() == track.values[metric][1].to_bits() {
                    continue;
                }
                exchanged[metric] += 1;
                let is_course = |other: &Vec<f32>| {
                    let factor = values[1] / other[1];
                    let close = |(value, other): (&f32, &f32)| {
                        (value - factor * other).abs() < 1e-3 || value.is_nan() && other.is_nan()
                    };
                    values.iter().zip(other).all(close)
                };
                let mut others = track.values.clone();
                others.remove(metric);
                assert!(others.iter().any(is_course), "{metric}: {values:?}");
            }
        }
        assert!(exchanged.iter().all(|count| *count > 20), "{exchanged:?}");
    }

    #[test]
    fn what_was_never_observed_is_left() {
        let mut track = Track {
            profile: "generic".to_owned(),
            first_bin_ms: 0,
            values: vec![vec![f32::NAN; 4], vec![0.0; 4]],
            status: vec![1; 4],
        };
        let shape = Shape {
            encoder: 2,
            decoder: 2,
            asks: None,
            metrics: &[],
        };
        for seed in 0..20 {
            Exchange { seed }.apply(&mut track, shape);
        }
        assert!(track.values[0].iter().all(|value| value.is_nan()));
        assert_eq!(track.values[1], [0.0; 4]);
    }
}
