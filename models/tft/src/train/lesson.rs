//! A few windows ready for the network, with what it should say.

use super::TrainError;
use super::sample::Sample;
use crate::features::Preparer;
use crate::kernel::{Batch, Targets};
use crate::normalise::Scale;

/// Greatest and, inverted, least weight of a window's loss: one burst must not drown a batch.
const MOST_WEIGHT: f32 = 10.0;

/// Windows ready for the network, with what it should say.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub(crate) batch: Batch,
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

    /// Weighs the targets of windows by the windows' scales.
    fn apply(&self, samples: &[Sample], scales: &[Vec<Scale>], targets: &mut Targets) {
        let of_window = |(sample, scales): (&Sample, &Vec<Scale>)| {
            let of_metric =
                |(metric, scale): (usize, &Scale)| self.weight(sample.source, metric, scale.scale);
            scales.iter().enumerate().map(of_metric).collect::<Vec<_>>()
        };
        let weights: Vec<f32> = samples.iter().zip(scales).flat_map(of_window).collect();
        for step in targets.weights.chunks_exact_mut(weights.len()) {
            step.iter_mut()
                .zip(&weights)
                .for_each(|(own, weight)| *own *= weight);
        }
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
    ) -> Result<Vec<Self>, TrainError> {
        let lesson = |samples: &[Sample]| {
            let windows: Vec<_> = samples.iter().map(Sample::window).collect();
            let futures: Vec<_> = samples.iter().map(Sample::future).collect();
            let prepared = preparer.prepare(&windows)?;
            let mut targets = preparer.targets(&prepared, &futures)?;
            if let Some(weights) = weights {
                weights.apply(samples, &prepared.scales, &mut targets);
            }
            Ok(Self {
                batch: prepared.batch,
                targets,
            })
        };
        samples.chunks(chunk_windows).map(lesson).collect()
    }

    /// Number of observed targets, each counted with its weight.
    pub(crate) fn observed(&self) -> f64 {
        self.targets.weight()
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
