//! Windows to network inputs, and futures to training targets: the same code for training and for prediction.

use std::ops::Range;

use crate::blocks::{Block, Strided};
use crate::calendar::CalendarTable;
use crate::columns::{Category, Column, Real, real_column};
use crate::direct_inputs::{
    DirectConfig, History, STEP_INPUTS, TIME_INPUTS, WINDOW_INPUTS, time_inputs,
};
use crate::errors::PredictError;
use crate::kernel::{Batch, DirectBatch};
use crate::model_config::ModelConfig;
use crate::named_codes::NamedCodes;
use crate::normalise::{NormaliserState, Scale};
use crate::source::Source;
use crate::window::{Window, is_observed};

/// Turns windows into inputs, as a model's configuration says.
#[derive(Debug)]
pub struct Preparer {
    config: ModelConfig,
    state: NormaliserState,
    /// Each real column.
    reals: Vec<Real>,
    /// Source of each categorical column.
    categories: Vec<Category>,
    calendar: CalendarTable,
}

/// Inputs of a batch with what is needed to understand the answer.
#[derive(Debug)]
pub struct Prepared {
    /// What the network reads.
    pub batch: Batch,
    /// `[window][metric]`.
    pub scales: Vec<Vec<Scale>>,
}

/// One window while it is being prepared.
struct Sample<'a> {
    window: &'a Window<'a>,
    /// Encoder steps: the newest bins of the window.
    steps: usize,
    /// Index of the first encoder bin in the window.
    first: usize,
    scales: &'a [Scale],
    /// Scaled and filled metrics of the encoder, `[metric][step]`.
    filled: Vec<Vec<f32>>,
}

