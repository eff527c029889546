//! Futures to training targets.

use crate::errors::PredictError;
use crate::features::{Prepared, Preparer};
use crate::kernel::Targets;
use crate::window::{Future, is_observed};

impl Preparer {
    /// Targets for the windows of `prepared`, one future each.
    ///
    /// A future may be shorter than the horizon and hold gaps: both weigh nothing, and so does a metric that the window
    /// never saw, for it has no scale. Everything else weighs 1.
    ///
    /// # Errors
    /// When there is not one future per window with one series per metric.
    pub fn targets(
        &self,
        prepared: &Prepared,
        futures: &[Future<'_>],
    ) -> Result<Targets, PredictError> {
        let (horizon, metrics) = (self.config().horizon(), self.config().schema.metrics.len());
        if futures.len() != prepared.scales.len() {
            let problem = format!(
                "{} futures for {} windows",
                futures.len(),
                prepared.scales.len()
            );
            return Err(PredictError::Window {
                index: futures.len(),
                problem,
            });
        }
        let mut values = vec![0f32; futures.len() * horizon * metrics];
        let mut weights = values.clone();
        for (index, (future, scales)) in futures.iter().zip(&prepared.scales).enumerate() {
            if future.values.len() != metrics {
                let problem = format!(
                    "its future has {} metrics, the model {metrics}",
                    future.values.len()
                );
                return Err(PredictError::Window { index, problem });
            }
            for (metric, (series, scale)) in future.values.iter().zip(scales).enumerate() {
                for (step, value) in series.iter().take(horizon).enumerate() {
                    if is_observed(*value) && scale.is_observed() {
                        let place = (step * futures.len() + index) * metrics + metric;
                        values[place] = scale.normalise(*value);
                        weights[place] = 1.0;
                    }
                }
            }
        }
        Ok(Targets { values, weights })
    }
}
