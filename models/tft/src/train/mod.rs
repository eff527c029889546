//! Training: windows of a corpus in, the weights of a network out.
//!
//! [`run`] draws windows from a [`Corpus`] (only those it wants, so a corpus need not fit in memory), roughens some of
//! them so that the network learns to live with short histories, gaps and missing metrics, and fits the network to
//! the quantile loss of all targets that were observed. Optimiser and schedule span the whole run; the normaliser is
//! fitted once before it, over all that is learned from. What comes out is the running average of the weights at the
//! best validation.
//!
//! The same corpus, options and seed give the same weights, whether or not the run was killed and resumed from a
//! checkpoint on the way.

mod checkpoint;
mod chunks;
mod corpus;
mod disguise;
mod errors;
mod feed;
mod fit;
mod gradient;
mod keeper;
mod lesson;
mod loss;
mod mix;
mod optimiser;
mod options;
mod past;
mod report;
mod run;
mod sample;
mod sampler;
mod seeds;
mod speed;
mod validation;

use std::ops::ControlFlow;
use std::path::Path;

use crate::device::Device;
use crate::model_config::ModelConfig;
use crate::network::Network;
use crate::normalise::NormaliserState;

pub use self::corpus::{Corpus, LEAST_STEPS, MemoryCorpus, Source, Span, Track, WindowRef};
pub use self::errors::{CheckpointError, TrainError};
pub use self::options::{Roughening, TrainOptions};
pub use self::report::{Ending, Milestone, Progress, TrainReport};
pub use self::run::run;
pub use self::speed::step_speed;

/// What to train, and on what.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// How windows become inputs, and the architecture.
    pub config: &'a ModelConfig,
    /// Pace and seeds.
    pub options: &'a TrainOptions,
    /// The data.
    pub corpus: &'a dyn Corpus,
    /// Windows to watch the run on, all of whose future is readable; without any, the last average is taken.
    pub validation: &'a [WindowRef],
    /// Where the network runs.
    pub device: Device,
    /// A model to go on from; its normaliser is kept.
    pub start: Option<Start<'a>>,
    /// Where the run is stored while it lasts.
    pub checkpoint: Option<Checkpoint<'a>>,
}

/// A model to go on from. Its architecture must be the job's.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Its weights.
    pub network: &'a Network,
    /// Its normaliser.
    pub normaliser: &'a NormaliserState,
}

/// Where a run is stored. A run that finds a checkpoint of its own goes on from there.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint<'a> {
    /// The file; its folder exists.
    pub path: &'a Path,
    /// What else makes the run what it is, say a fingerprint of its data. A checkpoint with another is refused.
    pub identity: &'a serde_json::Value,
}

/// A network that has learned, with all that is needed to use it.
#[derive(Debug)]
pub struct Trained {
    /// How windows become inputs, and the architecture.
    pub config: ModelConfig,
    /// The fitted normaliser.
    pub state: NormaliserState,
    /// The network, with the averaged weights of the best validation; of the last step without any.
    pub network: Network,
    /// How the run went.
    pub report: TrainReport,
}

/// What [`run`] asks of its caller while it works.
pub struct Watch<'a> {
    /// Called after every step; [`ControlFlow::Break`] ends the run without a model.
    pub progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    /// Time since any fixed moment.
    pub now: &'a dyn Fn() -> std::time::Duration,
}

/// Makes libtorch use one thread per operation: parallel work is spread over our own threads instead.
pub fn single_threaded_torch() {
    tch::set_num_threads(1);
}
