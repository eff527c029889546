//! Contexts from the store into the model's windows, and its answers back into forecasts.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use argus_fleet::{EntityForecast, MetricForecast, ModelId};
use argus_schema::{EntityName, Schema};
use argus_store::Context;
use argus_tft::{Interpretation, Lane, MetricRef, Model, Prediction, SchemaRef, Usual, Window};
use foldhash::quality::FixedState;

use crate::errors::ForecastError;

/// What the model must have been trained for.
pub fn schema_ref(schema: &Schema) -> SchemaRef {
    SchemaRef {
        id: schema.id.clone(),
        version: schema.version,
        metrics: schema
            .metrics
            .iter()
            .map(|m| MetricRef {
                name: m.name.clone(),
                min: m.min,
                max: m.max,
            })
            .collect(),
        statuses: schema.statuses.clone(),
        profiles: schema.profiles.iter().map(|p| p.id.clone()).collect(),
    }
}

/// One entity's input: whose it is, and its bins up to the one to forecast from.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Whose.
    pub entity: &'a EntityName,
    /// Its profile id.
    pub profile: &'a str,
    /// Newest bin; bin `b` starts at `b` steps after the epoch.
    pub last_bin: i64,
    /// One series of bin means per metric of the schema, all of one length, NaN where missing.
    pub values: Vec<&'a [f32]>,
    /// Status category per bin, 0 where missing; as long.
    pub status: &'a [u8],
    /// What these bins and those before say; see [`Past`](crate::Past).
    pub usual: Option<&'a Usual>,
}

impl<'a> Input<'a> {
    /// From a context of the store, and what came before it.
    pub fn new(
        entity: &'a EntityName,
        profile: &'a str,
        context: &'a Context,
        usual: Option<&'a Usual>,
    ) -> Self {
        Self {
            entity,
            profile,
            last_bin: context.last_bin,
            values: context.values.iter().map(AsRef::as_ref).collect(),
            status: &context.status,
            usual,
        }
    }

    /// What [`EntityForecast::context_hash`] says of this input.
    pub fn context_hash(&self) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write_i64(self.last_bin);
        hasher.write(self.profile.as_bytes());
        hasher.write(self.status);
        for value in self.values.iter().copied().flatten() {
            hasher.write_u32(value.to_bits());
        }
        hasher.write_u64(self.usual.map_or(0, Usual::fingerprint));
        hasher.finish()
    }

    /// A demo may run with a short step. The model then reads each bin as one of its own steps; `step_secs` of the
    /// forecast, and with it every answer, tells the real length.
    fn window(&self, model: &Model, step_ms: i64) -> Window<'a> {
        Window {
            entity: self.entity.as_str(),
            end_bin_ms: self.last_bin * step_ms,
            step_secs: model.config().step_secs,
            values: self.values.clone(),
            status: self.status,
            profile: self.profile,
            usual: self.usual,
        }
    }
}

/// Runs the model once over all `inputs`, in their order. Blocking, seconds for thousands of entities.
///
/// # Errors
/// When libtorch fails or a window is malformed; no entity then gets a forecast.
pub fn predict(
    model: &Model,
    id: &Arc<ModelId>,
    step_secs: u32,
    made_ms: i64,
    inputs: &[Input<'_>],
) -> Result<Vec<EntityForecast>, ForecastError> {
    predict_on(Lane::Main, model, id, step_secs, made_ms, inputs)
}

/// The same on the workers of a lane, so that forecasts need not wait for it.
///
/// # Errors
/// As [`predict`].
pub fn predict_on(
    lane: Lane,
    model: &Model,
    id: &Arc<ModelId>,
    step_secs: u32,
    made_ms: i64,
    inputs: &[Input<'_>],
) -> Result<Vec<EntityForecast>, ForecastError> {
    let step_ms = i64::from(step_secs) * 1000;
    let windows: Vec<Window<'_>> = inputs
        .iter()
        .map(|input| input.window(model, step_ms))
        .collect();
    let predictions = model
        .predict_on(lane, &windows)
        .map_err(|error| ForecastError::Model(error.to_string()))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "quantile levels have two digits"
    )]
    let levels: Arc<[f32]> = model
        .quantile_levels()
        .iter()
        .map(|level| *level as f32)
        .collect();
    let forecasts = inputs
        .iter()
        .zip(predictions)
        .map(|(input, prediction)| EntityForecast {
            entity: input.entity.clone(),
            origin_ms: input.last_bin * step_ms,
            step_secs,
            context_steps: prediction.context_steps,
            quantile_levels: Arc::clone(&levels),
            metrics: metric_forecasts(prediction, input),
            model: Arc::clone(id),
            made_ms,
            context_hash: input.context_hash(),
        })
        .collect();
    Ok(forecasts)
}

/// What the network looked at in one input, on the workers of a lane.
///
/// # Errors
/// As [`predict`].
pub fn interpret(
    lane: Lane,
    model: &Model,
    step_secs: u32,
    input: &Input<'_>,
) -> Result<Interpretation, ForecastError> {
    let window = input.window(model, i64::from(step_secs) * 1000);
    let mut found = model
        .interpret(lane, &[window])
        .map_err(|error| ForecastError::Model(error.to_string()))?;
    let none = || ForecastError::Model("the model gave no answer".to_owned());
    found.pop().ok_or_else(none)
}

fn metric_forecasts(prediction: Prediction, input: &Input<'_>) -> Box<[Option<MetricForecast>]> {
    prediction
        .metrics
        .into_iter()
        .zip(&input.values)
        .map(|(quantiles, observed)| {
            let current = observed.iter().rev().copied().find(|v| !v.is_nan())?;
            Some(MetricForecast {
                quantiles: quantiles?,
                current,
            })
        })
        .collect()
}
