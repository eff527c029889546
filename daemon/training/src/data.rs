//! How each source is cut in time: what is learned from, what is watched, what is scored.

use argus_schema::Schema;
use argus_tft::train::{LEAST_STEPS, Source, WindowRef};
use argus_trace::{Origin, read_origins};
use serde::Serialize;

use crate::TrainingError;
use crate::request::{SyntheticInput, TraceInput};
use crate::spool::{SourceIndex, Spool};

/// Part of the span that is scored where no validation start is given.
const SCORED_SHARE: f64 = 0.15;
/// Windows per source that the run is watched on.
const WATCHED_WINDOWS: usize = 128;
/// Hours between two scored origins of a server; odd, so that all hours of the day come up.
const SCORED_EVERY_HOURS: i64 = 7;

/// How one source is cut.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) source: Source,
    /// Rows before are learned from. ms since the epoch.
    learned_until_ms: i64,
    /// From there to here the run is watched.
    watched_until_ms: i64,
    /// Where the finished model is scored from; nowhere for a synthetic fleet.
    pub(crate) scored: Option<Vec<Origin>>,
    pub(crate) facts: SourceFacts,
}

/// What `training.json` says of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SourceFacts {
    name: String,
    share: f64,
    servers: usize,
    rows: u64,
    metrics: Vec<String>,
    from: String,
    until: String,
    /// Rows from here on were not learned from, only watched or scored.
    learned_until: String,
    /// Rows from here on were not seen in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_start: Option<String>,
    /// The synthetic fleet's seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// Bins of the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) secs: u32,
    pub(crate) horizon: usize,
}

impl Steps {
    fn ms(self) -> i64 {
        i64::from(self.secs) * 1_000
    }
}

/// Cuts a trace.
///
/// # Errors
/// When nothing lies before its validation start, or its list of origins cannot be read.
pub(crate) fn cut_trace(
    input: &TraceInput,
    index: &SourceIndex,
    schema: &Schema,
    steps: Steps,
    watched_share: f64,
) -> Result<Cut, TrainingError> {
    let (first, end) = (index.first_ms, index.last_ms + 1);
    let scored_from = input
        .validation_start_ms
        .unwrap_or_else(|| end - part(end - first, SCORED_SHARE));
    if scored_from <= first {
        let validation_start = rfc3339(scored_from);
        return Err(TrainingError::NothingBefore {
            name: input.name.clone(),
            validation_start,
        });
    }
    let origins: Vec<Origin> = match &input.origins {
        // What lies before was learned from, and says nothing of what the model can do.
        Some(path) => (read_origins(path)?.into_iter())
            .filter(|origin| origin.origin_ms + steps.ms() >= scored_from)
            .collect(),
        None => origins(index, scored_from, end, steps),
    };
    if origins.is_empty() {
        let trace = &input.name;
        let from = rfc3339(scored_from);
        tracing::warn!(%trace, %from, "nothing of this trace is scored: it has no origin from there on with a whole horizon after it");
    }
    let cut = cut(index, input.share, scored_from, schema, watched_share);
    Ok(Cut {
        scored: Some(origins),
        facts: SourceFacts {
            validation_start: Some(rfc3339(scored_from)),
            ..cut.facts
        },
        ..cut
    })
}

/// Cuts a synthetic fleet.
pub(crate) fn cut_fleet(
    input: &SyntheticInput,
    index: &SourceIndex,
    schema: &Schema,
    watched_share: f64,
) -> Cut {
    let cut = cut(index, input.share, index.last_ms + 1, schema, watched_share);
    Cut {
        facts: SourceFacts {
            seed: Some(input.fleet.seed),
            ..cut.facts
        },
        ..cut
    }
}

