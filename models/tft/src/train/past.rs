//! The bins up to a forecast, made to look like those of other hosts.

use rand::Rng;
use rand::rngs::StdRng;

use super::Roughening;
use super::corpus::Track;
use crate::weights::standard_normal;
use crate::window::is_observed;

/// Greatest usual change of level before an encoder: in standard deviations, and as the logarithm of a factor.
const MOST_SHIFTED: f32 = 0.8;

/// Makes what was read, of which the first so many bins lie before the encoder, look like that of other hosts.
pub(crate) fn roughen(
    track: &mut Track,
    before: usize,
    period: usize,
    roughening: &Roughening,
    rng: &mut StdRng,
) {
    if rng.random_bool(roughening.forget_periods) {
        forget_periods(&mut track.values, before, period, rng);
    }
    if rng.random_bool(roughening.shift_periods) {
        shift_periods(&mut track.values, before, period, rng);
    }
    if rng.random_bool(roughening.gaps) {
        add_gaps(track, before, rng);
    }
}

/// Takes some periods away from the first bins, those before an encoder, as if the entity had been off or unknown: the few
/// entities of a trace must not be told apart by it.
fn forget_periods(history: &mut [Vec<f32>], before: usize, period: usize, rng: &mut StdRng) {
    let share = rng.random_range(0.0..0.9);
    let lost: Vec<usize> = (0..before.div_ceil(period.max(1)))
        .filter(|_| rng.random_bool(share))
        .collect();
    for age in lost {
        let end = before - age * period;
        for values in &mut *history {
            values[end.saturating_sub(period)..end].fill(f32::NAN);
        }
    }
}

/// Changes the level of the first bins, those before an encoder, up to some period, and each period's a little: a
/// trace has few days, and seldom the one on which a server is given other work.
fn shift_periods(history: &mut [Vec<f32>], before: usize, period: usize, rng: &mut StdRng) {
    let period = period.max(1);
    let unshifted = rng.random_range(0..=before / period);
    let size = rng.random_range(0.0..MOST_SHIFTED);
    for values in history {
        let before = &mut values[..before];
        let spread = size * deviation(before);
        let mut normal = || standard_normal(rng) as f32;
        let (offset, factor) = (spread * normal(), (size * normal()).exp());
        for (age, of_period) in before.rchunks_mut(period).enumerate() {
            let own = 0.3 * spread * normal();
            let (offset, factor) = match age < unshifted {
                true => (own, 1.0),
                false => (own + offset, factor),
            };
            for value in of_period {
                *value = factor * *value + offset;
            }
        }
    }
}

/// Takes single bins or one stretch of the encoder away, which begins after so many bins; the newest bin stays, as a
/// forecast starts from one with data.
fn add_gaps(track: &mut Track, before: usize, rng: &mut StdRng) {
    let bins = track.values.first().map_or(0, Vec::len);
    let last = bins.saturating_sub(before + 1);
    if last == 0 {
        return;
    }
    let lost: Vec<usize> = if rng.random_bool(0.5) {
        let share = rng.random_range(0.02..0.4);
        (0..last).filter(|_| rng.random_bool(share)).collect()
    } else {
        let start = rng.random_range(0..last);
        let end = start + rng.random_range(1..=(last - start).min(100));
        (start..end).collect()
    };
    for bin in lost {
        for values in &mut track.values {
            values[before + bin] = f32::NAN;
        }
        track.status[before + bin] = 0;
    }
}

/// Standard deviation of the observed values; 0 without any.
fn deviation(values: &[f32]) -> f32 {
    let observed = || values.iter().filter(|value| is_observed(**value));
    let count = observed().count().max(1) as f64;
    let mean = observed().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = observed().map(|value| (f64::from(*value) - mean).powi(2));
    (squares.sum::<f64>() / count).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn periods_are_shifted_each_as_a_whole() {
        let wave = |bin: i32| (bin % 10) as f32;
        let mut rng = StdRng::seed_from_u64(5);
        let (mut kept, mut changed) = (0, 0);
        for _ in 0..50 {
            let mut history = vec![(0..44).map(wave).collect::<Vec<f32>>(); 2];
            history[0][15] = f32::NAN;
            let plain = history.clone();
            shift_periods(&mut history, 34, 10, &mut rng);
            assert!(history[0][15].is_nan());
            for (shifted, plain) in history.iter().zip(&plain) {
                assert_eq!(shifted[34..], plain[34..]);
                for period in [0..4, 4..14, 16..24, 24..34] {
                    let step = shifted[period.start + 1] - shifted[period.start];
                    let factor = step / (plain[period.start + 1] - plain[period.start]);
                    let offset = shifted[period.start] - factor * plain[period.start];
                    for bin in period {
                        assert!((shifted[bin] - factor * plain[bin] - offset).abs() < 1e-4);
                    }
                    match (factor - 1.0).abs() < 1e-4 {
                        true => kept += 1,
                        false => changed += 1,
                    }
                }
            }
        }
        assert!(kept > 50 && changed > 50, "{kept} {changed}");
    }

    #[test]
    fn whole_periods_are_forgotten() {
        let mut rng = StdRng::seed_from_u64(3);
        let (mut kept, mut lost) = (0, 0);
        for _ in 0..50 {
            let mut before = vec![vec![1.0; 44]; 2];
            forget_periods(&mut before, 44, 10, &mut rng);
            assert_eq!(before[0].len(), 44);
            for period in [0..4, 4..14, 14..24, 24..34, 34..44] {
                let missing = |values: &Vec<f32>| {
                    let of_period = &values[period.clone()];
                    of_period.iter().filter(|value| value.is_nan()).count()
                };
                assert_eq!(missing(&before[0]), missing(&before[1]));
                match missing(&before[0]) {
                    0 => kept += 1,
                    all => {
                        assert_eq!(all, period.len());
                        lost += 1;
                    }
                }
            }
        }
        assert!(kept > 50 && lost > 50, "{kept} kept, {lost} lost");
    }
}
