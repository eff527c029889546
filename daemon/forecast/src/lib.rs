//! Runs the model for all due entities in batches and publishes the newest forecasts.
//!
//! One thread owns the loop ([`ForecastLoop`]): it wakes when the store changed or the wall clock closed a bin, asks
//! the store which entities have a newer closed bin than their last forecast, runs the model over all of them in
//! large batches, computes risk, and publishes an immutable [`argus_fleet::Fleet`] by pointer swap. Readers never
//! wait for the model. Without a model the loop still publishes current values; quantiles then simply are not there.
//!
//! Which model serves is decided by [`lookup`] and can be swapped between two batches through [`ModelSlot`].

mod batch;
mod edits;
mod errors;
pub mod lookup;
mod past;
mod publish;
mod registry;
mod run;
mod slot;

pub use argus_tft::{Interpretation, Lane, VariableWeights};
pub use batch::{Input, interpret, predict, predict_on, schema_ref};
pub use edits::{EditError, Edits};
pub use errors::ForecastError;
pub use lookup::{Choice, Lookup, ModelListing};
pub use past::{Known, Past, known};
pub use registry::{Activation, ActivePointer, PointerError};
pub use run::{ForecastHandle, ForecastLoop, ForecastObserver, LoopConfig, LoopParts, Made};
pub use slot::{LoadedModel, ModelSlot};

/// Bins of context the daemon hands to the model at most: 24 hours of 5-minute steps.
pub const CONTEXT_STEPS: u32 = 288;
/// An entity with fewer closed bins than this is warming up.
pub const MIN_CONTEXT_BINS: u32 = 12;
