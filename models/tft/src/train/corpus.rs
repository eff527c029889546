//! Where training windows come from.
//!
//! The trainer never asks for "all data". It asks for *chunks*: the windows of one source that start within a stretch
//! of time, with the rows they reach over. [`MemoryCorpus`] cuts chunks from tracks that it holds; a corpus over files
//! can load each when asked.

use std::ops::Range;
use std::sync::Arc;

use super::TrainError;

/// Fewest bins before and after an origin that make a window.
pub const LEAST_STEPS: usize = 12;

/// One entity's bins on a grid without gaps: a bin without data is there and holds NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Profile id; empty where unknown.
    pub profile: String,
    /// Start of the first bin, ms since the epoch.
    pub first_bin_ms: i64,
    /// `[metric][bin]`, in the schema's order and units, NaN where missing.
    pub values: Vec<Vec<f32>>,
    /// Status code of each bin, 0 where missing.
    pub status: Vec<u8>,
}

impl Track {
    /// Number of bins.
    pub fn len(&self) -> usize {
        self.status.len()
    }

    /// Whether there is no bin.
    pub fn is_empty(&self) -> bool {
        self.status.is_empty()
    }

    /// Whether any metric was observed in a bin.
    pub fn is_observed(&self, bin: usize) -> bool {
        self.values.iter().any(|values| !values[bin].is_nan())
    }
}

/// Data of one kind, say one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// What to call it in reports.
    pub name: String,
    /// Its share of the windows of each batch, relative to the other sources' shares.
    pub share: f64,
}

/// The windows of one source that start within one stretch of time.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Rows of each entity that has windows here.
    pub tracks: Vec<Arc<Track>>,
    /// Origins (last encoder bins) as (position in `tracks`, bin).
    pub origins: Vec<(usize, usize)>,
}

/// Data to train on, in chunks.
pub trait Corpus {
    /// Length of a bin in seconds.
    fn step_secs(&self) -> u32;

    /// The sources; their order is part of what makes a run repeatable.
    fn sources(&self) -> &[Source];

    /// Number of chunks of a source. Called once per epoch.
    fn chunks(&self, source: usize) -> usize;

    /// The windows of a chunk. Called once per chunk and epoch, in shuffled order.
    ///
    /// # Errors
    /// When its rows cannot be read.
    fn load(&self, source: usize, chunk: usize) -> Result<Chunk, TrainError>;
}

/// A corpus whose rows are all in memory.
#[derive(Debug)]
pub struct MemoryCorpus {
    step_secs: u32,
    encoder_steps: usize,
    chunk_steps: usize,
    sources: Vec<Source>,
    /// `[source][entity]`.
    tracks: Vec<Vec<Arc<Track>>>,
    /// Time of the first bin of each source.
    first_bin_ms: Vec<i64>,
}

impl MemoryCorpus {
    /// Windows start within `chunk_secs` of each other in a chunk and reach back over at most `encoder_steps` bins.
    pub fn new(
        step_secs: u32,
        encoder_steps: usize,
        chunk_secs: u32,
        data: Vec<(Source, Vec<Track>)>,
    ) -> Self {
        let (sources, tracks): (Vec<_>, Vec<Vec<Track>>) = data.into_iter().unzip();
        let first_bin = |tracks: &Vec<Track>| tracks.iter().map(|track| track.first_bin_ms).min();
        Self {
            step_secs,
            encoder_steps,
            chunk_steps: (chunk_secs / step_secs.max(1)).max(1) as usize,
            sources,
            first_bin_ms: tracks
                .iter()
                .map(|tracks| first_bin(tracks).unwrap_or(0))
                .collect(),
            tracks: (tracks.into_iter())
                .map(|tracks| tracks.into_iter().map(Arc::new).collect())
                .collect(),
        }
    }

    /// All tracks of a source.
    pub fn tracks(&self, source: usize) -> &[Arc<Track>] {
        &self.tracks[source]
    }

    /// Bins of a track's origins whose windows start within a chunk.
    fn origins(&self, source: usize, track: &Track, chunk: usize) -> Range<usize> {
        let step_ms = i64::from(self.step_secs) * 1_000;
        let late = usize::try_from((track.first_bin_ms - self.first_bin_ms[source]) / step_ms)
            .unwrap_or(0);
        // A window starts `encoder_steps - 1` bins before its origin, or at the track's first bin: then its encoder
        // is short. All short windows of a track belong to the chunk of its first bin.
        let (from, to) = (chunk * self.chunk_steps, (chunk + 1) * self.chunk_steps);
        let reach = self.encoder_steps - 1;
        let first = if from <= late {
            LEAST_STEPS - 1
        } else {
            from - late + reach
        };
        let end = to.saturating_sub(late) + if to <= late { 0 } else { reach };
        let usable = track.len().saturating_sub(LEAST_STEPS);
        first.min(usable)..end.min(usable).max(first.min(usable))
    }
}

impl Corpus for MemoryCorpus {
    fn step_secs(&self) -> u32 {
        self.step_secs
    }

    fn sources(&self) -> &[Source] {
        &self.sources
    }

    fn chunks(&self, source: usize) -> usize {
        let step_ms = i64::from(self.step_secs) * 1_000;
        let bins = |track: &Arc<Track>| {
            let late = (track.first_bin_ms - self.first_bin_ms[source]) / step_ms;
            usize::try_from(late).unwrap_or(0) + track.len()
        };
        self.tracks[source]
            .iter()
            .map(bins)
            .max()
            .unwrap_or(0)
            .div_ceil(self.chunk_steps)
    }

    fn load(&self, source: usize, chunk: usize) -> Result<Chunk, TrainError> {
        let tracks = self.tracks[source].clone();
        let origins = (tracks.iter().enumerate())
            .flat_map(|(index, track)| {
                let usable = self.origins(source, track, chunk);
                usable
                    .filter(|bin| track.is_observed(*bin))
                    .map(move |bin| (index, bin))
            })
            .collect();
        Ok(Chunk { tracks, origins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(first_bin: i64, bins: usize) -> Track {
        Track {
            profile: String::new(),
            first_bin_ms: first_bin * 300_000,
            values: vec![vec![1.0; bins]],
            status: vec![0; bins],
        }
    }

    #[test]
    fn every_origin_lies_in_exactly_one_chunk() {
        for (tracks, encoder_steps) in [
            (vec![track(0, 500)], 288),
            (vec![track(0, 100), track(37, 400), track(24, 20)], 48),
            (vec![track(10, 30), track(0, 5)], 288),
        ] {
            let mut expected: Vec<(usize, usize)> = (tracks.iter().enumerate())
                .flat_map(|(index, track)| {
                    (LEAST_STEPS - 1..track.len().saturating_sub(LEAST_STEPS))
                        .map(move |bin| (index, bin))
                })
                .collect();
            let source = Source {
                name: "test".to_owned(),
                share: 1.0,
            };
            let corpus = MemoryCorpus::new(300, encoder_steps, 7_200, vec![(source, tracks)]);
            let mut found: Vec<(usize, usize)> = (0..corpus.chunks(0))
                .flat_map(|chunk| corpus.load(0, chunk).expect("is in memory").origins)
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}
