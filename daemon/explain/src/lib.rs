//! The model, lent to explanations: every number in one comes from running it.
//!
//! [`Engine`] implements the plugin host's [`ModelService`]. A subject's window ([`subject`]) is its newest published
//! forecast with the very context that the model saw, read again from the store and compared by hash; a window whose
//! context has changed since is not opened, for it would explain another forecast than the one that people see. The
//! documented background that explanations compare with is in [`typical`]; what is read off a variant's forecast in
//! [`outputs`].
//!
//! Everything runs on one thread of the lowest useful priority, and on the model's own second lane of workers, so that
//! neither the forecast loop nor readers wait for an explanation. The queue before it is bounded; beyond that a call is
//! told `model_busy`.
//!
//! [`ModelService`]: argus_plugin_host::services::model::ModelService

mod engine;
mod outputs;
mod subject;
mod typical;

pub use engine::{Engine, EngineParts};
pub use typical::Source;
