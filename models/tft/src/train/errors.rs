//! Why a model could not be trained.

use crate::errors::{PredictError, SaveError, TorchError, WeightsError};

/// Why a training run ended without a model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// An option is out of range.
    #[error("training option {option}: {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What would do.
        allowed: &'static str,
    },
    /// The model's configuration contradicts itself.
    #[error("model configuration is inconsistent: {0}")]
    Config(String),
    /// A source has no window: its series are too short, or nothing in them was observed.
    #[error(
        "source `{source_name}` has no window to train on; a series needs at least 24 bins with data"
    )]
    NoWindows {
        /// The source.
        source_name: String,
    },
    /// Rows could not be read while training.
    #[error("training data could not be read: {0}")]
    Data(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The loss is no longer a number.
    #[error("the loss became {loss} at step {step}; lower the learning rate")]
    Diverged {
        /// Step, from 0.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The caller asked to stop.
    #[error("training was stopped")]
    Stopped,
    /// A checkpoint could not be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A worker thread ended without an answer.
    #[error("a training thread ended without an answer")]
    Worker,
    /// A window could not be prepared.
    #[error(transparent)]
    Window(#[from] PredictError),
    /// The network could not be built.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model could not be stored.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// Why a run cannot be stored or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error("checkpoint `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no checkpoint, or damaged.
    #[error(
        "`{}` is not a usable checkpoint: {problem}. Ask for a restart to begin anew",
        path.display()
    )]
    Foreign {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint is of a run with other options or other data.
    #[error(
        "the checkpoint is of another run; what differs (checkpoint -> now): {}",
        differences.join("; ")
    )]
    OtherRun {
        /// Each as `path: old -> new`.
        differences: Vec<String>,
    },
    /// There is no file form of it.
    #[error("the checkpoint cannot be stored: {0}")]
    Encode(String),
}