impl Preparer {
    /// For a model's configuration and fitted normaliser.
    ///
    /// # Errors
    /// Says what in the configuration contradicts what.
    pub fn new(config: &ModelConfig, state: &NormaliserState) -> Result<Self, String> {
        config
            .architecture
            .check()
            .map_err(|error| error.to_string())?;
        config.check()?;
        let source = |column: &String| {
            config
                .source(column)
                .ok_or_else(|| format!("column `{column}` has no variable"))
        };
        let real = |column: &String| {
            let architecture = &config.architecture;
            let past_steps = if architecture.encoder_variables.reals.contains(column) {
                usize::MAX
            } else {
                usize::from(architecture.static_variables.reals.contains(column))
            };
            let future = architecture.decoder_variables.reals.contains(column);
            Ok(Real {
                column: real_column(config, source(column)?)?,
                past_steps,
                future,
            })
        };
        let category = |column: &String| match source(column)? {
            Source::Profile { categories } => Ok(Category::Profile(categories.clone())),
            Source::Named { of, codes, other } => {
                let statuses = &config.schema.statuses;
                Ok(Category::Named(NamedCodes::new(
                    *of, codes, *other, statuses,
                )))
            }
            _ => Ok(Category::Status),
        };
        Ok(Self {
            reals: config
                .architecture
                .real_columns
                .iter()
                .map(real)
                .collect::<Result<_, String>>()?,
            categories: config
                .architecture
                .categorical_columns
                .iter()
                .map(category)
                .collect::<Result<_, String>>()?,
            calendar: CalendarTable::new(config.step_secs),
            config: config.clone(),
            state: state.clone(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The fitted normaliser.
    pub fn normaliser_state(&self) -> &NormaliserState {
        &self.state
    }

    /// Inputs for a batch. The encoder takes the newest [`ModelConfig::context_steps`] bins of each window; a longer
    /// window lets lags reach further back. The encoder axis is as long as the longest encoder in the batch.
    ///
    /// # Errors
    /// When the batch or a window is empty, a window has another step or number of metrics than the model, or its
    /// series differ in length.
    pub fn prepare(&self, windows: &[Window<'_>]) -> Result<Prepared, PredictError> {
        for (index, window) in windows.iter().enumerate() {
            self.check(window)
                .map_err(|problem| PredictError::Window { index, problem })?;
        }
        let longest = self.config.context_steps();
        let encoder = windows
            .iter()
            .map(|window| window.steps().min(longest))
            .max()
            .unwrap_or(0);
        let horizon = self.config.horizon();
        let mut past = Block::new(
            windows.len(),
            encoder,
            self.reals.len(),
            self.categories.len(),
        );
        let mut future = Block::new(
            windows.len(),
            horizon,
            self.reals.len(),
            self.categories.len(),
        );
        let mut scales = Vec::with_capacity(windows.len());
        let mut sorted = Vec::new();
        let mut direct = self.config.direct.map(|_| {
            let targets = self.config.schema.metrics.len();
            DirectBatch::zeros(targets, windows.len(), horizon)
        });
        let mut history = History::default();
        for (index, window) in windows.iter().enumerate() {
            let steps = window.steps().min(longest);
            let first = window.steps() - steps;
            let scale = |(metric, values): (usize, &&[f32])| {
                let (normaliser, values) = (&self.config.normaliser, &values[first..]);
                match normaliser.table() {
                    None => self.state.scale(normaliser, metric, values, &mut sorted),
                    Some(table) => {
                        let name = &self.config.schema.metrics[metric].name;
                        table.scale(window.entity, name, values)
                    }
                }
            };
            let of_window: Vec<Scale> = window.values.iter().enumerate().map(scale).collect();
            let filled = self.fill(window, first, &of_window);
            let sample = Sample {
                window,
                steps,
                first,
                scales: &of_window,
                filled,
            };
            for (position, real) in self.reals.iter().enumerate() {
                let past_steps = steps.min(real.past_steps);
                self.write_real(
                    &sample,
                    real.column,
                    &mut past.real(index, position),
                    0..past_steps,
                );
                if real.future {
                    let ahead = steps..steps + horizon;
                    self.write_real(
                        &sample,
                        real.column,
                        &mut future.real(index, position),
                        ahead,
                    );
                }
            }
            for (column, source) in self.categories.iter().enumerate() {
                self.write_codes(&sample, source, &mut past.codes(index, column), 0);
                self.write_codes(
                    &sample,
                    source,
                    &mut future.codes(index, column),
                    steps as i64,
                );
            }
            if let (Some(config), Some(out)) = (self.config.direct, &mut direct) {
                let place = (index, windows.len(), horizon);
                self.write_direct(config, &sample, place, out, &mut history);
            }
            scales.push(of_window);
        }
        let batch = Batch {
            encoder: past.into_half(),
            decoder: future.into_half(),
            encoder_lengths: windows
                .iter()
                .map(|window| window.steps().min(longest))
                .collect(),
            decoder_lengths: vec![horizon; windows.len()],
            direct,
        };
        Ok(Prepared { batch, scales })
    }

    /// Fills in what the direct paths read of window `index` of `windows`.
    fn write_direct(
        &self,
        config: DirectConfig,
        sample: &Sample<'_>,
        (index, windows, horizon): (usize, usize, usize),
        out: &mut DirectBatch,
        history: &mut History,
    ) {
        for ahead in 0..horizon {
            let of_day = (self.calendar).time_of_day(sample.bin_ms((sample.steps + ahead) as i64));
            let row = (ahead * windows + index) * TIME_INPUTS;
            out.time[row..row + TIME_INPUTS].copy_from_slice(&time_inputs(of_day, ahead, horizon));
        }
        for (metric, scale) in sample.scales.iter().enumerate() {
            if !scale.is_observed() {
                continue;
            }
            history.read(config, &sample.window.values[metric][sample.first..], scale);
            let usual = sample.window.usual.and_then(|usual| usual.course(metric));
            let tells = [
                self.state.center_input(metric, scale),
                self.state.scale_input(metric, scale),
                scale.present,
            ];
            let row = (metric * windows + index) * WINDOW_INPUTS;
            if let Some(row) = out.window[row..].first_chunk_mut() {
                history.window_inputs(tells, scale, usual, row);
            }
            let times = history.times_usual(scale, usual);
            for ahead in 0..horizon {
                let row = ((metric * horizon + ahead) * windows + index) * STEP_INPUTS;
                if let Some(row) = out.step[row..].first_chunk_mut() {
                    history.step_inputs(config, ahead, scale, (usual, times), row);
                }
            }
        }
    }

    fn check(&self, window: &Window<'_>) -> Result<(), String> {
        if window.steps() == 0 {
            return Err("it has no bins".to_owned());
        }
        if window.step_secs != self.config.step_secs {
            let wanted = self.config.step_secs;
            return Err(format!(
                "its step is {} s, the model's is {wanted} s",
                window.step_secs
            ));
        }
        if window.values.len() != self.config.schema.metrics.len() {
            let wanted = self.config.schema.metrics.len();
            return Err(format!(
                "it has {} metrics, the model {wanted}",
                window.values.len()
            ));
        }
        if window
            .values
            .iter()
            .any(|values| values.len() != window.steps())
        {
            return Err(format!(
                "each metric needs {} bins, as many as there are statuses",
                window.steps()
            ));
        }
        Ok(())
    }

    /// Scales the encoder bins of each metric and fills gaps with the last value before, else with the first after.
    fn fill(&self, window: &Window<'_>, first: usize, scales: &[Scale]) -> Vec<Vec<f32>> {
        let fill = |(values, scale): (&&[f32], &Scale)| {
            let values = &values[first..];
            let Some(start) = values.iter().copied().find(|value| is_observed(*value)) else {
                return vec![0.0; values.len()];
            };
            let mut last = self.scaled(scale, start);
            let carry = |value: &f32| {
                if is_observed(*value) {
                    last = self.scaled(scale, *value);
                }
                last
            };
            values.iter().map(carry).collect()
        };
        window.values.iter().zip(scales).map(fill).collect()
    }

    fn scaled(&self, scale: &Scale, value: f32) -> f32 {
        let clip = self.config.normaliser.clip();
        scale.normalise(value).clamp(-clip, clip)
    }

    /// Fills `out` with the values of a column at `span`: encoder steps, counting on into the future.
    fn write_real(
        &self,
        sample: &Sample<'_>,
        source: Column,
        out: &mut Strided<'_, f32>,
        span: Range<usize>,
    ) {
        let steps = sample.steps as i64;
        let longest = self.config.context_steps() as f32;
        let mut each = |value: &dyn Fn(usize) -> f32| {
            span.clone()
                .enumerate()
                .for_each(|(place, step)| out.set(place, value(step)));
        };
        match source {
            Column::EncoderLength => each(&|_| (steps as f32 - longest / 2.0) / longest * 2.0),
            Column::Center(metric) => {
                let value = self.state.center_input(metric, &sample.scales[metric]);
                each(&|_| value);
            }
            Column::Scale(metric) => {
                let value = self.state.scale_input(metric, &sample.scales[metric]);
                each(&|_| value);
            }
            Column::PresentShare(metric) => each(&|_| sample.scales[metric].present),
            Column::RelativeTime => each(&|step| (step as i64 - steps) as f32 / longest),
            Column::Calendar(field) => {
                each(&|step| self.calendar.calendar(field, sample.bin_ms(step as i64)));
            }
            Column::Clock { field, mean, scale } => each(&|step| {
                let shown = field.at(sample.bin_ms(step as i64)) as f64;
                ((shown - mean) / scale) as f32
            }),
            Column::Lag {
                metric,
                steps,
                flag,
            } => each(&|step| {
                let value = sample.observed(metric, step as i64 - steps);
                let scaled = value.map(|value| self.scaled(&sample.scales[metric], value));
                if flag {
                    f32::from(value.is_some())
                } else {
                    scaled.unwrap_or(0.0)
                }
            }),
            // What is only observed is unknown ahead; a network that reads it there gets zeros.
            Column::Metric(metric) => {
                each(&|step| sample.filled[metric].get(step).copied().unwrap_or(0.0))
            }
            Column::ObservedShare => {
                let metrics = sample.window.values.len();
                each(&|step| {
                    let observed = |metric: &usize| sample.observed(*metric, step as i64).is_some();
                    (0..metrics).filter(observed).count() as f32 / metrics as f32
                });
            }
        }
    }

    fn write_codes(
        &self,
        sample: &Sample<'_>,
        source: &Category,
        out: &mut Strided<'_, i64>,
        start: i64,
    ) {
        let is_past = start < sample.steps as i64;
        let len = if is_past { sample.steps } else { out.len };
        match source {
            Category::Profile(categories) => {
                let position = categories
                    .iter()
                    .position(|profile| profile == sample.window.profile);
                let code = position.map_or(0, |position| position as i64 + 1);
                (0..len).for_each(|step| out.set(step, code));
            }
            Category::Status if is_past => {
                let statuses = self.config.schema.statuses.len() as i64;
                for (step, code) in sample.window.status[sample.first..].iter().enumerate() {
                    let code = i64::from(*code);
                    out.set(step, if code <= statuses { code } else { 0 });
                }
            }
            Category::Status => {}
            Category::Named(named) => {
                let steps = (start..start + len as i64).map(|step| {
                    let place = usize::try_from(step).unwrap_or(usize::MAX);
                    let status = sample.window.status[sample.first..].get(place).copied();
                    (status, sample.bin_ms(step))
                });
                named.codes(sample.window, steps, |step, code| out.set(step, code));
            }
        }
    }
}

impl Sample<'_> {
    /// Start of the bin at encoder step `step`.
    fn bin_ms(&self, step: i64) -> i64 {
        let newest = self.steps as i64 - 1;
        let step_ms = i64::from(self.window.step_secs) * 1000;
        self.window
            .end_bin_ms
            .saturating_add((step - newest).saturating_mul(step_ms))
    }

    /// The observed value of a metric at encoder step `step`, which may lie before the encoder.
    fn observed(&self, metric: usize, step: i64) -> Option<f32> {
        let index = usize::try_from(self.first as i64 + step).ok()?;
        self.window.values[metric]
            .get(index)
            .copied()
            .filter(|value| is_observed(*value))
    }
}
