//! How far forecasts' quantiles are moved, from what came true at the origins that a model is scored at.

use argus_tft::{MetricRef, SchemaRef, Widening, WideningFit};

use crate::forecast::OriginForecast;

/// Collects forecasts of a model that widens nothing yet.
pub(crate) struct Widener<'a> {
    schema: &'a SchemaRef,
    levels: usize,
    /// One for each metric.
    fits: Vec<WideningFit>,
}

impl<'a> Widener<'a> {
    pub(crate) fn new(schema: &'a SchemaRef, levels: &[f64], sources: usize) -> Self {
        let fit = |metric: &MetricRef| WideningFit::new(levels, metric.range(), sources);
        Self {
            schema,
            levels: levels.len(),
            fits: schema.metrics.iter().map(fit).collect(),
        }
    }

    pub(crate) fn add(&mut self, source: usize, forecast: &OriginForecast<'_>) {
        let truths = &forecast.track.values;
        for ((fit, quantiles), truth) in self.fits.iter_mut().zip(forecast.metrics).zip(truths) {
            let Some(quantiles) = quantiles else { continue };
            let ahead = truth.get(forecast.bin + 1..).unwrap_or_default();
            for (row, truth) in quantiles.chunks_exact(self.levels).zip(ahead) {
                if !truth.is_nan() {
                    fit.add(source, row, *truth);
                }
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<Widening> {
        let metrics = self.schema.metrics.iter().zip(self.fits);
        metrics
            .filter_map(|(metric, fit)| fit.finish(&metric.name))
            .collect()
    }
}
