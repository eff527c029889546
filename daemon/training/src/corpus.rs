//! The spool as the trainer sees it.

use std::ops::Range;

use argus_tft::train::{Corpus, Source, Span, TrainError};

use crate::TrainingError;
use crate::spool::Spool;

/// A spool, of which each source is learned from up to a time.
#[derive(Debug)]
pub(crate) struct SpoolCorpus<'a> {
    spool: &'a Spool,
    sources: Vec<Source>,
    spans: Vec<Vec<Span>>,
}

impl<'a> SpoolCorpus<'a> {
    /// `sources` are those of the spool, each with the time (exclusive) up to which it is learned from. A bin that
    /// this time runs through is not learned from.
    pub(crate) fn new(spool: &'a Spool, sources: Vec<(Source, i64)>) -> Self {
        let step_ms = i64::from(spool.step_secs()) * 1_000;
        let spans = sources
            .iter()
            .zip(spool.sources())
            .map(|((_, until_ms), index)| {
                let end = until_ms.div_euclid(step_ms);
                let span = |track: &crate::spool::TrackIndex| Span {
                    first_bin_ms: track.first_bin * step_ms,
                    bins: track.bins,
                    learned: usize::try_from(end.saturating_sub(track.first_bin))
                        .unwrap_or(0)
                        .min(track.bins),
                };
                index.tracks.iter().map(span).collect()
            });
        Self {
            spool,
            spans: spans.collect(),
            sources: sources.into_iter().map(|(source, _)| source).collect(),
        }
    }
}

impl Corpus for SpoolCorpus<'_> {
    fn step_secs(&self) -> u32 {
        self.spool.step_secs()
    }

    fn sources(&self) -> &[Source] {
        &self.sources
    }

    fn spans(&self, source: usize) -> &[Span] {
        &self.spans[source]
    }

    fn read(
        &self,
        source: usize,
        track: usize,
        bins: Range<usize>,
    ) -> Result<argus_tft::train::Track, TrainError> {
        let read = self.spool.read(source, track, bins);
        read.map_err(|error: TrainingError| TrainError::Data(Box::new(error)))
    }
}
