//! One training window: how it is read, and how it is roughened.

use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

use super::corpus::{Corpus, LEAST_STEPS, Track, WindowRef};
use super::mix::{Mix, read_mixed};
use super::{Roughening, TrainError};
use crate::model_config::ModelConfig;
use crate::usual::Usual;
use crate::weights::standard_normal;
use crate::window::{Future, Window, is_observed};

/// Greatest usual change of level before an encoder: in standard deviations, and as the logarithm of a factor.
const MOST_SHIFTED: f32 = 0.8;

/// A window and its future, cut out of a track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Position of its source in the corpus.
    pub(crate) source: usize,
    end_bin_ms: i64,
    step_secs: u32,
    profile: String,
    /// `[metric][encoder bin]`.
    past: Vec<Vec<f32>>,
    status: Vec<u8>,
    /// `[metric][decoder bin]`.
    future: Vec<Vec<f32>>,
    usual: Option<Usual>,
}

/// What a model reads of a track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// Longest encoder.
    pub(crate) encoder: usize,
    /// Longest decoder.
    pub(crate) decoder: usize,
    /// The model, if it asks for what lies before the encoder.
    pub(crate) asks: Option<&'a ModelConfig>,
}

impl<'a> Shape<'a> {
    pub(crate) fn of(config: &'a ModelConfig) -> Self {
        let encoder = config.context_steps();
        Self {
            encoder,
            decoder: config.horizon(),
            asks: (config.history_steps() > encoder).then_some(config),
        }
    }

    /// First bin of a window's encoder.
    fn first_bin(&self, window: WindowRef) -> usize {
        (window.origin + 1).saturating_sub(self.encoder)
    }

    /// Bins of a window, what lies before its encoder and its decoder included; those from `end` on are not read.
    fn bins(&self, window: WindowRef, end: usize) -> Range<usize> {
        let steps = self.asks.map_or(self.encoder, ModelConfig::history_steps);
        let first = (window.origin + 1).saturating_sub(steps);
        first..(window.origin + 1 + self.decoder).min(end)
    }

    /// Bins of a window's encoder and decoder, of which those from `end` on are not read.
    pub(crate) fn near_bins(&self, window: WindowRef, end: usize) -> Range<usize> {
        self.first_bin(window)..self.bins(window, end).end
    }

    /// The period of what lies before the encoder, in bins.
    pub(crate) fn period(&self) -> usize {
        let rhythm = self.asks.and_then(|config| config.direct);
        rhythm.map_or(1, |rhythm| rhythm.period_steps as usize)
    }
}

