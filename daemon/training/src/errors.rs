//! Why nothing could be trained.

use argus_generate::SpecError;
use argus_tft::train::TrainError;
use argus_tft::{LoadError, PredictError, SaveError};
use argus_trace::TraceError;

/// Why a training command ended without a model.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// No trace and no synthetic fleet.
    #[error("there is nothing to train on: give at least one trace, or a synthetic fleet")]
    NoInput,
    /// Two inputs have one name.
    #[error("two inputs are called `{0}`; rename one of the files")]
    SameName(String),
    /// A trace has no row before its validation start.
    #[error("trace `{name}` has no row before {validation_start}, where its validation starts")]
    NothingBefore {
        /// The trace.
        name: String,
        /// Its validation start, RFC 3339.
        validation_start: String,
    },
    /// A trace could not be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The synthetic fleet is impossible.
    #[error("synthetic fleet: {0}")]
    Fleet(#[from] SpecError),
    /// The run ended without a model.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The model could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The written model could not be read back for scoring.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model could not be scored.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The description of the run has no JSON form.
    #[error("the training record cannot be stored: {0}")]
    Record(#[from] serde_json::Error),
    /// A directory could not be made or removed.
    #[error("`{path}`: {source}", path = .path.display())]
    Io {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A source has no row at all.
    #[error("`{0}` has no row")]
    NoRows(String),
    /// More rows in one bin than fit into memory.
    #[error(
        "server `{server}` has {rows} rows within {step_secs} s, more than the memory for data holds; raise it"
    )]
    TooDense {
        /// The server.
        server: String,
        /// Its rows in the bin.
        rows: u64,
        /// Length of the bin.
        step_secs: u32,
    },
    /// The bins of a run are not as long as its index says.
    #[error("`{}` is damaged; remove it", path.display())]
    Spool {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The folder of the run is in use.
    #[error("another training run works in `{}`; give this one another folder", dir.display())]
    InUse {
        /// The folder.
        dir: std::path::PathBuf,
    },
    /// The folder is no run's.
    #[error(
        "`{}` holds `{entry}`, which is no training run's: give the run an empty folder, or one that is not there yet",
        dir.display()
    )]
    NotARun {
        /// The folder.
        dir: std::path::PathBuf,
        /// What was found there.
        entry: String,
    },
    /// The folder holds a run of another name.
    #[error(
        "`{}` holds an unfinished run called `{name}`. Give this one another folder, or ask for a restart to discard it",
        dir.display()
    )]
    OtherName {
        /// The folder.
        dir: std::path::PathBuf,
        /// The run's name.
        name: String,
    },
    /// Nothing is watched, so nothing could say whether new weights are better than old ones.
    #[error(
        "nothing is watched: going on from a model keeps the old weights unless new ones are better on the newest part \
         of what is learned from. Give more days, a later validation start, or a greater watched share"
    )]
    NothingWatched,
    /// The network's forecasts are not numbers.
    #[error(
        "the trained network's forecasts are not numbers: the run has diverged. Try a lower learning rate"
    )]
    NotNumbers,
    /// The folder holds another run.
    #[error(
        "`{}` holds an unfinished run that this one cannot go on with: {source}. Repeat its options and data to finish \
         it, ask for a restart to discard it, or give this run another folder",
        dir.display()
    )]
    OtherRun {
        /// The folder.
        dir: std::path::PathBuf,
        /// What differs.
        source: argus_tft::train::CheckpointError,
    },
}

impl TrainingError {
    /// For `map_err`: a refusal of the system about a path.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
