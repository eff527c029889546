//! A few windows ready for the network, with what it should say.

use tch::{Kind, Tensor};

use super::TrainError;
use super::sample::Sample;
use crate::features::{Prepared, Preparer, Targets};
use crate::inputs::Inputs;

/// Greatest and, inverted, least weight of a window's loss: one burst must not drown a batch.
const MOST_WEIGHT: f32 = 10.0;

/// Windows ready for the network, with what it should say.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub(crate) inputs: Inputs,
    /// The mask holds the weight of each target's loss; 0 where there is no target.
    pub(crate) targets: Targets,
}

/// How much a window's loss weighs, by its scale; see [`super::TrainOptions::scale_weight`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LossWeights {
    pub(crate) power: f32,
    /// `[source][metric]`: mean scale in the metric's unit; 0 where never seen.
    pub(crate) mean_scales: Vec<Vec<f32>>,
}

impl LossWeights {
    fn weight(&self, source: usize, metric: usize, scale: f32) -> f32 {
        let mean = self.mean_scales[source][metric];
        if mean <= 0.0 {
            return 1.0;
        }
        let weight = (scale / mean).powf(self.power);
        weight.clamp(1.0 / MOST_WEIGHT, MOST_WEIGHT)
    }

    /// Weights of the targets of prepared windows, `[n, 1, metrics]`.
    fn tensor(&self, samples: &[Sample], prepared: &Prepared) -> Result<Tensor, TrainError> {
        let mut weights = Vec::new();
        for (sample, scales) in samples.iter().zip(&prepared.scales) {
            let weight = |(metric, scale): (usize, &crate::normalise::Scale)| {
                self.weight(sample.source, metric, scale.scale)
            };
            weights.extend(scales.iter().enumerate().map(weight));
        }
        let shape = [samples.len() as i64, 1, -1];
        Ok(Tensor::f_from_slice(&weights)?.f_view(shape)?)
    }
}

impl Lesson {
    /// Prepares samples, `chunk_windows` to a lesson.
    ///
    /// # Errors
    /// When a window does not fit the model.
    pub(crate) fn prepare(
        preparer: &Preparer,
        samples: &[Sample],
        weights: Option<&LossWeights>,
        chunk_windows: usize,
        device: tch::Device,
    ) -> Result<Vec<Self>, TrainError> {
        let lesson = |samples: &[Sample]| {
            let windows: Vec<_> = samples.iter().map(Sample::window).collect();
            let futures: Vec<_> = samples.iter().map(Sample::future).collect();
            let prepared = preparer.prepare(&windows)?;
            let Targets { values, mut mask } = preparer.targets(&prepared, &futures)?;
            if let Some(weights) = weights {
                mask = mask.f_mul(&weights.tensor(samples, &prepared)?)?;
            }
            let targets = Targets {
                values: values.f_to_device(device)?,
                mask: mask.f_to_device(device)?,
            };
            Ok(Self {
                inputs: prepared.inputs,
                targets,
            })
        };
        samples.chunks(chunk_windows).map(lesson).collect()
    }

    /// Number of observed targets, each counted with its weight.
    pub(crate) fn observed(&self) -> Result<f64, TrainError> {
        Ok(f64::try_from(self.targets.mask.f_sum(Kind::Double)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_weighs_as_its_scale_says() {
        let weights = |power| LossWeights {
            power,
            mean_scales: vec![vec![2.0, 0.0]],
        };
        assert_eq!(weights(0.0).weight(0, 0, 8.0), 1.0);
        assert_eq!(weights(1.0).weight(0, 0, 8.0), 4.0);
        assert_eq!(weights(0.5).weight(0, 0, 8.0), 2.0);
        assert_eq!(weights(1.0).weight(0, 0, 1e9), MOST_WEIGHT);
        assert_eq!(weights(1.0).weight(0, 0, 0.0), 1.0 / MOST_WEIGHT);
        assert_eq!(
            weights(1.0).weight(0, 1, 8.0),
            1.0,
            "never seen while fitting"
        );
    }
}
