//! Forecasts of listed origins, batch by batch, from the windows that serving would take.

use argus_tft::train::{LEAST_STEPS, Track};
use argus_tft::{Model, Usual, Window};
use argus_trace::Origin;

use crate::TrainingError;
use crate::spool::Spool;

/// Windows per call of the model: enough for all its threads, and little memory.
const BATCH: usize = 128;

/// A forecast, and what came true.
#[derive(Debug)]
pub(crate) struct OriginForecast<'a> {
    /// Whose.
    pub(crate) server: &'a str,
    /// One entry per metric: quantiles `[step][level]` in the metric's unit; `None` where the context had nothing.
    pub(crate) metrics: &'a [Option<Box<[f32]>>],
    /// The server's bins from the first of the context to the end of the horizon; what lies after the origin was not
    /// shown to the model.
    pub(crate) track: &'a Track,
    /// Bin of the origin in the track.
    pub(crate) bin: usize,
}

/// Forecasts each origin for which a source has at least a dozen observed bins of context, and hands the answers to
/// `visit` in the order of the origins. Returns how many origins had too little context.
///
/// # Errors
/// When the rows cannot be read or the model fails.
pub(crate) fn forecast_origins(
    model: &Model,
    spool: &Spool,
    source: usize,
    origins: &[Origin],
    mut visit: impl FnMut(&OriginForecast<'_>),
) -> Result<usize, TrainingError> {
    let mut left_out = 0;
    for origins in origins.chunks(BATCH) {
        let mut placed = Vec::with_capacity(origins.len());
        for origin in origins {
            match surroundings(model, spool, source, origin)? {
                Some(around) => placed.push((origin, around)),
                None => left_out += 1,
            }
        }
        let windows: Vec<Window<'_>> = placed
            .iter()
            .map(|(origin, around)| around.window(spool.step_secs(), &origin.server))
            .collect();
        if windows.is_empty() {
            continue;
        }
        for ((origin, around), prediction) in placed.iter().zip(model.predict(&windows)?) {
            visit(&OriginForecast {
                server: &origin.server,
                metrics: &prediction.metrics,
                track: &around.track,
                bin: around.bin,
            });
        }
    }
    Ok(left_out)
}

/// The bins around an origin.
struct Surroundings {
    track: Track,
    /// The origin's place among them.
    bin: usize,
    /// What is usual there.
    usual: Option<Usual>,
}

/// `None` where too few of the bins of the context were observed.
fn surroundings(
    model: &Model,
    spool: &Spool,
    source: usize,
    origin: &Origin,
) -> Result<Option<Surroundings>, TrainingError> {
    let index = &spool.sources()[source];
    let step_ms = i64::from(spool.step_secs()) * 1_000;
    let last = origin.origin_ms.div_euclid(step_ms);
    let tracks = index.tracks_of(&origin.server);
    let Some(number) = tracks
        .rev()
        .find(|track| index.tracks[*track].first_bin <= last)
    else {
        return Ok(None);
    };
    let track = index.tracks[number];
    let place = |bin: i64| {
        usize::try_from(bin - track.first_bin)
            .unwrap_or(0)
            .min(track.bins)
    };
    let config = model.config();
    let from = place(last + 1 - config.context_steps() as i64);
    let to = place(last + 1 + config.horizon() as i64);
    let mut read = spool.read(source, number, from..to)?;
    // The context begins with the first bin that holds anything, and goes on to the origin even if the server does not.
    let Some(first) = (0..read.len()).find(|bin| read.is_observed(*bin)) else {
        return Ok(None);
    };
    let bin = last - (track.first_bin + from as i64);
    let Some(bin) = usize::try_from(bin).ok().filter(|bin| first <= *bin) else {
        return Ok(None);
    };
    if bin >= read.len() {
        read.values
            .iter_mut()
            .for_each(|values| values.resize(bin + 1, f32::NAN));
        read.status.resize(bin + 1, 0);
    }
    let read = read.slice(first..read.len(), spool.step_secs());
    let bin = bin - first;
    let observed = (0..=bin).filter(|bin| read.is_observed(*bin)).count();
    if observed < LEAST_STEPS {
        return Ok(None);
    }
    let steps = config.history_steps();
    let usual = if steps > config.context_steps() {
        let (from, to) = (place(last + 1 - steps as i64), place(last + 1));
        let read = spool.read(source, number, from..to)?;
        // From the first bin with data, as the daemon's store gives them.
        let first = (0..read.len()).find(|bin| read.is_observed(*bin));
        // The origin may lie behind the server's last bin.
        let known = usize::try_from(last + 1 - track.first_bin).unwrap_or(0) - from;
        let mut history = read.values;
        for values in &mut history {
            values.resize(known, f32::NAN);
            values.drain(..first.unwrap_or(0));
        }
        config.usual(&history.iter().map(Vec::as_slice).collect::<Vec<_>>())
    } else {
        None
    };
    Ok(Some(Surroundings {
        track: read,
        bin,
        usual,
    }))
}

impl Surroundings {
    fn window<'a>(&'a self, step_secs: u32, server: &'a str) -> Window<'a> {
        let (track, bin) = (&self.track, self.bin);
        Window {
            entity: server,
            end_bin_ms: track.first_bin_ms + bin as i64 * i64::from(step_secs) * 1_000,
            step_secs,
            values: (track.values.iter())
                .map(|values| &values[..=bin])
                .collect(),
            status: &track.status[..=bin],
            profile: &track.profile,
            usual: self.usual.as_ref(),
        }
    }
}
