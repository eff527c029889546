//! Which windows a batch is made of.
//!
//! Of each source a pool of chunks is open at a time, taken in an order that is shuffled anew for each epoch; windows
//! come from random chunks of the pool. So a batch mixes times and entities although a source is gone through chunk
//! by chunk. Neighbouring windows are nearly equal, so an epoch takes a random part of each chunk's windows.
//!
//! Everything random follows from the seed and from *where* it happens: the order of an epoch from (seed, source,
//! epoch), the windows of a chunk from that and the chunk, the draws of a batch from (seed, step). A [`Position`] is
//! therefore all that a checkpoint needs to go on with the very same windows.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::chunks::{Chunking, Origin};
use super::corpus::{Corpus, LEAST_STEPS, Track, WindowRef};
use super::disguise::disguise;
use super::mix::Mix;
use super::sample::{Sample, Shape};
use super::seeds::seeded;
use super::{Roughening, TrainError, TrainOptions, past};

/// Most chunks of a source that are open at a time.
const POOL_CHUNKS: usize = 48;

/// Where in the run's data the sampler is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// Batches drawn.
    pub(crate) step: u64,
    sources: Vec<SourcePosition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourcePosition {
    /// How many windows it is owed, as the bits of an f64: its decimal form would lose some.
    owed_bits: u64,
    /// From 1; 0 before the first.
    epoch: u32,
    /// Chunks of the epoch's order that were opened.
    opened: usize,
    /// Chunks that were opened in all epochs, the windows they had, and how many of those were taken.
    counts: (u64, u64, u64),
    /// Open chunks, each with the windows that are left.
    pool: Vec<(usize, usize)>,
}

impl Position {
    /// How many chunks' worth of windows were taken, of all sources. Many chunks are open at a time and are used up
    /// together, so it is windows that are counted.
    pub(crate) fn chunks_taken(&self) -> u64 {
        let of_source = |source: &SourcePosition| {
            let (chunks, windows, taken) = source.counts;
            chunks * taken / windows.max(1)
        };
        self.sources.iter().map(of_source).sum()
    }

    /// Epochs begun, of all sources together.
    pub(crate) fn epochs_begun(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| u64::from(source.epoch))
            .sum()
    }

    /// The epoch of the source that is furthest.
    pub(crate) fn epoch(&self) -> u32 {
        let epochs = self.sources.iter().map(|source| source.epoch);
        epochs.max().unwrap_or(0)
    }
}

/// Draws the windows of a run, batch by batch; the same ones for the same corpus, options and seed.
pub(crate) struct Sampler<'c> {
    corpus: &'c dyn Corpus,
    sources: Vec<SourceSampler>,
    shape: Shape<'c>,
    epoch_share: f64,
    /// Most windows of a source that are listed as open; at least one chunk's are.
    pool_windows: usize,
    roughening: Roughening,
    unknown_profile: String,
    seed: u64,
    step: u64,
}

struct SourceSampler {
    chunking: Chunking,
    share: f64,
    /// How many windows it is owed: grows by its share with each window of the run.
    owed: f64,
    /// Chunks of this epoch in their order.
    order: Vec<usize>,
    epoch: u32,
    opened: usize,
    /// As in [`SourcePosition`].
    counts: (u64, u64, u64),
    pool: Vec<OpenChunk>,
    /// The last epoch that gave a window.
    useful_epoch: u32,
}

struct OpenChunk {
    chunk: usize,
    /// Windows that are left, the next one last.
    origins: Vec<Origin>,
}

impl<'c> Sampler<'c> {
    pub(crate) fn new(
        corpus: &'c dyn Corpus,
        shape: Shape<'c>,
        options: &TrainOptions,
    ) -> Result<Self, TrainError> {
        let total: f64 = corpus.sources().iter().map(|source| source.share).sum();
        let mut sources = Vec::new();
        for (index, source) in corpus.sources().iter().enumerate() {
            let spans = corpus.spans(index);
            if !spans.iter().any(|span| span.learned >= 2 * LEAST_STEPS) {
                return Err(TrainError::NoWindows {
                    source_name: source.name.clone(),
                });
            }
            sources.push(SourceSampler {
                chunking: Chunking::new(
                    spans,
                    shape.encoder,
                    options.chunk_secs,
                    corpus.step_secs(),
                ),
                share: source.share / total,
                owed: 0.0,
                order: Vec::new(),
                epoch: 0,
                opened: 0,
                counts: (0, 0, 0),
                pool: Vec::new(),
                useful_epoch: 0,
            });
        }
        let bytes = options.memory_bytes() / 8 / sources.len().max(1);
        Ok(Self {
            corpus,
            sources,
            shape,
            epoch_share: options.epoch_share,
            pool_windows: bytes / size_of::<Origin>(),
            roughening: options.roughening,
            unknown_profile: options.unknown_profile.clone(),
            seed: options.seed,
            step: 0,
        })
    }

