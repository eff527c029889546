//! Chunks: the windows of one source that start within one stretch of time.
//!
//! They are the unit in which a source is gone through and shuffled. A chunk is a list of origins that follows from
//! the corpus's index alone, so opening one costs no reading.

use std::ops::Range;

use super::corpus::{LEAST_STEPS, Span};

/// An origin within a source: position of the track, and its last encoder bin.
pub(crate) type Origin = (u32, u32);

/// How a source is cut into chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunking {
    encoder: usize,
    chunk_steps: usize,
    step_ms: i64,
    /// Time of the source's first bin.
    first_bin_ms: i64,
}

impl Chunking {
    /// Windows start within `chunk_secs` of each other in a chunk and reach back over at most `encoder` bins.
    pub(crate) fn new(spans: &[Span], encoder: usize, chunk_secs: u32, step_secs: u32) -> Self {
        let learned = spans.iter().filter(|span| span.learned > 0);
        Self {
            encoder,
            chunk_steps: (chunk_secs / step_secs.max(1)).max(1) as usize,
            step_ms: i64::from(step_secs.max(1)) * 1_000,
            first_bin_ms: learned.map(|span| span.first_bin_ms).min().unwrap_or(0),
        }
    }

    /// Bins between the source's first bin and a track's.
    fn late(&self, span: &Span) -> usize {
        usize::try_from((span.first_bin_ms - self.first_bin_ms) / self.step_ms).unwrap_or(0)
    }

    /// Number of chunks, some of which may be empty.
    pub(crate) fn count(&self, spans: &[Span]) -> usize {
        let learned = spans.iter().filter(|span| span.learned > 0);
        let bins = learned.map(|span| self.late(span) + span.learned).max();
        bins.unwrap_or(0).div_ceil(self.chunk_steps)
    }

    /// The windows of a chunk in the order of the tracks and of time.
    pub(crate) fn origins(&self, spans: &[Span], chunk: usize) -> Vec<Origin> {
        let of_track = |(track, span): (usize, &Span)| {
            self.bins(span, chunk)
                .map(move |bin| (track as u32, bin as u32))
        };
        spans.iter().enumerate().flat_map(of_track).collect()
    }

    /// Bins of a track's origins whose windows start within a chunk.
    fn bins(&self, span: &Span, chunk: usize) -> Range<usize> {
        let late = self.late(span);
        // A window starts `encoder - 1` bins before its origin, or at the track's first bin: then its encoder is
        // short. All short windows of a track belong to the chunk of its first bin.
        let (from, to) = (chunk * self.chunk_steps, (chunk + 1) * self.chunk_steps);
        let reach = self.encoder - 1;
        let first = if from <= late {
            LEAST_STEPS - 1
        } else {
            from - late + reach
        };
        let end = to.saturating_sub(late) + if to <= late { 0 } else { reach };
        let usable = span.learned.saturating_sub(LEAST_STEPS);
        first.min(usable)..end.min(usable).max(first.min(usable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first_bin: i64, learned: usize) -> Span {
        Span {
            first_bin_ms: first_bin * 300_000,
            bins: learned + 50,
            learned,
        }
    }

    #[test]
    fn every_origin_lies_in_exactly_one_chunk() {
        for (spans, encoder) in [
            (vec![span(0, 500)], 288),
            (vec![span(0, 100), span(37, 400), span(24, 20)], 48),
            (vec![span(10, 30), span(0, 5)], 288),
            (vec![span(-900, 0), span(7, 300)], 12),
        ] {
            let mut expected: Vec<Origin> = (spans.iter().enumerate())
                .flat_map(|(track, span)| {
                    (LEAST_STEPS - 1..span.learned.saturating_sub(LEAST_STEPS))
                        .map(move |bin| (track as u32, bin as u32))
                })
                .collect();
            let chunking = Chunking::new(&spans, encoder, 7_200, 300);
            let mut found: Vec<Origin> = (0..chunking.count(&spans))
                .flat_map(|chunk| chunking.origins(&spans, chunk))
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}
