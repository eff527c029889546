//! The Temporal Fusion Transformer: network, windows, training, files.
//!
//! A tour, from the outside in:
//!
//! - [`Model`] is a loaded model directory ([`ModelFiles`], [`ModelConfig`]): windows in, quantiles in metric units
//!   out.
//! - [`Preparer`] turns [`Window`]s into network [`Inputs`], and [`Future`]s into [`Targets`]; scaling is in
//!   [`NormaliserConfig`] and [`NormaliserState`].
//! - [`Network`] is the network itself, built from an [`Architecture`] alone. Its parameters are one flat tensor.
//! - [`train`] fits one to the windows of a corpus.
//! - [`parity`] compares it with recorded answers of pytorch-forecasting, whose names and shapes it shares.
//!
//! This is the only crate that links libtorch, and it knows nothing of servers, HTTP or plugins.

mod architecture;
mod blocks;
mod calendar;
mod columns;
mod device;
mod direct_inputs;
mod entity_table;
mod errors;
mod features;
mod flop;
mod inputs;
mod kernel;
mod model;
mod model_config;
mod model_dir;
mod named_codes;
mod network;
mod normalise;
mod normaliser_fit;
pub mod parity;
mod peer_config;
mod peer_import;
mod schema_ref;
mod sgemm;
mod simple_forecasts;
mod source;
mod targets;
pub mod train;
mod transformation;
mod usual;
mod weights;
mod widening;
mod window;

pub use architecture::{Architecture, Direct, Embedding, Target, Variables};
pub use calendar::Clock;
pub use device::Device;
pub use direct_inputs::DirectConfig;
pub use entity_table::{EntityTable, MetricScales, UnknownEntity, short_id};
pub use errors::{
    ArchitectureError, LoadError, Mismatch, PredictError, SaveError, TorchError, WeightsError,
};
pub use features::{Prepared, Preparer};
pub use inputs::{Attention, DirectTensors, Inputs, Mode, Outputs, SelectionWeights, Want};
pub use kernel::{Answer, Batch, DirectBatch, Half, Kernel, Targets, Workspace};
pub use model::{Interpretation, Lane, Model, Prediction, VariableWeights};
pub use model_config::{FORMAT_VERSION, ModelConfig, ModelOptions};
pub use model_dir::{
    CALIBRATION_FILE, CONFIG_FILE, ModelFiles, TRAINING_FILE, WEIGHTS_FILE, encode_weights,
    replace_calibration, write,
};
pub use network::Network;
pub use normalise::{NormaliserConfig, NormaliserState, Scale};
pub use normaliser_fit::NormaliserFit;
pub use peer_import::{ImportError, ImportOptions, Imported, import};
pub use schema_ref::{MetricRef, SchemaRef};
pub use sgemm::sgemm_gflops;
pub use source::{Calendar, Naming, Source, Variable};
pub use transformation::Transformation;
pub use usual::Usual;
pub use widening::{Widening, WideningFit};
pub use window::{Future, Window};
