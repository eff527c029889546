//! Contexts from the store into the model's windows, and its answers back into forecasts.

use std::sync::Arc;

use argus_fleet::{EntityForecast, MetricForecast, ModelId};
use argus_schema::{EntityName, Schema};
use argus_store::Context;
use argus_tft::{MetricRef, Model, Prediction, SchemaRef, Window};

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

/// One entity's input: whose it is, its profile id, and the context up to its newest closed bin.
pub type Input<'a> = (&'a EntityName, &'a str, &'a Context);

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
    let step_ms = i64::from(step_secs) * 1000;
    // A demo may run with a short step. The model then reads each bin as one of its own steps; `step_secs` of the
    // forecast, and with it every answer, tells the real length.
    let windows: Vec<Window<'_>> = inputs
        .iter()
        .map(|(name, profile, context)| Window {
            entity: name.as_str(),
            end_bin_ms: context.last_bin * step_ms,
            step_secs: model.config().step_secs,
            values: context.values.iter().map(AsRef::as_ref).collect(),
            status: &context.status,
            profile,
        })
        .collect();
    let predictions = model
        .predict(&windows)
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
        .map(|((name, _, context), prediction)| EntityForecast {
            entity: (*name).clone(),
            origin_ms: context.last_bin * step_ms,
            step_secs,
            context_steps: prediction.context_steps,
            quantile_levels: Arc::clone(&levels),
            metrics: metric_forecasts(prediction, context),
            model: Arc::clone(id),
            made_ms,
        })
        .collect();
    Ok(forecasts)
}

fn metric_forecasts(prediction: Prediction, context: &Context) -> Box<[Option<MetricForecast>]> {
    prediction
        .metrics
        .into_iter()
        .zip(&context.values)
        .map(|(quantiles, observed)| {
            let current = observed.iter().rev().copied().find(|v| !v.is_nan())?;
            Some(MetricForecast {
                quantiles: quantiles?,
                current,
            })
        })
        .collect()
}