fn cut(index: &SourceIndex, share: f64, end: i64, schema: &Schema, watched_share: f64) -> Cut {
    // The newest part of what lies before `end` is held out to watch the run.
    let learned_until_ms = end - part(end - index.first_ms, watched_share);
    let observed = schema.metrics.iter().zip(&index.observed);
    Cut {
        source: Source {
            name: index.name.clone(),
            share,
        },
        learned_until_ms,
        watched_until_ms: end,
        scored: None,
        facts: SourceFacts {
            name: index.name.clone(),
            share,
            servers: index.servers.len(),
            rows: index.rows,
            metrics: observed
                .filter(|(_, observed)| **observed)
                .map(|(metric, _)| metric.name.clone())
                .collect(),
            from: rfc3339(index.first_ms),
            until: rfc3339(index.last_ms),
            learned_until: rfc3339(learned_until_ms),
            validation_start: None,
            seed: None,
        },
    }
}

impl Cut {
    /// Time (exclusive) up to which rows are learned from, ms since the epoch.
    pub(crate) fn learned_until_ms(&self) -> i64 {
        self.learned_until_ms
    }

    /// Time (exclusive) up to which the run is watched, ms since the epoch.
    pub(crate) fn watched_until_ms(&self) -> i64 {
        self.watched_until_ms
    }

    /// The windows that the run is watched on: their whole futures lie after all that is learned and before all that
    /// is scored.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub(crate) fn watched(
        &self,
        spool: &Spool,
        position: usize,
        steps: Steps,
    ) -> Result<Vec<WindowRef>, TrainingError> {
        let index = &spool.sources()[position];
        let (from, to) = (
            self.learned_until_ms.div_euclid(steps.ms()),
            self.watched_until_ms.div_euclid(steps.ms()),
        );
        // Bins of each track from which a window may start, as (track, first, end).
        let candidates: Vec<(usize, usize, usize)> = (index.tracks.iter().enumerate())
            .filter_map(|(number, track)| {
                let bin = |bin: i64| usize::try_from(bin - track.first_bin).unwrap_or(0);
                let first = bin(from).max(LEAST_STEPS);
                let end = bin(to).min(track.bins).saturating_sub(steps.horizon);
                (first < end).then_some((number, first, end))
            })
            .collect();
        let total: usize = candidates.iter().map(|(_, first, end)| end - first).sum();
        let stride = total.div_ceil(WATCHED_WINDOWS).max(1);
        let mut windows = Vec::new();
        let mut passed = 0_usize;
        for (number, first, end) in candidates {
            let here = end - first;
            let mut next = passed.div_ceil(stride) * stride - passed;
            while next < here {
                // The first bin with data from there on, but not beyond the next candidate.
                let bins = first + next..(first + next + stride).min(end);
                let start = bins.start;
                let track = spool.read(position, number, bins)?;
                if let Some(bin) = (0..track.len()).find(|bin| track.is_observed(*bin)) {
                    windows.push(WindowRef {
                        source: position,
                        track: number,
                        origin: start + bin,
                    });
                }
                next += stride;
            }
            passed += here;
        }
        Ok(windows)
    }
}

/// Origins with a whole horizon after them, staggered from server to server.
fn origins(index: &SourceIndex, from_ms: i64, end_ms: i64, steps: Steps) -> Vec<Origin> {
    let step_ms = steps.ms();
    let stride = (SCORED_EVERY_HOURS * 3_600_000).div_euclid(step_ms).max(1) * step_ms;
    let last = end_ms - steps.horizon as i64 * step_ms;
    let mut all = Vec::new();
    for (number, server) in index.servers.iter().enumerate() {
        let start =
            (from_ms.div_euclid(step_ms) + 1 + (number as i64 * 5) % (stride / step_ms).max(1))
                * step_ms;
        let times = (0..)
            .map(|n| start + n * stride)
            .take_while(|time| *time < last);
        all.extend(times.map(|origin_ms| Origin {
            server: server.name.clone(),
            origin_ms,
        }));
    }
    all
}

fn part(span_ms: i64, share: f64) -> i64 {
    (span_ms as f64 * share) as i64
}

pub(crate) fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}
