//! One server's rows, binned once as the daemon would, so that every context is a slice.

use argus_forecast::CONTEXT_STEPS;
use argus_schema::{EntityName, ProfileRules, Record, Schema};
use argus_store::StoreConfig;
use argus_store::window::{Window, WindowConfig};
use argus_trace::Series;

use crate::errors::BacktestError;

/// Most bins that one server may span: about 38 years of 5-minute steps.
const MAX_BINS: i64 = 1 << 22;

/// A server's bins without gaps in time; a bin without data holds NaN.
#[derive(Debug, Clone)]
pub struct ServerBins {
    /// The server.
    pub name: EntityName,
    /// Position of its profile in the schema.
    pub profile: u8,
    /// Processor cores, where told.
    pub cores: Option<f32>,
    /// Its first bin; bin `b` starts `b` steps after the epoch.
    pub first_bin: i64,
    /// `[metric][bin]` means in the schema's order and units, NaN where missing.
    pub values: Vec<Box<[f32]>>,
    /// Status category per bin, 0 where missing.
    pub status: Box<[u8]>,
    /// Newest raw value per bin, where a bin holds several rows: what the daemon takes for "now".
    newest: Option<Vec<Box<[f32]>>>,
    /// Number of bins with data before each position.
    filled: Box<[u32]>,
    /// Rows whose values lay outside their metric's range and count as missing.
    pub out_of_range: usize,
}

impl ServerBins {
    /// Bins a series; `None` where it has no row that the daemon would take.
    ///
    /// # Errors
    /// When the name is none, or the rows lie further apart than anything sensible.
    pub fn new(
        series: &Series,
        schema: &Schema,
        profiles: &ProfileRules,
        step_ms: i64,
    ) -> Result<Option<Self>, BacktestError> {
        let refused = |problem: String| BacktestError::Server {
            server: series.name.clone(),
            problem,
        };
        let name = EntityName::new(&series.name).map_err(|error| refused(error.to_string()))?;
        let (Some(first_ms), Some(last_ms)) = (series.times_ms.first(), series.times_ms.last())
        else {
            return Ok(None);
        };
        let (first, last) = (first_ms.div_euclid(step_ms), last_ms.div_euclid(step_ms));
        let bins = last - first + 1;
        if first < 0 || bins > MAX_BINS {
            let told =
                format!("its rows span {bins} steps; 1 to {MAX_BINS} since 1970 are possible");
            return Err(refused(told));
        }
        let code = |id: &String| schema.profile_code(id);
        let profile = series.profile.as_ref().and_then(code);
        let mut window = Window::new(WindowConfig {
            metrics: schema.metrics.len(),
            step_ms,
            window_steps: u32::try_from(bins).unwrap_or(u32::MAX),
            exact_bins: StoreConfig::new("").exact_bins,
            max_records_per_bin: u32::MAX,
            keeps_rows: false,
        });
        let several = series
            .times_ms
            .windows(2)
            .any(|pair| pair[0].div_euclid(step_ms) == pair[1].div_euclid(step_ms));
        let length = usize::try_from(bins).unwrap_or(0);
        let mut newest =
            several.then(|| vec![vec![f32::NAN; length].into_boxed_slice(); schema.metrics.len()]);
        let mut out_of_range = 0;
        for (row, time_ms) in series.times_ms.iter().enumerate() {
            let values = legal(series, row, schema, &mut out_of_range);
            let record = Record {
                entity: name.clone(),
                time_ms: *time_ms,
                status: series.status[row],
                profile: None,
                cores: None,
                values,
            };
            // A row that the daemon would refuse (a duplicate) is refused here too.
            if window.push(&record).is_err() {
                continue;
            }
            let bin = usize::try_from(time_ms.div_euclid(step_ms) - first).unwrap_or(usize::MAX);
            for (newest, value) in newest.iter_mut().flatten().zip(&record.values) {
                if let Some(place) = newest.get_mut(bin).filter(|_| !value.is_nan()) {
                    *place = *value;
                }
            }
        }
        let Some(context) = window.context(last, u32::try_from(bins).unwrap_or(u32::MAX)) else {
            return Ok(None);
        };
        let mut count = 0;
        let filled = (0..=context.status.len()).map(|bin| {
            let before = count;
            count += u32::from(
                context
                    .values
                    .iter()
                    .any(|v| v.get(bin).is_some_and(|v| !v.is_nan())),
            );
            before
        });
        Ok(Some(Self {
            profile: profile.unwrap_or_else(|| profiles.profile_of(&series.name, schema)),
            cores: series.cores,
            first_bin: context.first_bin,
            filled: filled.collect(),
            values: context.values,
            status: context.status,
            name,
            newest,
            out_of_range,
        }))
    }

