//! Runs WebAssembly component plugins inside their limits.
//!
//! A tour: [`PluginHost`] owns the engine, a small runtime of its own and the cache of compiled code. It
//! [loads](PluginHost::load) a [`PluginSpec`] into a [`Plugin`]: file and manifest are checked, the code is compiled
//! and linked with the host interfaces its kind is granted (`src/interfaces/`, one file each) and with an inert WASI. Every
//! call gets a fresh instance under [`Limits`]; whatever a plugin does costs its own call a [`PluginError`] that
//! names plugin and version. `health` leaves a failing plugin alone for a while, [`PluginStatus`] shows it.
//!
//! Nothing here knows of alerts or of the model: callers hand over plain data such as [`SinkNotification`].

mod bindings;
mod cache;
mod call;
mod clock;
mod compile;
mod config;
mod counters;
mod engine;
mod errors;
mod escape;
#[cfg(test)]
mod golden;
mod grants;
mod health;
mod host;
mod interfaces;
mod kinds;
mod limiter;
mod loaded;
mod manifest;
mod nesting;
mod plugin;
mod scrub;
mod secrets;
pub mod services;
mod settings_schema;
mod sign;
mod state;
mod status;
mod target;
mod target_spec;
mod unescape;
mod variants;
mod watch;

pub use argus_outbound_http::{RateLimit, Resolve, Resolving};
pub use clock::{Clock, SystemClock};
pub use compile::{CompilerCommand, compile_stdin_to_stdout};
pub use config::{HealthPolicy, HostConfig, Limits, PluginKind, PluginSpec};
pub use engine::EPOCH_TICK;
pub use errors::{Failure, HostError, PluginError};
pub use grants::{Interface, granted, plain_words};
pub use host::PluginHost;
pub use kinds::explainer::{Driver, Explanation, Subject};
pub use kinds::sink::{Receipt, SinkNotification};
pub use kinds::source::{MAX_CHECKPOINT_BYTES, SourceBatch};
pub use loaded::{Inspected, inspect};
pub use manifest::Manifest;
pub use plugin::{Plugin, PluginVersion, Reloaded};
pub use settings_schema::check as check_schema;
pub use status::{CallSeconds, LastError, PluginState, PluginStatus};
pub use target_spec::{ProxySpec, SecretSource, SignSpec, TargetSpec};

/// The records of remediations, as the WIT package has them.
pub mod repair {
    pub use crate::bindings::argus::plugin::incidents::Incident;
    pub use crate::bindings::remediation::exports::argus::plugin::repair::{
        Approval, Finding, Progress, Proposal,
    };
}

/// The records of investigators, as the WIT package has them.
pub mod reasoning {
    pub use crate::bindings::argus::plugin::incidents::Incident;
    pub use crate::bindings::argus::plugin::types::Pair;
    pub use crate::bindings::investigator::exports::argus::plugin::reasoning::{
        Characterisation, Evidence, Excerpt, Facts, Fix, Hypothesis, Precedent, Question, Signal,
        Verdict,
    };
}
