//! Traces and fleets → what is trained on, watched, and scored.

use argus_schema::Schema;
use argus_tft::train::{LEAST_STEPS, Source, Track, WindowRef};
use argus_trace::{Origin, Series, read_origins, read_series};
use serde::Serialize;

use crate::TrainingError;
use crate::request::{SyntheticInput, TraceInput};
use crate::tracks::tracks;

/// Part of the span that is scored where no validation start is given.
const SCORED_SHARE: f64 = 0.15;
/// Part of the rows before the validation start that is held out to watch the run.
const WATCHED_SHARE: f64 = 0.08;
/// Windows per source that the run is watched on.
const WATCHED_WINDOWS: usize = 128;
/// Hours between two scored origins of a server; odd, so that all hours of the day come up.
const SCORED_EVERY_HOURS: i64 = 7;

/// One source, cut up.
pub(crate) struct Cut {
    pub(crate) source: Source,
    pub(crate) learned: Vec<Track>,
    /// Tracks that the run is watched on, behind the learned ones in the corpus.
    pub(crate) validation: Vec<Track>,
    pub(crate) watched: Vec<WindowRef>,
    /// Whole series and origins for the scores; none for a synthetic fleet.
    pub(crate) scored: Option<Scored>,
    pub(crate) facts: SourceFacts,
}

/// What a finished model is scored on.
pub(crate) struct Scored {
    pub(crate) series: Vec<Series>,
    pub(crate) origins: Vec<Origin>,
}

/// What `training.json` says of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SourceFacts {
    name: String,
    share: f64,
    servers: usize,
    rows: usize,
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

/// Reads and cuts a trace.
pub(crate) fn cut_trace(
    input: &TraceInput,
    position: usize,
    schema: &Schema,
    steps: Steps,
) -> Result<Cut, TrainingError> {
    let series = read_series(&input.path, schema)?;
    let (first, end) = span(&series);
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
    let source = Source {
        name: input.name.clone(),
        share: input.share,
    };
    let (learned, validation, watched) = cut(&series, position, (first, scored_from), steps);
    let origins = match &input.origins {
        Some(path) => read_origins(path)?,
        None => origins(&series, scored_from, end, steps),
    };
    let facts = SourceFacts {
        learned_until: rfc3339(watched_from(first, scored_from)),
        validation_start: Some(rfc3339(scored_from)),
        ..facts(&source, &series, schema, first, end)
    };
    Ok(Cut {
        source,
        learned,
        validation,
        watched,
        scored: Some(Scored { series, origins }),
        facts,
    })
}

/// Generates and cuts a synthetic fleet.
pub(crate) fn cut_fleet(
    input: &SyntheticInput,
    position: usize,
    schema: &Schema,
    steps: Steps,
) -> Result<Cut, TrainingError> {
    let mut series: Vec<Series> = argus_generate::generate(&input.fleet)?
        .map(|server| server.series)
        .collect();
    series.retain(|series| !series.times_ms.is_empty());
    let (first, end) = span(&series);
    let source = Source {
        name: "synthetic".to_owned(),
        share: input.share,
    };
    let (learned, validation, watched) = cut(&series, position, (first, end), steps);
    let facts = SourceFacts {
        learned_until: rfc3339(watched_from(first, end)),
        seed: Some(input.fleet.seed),
        ..facts(&source, &series, schema, first, end)
    };
    Ok(Cut {
        source,
        learned,
        validation,
        watched,
        scored: None,
        facts,
    })
}

/// What is learned from, and the windows that the run is watched on: their futures lie after all that is learned.
fn cut(
    series: &[Series],
    position: usize,
    (first, end): (i64, i64),
    steps: Steps,
) -> (Vec<Track>, Vec<Track>, Vec<WindowRef>) {
    let watched_from = watched_from(first, end);
    let all = |until: i64| {
        series
            .iter()
            .flat_map(move |series| tracks(series, steps.secs, first, until))
    };
    let step_ms = i64::from(steps.secs) * 1_000;
    let learned: Vec<Track> = all(watched_from).collect();
    let validation: Vec<Track> = all(end).collect();
    let mut candidates = Vec::new();
    for (index, track) in validation.iter().enumerate() {
        let start = (watched_from - track.first_bin_ms)
            .div_euclid(step_ms)
            .max(LEAST_STEPS as i64) as usize;
        let origins = start..track.len().saturating_sub(steps.horizon);
        candidates.extend(
            origins
                .filter(|bin| track.is_observed(*bin))
                .map(|origin| WindowRef {
                    source: position,
                    track: learned.len() + index,
                    origin,
                }),
        );
    }
    let stride = candidates.len().div_ceil(WATCHED_WINDOWS).max(1);
    let watched = candidates.into_iter().step_by(stride).collect();
    (learned, validation, watched)
}

/// Origins with a whole horizon after them, staggered from server to server.
fn origins(series: &[Series], from_ms: i64, end_ms: i64, steps: Steps) -> Vec<Origin> {
    let step_ms = i64::from(steps.secs) * 1_000;
    let stride = (SCORED_EVERY_HOURS * 3_600_000).div_euclid(step_ms).max(1) * step_ms;
    let last = end_ms - steps.horizon as i64 * step_ms;
    let mut all = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let start =
            (from_ms.div_euclid(step_ms) + 1 + (index as i64 * 5) % (stride / step_ms).max(1))
                * step_ms;
        let times = (0..)
            .map(|n| start + n * stride)
            .take_while(|time| *time < last);
        all.extend(times.map(|origin_ms| Origin {
            server: series.name.clone(),
            origin_ms,
        }));
    }
    all
}

/// First time and the end (exclusive) of all rows.
fn span(series: &[Series]) -> (i64, i64) {
    let first = series
        .iter()
        .filter_map(|series| series.times_ms.first())
        .min();
    let last = series
        .iter()
        .filter_map(|series| series.times_ms.last())
        .max();
    (first.copied().unwrap_or(0), last.map_or(0, |last| last + 1))
}

/// The newest part of what lies before `end` is held out to watch the run.
fn watched_from(first: i64, end: i64) -> i64 {
    end - part(end - first, WATCHED_SHARE)
}

fn part(span_ms: i64, share: f64) -> i64 {
    (span_ms as f64 * share) as i64
}

fn facts(source: &Source, series: &[Series], schema: &Schema, first: i64, end: i64) -> SourceFacts {
    let observed = |metric: &usize| {
        series
            .iter()
            .any(|series| series.values[*metric].iter().any(|v| !v.is_nan()))
    };
    let metrics = (0..schema.metrics.len()).filter(observed);
    SourceFacts {
        name: source.name.clone(),
        share: source.share,
        servers: series.len(),
        rows: series.iter().map(|series| series.times_ms.len()).sum(),
        metrics: metrics
            .map(|metric| schema.metrics[metric].name.clone())
            .collect(),
        from: rfc3339(first),
        until: rfc3339(end - 1),
        learned_until: rfc3339(end),
        validation_start: None,
        seed: None,
    }
}

pub(crate) fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}