    /// Where it is, after the last batch.
    pub(crate) fn position(&self) -> Position {
        let source = |source: &SourceSampler| SourcePosition {
            owed_bits: source.owed.to_bits(),
            epoch: source.epoch,
            opened: source.opened,
            counts: source.counts,
            pool: (source.pool.iter())
                .map(|open| (open.chunk, open.origins.len()))
                .collect(),
        };
        Position {
            step: self.step,
            sources: self.sources.iter().map(source).collect(),
        }
    }

    /// Goes to a position of a sampler with the same corpus, options and seed.
    pub(crate) fn go_to(&mut self, position: &Position) {
        self.step = position.step;
        for (index, at) in position.sources.iter().enumerate() {
            let order = self.order(index, at.epoch);
            let pool = (at.pool.iter())
                .map(|(chunk, left)| {
                    let mut open = self.open(index, at.epoch, *chunk);
                    open.origins.truncate(*left);
                    open
                })
                .collect();
            let source = &mut self.sources[index];
            source.owed = f64::from_bits(at.owed_bits);
            source.order = order;
            source.epoch = at.epoch;
            source.opened = at.opened;
            source.counts = at.counts;
            source.pool = pool;
            source.useful_epoch = at.epoch;
        }
    }

    /// The next windows.
    pub(crate) fn batch(&mut self, windows: usize) -> Result<Vec<Sample>, TrainError> {
        let mut rng = seeded(self.seed, &[BATCH, self.step]);
        self.step += 1;
        let mut samples = Vec::with_capacity(windows);
        while samples.len() < windows {
            let source = self.next_source();
            let mut sample = self.draw(source, &mut rng)?;
            sample.roughen(&self.roughening, self.shape.encoder, &mut rng);
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

    /// A window of a source that has something to see and to learn.
    fn draw(&mut self, index: usize, rng: &mut StdRng) -> Result<Sample, TrainError> {
        loop {
            self.fill_pool(index)?;
            let source = &mut self.sources[index];
            let slot = rng.random_range(0..source.pool.len());
            let open = &mut source.pool[slot];
            let (track, bin) = open.origins.pop().unwrap_or_default();
            source.counts.2 += 1;
            if open.origins.is_empty() {
                source.pool.swap_remove(slot);
            }
            let window = WindowRef {
                source: index,
                track: track as usize,
                origin: bin as usize,
            };
            let end = self.corpus.spans(index)[window.track].learned;
            let period = self.shape.period();
            let mix = match rng.random_bool(self.roughening.mix) {
                true => Mix::draw(self.corpus, window, self.shape, end, rng),
                false => None,
            };
            let mut of_host = StdRng::seed_from_u64(rng.random());
            let whole = |track: &mut Track| {
                let (unknown, roughening) = (&self.unknown_profile, &self.roughening);
                disguise(track, self.shape, unknown, roughening, &mut of_host);
            };
            let change = |track: &mut Track, before| {
                past::roughen(track, before, period, &self.roughening, rng);
            };
            let sample = Sample::read(self.corpus, window, self.shape, end, mix, whole, change)?;
            if sample.starts_from_data() && sample.is_useful() {
                let source = &mut self.sources[index];
                source.useful_epoch = source.epoch;
                return Ok(sample);
            }
        }
    }

    /// Opens chunks until the pool is full or the epoch's last one is open; begins an epoch when the pool is empty.
    fn fill_pool(&mut self, index: usize) -> Result<(), TrainError> {
        loop {
            let source = &self.sources[index];
            let listed: usize = source.pool.iter().map(|open| open.origins.len()).sum();
            let is_full = source.pool.len() >= POOL_CHUNKS || listed >= self.pool_windows;
            if is_full && !source.pool.is_empty() {
                return Ok(());
            }
            if let Some(chunk) = source.order.get(source.opened).copied() {
                let open = self.open(index, source.epoch, chunk);
                let source = &mut self.sources[index];
                source.opened += 1;
                if !open.origins.is_empty() {
                    source.counts.0 += 1;
                    source.counts.1 += open.origins.len() as u64;
                    source.pool.push(open);
                }
                continue;
            }
            if !source.pool.is_empty() {
                return Ok(());
            }
            // Two epochs without a window: nothing in this source was ever observed.
            if source.epoch >= source.useful_epoch + 2 {
                return Err(TrainError::NoWindows {
                    source_name: self.corpus.sources()[index].name.clone(),
                });
            }
            let epoch = source.epoch + 1;
            let order = self.order(index, epoch);
            let source = &mut self.sources[index];
            (source.epoch, source.order, source.opened) = (epoch, order, 0);
        }
    }

    /// The order in which an epoch takes a source's chunks.
    fn order(&self, index: usize, epoch: u32) -> Vec<usize> {
        if epoch == 0 {
            return Vec::new();
        }
        let chunks = self.sources[index].chunking.count(self.corpus.spans(index));
        let mut order: Vec<usize> = (0..chunks).collect();
        let place = [ORDER, index as u64, u64::from(epoch)];
        order.shuffle(&mut seeded(self.seed, &place));
        order
    }

    /// The windows that an epoch takes of a chunk.
    fn open(&self, index: usize, epoch: u32, chunk: usize) -> OpenChunk {
        let spans = self.corpus.spans(index);
        let mut origins = self.sources[index].chunking.origins(spans, chunk);
        let place = [CHUNK, index as u64, u64::from(epoch), chunk as u64];
        origins.shuffle(&mut seeded(self.seed, &place));
        let taken = (origins.len() as f64 * self.epoch_share).ceil() as usize;
        origins.truncate(taken);
        origins.shrink_to_fit();
        OpenChunk { chunk, origins }
    }
}

/// What a random sequence is for; part of its seed.
const BATCH: u64 = 1;
const ORDER: u64 = 2;
const CHUNK: u64 = 3;

#[cfg(test)]
mod tests {
    use super::super::corpus::{MemoryCorpus, Source, Track};
    use super::*;

    const SHAPE: Shape<'static> = Shape {
        encoder: 48,
        decoder: 24,
        asks: None,
        metrics: &[],
    };

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
        let (a, b) = (source("a", 3.0), source("b", 1.0));
        let data = vec![
            (a, vec![track(0.0), track(10_000.0)], Vec::new()),
            (b, vec![track(-1e6)], Vec::new()),
        ];
        MemoryCorpus::new(300, data)
    }

