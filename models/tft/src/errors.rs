//! Everything that can go wrong, as fragments that read after "failed to".

use std::fmt;
use std::io;
use std::path::PathBuf;

use tch::TchError;

/// Why a configuration does not describe a network.
#[derive(Debug, thiserror::Error)]
pub enum ArchitectureError {
    /// A key is absent.
    #[error("`{key}` is missing from the configuration")]
    Missing {
        /// Its path.
        key: String,
    },
    /// A key holds something else than expected.
    #[error("`{key}` must be {expected}")]
    WrongType {
        /// Its path.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The types are right, a value is not.
    #[error("`{key}` {problem}")]
    Invalid {
        /// Key or variable.
        key: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}

/// Why weights could not be read or do not fit the architecture.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes are not a complete safetensors file.
    #[error("weights are truncated or not safetensors: {0}")]
    Unreadable(String),
    /// The file is complete, its tensors are not those of the architecture.
    #[error("weights do not fit the architecture: {0}")]
    Mismatch(Mismatch),
    /// The file could not be read.
    #[error("weights could not be read from {path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The architecture itself is impossible.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// All differences between a state dict and what the architecture asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that the architecture needs and the file lacks.
    pub missing: Vec<String>,
    /// Names that the file has and the architecture does not know.
    pub unexpected: Vec<String>,
    /// Tensors whose shape or type differs, with both.
    pub misshaped: Vec<String>,
    /// Tensors that hold NaN or infinity.
    pub not_finite: Vec<String>,
    /// Names of one shared parameter that hold different values.
    pub untied: Vec<String>,
}

impl Mismatch {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        let lists = [
            &self.missing,
            &self.unexpected,
            &self.misshaped,
            &self.not_finite,
            &self.untied,
        ];
        lists.into_iter().all(Vec::is_empty)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of the wrong shape or type", &self.misshaped),
            ("with NaN or infinity", &self.not_finite),
            ("shared but unequal", &self.untied),
        ];
        let told = lists.into_iter().filter(|(_, names)| !names.is_empty());
        for (position, (what, names)) in told.enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{} {what}: {}", names.len(), names.join(", "))?;
        }
        Ok(())
    }
}

/// libtorch reported an error.
///
/// The message is the first line of libtorch's own; its C++ stack is dropped.
#[derive(Debug, thiserror::Error)]
#[error("libtorch: {message}")]
pub struct TorchError {
    message: String,
}

impl From<TchError> for TorchError {
    fn from(error: TchError) -> Self {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or("unknown error");
        Self {
            message: line.trim_start_matches("Internal torch error: ").to_owned(),
        }
    }
}

impl From<TchError> for WeightsError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// Why a model directory was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of the directory is absent.
    #[error("model directory {dir} has no {file}", dir = .dir.display())]
    MissingFile {
        /// The directory.
        dir: PathBuf,
        /// The file's name.
        file: &'static str,
    },
    /// A file could not be read.
    #[error("{path} could not be read: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any model.
    #[error("{path} has {bytes} bytes; a model file has at most {most}", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        most: u64,
    },
    /// A file is not what we write under its name.
    #[error("{path} is not what an Argus model has under this name: {problem}", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What shows it, and what to do.
        problem: String,
    },
    /// Written by a newer Argus.
    #[error("{path} has format_version {found}; this Argus reads up to {newest}: update it", path = .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest that is understood.
        newest: u32,
    },
    /// Made for another schema.
    #[error("model was made for another schema: {0}")]
    Schema(String),
    /// `config.json` contradicts itself.
    #[error("model configuration is inconsistent: {0}")]
    Config(String),
    /// Its architecture is impossible.
    #[error("model architecture is impossible: {0}")]
    Architecture(#[from] ArchitectureError),
    /// Its weights do not load.
    #[error("{0}")]
    Weights(#[from] WeightsError),
}

/// Why a model directory could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The directory exists already; models are never overwritten.
    #[error("model directory {} exists already", .0.display())]
    Exists(PathBuf),
    /// The disk refused.
    #[error("{path} could not be written: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A value has no JSON or safetensors form, or is NaN.
    #[error("model cannot be stored: {0}")]
    Encode(String),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// Why a batch got no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// A window does not fit the model.
    #[error("window {index} does not fit the model: {problem}")]
    Window {
        /// Its position in the batch.
        index: usize,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// A worker thread ended without an answer.
    #[error("a prediction thread ended without an answer")]
    Worker,
}

impl From<TchError> for PredictError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}
