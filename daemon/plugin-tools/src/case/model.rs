//! The window and the model that a case describes.

use std::sync::Arc;

use argus_plugin_host::services::model::{
    MetricRange, ModelService, Output, Selection, Window, WindowShape,
};
use argus_plugin_host::services::{BoxFuture, ServiceError};

use super::Window as Described;

/// Every entity has the one window that the case describes; without one, no entity is known.
pub(super) struct CaseModel(Option<Arc<CaseWindow>>);

struct CaseWindow {
    shape: WindowShape,
    values: Vec<f32>,
    typical: Vec<f32>,
    weights: Vec<f32>,
}

const ORIGIN_MS: i64 = 1_770_091_500_000;
const STEP_SECS: u32 = 300;

impl CaseModel {
    /// # Errors
    /// When the metrics' contexts differ in length.
    pub(super) fn new(described: Option<&Described>) -> Result<Self, String> {
        let Some(described) = described else {
            return Ok(Self(None));
        };
        let steps = described
            .metrics
            .first()
            .map_or(0, |metric| metric.values.len());
        if steps == 0
            || described
                .metrics
                .iter()
                .any(|metric| metric.values.len() != steps)
        {
            return Err(
                "window: every metric needs the same number of values, at least one".into(),
            );
        }
        let metrics = described.metrics.iter();
        let shape = WindowShape {
            context_steps: steps,
            horizon_steps: described.horizon_steps,
            step_secs: STEP_SECS,
            origin_ms: ORIGIN_MS,
            quantile_levels: vec![0.1, 0.5, 0.9],
            metrics: metrics
                .clone()
                .map(|metric| MetricRange {
                    name: metric.name.clone(),
                    min: f32::NEG_INFINITY,
                    max: f32::INFINITY,
                })
                .collect(),
            profile: "generic".into(),
            model: "case".into(),
        };
        let values = metrics.clone().flat_map(|metric| {
            let known = metric.values.iter();
            known.map(|value| value.unwrap_or(f32::NAN))
        });
        let typical = metrics
            .clone()
            .flat_map(|metric| std::iter::repeat_n(metric.typical, steps));
        Ok(Self(Some(Arc::new(CaseWindow {
            shape,
            values: values.collect(),
            typical: typical.collect(),
            weights: metrics.map(|metric| metric.weight).collect(),
        }))))
    }
}

impl ModelService for CaseModel {
    fn open(
        &self,
        entity: String,
        _origin_ms: Option<i64>,
    ) -> BoxFuture<'_, Result<Arc<dyn Window>, ServiceError>> {
        Box::pin(async move {
            let message = format!("nobody is named {entity:?}: the case has no window");
            let missing = || ServiceError::new("unknown_entity", message);
            let window = self.0.clone().ok_or_else(missing)?;
            Ok(window as Arc<dyn Window>)
        })
    }
}

impl CaseWindow {
    /// The weighted sum of the newest values; what is missing counts nothing.
    fn sum(&self, variant: &[f32]) -> f32 {
        let newest = variant
            .chunks_exact(self.shape.context_steps)
            .map(<[f32]>::last);
        let terms = newest.flatten().zip(&self.weights);
        terms
            .filter(|(value, _)| value.is_finite())
            .map(|(value, weight)| value * weight)
            .sum()
    }

    fn columns(&self, selection: Selection) -> usize {
        self.variable_names(selection).len().max(1)
    }
}

impl Window for CaseWindow {
    fn shape(&self) -> &WindowShape {
        &self.shape
    }

    fn values(&self) -> &[f32] {
        &self.values
    }

    fn typical(&self) -> &[f32] {
        &self.typical
    }

    fn evaluate(
        &self,
        variants: Vec<f32>,
        outputs: Vec<Output>,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        let mut results = Vec::new();
        for variant in variants.chunks_exact(self.values.len()) {
            let sum = self.sum(variant);
            let answer = |output: &Output| match output {
                Output::BreachProbability { .. } => (sum / 100.0).clamp(0.0, 1.0),
                Output::Risk | Output::Risk30m => sum.clamp(0.0, 100.0),
                Output::RiskUnclamped | Output::Quantile { .. } => sum,
            };
            results.extend(outputs.iter().map(answer));
        }
        Box::pin(std::future::ready(Ok(results)))
    }

    fn attention(&self) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        let row = self.shape.context_steps + self.shape.horizon_steps;
        let weights = vec![1.0 / row as f32; row * self.shape.horizon_steps];
        Box::pin(std::future::ready(Ok(weights)))
    }

    fn variable_weights(
        &self,
        selection: Selection,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        let rows = match selection {
            Selection::Static => 1,
            Selection::Context => self.shape.context_steps,
            Selection::Horizon => self.shape.horizon_steps,
        };
        let columns = self.columns(selection);
        let weights = vec![1.0 / columns as f32; rows * columns];
        Box::pin(std::future::ready(Ok(weights)))
    }

    fn variable_names(&self, selection: Selection) -> Vec<String> {
        match selection {
            Selection::Static => vec!["profile".into()],
            Selection::Context => {
                let metrics = self.shape.metrics.iter();
                metrics.map(|metric| metric.name.clone()).collect()
            }
            Selection::Horizon => vec!["hour".into()],
        }
    }
}