    fn sampler(corpus: &MemoryCorpus, roughening: Roughening, seed: u64) -> Sampler<'_> {
        let options = TrainOptions {
            epoch_share: 0.5,
            roughening,
            seed,
            ..TrainOptions::default()
        };
        Sampler::new(corpus, SHAPE, &options).expect("has windows")
    }

    #[test]
    fn the_future_follows_the_past() {
        let corpus = corpus(400);
        let mut sampler = sampler(&corpus, Roughening::NONE, 1);
        for sample in sampler.batch(200).expect("is in memory") {
            let (window, future) = (sample.window(), sample.future());
            let (past, future) = (window.values[0], future.values[0]);
            assert_eq!(past[past.len() - 1] + 1.0, future[0]);
            assert!((LEAST_STEPS..=48).contains(&past.len()));
            assert!((LEAST_STEPS..=24).contains(&future.len()));
            assert_eq!(past.len(), window.steps());
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
        assert_eq!(plain.iter().filter(|sample| sample.source == 1).count(), 25);
    }

    #[test]
    fn many_epochs_pass_over_a_small_corpus() {
        let corpus = corpus(80);
        let mut sampler = sampler(&corpus, Roughening::USUAL, 2);
        for _ in 0..20 {
            for sample in sampler.batch(50).expect("is in memory") {
                assert!(sample.window().steps() >= LEAST_STEPS);
                assert!(sample.starts_from_data());
            }
        }
        assert!(sampler.position().epoch() > 5);
    }

    #[test]
    fn from_any_position_on_the_same_windows_follow() {
        let corpus = corpus(150);
        let mut whole = sampler(&corpus, Roughening::USUAL, 9);
        let mut positions = vec![whole.position()];
        let mut batches = Vec::new();
        for _ in 0..30 {
            batches.push(whole.batch(7).expect("is in memory"));
            positions.push(whole.position());
        }
        assert!(
            positions[30].epoch() > 1,
            "the end of an epoch is among them"
        );
        for (start, position) in positions.iter().enumerate().take(30) {
            let stored = serde_json::to_string(position).expect("is plain data");
            let position = serde_json::from_str(&stored).expect("was just written");
            let mut resumed = sampler(&corpus, Roughening::USUAL, 9);
            resumed.go_to(&position);
            let next = resumed.batch(7).expect("is in memory");
            assert_eq!(format!("{next:?}"), format!("{:?}", batches[start]));
            assert_eq!(resumed.position(), positions[start + 1]);
        }
    }

    #[test]
    fn a_chunk_counts_when_its_worth_of_windows_is_taken() {
        // 24 windows of each of two tracks start within a chunk's two hours; an epoch takes half of them.
        let corpus = corpus(1_000);
        let mut sampler = sampler(&corpus, Roughening::NONE, 4);
        let mut taken = Vec::new();
        for _ in 0..10 {
            sampler.batch(32).expect("is in memory");
            taken.push(sampler.position().chunks_taken());
        }
        // Three of four windows are of the source whose chunks give 24, one of that whose chunks give 12.
        let windows = 10 * 32;
        let expected = windows * 3 / 4 / 24 + windows / 4 / 12;
        assert!(
            taken.is_sorted() && taken[9].abs_diff(expected) <= 2,
            "{taken:?}"
        );
    }

    #[test]
    fn a_source_without_any_value_is_refused() {
        let track = Track {
            profile: String::new(),
            first_bin_ms: 0,
            values: vec![vec![f32::NAN; 100]],
            status: vec![0; 100],
        };
        let source = Source {
            name: "silent".to_owned(),
            share: 1.0,
        };
        let corpus = MemoryCorpus::new(300, vec![(source, vec![track], Vec::new())]);
        let mut sampler = sampler(&corpus, Roughening::NONE, 1);
        assert!(matches!(
            sampler.batch(1),
            Err(TrainError::NoWindows { source_name }) if source_name == "silent"
        ));
    }
}
