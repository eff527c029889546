//! The Temporal Fusion Transformer: network, windows, training, files.

mod architecture;
mod device;
mod errors;
mod inputs;
mod network;
pub mod parity;
mod peer_config;
mod weights;
mod window;

pub use architecture::{Architecture, Embedding, Target, Variables};
pub use device::Device;
pub use errors::{
    ArchitectureError, LoadError, Mismatch, PredictError, SaveError, TorchError, WeightsError,
};
pub use inputs::{Attention, Inputs, Mode, Outputs, SelectionWeights, Want};
pub use network::Network;
pub use window::{Future, Window};
