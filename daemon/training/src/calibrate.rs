//! From computed risks to observed frequencies: what came true at the origins that a model is scored at.

use std::sync::Arc;

use argus_fleet::{EntityForecast, MetricForecast, ModelId};
use argus_risk::{Calibration, CalibrationFit, Subject, ThresholdRules};
use argus_schema::{EntityName, Schema};

use crate::forecast::OriginForecast;

/// Collects forecasts with their quantiles as they will be served.
pub(crate) struct Calibrator<'a> {
    schema: &'a Schema,
    rules: &'a ThresholdRules,
    levels: Arc<[f32]>,
    step_secs: u32,
    model: Arc<ModelId>,
    fit: CalibrationFit,
}

impl<'a> Calibrator<'a> {
    pub(crate) fn new(
        schema: &'a Schema,
        rules: &'a ThresholdRules,
        levels: &[f64],
        step_secs: u32,
    ) -> Self {
        Self {
            schema,
            rules,
            levels: levels.iter().map(|level| *level as f32).collect(),
            step_secs,
            // Nobody is told of these forecasts.
            model: Arc::new(ModelId {
                name: String::new(),
                path: String::new(),
                weights_sha256: String::new(),
                device: String::new(),
            }),
            fit: CalibrationFit::default(),
        }
    }

    pub(crate) fn add(&mut self, forecast: &OriginForecast<'_>) {
        let (track, next) = (forecast.track, forecast.bin + 1);
        // No record with another name is ever accepted.
        let Ok(name) = EntityName::new(forecast.server) else {
            return;
        };
        let profile = self.schema.profile_code(&track.profile);
        let subject = Subject {
            schema: self.schema,
            rules: self.rules,
            calibration: &Calibration::Identity,
            profile: profile.unwrap_or(self.schema.default_profile()),
            // Not kept with the bins: load, whose thresholds are per core, is not judged.
            cores: None,
            name: &name,
            current: &[],
            hidden: &[],
        };
        let quantiles = forecast.metrics.iter().map(|quantiles| {
            Some(MetricForecast {
                quantiles: quantiles.clone()?,
                current: f32::NAN,
            })
        });
        let step_ms = i64::from(self.step_secs) * 1_000;
        let told = EntityForecast {
            entity: name.clone(),
            origin_ms: track.first_bin_ms + forecast.bin as i64 * step_ms,
            step_secs: self.step_secs,
            context_steps: 0,
            quantile_levels: Arc::clone(&self.levels),
            metrics: quantiles.collect(),
            model: Arc::clone(&self.model),
            made_ms: 0,
            context_hash: 0,
        };
        let risk = subject.assess(&told);
        let future: Vec<&[f32]> = (track.values.iter())
            .map(|values| values.get(next..).unwrap_or_default())
            .collect();
        let outcome = subject.outcome(risk.assessed, &future, told.horizon(), self.step_secs);
        if let Some(outcome) = outcome {
            self.fit.add(&risk, outcome);
        }
    }

    pub(crate) fn finish(self) -> CalibrationFit {
        self.fit
    }
}
