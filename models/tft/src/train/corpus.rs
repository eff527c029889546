//! Where training windows come from.
//!
//! The trainer never asks for "all data". A corpus is an index (which stretches of bins there are) and a way to read
//! the bins of one stretch; the trainer decides which windows it wants and reads just those. [`MemoryCorpus`] holds
//! its rows; a corpus over files reads them when asked, so it may be far larger than memory.

use std::ops::Range;

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

    /// Some of its bins.
    #[must_use]
    pub fn slice(&self, bins: Range<usize>, step_secs: u32) -> Self {
        Self {
            profile: self.profile.clone(),
            first_bin_ms: self.first_bin_ms + bins.start as i64 * i64::from(step_secs) * 1_000,
            values: (self.values.iter())
                .map(|values| values[bins.clone()].to_vec())
                .collect(),
            status: self.status[bins].to_vec(),
        }
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

/// What a corpus knows of a track without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Start of the first bin, ms since the epoch.
    pub first_bin_ms: i64,
    /// Bins, all of which can be read.
    pub bins: usize,
    /// Bins, from the first, that are learned from; those after them are for validation.
    pub learned: usize,
}

/// A window of a corpus: its last encoder bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRef {
    /// Position of its source in the corpus.
    pub source: usize,
    /// Position of its track in the source.
    pub track: usize,
    /// Last encoder bin.
    pub origin: usize,
}

/// Data to train on. It must not change while a run lasts.
pub trait Corpus: Sync {
    /// Length of a bin in seconds.
    fn step_secs(&self) -> u32;

    /// The sources; their order is part of what makes a run repeatable.
    fn sources(&self) -> &[Source];

    /// The tracks of a source; their order is part of what makes a run repeatable.
    fn spans(&self, source: usize) -> &[Span];

    /// Bins of a track, within its span.
    ///
    /// # Errors
    /// When its rows cannot be read.
    fn read(&self, source: usize, track: usize, bins: Range<usize>) -> Result<Track, TrainError>;
}

/// A corpus whose rows are all in memory.
#[derive(Debug)]
pub struct MemoryCorpus {
    step_secs: u32,
    sources: Vec<Source>,
    /// `[source][track]`.
    tracks: Vec<Vec<Track>>,
    spans: Vec<Vec<Span>>,
}

impl MemoryCorpus {
    /// Of tracks that are learned from as a whole, and of those that are only read for validation.
    pub fn new(step_secs: u32, data: Vec<(Source, Vec<Track>, Vec<Track>)>) -> Self {
        let mut corpus = Self {
            step_secs,
            sources: Vec::new(),
            tracks: Vec::new(),
            spans: Vec::new(),
        };
        for (source, learned, validation) in data {
            let span = |track: &Track, learned| Span {
                first_bin_ms: track.first_bin_ms,
                bins: track.len(),
                learned,
            };
            let spans = (learned.iter().map(|track| span(track, track.len())))
                .chain(validation.iter().map(|track| span(track, 0)));
            corpus.spans.push(spans.collect());
            corpus.sources.push(source);
            corpus
                .tracks
                .push(learned.into_iter().chain(validation).collect());
        }
        corpus
    }
}

impl Corpus for MemoryCorpus {
    fn step_secs(&self) -> u32 {
        self.step_secs
    }

    fn sources(&self) -> &[Source] {
        &self.sources
    }

    fn spans(&self, source: usize) -> &[Span] {
        &self.spans[source]
    }

    fn read(&self, source: usize, track: usize, bins: Range<usize>) -> Result<Track, TrainError> {
        Ok(self.tracks[source][track].slice(bins, self.step_secs))
    }
}
