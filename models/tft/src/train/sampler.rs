//! Which windows a batch is made of, and how they are roughened.
//!
//! Of each source a pool of chunks is open at a time, taken in an order that is shuffled anew for each epoch; windows
//! come from random chunks of the pool. So a batch mixes times and entities although rows are only ever read chunk
//! by chunk. Neighbouring windows are nearly equal, so an epoch takes a random part of each chunk's windows.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::corpus::{Chunk, Corpus, LEAST_STEPS};
use super::{Roughening, TrainError};
use crate::window::{Future, Window};

/// Chunks of a source that are open at a time.
const POOL_CHUNKS: usize = 48;

/// A window and its future, cut out of a track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    end_bin_ms: i64,
    step_secs: u32,
    profile: String,
    /// `[metric][encoder bin]`.
    past: Vec<Vec<f32>>,
    status: Vec<u8>,
    /// `[metric][decoder bin]`.
    future: Vec<Vec<f32>>,
}

impl Sample {
    /// The window that ends with a bin of a track: at most `encoder` bins, and at most `decoder` bins after it.
    pub(crate) fn cut(
        track: &super::Track,
        step_secs: u32,
        origin: usize,
        encoder: usize,
        decoder: usize,
    ) -> Self {
        let from = (origin + 1).saturating_sub(encoder);
        let to = (origin + 1 + decoder).min(track.len());
        let slices = |from: usize, to: usize| {
            track
                .values
                .iter()
                .map(|values| values[from..to].to_vec())
                .collect()
        };
        Self {
            end_bin_ms: track.first_bin_ms + origin as i64 * i64::from(step_secs) * 1_000,
            step_secs,
            profile: track.profile.clone(),
            past: slices(from, origin + 1),
            status: track.status[from..=origin].to_vec(),
            future: slices(origin + 1, to),
        }
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
        }
    }

    /// What it should say.
    pub(crate) fn future(&self) -> Future<'_> {
        Future {
            values: self.future.iter().map(Vec::as_slice).collect(),
        }
    }

    /// Makes the window look like those of other hosts: shorter, with gaps, without some metrics, status or profile.
    fn roughen(&mut self, roughening: &Roughening, encoder: usize, rng: &mut StdRng) {
        if rng.random_bool(roughening.shorten) && self.status.len() > LEAST_STEPS {
            let keep = rng
                .random_range(LEAST_STEPS..=encoder)
                .min(self.status.len());
            let cut = self.status.len() - keep;
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
        if rng.random_bool(roughening.drop_profile) {
            self.profile.clear();
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

    /// Whether there is something to see and something to learn.
    fn is_useful(&self) -> bool {
        let any = |values: &[f32]| values.iter().any(|value| !value.is_nan());
        self.past
            .iter()
            .zip(&self.future)
            .any(|(past, future)| any(past) && any(future))
    }
}

/// Draws the windows of a run, batch by batch; the same ones for the same corpus, options and seed.
pub(crate) struct Sampler<'c> {
    corpus: &'c dyn Corpus,
    sources: Vec<SourceSampler>,
    encoder: usize,
    decoder: usize,
    epoch_share: f64,
    roughening: Roughening,
    rng: StdRng,
}

#[derive(Default)]
struct SourceSampler {
    share: f64,
    /// How many windows it is owed: grows by its share with each window of the run.
    owed: f64,
    /// Chunks of this epoch that are still to come, last first.
    order: Vec<usize>,
    epoch: u32,
    pool: Vec<Chunk>,
}

impl<'c> Sampler<'c> {
    pub(crate) fn new(
        corpus: &'c dyn Corpus,
        (encoder, decoder): (usize, usize),
        epoch_share: f64,
        roughening: Roughening,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let total: f64 = corpus.sources().iter().map(|source| source.share).sum();
        let mut sources = Vec::new();
        for (index, source) in corpus.sources().iter().enumerate() {
            let mut origins = (0..corpus.chunks(index)).map(|chunk| corpus.load(index, chunk));
            if !origins.any(|chunk| chunk.is_ok_and(|chunk| !chunk.origins.is_empty())) {
                return Err(TrainError::NoWindows {
                    source_name: source.name.clone(),
                });
            }
            sources.push(SourceSampler {
                share: source.share / total,
                ..SourceSampler::default()
            });
        }
        let rng = StdRng::seed_from_u64(seed);
        Ok(Self {
            corpus,
            sources,
            encoder,
            decoder,
            epoch_share,
            roughening,
            rng,
        })
    }

    /// Epochs begun, of the source that is furthest.
    pub(crate) fn epoch(&self) -> u32 {
        self.sources
            .iter()
            .map(|source| source.epoch)
            .max()
            .unwrap_or(0)
    }

    /// The next windows.
    pub(crate) fn batch(&mut self, windows: usize) -> Result<Vec<Sample>, TrainError> {
        let mut samples = Vec::with_capacity(windows);
        while samples.len() < windows {
            let source = self.next_source();
            let mut sample = self.draw(source)?;
            sample.roughen(&self.roughening, self.encoder, &mut self.rng);
            if sample.is_useful() {
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    /// The source that is owed most; so each batch has the shares asked for, without chance.
    fn next_source(&mut self) -> usize {
        self.sources
            .iter_mut()
            .for_each(|source| source.owed += source.share);
        let most = |left: &usize, right: &usize| {
            self.sources[*left]
                .owed
                .total_cmp(&self.sources[*right].owed)
        };
        let chosen = (0..self.sources.len()).max_by(most).unwrap_or(0);
        self.sources[chosen].owed -= 1.0;
        chosen
    }

    fn draw(&mut self, index: usize) -> Result<Sample, TrainError> {
        self.fill_pool(index)?;
        let source = &mut self.sources[index];
        let slot = self.rng.random_range(0..source.pool.len());
        let chunk = &mut source.pool[slot];
        let origin = chunk.origins.len() - 1;
        let (track, bin) = chunk.origins.swap_remove(origin);
        let step_secs = self.corpus.step_secs();
        let sample = Sample::cut(
            &chunk.tracks[track],
            step_secs,
            bin,
            self.encoder,
            self.decoder,
        );
        if chunk.origins.is_empty() {
            source.pool.swap_remove(slot);
        }
        Ok(sample)
    }

    /// Opens chunks until the pool is full or the epoch's last one is open; begins an epoch when the pool is empty.
    fn fill_pool(&mut self, index: usize) -> Result<(), TrainError> {
        let source = &mut self.sources[index];
        while source.pool.len() < POOL_CHUNKS {
            let Some(next) = source.order.pop() else {
                if !source.pool.is_empty() {
                    break;
                }
                source.order = (0..self.corpus.chunks(index)).collect();
                source.order.shuffle(&mut self.rng);
                source.epoch += 1;
                continue;
            };
            let mut chunk = self.corpus.load(index, next)?;
            chunk.origins.shuffle(&mut self.rng);
            let taken = (chunk.origins.len() as f64 * self.epoch_share).ceil() as usize;
            chunk.origins.truncate(taken);
            if !chunk.origins.is_empty() {
                source.pool.push(chunk);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpus::{MemoryCorpus, Source, Track};
    use super::*;

    fn corpus(bins: usize) -> MemoryCorpus {
        let track = |level: f32| Track {
            profile: "database".to_owned(),
            first_bin_ms: 0,
            values: vec![
                (0..bins).map(|bin| level + bin as f32).collect(),
                vec![level; bins],
            ],
            status: vec![1; bins],
        };
        let source = |name: &str, share| Source {
            name: name.to_owned(),
            share,
        };
        let data = vec![
            (source("a", 3.0), vec![track(0.0), track(10_000.0)]),
            (source("b", 1.0), vec![track(-1e6)]),
        ];
        MemoryCorpus::new(300, 48, 7_200, data)
    }

    fn sampler(corpus: &MemoryCorpus, roughening: Roughening, seed: u64) -> Sampler<'_> {
        Sampler::new(corpus, (48, 24), 0.5, roughening, seed).expect("has windows")
    }

    #[test]
    fn the_future_follows_the_past() {
        let corpus = corpus(400);
        for sample in sampler(&corpus, Roughening::NONE, 1)
            .batch(200)
            .expect("is in memory")
        {
            let (past, future) = (&sample.past[0], &sample.future[0]);
            assert_eq!(past[past.len() - 1] + 1.0, future[0]);
            assert!(
                (LEAST_STEPS..=48).contains(&past.len())
                    && (LEAST_STEPS..=24).contains(&future.len())
            );
            assert_eq!(past.len(), sample.status.len());
        }
    }

    #[test]
    fn batches_have_the_shares_and_repeat_with_the_seed() {
        let corpus = corpus(400);
        let draw = |seed| {
            sampler(&corpus, Roughening::USUAL, seed)
                .batch(100)
                .expect("is in memory")
        };
        let text = |samples: &[Sample]| format!("{samples:?}");
        assert_eq!(text(&draw(5)), text(&draw(5)));
        assert_ne!(text(&draw(5)), text(&draw(6)));
        let plain = sampler(&corpus, Roughening::NONE, 5)
            .batch(100)
            .expect("is in memory");
        assert_eq!(
            plain
                .iter()
                .filter(|sample| sample.past[0][0] < 0.0)
                .count(),
            25
        );
    }

    #[test]
    fn many_epochs_pass_over_a_small_corpus() {
        let corpus = corpus(80);
        let mut sampler = sampler(&corpus, Roughening::USUAL, 2);
        for _ in 0..20 {
            for sample in sampler.batch(50).expect("is in memory") {
                assert!(sample.status.len() >= LEAST_STEPS);
                assert!(
                    sample
                        .past
                        .iter()
                        .any(|values| !values[values.len() - 1].is_nan())
                );
            }
        }
        assert!(sampler.epoch() > 5);
    }
}
