//! Windows that are averages of two: servers, and days of servers, that the data do not have.
//!
//! A trace has few servers and few days, and a network learns them by heart. Averages of two servers in random shares,
//! or of a server on two days, are plausible hosts too, of which there are as many as one likes. Each metric has a share
//! of its own: with one for all, every metric would tell that a window is an average, whose forecasts are surer, and a
//! forecast would come to hang on metrics that have nothing to do with it. So percentages do not add up here.

use std::ops::Range;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::TrainError;
use super::corpus::{Corpus, Track, WindowRef};
use super::sample::Shape;

/// Days that what is mixed may lie apart.
const MOST_DAYS_APART: i64 = 6;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Another track of the same source, whose values are averaged with a window's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mix {
    track: usize,
    /// What lies beside bin `b` of the window's own track is bin `b + offset` of this one.
    offset: i64,
    /// Of its share in each metric's values.
    seed: u64,
}

impl Mix {
    /// A random track and share, at the same time of the day of one of the last days. `None` if it does not know the
    /// whole of the window's encoder and decoder, or what of it lies there is not learned from.
    pub(crate) fn draw(
        corpus: &dyn Corpus,
        window: WindowRef,
        shape: Shape<'_>,
        end: usize,
        rng: &mut StdRng,
    ) -> Option<Self> {
        let spans = corpus.spans(window.source);
        let track = rng.random_range(0..spans.len());
        let step_ms = i64::from(corpus.step_secs().max(1)) * 1_000;
        let earlier = rng.random_range(0..=MOST_DAYS_APART) * (DAY_MS / step_ms).max(1);
        let seed = rng.random();
        let apart = spans[window.track].first_bin_ms - spans[track].first_bin_ms;
        let offset = apart / step_ms - earlier;
        let bins = shape.near_bins(window, end);
        let is_known = bins.start as i64 + offset >= 0
            && bins.end as i64 + offset <= spans[track].learned as i64;
        is_known.then_some(Self {
            track,
            offset,
            seed,
        })
    }
}

/// Bins of a window's track, mixed. What one of the two does not know is missing.
pub(crate) fn read_mixed(
    corpus: &dyn Corpus,
    window: WindowRef,
    mix: Option<Mix>,
    bins: Range<usize>,
) -> Result<Track, TrainError> {
    let mut track = corpus.read(window.source, window.track, bins.clone())?;
    let Some(mix) = mix else { return Ok(track) };
    let all = corpus.spans(window.source)[mix.track].bins as i64;
    let beside = |bin: usize| (bin as i64 + mix.offset).clamp(0, all) as usize;
    let other = corpus.read(
        window.source,
        mix.track,
        beside(bins.start)..beside(bins.end),
    )?;
    let mut shares = StdRng::seed_from_u64(mix.seed);
    for (values, others) in track.values.iter_mut().zip(&other.values) {
        let share: f32 = shares.random_range(0.0..1.0);
        let unknown = values.len() - others.len();
        values[..unknown].fill(f32::NAN);
        for (value, other) in values[unknown..].iter_mut().zip(others) {
            *value += share * (other - *value);
        }
    }
    Ok(track)
}

#[cfg(test)]
mod tests {
    use super::super::corpus::{MemoryCorpus, Source};
    use super::*;

    /// Five bins a day.
    const STEP_SECS: u32 = 17_280;

    fn corpus() -> MemoryCorpus {
        let track = |first_bin: i64, value: f32| Track {
            profile: "database".to_owned(),
            first_bin_ms: first_bin * i64::from(STEP_SECS) * 1_000,
            values: vec![(0..60).map(|bin| value + bin as f32).collect(); 2],
            status: vec![1; 60],
        };
        let source = Source {
            name: "a".to_owned(),
            share: 1.0,
        };
        let unlearned = vec![track(0, 1e6)];
        MemoryCorpus::new(
            STEP_SECS,
            vec![(source, vec![track(0, 0.0), track(10, 100.0)], unlearned)],
        )
    }

    const WINDOW: WindowRef = WindowRef {
        source: 0,
        track: 0,
        origin: 30,
    };

    #[test]
    fn a_mixed_window_lies_between_its_two() {
        let mix = Some(Mix {
            track: 1,
            offset: -10,
            seed: 3,
        });
        let mixed = read_mixed(&corpus(), WINDOW, mix, 5..20).expect("is in memory");
        let shares = mixed.values.iter().map(|values| {
            // Ten bins of the own track come before the other's first one.
            assert!(values[..5].iter().all(|value| value.is_nan()));
            let share = (values[5] - 10.0) / 90.0;
            for (bin, value) in (10..20).zip(&values[5..]) {
                let (own, other) = (bin as f32, (100 + bin - 10) as f32);
                assert!((value - (own + share * (other - own))).abs() < 1e-3);
            }
            assert!((0.0..1.0).contains(&share), "{share}");
            share
        });
        let shares: Vec<f32> = shares.collect();
        assert_ne!(shares[0], shares[1]);
        assert_eq!((mixed.first_bin_ms, mixed.status.len()), (86_400_000, 15));
    }

    #[test]
    fn only_what_is_learned_from_is_mixed_in() {
        let (corpus, mut rng) = (corpus(), StdRng::seed_from_u64(5));
        let shape = Shape {
            encoder: 12,
            decoder: 12,
            asks: None,
            metrics: &[],
        };
        let mut drawn = [0; 3];
        for _ in 0..600 {
            if let Some(mix) = Mix::draw(&corpus, WINDOW, shape, 60, &mut rng) {
                drawn[mix.track] += 1;
                let read = read_mixed(&corpus, WINDOW, Some(mix), 19..43).expect("is in memory");
                assert!(read.values[0].iter().all(|value| *value < 200.0));
            }
        }
        assert!(drawn[0] > 20 && drawn[1] > 20 && drawn[2] == 0, "{drawn:?}");
    }
}
