//! How good the weights are on windows that are not trained on.

use tch::Tensor;

use super::corpus::{Corpus, WindowRef};
use super::gradient::Workers;
use super::lesson::{Lesson, LossWeights};
use super::optimiser::copy;
use super::sample::{Sample, Shape};
use super::{TrainError, TrainOptions};
use crate::features::Preparer;

/// Judges weights, and keeps the best. The windows are read anew each time: holding them would cost more memory than
/// the run's own data.
pub(crate) struct Judge<'a> {
    preparer: &'a Preparer,
    corpus: &'a dyn Corpus,
    /// Windows of each source.
    windows: Vec<Vec<WindowRef>>,
    weights: Option<&'a LossWeights>,
    chunk_windows: usize,
    /// Windows that are prepared at a time.
    batch_windows: usize,
    best: Option<Tensor>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(
        preparer: &'a Preparer,
        corpus: &'a dyn Corpus,
        windows: &[WindowRef],
        weights: Option<&'a LossWeights>,
        options: &TrainOptions,
    ) -> Self {
        let of_source = |source| {
            let own = windows.iter().filter(|window| window.source == source);
            own.copied().collect()
        };
        Self {
            preparer,
            corpus,
            windows: (0..corpus.sources().len()).map(of_source).collect(),
            weights,
            chunk_windows: options.chunk_windows,
            batch_windows: options.batch_windows,
            best: None,
        }
    }

    /// Mean loss of each source; `None` where it has no windows.
    ///
    /// # Errors
    /// When the corpus cannot be read or libtorch refuses.
    pub(crate) fn losses(
        &self,
        workers: &mut Workers,
        weights: &Tensor,
    ) -> Result<Vec<Option<f64>>, TrainError> {
        let sources = self.windows.iter();
        sources
            .map(|windows| self.loss(windows, workers, weights))
            .collect()
    }

    fn loss(
        &self,
        windows: &[WindowRef],
        workers: &mut Workers,
        weights: &Tensor,
    ) -> Result<Option<f64>, TrainError> {
        let config = self.preparer.config();
        let shape = Shape::of(config);
        let (mut sum, mut count) = (0.0, 0.0);
        for windows in windows.chunks(self.batch_windows) {
            let read = |window: &WindowRef| {
                let end = self.corpus.spans(window.source)[window.track].bins;
                Sample::read(self.corpus, *window, shape, end, None, |_| {}, |_, _| {})
            };
            let samples = windows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let lessons =
                Lesson::prepare(self.preparer, &samples, self.weights, self.chunk_windows)?;
            let observed = lessons.iter().map(Lesson::observed).sum::<f64>();
            sum += observed * workers.loss(weights, &lessons)?;
            count += observed;
        }
        Ok((count > 0.0).then(|| sum / count))
    }

    /// Keeps weights as the best so far.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn keep(&mut self, weights: &Tensor) -> Result<(), TrainError> {
        self.best = Some(copy(weights)?);
        Ok(())
    }

    /// The best weights so far, if there was a validation.
    pub(crate) fn best(&self) -> Option<&Tensor> {
        self.best.as_ref()
    }
}
