//! A subject: one forecast, the context it was made from, and the model that made it.

use std::sync::Arc;

use argus_fleet::{EntityForecast, EntityState};
use argus_forecast::{Input, Interpretation, Lane, LoadedModel, Past, interpret, predict_on};
use argus_plugin_host::services::ServiceError;
use argus_plugin_host::services::model::{MetricRange, Output, WindowShape};
use argus_risk::{ThresholdRules, hidden};
use argus_schema::Schema;
use argus_store::Context;
use argus_tft::Usual;

use crate::outputs::{Answerer, answer};

/// Everything that a variant is made of. Fields are in the layout of the plugin host's `Window`.
pub struct Subject {
    pub schema: Arc<Schema>,
    pub thresholds: Arc<ThresholdRules>,
    pub model: Arc<LoadedModel>,
    pub state: Arc<EntityState>,
    pub context: Context,
    /// The days before it, which no variant changes, and what is usual for the window as it is.
    pub past: Past,
    pub shape: WindowShape,
    /// `metrics × context_steps`, NaN where missing.
    pub values: Vec<f32>,
    pub typical: Vec<f32>,
}

impl Subject {
    pub fn new(
        schema: &Arc<Schema>,
        thresholds: &Arc<ThresholdRules>,
        model: Arc<LoadedModel>,
        state: Arc<EntityState>,
        forecast: &EntityForecast,
        (context, past): (Context, Past),
        typical: Vec<f32>,
    ) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "ranges are small numbers")]
        let end = |limit: Option<f64>, otherwise: f32| limit.map_or(otherwise, |l| l as f32);
        let metrics = schema.metrics.iter().map(|metric| MetricRange {
            name: metric.name.clone(),
            min: end(metric.min, f32::NEG_INFINITY),
            max: end(metric.max, f32::INFINITY),
        });
        let shape = WindowShape {
            context_steps: context.status.len(),
            horizon_steps: model.model.horizon(),
            step_secs: forecast.step_secs,
            origin_ms: forecast.origin_ms,
            quantile_levels: forecast.quantile_levels.to_vec(),
            metrics: metrics.collect(),
            profile: profile_id(schema, state.profile).to_owned(),
            model: model.id.name.clone(),
        };
        let values = context.values.iter().flat_map(|series| series.iter());
        Self {
            values: values.copied().collect(),
            schema: Arc::clone(schema),
            thresholds: Arc::clone(thresholds),
            model,
            state,
            context,
            past,
            shape,
            typical,
        }
    }

    /// Forecasts variants and reads the outputs off them, variant by variant. Blocking.
    ///
    /// # Errors
    /// `model_failed`.
    pub fn evaluate(&self, variants: &[f32], outputs: &[Output]) -> Result<Vec<f32>, ServiceError> {
        let answerer = Answerer {
            schema: &self.schema,
            thresholds: &self.thresholds,
            calibration: &self.model.calibration,
            state: &self.state,
        };
        let contexts: Vec<&[f32]> = variants.chunks_exact(self.values.len()).collect();
        let LoadedModel { model, id, .. } = self.model.as_ref();
        let series: Vec<_> = contexts.iter().map(|values| self.series(values)).collect();
        let usual = self.past.usual_of(model, &series);
        let inputs: Vec<Input<'_>> = (contexts.iter().zip(&usual))
            .map(|(values, usual)| self.input(values, usual.as_ref()))
            .collect();
        let step_secs = self.shape.step_secs;
        let forecasts = predict_on(Lane::Aside, model, id, step_secs, 0, &inputs)
            .map_err(|error| failed(&error))?;
        let work: Vec<_> = contexts.into_iter().zip(&forecasts).collect();
        let judge = |(values, forecast): &(&[f32], &EntityForecast)| {
            let edited = !same(values, &self.values);
            let hidden = hidden(self.series(&self.values), self.series(values));
            answer(&answerer, forecast, (edited, &hidden), outputs)
        };
        // Judging takes a fifth of the model's time; like the model it uses two threads.
        let (first, second) = work.split_at(work.len() / 2);
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| first.iter().flat_map(judge).collect::<Vec<f32>>());
            let second: Vec<f32> = second.iter().flat_map(judge).collect();
            (first.join(), second)
        });
        let lost = |_| ServiceError::new("model_failed", "judging a variant panicked");
        let mut numbers = first.map_err(lost)?;
        numbers.extend(second);
        Ok(numbers)
    }

    /// What the network looked at. Blocking.
    ///
    /// # Errors
    /// `model_failed`.
    pub fn interpret(&self) -> Result<Interpretation, ServiceError> {
        let input = self.input(&self.values, self.past.own());
        interpret(Lane::Aside, &self.model.model, self.shape.step_secs, &input)
            .map_err(|error| failed(&error))
    }

    fn series<'a>(&self, values: &'a [f32]) -> Vec<&'a [f32]> {
        values.chunks_exact(self.shape.context_steps).collect()
    }

    fn input<'a>(&'a self, values: &'a [f32], usual: Option<&'a Usual>) -> Input<'a> {
        Input {
            entity: &self.state.name,
            profile: &self.shape.profile,
            last_bin: self.context.last_bin,
            values: self.series(values),
            status: &self.context.status,
            usual,
        }
    }
}

/// The id of a profile, empty for one that the schema does not have.
pub fn profile_id(schema: &Schema, profile: u8) -> &str {
    let profile = schema.profiles.get(usize::from(profile));
    profile.map_or("", |profile| profile.id.as_str())
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn failed(error: &argus_forecast::ForecastError) -> ServiceError {
    ServiceError::new("model_failed", error.to_string())
}
