//! How good the weights are on windows that are not trained on.

use std::sync::Arc;

use tch::Tensor;

use super::gradient::{Lesson, Workers};
use super::optimiser::copy;
use super::sampler::Sample;
use super::{Source, Track, TrainError};
use crate::device::Device;
use crate::features::Preparer;

/// A window to judge the weights on.
#[derive(Debug, Clone)]
pub struct ValidationWindow {
    /// Position of its source in the corpus.
    pub source: usize,
    /// The rows.
    pub track: Arc<Track>,
    /// Last encoder bin.
    pub origin: usize,
}

/// Judges weights, and keeps the best.
#[derive(Debug)]
pub(crate) struct Judge {
    /// Lessons of each source.
    lessons: Vec<Vec<Lesson>>,
    best: Option<Tensor>,
}

impl Judge {
    pub(crate) fn new(
        preparer: &Preparer,
        windows: &[ValidationWindow],
        sources: &[Source],
        chunk_windows: usize,
        device: Device,
    ) -> Result<Self, TrainError> {
        let config = preparer.config();
        let (encoder, decoder) = (config.context_steps(), config.horizon());
        let cut = |w: &ValidationWindow| {
            Sample::cut(&w.track, config.step_secs, w.origin, encoder, decoder)
        };
        let lessons = (0..sources.len()).map(|source| {
            let samples: Vec<Sample> = windows
                .iter()
                .filter(|window| window.source == source)
                .map(cut)
                .collect();
            Lesson::prepare(preparer, &samples, chunk_windows, device.torch())
        });
        Ok(Self {
            lessons: lessons.collect::<Result<_, _>>()?,
            best: None,
        })
    }

    /// Mean loss of each source; `None` where it has no windows.
    pub(crate) fn losses(
        &mut self,
        workers: &mut Workers,
        weights: &Tensor,
    ) -> Result<Vec<Option<f64>>, TrainError> {
        let loss = |lessons: &mut Vec<Lesson>| {
            if lessons.is_empty() {
                Ok(None)
            } else {
                workers.loss(weights, lessons).map(Some)
            }
        };
        self.lessons.iter_mut().map(loss).collect()
    }

    /// Keeps weights as the best so far.
    pub(crate) fn keep(&mut self, weights: &Tensor) -> Result<(), TrainError> {
        self.best = Some(copy(weights)?);
        Ok(())
    }

    /// The best weights so far, if there was a validation.
    pub(crate) fn best(&self) -> Option<&Tensor> {
        self.best.as_ref()
    }
}
