//! Forecasts of listed origins, batch by batch.

use std::collections::BTreeMap;

use argus_tft::train::{LEAST_STEPS, Track};
use argus_tft::{Model, PredictError, Window};
use argus_trace::{Origin, Series};

use crate::tracks::tracks;

/// Windows per call of the model: enough for all its threads, and little memory.
const BATCH: usize = 128;

/// A forecast, and what came true.
#[derive(Debug)]
pub struct OriginForecast<'a> {
    /// From where.
    pub origin: &'a Origin,
    /// One entry per metric: quantiles `[step][level]` in the metric's unit; `None` where the context had nothing.
    pub metrics: &'a [Option<Box<[f32]>>],
    /// The server's bins; what lies after the origin was not shown to the model.
    pub track: &'a Track,
    /// Bin of the origin in the track.
    pub bin: usize,
}

/// Forecasts each origin for which the series have at least a dozen bins of context, and hands the answers to `visit`
/// in the order of the origins. Returns how many origins had too little context.
///
/// # Errors
/// When the model fails.
pub fn forecast_origins(
    model: &Model,
    series: &[Series],
    origins: &[Origin],
    mut visit: impl FnMut(&OriginForecast<'_>),
) -> Result<usize, PredictError> {
    let step_secs = model.config().step_secs;
    let by_name: BTreeMap<&str, Vec<Track>> = (series.iter())
        .map(|series| {
            (
                series.name.as_str(),
                tracks(series, step_secs, i64::MIN, i64::MAX),
            )
        })
        .collect();
    let place = |origin: &Origin| {
        let step_ms = i64::from(step_secs) * 1_000;
        by_name
            .get(origin.server.as_str())?
            .iter()
            .find_map(|track| {
                let bin =
                    usize::try_from((origin.origin_ms - track.first_bin_ms).div_euclid(step_ms))
                        .ok()?;
                (bin + 1 >= LEAST_STEPS && bin < track.len()).then_some((track, bin))
            })
    };
    let placed: Vec<(&Origin, &Track, usize)> = origins
        .iter()
        .filter_map(|origin| place(origin).map(|(track, bin)| (origin, track, bin)))
        .collect();
    for batch in placed.chunks(BATCH) {
        let windows: Vec<Window<'_>> = batch
            .iter()
            .map(|(_, track, bin)| window(model, track, *bin))
            .collect();
        for ((origin, track, bin), prediction) in batch.iter().zip(model.predict(&windows)?) {
            visit(&OriginForecast {
                origin,
                metrics: &prediction.metrics,
                track,
                bin: *bin,
            });
        }
    }
    Ok(origins.len() - placed.len())
}

fn window<'a>(model: &Model, track: &'a Track, bin: usize) -> Window<'a> {
    let from = (bin + 1).saturating_sub(model.config().context_steps());
    let step_secs = model.config().step_secs;
    Window {
        entity: "",
        end_bin_ms: track.first_bin_ms + bin as i64 * i64::from(step_secs) * 1_000,
        step_secs,
        values: track
            .values
            .iter()
            .map(|values| &values[from..=bin])
            .collect(),
        status: &track.status[from..=bin],
        profile: &track.profile,
    }
}