impl Sample {
    /// Reads the window that ends with a bin of a track: at most the longest encoder, and at most the longest decoder
    /// after it. Bins from `end` on are not read. `change` may change what was read, up to the window's last bin, before
    /// anything is made of it; the first so many bins lie before the encoder.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub(crate) fn read(
        corpus: &dyn Corpus,
        window: WindowRef,
        shape: Shape<'_>,
        end: usize,
        mix: Option<Mix>,
        change: impl FnOnce(&mut Track, usize),
    ) -> Result<Self, TrainError> {
        let Range { start, end } = shape.bins(window, end);
        let from = shape.first_bin(window);
        let mut track = read_mixed(corpus, window, mix, start..end)?;
        let future = (track.values.iter_mut())
            .map(|values| values.split_off(window.origin + 1 - start))
            .collect();
        change(&mut track, from - start);
        let usual = shape.asks.and_then(|config| {
            config.usual(&track.values.iter().map(Vec::as_slice).collect::<Vec<_>>())
        });
        let past: Vec<Vec<f32>> = (track.values.iter_mut())
            .map(|values| values.split_off(from - start))
            .collect();
        let status = track.status[from - start..=window.origin - start].to_vec();
        let step_secs = corpus.step_secs();
        let newest = (window.origin - start) as i64;
        Ok(Self {
            source: window.source,
            end_bin_ms: track.first_bin_ms + newest * i64::from(step_secs) * 1_000,
            step_secs,
            profile: track.profile,
            past,
            status,
            future,
            usual,
        })
    }

    /// What the model sees.
    pub(crate) fn window(&self) -> Window<'_> {
        Window {
            entity: "",
            end_bin_ms: self.end_bin_ms,
            step_secs: self.step_secs,
            values: self.past.iter().map(Vec::as_slice).collect(),
            status: &self.status,
            profile: &self.profile,
            usual: self.usual.as_ref(),
        }
    }

    /// What it should say.
    pub(crate) fn future(&self) -> Future<'_> {
        Future {
            values: self.future.iter().map(Vec::as_slice).collect(),
        }
    }

    /// Whether its newest bin holds data, as a forecast starts from one that does.
    pub(crate) fn starts_from_data(&self) -> bool {
        let newest = self.past.iter().filter_map(|values| values.last());
        newest.into_iter().any(|value| is_observed(*value))
    }

    /// Whether there is something to see and something to learn.
    pub(crate) fn is_useful(&self) -> bool {
        let any = |values: &[f32]| values.iter().any(|value| is_observed(*value));
        self.past
            .iter()
            .zip(&self.future)
            .any(|(past, future)| any(past) && any(future))
    }

    /// Makes the window look like those of other hosts: shorter, without some metrics, status or profile.
    pub(crate) fn roughen(
        &mut self,
        roughening: &Roughening,
        unknown_profile: &str,
        encoder: usize,
        rng: &mut StdRng,
    ) {
        if rng.random_bool(roughening.shorten) && self.status.len() > LEAST_STEPS {
            let keep = rng
                .random_range(LEAST_STEPS..=encoder)
                .min(self.status.len());
            let cut = self.status.len() - keep;
            self.usual = None;
            self.past
                .iter_mut()
                .for_each(|values| drop(values.drain(..cut)));
            self.status.drain(..cut);
        }
        if rng.random_bool(roughening.drop_metrics) {
            let share = rng.random_range(0.1..0.7);
            for (past, future) in self.past.iter_mut().zip(&mut self.future) {
                if rng.random_bool(share) {
                    past.fill(f32::NAN);
                    future.fill(f32::NAN);
                }
            }
        }
        if rng.random_bool(roughening.drop_status) {
            self.status.fill(0);
        }
        if rng.random_bool(roughening.forget) {
            self.usual = None;
        }
        if rng.random_bool(roughening.blur)
            && let Some(usual) = &mut self.usual
        {
            usual.blur(rng);
        }
        if rng.random_bool(roughening.drop_profile) {
            unknown_profile.clone_into(&mut self.profile);
        }
    }

    /// Makes what was read, of which the first so many bins lie before the encoder, look like that of other hosts.
    pub(crate) fn roughen_past(
        track: &mut Track,
        before: usize,
        period: usize,
        roughening: &Roughening,
        rng: &mut StdRng,
    ) {
        if rng.random_bool(roughening.forget_periods) {
            Self::forget_periods(&mut track.values, before, period, rng);
        }
        if rng.random_bool(roughening.shift_periods) {
            Self::shift_periods(&mut track.values, before, period, rng);
        }
        if rng.random_bool(roughening.gaps) {
            Self::add_gaps(track, before, rng);
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

    use super::super::TrainOptions;
    use super::super::corpus::{MemoryCorpus, Source};
    use super::super::sampler::Sampler;
    use super::*;
    use crate::model_config::ModelOptions;
    use crate::schema_ref::{MetricRef, SchemaRef};

    #[test]
    fn periods_are_shifted_each_as_a_whole() {
        let wave = |bin: i32| (bin % 10) as f32;
        let mut rng = StdRng::seed_from_u64(5);
        let (mut kept, mut changed) = (0, 0);
        for _ in 0..50 {
            let mut history = vec![(0..44).map(wave).collect::<Vec<f32>>(); 2];
            history[0][15] = f32::NAN;
            let plain = history.clone();
            Sample::shift_periods(&mut history, 34, 10, &mut rng);
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
    fn what_is_usual_is_read_from_bins_with_their_gaps() {
        let load = MetricRef {
            name: "load".to_owned(),
            min: None,
            max: None,
        };
        let schema = SchemaRef {
            id: "test".to_owned(),
            version: 1,
            metrics: vec![load],
            statuses: Vec::new(),
            profiles: vec!["generic".to_owned()],
        };
        let asking = ModelOptions {
            direct: Some((4, 1)),
            ..ModelOptions::default()
        };
        let config = ModelConfig::for_schema(&schema, &asking);
        let bins = 4_000;
        let values: Vec<f32> = (0..bins).map(|bin| (bin * 37 % 101) as f32).collect();
        let track = Track {
            profile: "generic".to_owned(),
            first_bin_ms: 0,
            values: vec![values.clone()],
            status: vec![1; bins],
        };
        let source = Source {
            name: "a".to_owned(),
            share: 1.0,
        };
        let corpus = MemoryCorpus::new(300, vec![(source, vec![track], Vec::new())]);
        let shape = Shape::of(&config);
        let options = TrainOptions {
            roughening: Roughening {
                gaps: 1.0,
                ..Roughening::NONE
            },
            ..TrainOptions::default()
        };
        let mut sampler = Sampler::new(&corpus, shape, &options).expect("has windows");
        for sample in sampler.batch(20).expect("is in memory") {
            assert!(sample.past[0].iter().any(|value| value.is_nan()));
            let window = WindowRef {
                source: 0,
                track: 0,
                origin: (sample.end_bin_ms / 300_000) as usize,
            };
            let before = &values[shape.bins(window, bins).start..shape.first_bin(window)];
            let seen = [before, &sample.past[0]].concat();
            let usual = config.usual(&[&seen]).expect("the model asks for it");
            let told = sample.usual.expect("the model asks for it");
            assert_eq!(told.fingerprint(), usual.fingerprint());
        }
    }

    #[test]
    fn an_unknown_profile_is_what_serving_calls_it() {
        let track = Track {
            profile: "database".to_owned(),
            first_bin_ms: 0,
            values: vec![vec![1.0; 60]],
            status: vec![3; 60],
        };
        let source = Source {
            name: "a".to_owned(),
            share: 1.0,
        };
        let corpus = MemoryCorpus::new(300, vec![(source, vec![track], Vec::new())]);
        let window = WindowRef {
            source: 0,
            track: 0,
            origin: 30,
        };
        let shape = Shape {
            encoder: 24,
            decoder: 12,
            asks: None,
        };
        let mut sample =
            Sample::read(&corpus, window, shape, 60, None, |_, _| {}).expect("is in memory");
        assert_eq!(
            (
                sample.past[0].len(),
                sample.future[0].len(),
                sample.end_bin_ms
            ),
            (24, 12, 30 * 300_000)
        );
        let always = Roughening {
            drop_profile: 1.0,
            drop_status: 1.0,
            ..Roughening::NONE
        };
        sample.roughen(&always, "generic", 24, &mut StdRng::seed_from_u64(1));
        assert_eq!(sample.window().profile, "generic");
        assert_eq!(sample.status, [0; 24]);
    }

    #[test]
    fn whole_periods_are_forgotten() {
        let mut rng = StdRng::seed_from_u64(3);
        let (mut kept, mut lost) = (0, 0);
        for _ in 0..50 {
            let mut before = vec![vec![1.0; 44]; 2];
            Sample::forget_periods(&mut before, 44, 10, &mut rng);
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
