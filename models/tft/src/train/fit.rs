//! What is fitted once, over all that is learned from: the normaliser's state and each source's usual scales.

use super::TrainError;
use super::corpus::{Corpus, LEAST_STEPS};
use crate::model_config::ModelConfig;
use crate::normalise::NormaliserState;
use crate::normaliser_fit::NormaliserFit;
use crate::window::Window;

/// The fitted numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    pub(crate) normaliser: NormaliserState,
    /// `[source][metric]`: mean scale in the metric's unit; 0 where never seen.
    pub(crate) mean_scales: Vec<Vec<f32>>,
}

impl Fitted {
    /// Reads each learned bin once, in windows as long as the context. `normaliser` is kept where given.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub(crate) fn over(
        corpus: &dyn Corpus,
        config: &ModelConfig,
        normaliser: Option<&NormaliserState>,
    ) -> Result<Self, TrainError> {
        let mut fits = Vec::new();
        for (index, source) in corpus.sources().iter().enumerate() {
            let mut fit = NormaliserFit::new(&config.normaliser, config.schema.metrics.len());
            for (track, span) in corpus.spans(index).iter().enumerate() {
                let mut start = 0;
                while start + LEAST_STEPS <= span.learned {
                    let end = (start + config.context_steps()).min(span.learned);
                    let read = corpus.read(index, track, start..end)?;
                    fit.observe(&Window {
                        entity: "",
                        end_bin_ms: read.first_bin_ms,
                        step_secs: config.step_secs,
                        values: read.values.iter().map(Vec::as_slice).collect(),
                        status: &read.status,
                        profile: &read.profile,
                        usual: None,
                    });
                    start = end;
                }
            }
            fits.push((source.share, fit));
        }
        Ok(Self {
            mean_scales: fits.iter().map(|(_, fit)| fit.mean_scales()).collect(),
            normaliser: normaliser
                .cloned()
                .unwrap_or_else(|| NormaliserFit::combine(&fits)),
        })
    }
}