    /// Number of bins.
    pub fn len(&self) -> usize {
        self.status.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.status.is_empty()
    }

    /// Position of a bin; `None` before the first one. It may lie past the end.
    pub fn position(&self, bin: i64) -> Option<usize> {
        usize::try_from(bin - self.first_bin).ok()
    }

    /// Number of bins with data from a position up to another, which is not counted.
    pub fn with_data(&self, from: usize, to: usize) -> u32 {
        self.filled[to].saturating_sub(self.filled[from])
    }

    /// Whether the bin at a position holds an observation.
    pub fn has_data(&self, position: usize) -> bool {
        position < self.len() && self.filled[position + 1] > self.filled[position]
    }

    /// Newest position with an observation in `from..=to`.
    pub fn last_with_data(&self, from: usize, to: usize) -> Option<usize> {
        (from..=to.min(self.len().checked_sub(1)?))
            .rev()
            .find(|position| self.has_data(*position))
    }

    /// The context of a forecast from the bin at `origin`: positions from the first bin with data within the longest
    /// context, up to the origin; and how many of them hold an observation.
    pub fn context(&self, origin: usize) -> (std::ops::RangeInclusive<usize>, u32) {
        let longest = CONTEXT_STEPS as usize;
        let oldest = (origin + 1).saturating_sub(longest);
        let first = (oldest..=origin).find(|position| self.has_data(*position));
        let first = first.unwrap_or(origin);
        let observed = self.filled[origin + 1] - self.filled[first];
        (first..=origin, observed)
    }

    /// At most so many bins up to the origin, from the first one with data, as the daemon's store gives them.
    pub fn history(&self, origin: usize, steps: usize) -> Vec<&[f32]> {
        let oldest = (origin + 1).saturating_sub(steps);
        let first = (oldest..=origin).find(|position| self.has_data(*position));
        let start = first.unwrap_or(origin);
        self.values.iter().map(|v| &v[start..=origin]).collect()
    }

    /// Newest raw value of each metric within the longest context, NaN where none: what the daemon takes for "now".
    pub fn current(&self, origin: usize) -> Box<[f32]> {
        let oldest = (origin + 1).saturating_sub(CONTEXT_STEPS as usize);
        let newest = self.newest.as_deref().unwrap_or(&self.values);
        newest
            .iter()
            .map(|series| {
                let seen = series[oldest..=origin].iter().rev();
                seen.copied()
                    .find(|value| !value.is_nan())
                    .unwrap_or(f32::NAN)
            })
            .collect()
    }
}

/// The row's values; one that the daemon would refuse is missing here too, and counted.
fn legal(series: &Series, row: usize, schema: &Schema, refused: &mut usize) -> Box<[f32]> {
    let columns = schema.metrics.iter().zip(&series.values);
    let values = columns.map(|(metric, values)| {
        let value = values[row];
        let stored = metric.stored(f64::from(value));
        *refused += usize::from(stored.is_none() && !value.is_nan());
        stored.unwrap_or(f32::NAN)
    });
    values.collect()
}
