//! One training window: how it is read, and how it is roughened.

use rand::Rng;
use rand::rngs::StdRng;

use super::corpus::{Corpus, LEAST_STEPS, WindowRef};
use super::{Roughening, TrainError};
use crate::model_config::ModelConfig;
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

    /// The period of what lies before the encoder, in bins.
    pub(crate) fn period(&self) -> usize {
        let rhythm = self.asks.and_then(|config| config.direct);
        rhythm.map_or(1, |rhythm| rhythm.period_steps as usize)
    }
}

impl Sample {
    /// Reads the window that ends with a bin of a track: at most the longest encoder, and at most the longest decoder
    /// after it. Bins from `end` on are not read. Of what lies before the encoder, `[metric][bin]`, `forget` may take
    /// away.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub(crate) fn read(
        corpus: &dyn Corpus,
        window: WindowRef,
        shape: Shape<'_>,
        end: usize,
        forget: impl FnOnce(&mut [Vec<f32>]),
    ) -> Result<Self, TrainError> {
        let from = (window.origin + 1).saturating_sub(shape.encoder);
        let to = (window.origin + 1 + shape.decoder).min(end);
        let track = corpus.read(window.source, window.track, from..to)?;
        let usual = match shape.asks {
            None => None,
            Some(config) => {
                let first = (window.origin + 1).saturating_sub(config.history_steps());
                let mut before = corpus
                    .read(window.source, window.track, first..from)?
                    .values;
                forget(&mut before);
                config.usual(&before.iter().map(Vec::as_slice).collect::<Vec<_>>())
            }
        };
        let past_steps = window.origin + 1 - from;
        let step_secs = corpus.step_secs();
        let mut past = track.values;
        let future = past
            .iter_mut()
            .map(|values| values.split_off(past_steps))
            .collect();
        let mut status = track.status;
        status.truncate(past_steps);
        Ok(Self {
            source: window.source,
            end_bin_ms: track.first_bin_ms + (past_steps as i64 - 1) * i64::from(step_secs) * 1_000,
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

    /// Makes the window look like those of other hosts: shorter, with gaps, without some metrics, status or profile.
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
        if rng.random_bool(roughening.gaps) {
            self.add_gaps(rng);
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

    /// Takes some periods away from what lies before an encoder, as if the entity had been off or unknown: the few
    /// entities of a trace must not be told apart by it.
    pub(crate) fn forget_periods(before: &mut [Vec<f32>], period: usize, rng: &mut StdRng) {
        let share = rng.random_range(0.0..0.9);
        let periods = before.first().map_or(0, Vec::len).div_ceil(period.max(1));
        for age in (0..periods)
            .filter(|_| rng.random_bool(share))
            .collect::<Vec<_>>()
        {
            for values in &mut *before {
                let end = values.len() - age * period;
                values[end.saturating_sub(period)..end].fill(f32::NAN);
            }
        }
    }

    /// Takes single bins or one stretch away; the newest bin stays, as a forecast starts from one with data.
    fn add_gaps(&mut self, rng: &mut StdRng) {
        let last = self.status.len() - 1;
        let lost: Vec<usize> = if rng.random_bool(0.5) {
            let share = rng.random_range(0.02..0.4);
            (0..last).filter(|_| rng.random_bool(share)).collect()
        } else {
            let start = rng.random_range(0..last);
            let end = start + rng.random_range(1..=(last - start).min(100));
            (start..end).collect()
        };
        for bin in lost {
            self.past
                .iter_mut()
                .for_each(|values| values[bin] = f32::NAN);
            self.status[bin] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::super::corpus::{MemoryCorpus, Source, Track};
    use super::*;

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
        let mut sample = Sample::read(&corpus, window, shape, 60, |_| {}).expect("is in memory");
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
            Sample::forget_periods(&mut before, 10, &mut rng);
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
