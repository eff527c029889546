//! Windows of hosts that nobody knows.
//!
//! How a series goes on has little to do with its name, and few servers and dates are soon learned by heart: a model so
//! trained is good for those servers and poor for the next one. So some metrics of a window are given the course of
//! another one of the same host, at about their own level, and its dates are others. Each metric then learns from all
//! that the data hold, and one that a source does not have learns from that source too.
//!
//! Only where the profile is unknown: a profile says how a host's metrics run, and on which days.

use rand::Rng;
use rand::rngs::StdRng;

use super::Roughening;
use super::corpus::Track;
use super::mix::DAY_MS;
use super::sample::Shape;
use crate::weights::standard_normal;
use crate::window::is_observed;

/// Greatest share of a window's metrics that are given another's course.
const MOST_EXCHANGED: f64 = 0.6;
/// Standard deviation of the logarithm of the new level over the metric's own.
const LEVEL_SPREAD: f64 = 0.5;

/// Changes all that was read of a window, its future included.
pub(crate) fn disguise(
    track: &mut Track,
    shape: Shape<'_>,
    unknown_profile: &str,
    roughening: &Roughening,
    rng: &mut StdRng,
) {
    if rng.random_bool(roughening.drop_profile) {
        unknown_profile.clone_into(&mut track.profile);
    }
    if track.profile != unknown_profile {
        return;
    }
    if rng.random_bool(roughening.exchange) {
        exchange(track, shape, rng);
    }
    if rng.random_bool(roughening.redate) {
        track.first_bin_ms += DAY_MS * days_moved(rng);
    }
}

/// Gives some metrics, each on its own, the values of a random other one that was observed, times a factor: the mean
/// size becomes about the metric's own (without one, about the other's), and no value is above the metric's range.
fn exchange(track: &mut Track, shape: Shape<'_>, rng: &mut StdRng) {
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
        let spread = (LEVEL_SPREAD * standard_normal(rng)).exp() as f32;
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

/// To another date, more often than not on the same day of the week: a network could tell the few days of a trace apart
/// by their weekday, but weekdays do mean something.
fn days_moved(rng: &mut StdRng) -> i64 {
    match rng.random_bool(0.5) {
        true => 7 * rng.random_range(0..52),
        false => rng.random_range(0..364),
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
    use rand::SeedableRng;

    use super::*;
    use crate::schema_ref::SchemaRef;

    fn track(profile: &str, values: Vec<Vec<f32>>) -> Track {
        let bins = values[0].len();
        Track {
            profile: profile.to_owned(),
            first_bin_ms: 1_580_000_100_000,
            values,
            status: vec![1; bins],
        }
    }

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
        let track = track("generic", vec![load, cpu, vec![f32::NAN; 40]]);
        let mut rng = StdRng::seed_from_u64(1);
        let mut exchanged = [0; 3];
        for _ in 0..200 {
            let mut changed = track.clone();
            exchange(&mut changed, shape, &mut rng);
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
    fn only_hosts_without_a_profile_are_disguised() {
        let waves = |period: usize| (0..40).map(|bin| 1.0 + (bin % period) as f32).collect();
        let shape = Shape {
            encoder: 10,
            decoder: 10,
            asks: None,
            metrics: &[],
        };
        let mut rng = StdRng::seed_from_u64(2);
        let mut roughening = Roughening {
            exchange: 1.0,
            redate: 1.0,
            ..Roughening::NONE
        };
        let (mut exchanged, mut same_weekday, mut later) = (0, 0, 0);
        let plain = track("generic", vec![waves(7), waves(5)]);
        for _ in 0..200 {
            let mut changed = plain.clone();
            disguise(&mut changed, shape, "generic", &roughening, &mut rng);
            exchanged += u32::from(changed.values != plain.values);
            let apart = changed.first_bin_ms - plain.first_bin_ms;
            assert_eq!(apart % DAY_MS, 0, "the hour of the day stays");
            same_weekday += u32::from(apart % (7 * DAY_MS) == 0);
            later += u32::from(apart > 30 * DAY_MS);
        }
        assert!((20..180).contains(&exchanged), "{exchanged}");
        assert!((90..140).contains(&same_weekday), "{same_weekday}");
        assert!(later > 150, "{later}");

        let known = track("database", vec![waves(7), waves(5)]);
        let mut changed = known.clone();
        disguise(&mut changed, shape, "generic", &roughening, &mut rng);
        assert_eq!(changed, known);
        roughening.drop_profile = 1.0;
        disguise(&mut changed, shape, "generic", &roughening, &mut rng);
        assert_eq!(changed.profile, "generic");
        assert_ne!(changed.first_bin_ms, known.first_bin_ms);
    }

    #[test]
    fn what_was_never_observed_is_left() {
        let mut track = track("generic", vec![vec![f32::NAN; 4], vec![0.0; 4]]);
        let shape = Shape {
            encoder: 2,
            decoder: 2,
            asks: None,
            metrics: &[],
        };
        for seed in 0..20 {
            exchange(&mut track, shape, &mut StdRng::seed_from_u64(seed));
        }
        assert!(track.values[0].iter().all(|value| value.is_nan()));
        assert_eq!(track.values[1], [0.0; 4]);
    }
}
