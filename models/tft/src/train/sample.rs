//! One training window: how it is read, and how it is roughened.

use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

use super::corpus::{Corpus, LEAST_STEPS, Track, WindowRef};
use super::mix::{Mix, read_mixed};
use super::{Roughening, TrainError};
use crate::model_config::ModelConfig;
use crate::schema_ref::MetricRef;
use crate::usual::Usual;
use crate::window::{Future, Window, is_observed};

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
    pub(crate) metrics: &'a [MetricRef],
}

impl<'a> Shape<'a> {
    pub(crate) fn of(config: &'a ModelConfig) -> Self {
        let encoder = config.context_steps();
        Self {
            encoder,
            decoder: config.horizon(),
            asks: (config.history_steps() > encoder).then_some(config),
            metrics: &config.schema.metrics,
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

    /// Greatest legal value of a metric.
    pub(crate) fn most(&self, metric: usize) -> f32 {
        let of_metric = self.metrics.get(metric);
        of_metric.map_or(f32::MAX, |metric| metric.range().1)
    }

    /// The period of what lies before the encoder, in bins.
    pub(crate) fn period(&self) -> usize {
        let rhythm = self.asks.and_then(|config| config.direct);
        rhythm.map_or(1, |rhythm| rhythm.period_steps as usize)
    }
}

impl Sample {
    /// Reads the window that ends with a bin of a track: at most the longest encoder, and at most the longest decoder
    /// after it. Bins from `end` on are not read. Before anything is made of what was read, `disguise` may change all of
    /// it, and `change` what lies up to the window's last bin; the first so many bins lie before the encoder.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub(crate) fn read(
        corpus: &dyn Corpus,
        window: WindowRef,
        shape: Shape<'_>,
        end: usize,
        mix: Option<Mix>,
        disguise: impl FnOnce(&mut Track),
        change: impl FnOnce(&mut Track, usize),
    ) -> Result<Self, TrainError> {
        let Range { start, end } = shape.bins(window, end);
        let from = shape.first_bin(window);
        let mut track = read_mixed(corpus, window, mix, start..end)?;
        disguise(&mut track);
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

    /// Makes the window look like those of other hosts: shorter, without some metrics or status.
    pub(crate) fn roughen(&mut self, roughening: &Roughening, encoder: usize, rng: &mut StdRng) {
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
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::super::TrainOptions;
    use super::super::corpus::{MemoryCorpus, Source};
    use super::super::sampler::Sampler;
    use super::*;
    use crate::model_config::ModelOptions;
    use crate::schema_ref::SchemaRef;

    #[test]
    fn what_is_usual_is_read_from_bins_with_their_gaps() {
        let schema = SchemaRef::sized(1, 0, 1);
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
    fn a_window_ends_with_its_bin_and_may_lose_its_status() {
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
            metrics: &[],
        };
        let mut sample = Sample::read(&corpus, window, shape, 60, None, |_| {}, |_, _| {})
            .expect("is in memory");
        assert_eq!(
            (
                sample.past[0].len(),
                sample.future[0].len(),
                sample.end_bin_ms
            ),
            (24, 12, 30 * 300_000)
        );
        let always = Roughening {
            drop_status: 1.0,
            ..Roughening::NONE
        };
        sample.roughen(&always, 24, &mut StdRng::seed_from_u64(1));
        assert_eq!(sample.window().profile, "database");
        assert_eq!(sample.status, [0; 24]);
    }
}
