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
mod config;
mod counters;
mod engine;
mod errors;
mod escape;
mod health;
mod host;
mod interfaces;
mod limiter;
mod loaded;
mod manifest;
mod notification;
mod plugin;
mod scrub;
mod secrets;
mod sign;
mod status;
mod target;
mod target_spec;
mod unescape;

pub use argus_outbound_http::{RateLimit, Resolve, Resolving};
pub use clock::{Clock, SystemClock};
pub use config::{HealthPolicy, HostConfig, Limits, PluginKind, PluginSpec};
pub use engine::EPOCH_TICK;
pub use errors::{Failure, HostError, PluginError};
pub use host::PluginHost;
pub use notification::{Receipt, SinkNotification};
pub use plugin::Plugin;
pub use status::{LastError, PluginState, PluginStatus};
pub use target_spec::{ProxySpec, SecretSource, SignSpec, TargetSpec};
