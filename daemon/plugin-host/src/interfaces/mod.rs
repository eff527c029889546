//! The host interfaces, one file each: what a component can reach beyond itself.
//!
//! Only what a kind is granted gets linked, and only what this host has. WASI is linked inert, because components made
//! from JavaScript or Python import it whether they use it or not.

pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod connector;
pub(crate) mod http;
pub(crate) mod incidents;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod model;
pub(crate) mod state;
pub(crate) mod wasi;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::argus::plugin;
use crate::call::CallState;
use crate::config::PluginKind;
use crate::grants::{Interface, granted};
use crate::services::Services;

impl plugin::types::Host for CallState {}

/// A linker with everything that `kind` is granted and this host has.
pub(crate) fn linker(
    engine: &Engine,
    kind: PluginKind,
    services: &Services,
) -> wasmtime::Result<Linker<CallState>> {
    type Itself = HasSelf<CallState>;
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasmtime_wasi::p2::add_to_linker_async(l)?;
    plugin::types::add_to_linker::<_, Itself>(l, |state| state)?;
    for interface in granted(kind) {
        match interface {
            Interface::Log => plugin::log::add_to_linker::<_, Itself>(l, |state| state)?,
            Interface::Clock => plugin::clock::add_to_linker::<_, Itself>(l, |state| state)?,
            Interface::Config => plugin::config::add_to_linker::<_, Itself>(l, |state| state)?,
            Interface::State => plugin::state::add_to_linker::<_, Itself>(l, |state| state)?,
            Interface::Http => plugin::http::add_to_linker::<_, Itself>(l, |state| state)?,
            // Without a connector in the configuration, queries say so.
            Interface::Connector => {
                plugin::connector::add_to_linker::<_, Itself>(l, |state| state)?;
            }
            Interface::Model if services.model.is_some() => {
                plugin::model::add_to_linker::<_, Itself>(l, |state| state)?;
            }
            Interface::Metrics if services.metrics.is_some() => {
                plugin::metrics::add_to_linker::<_, Itself>(l, |state| state)?;
            }
            Interface::Incidents if services.incidents.is_some() => {
                plugin::incidents::add_to_linker::<_, Itself>(l, |state| state)?;
            }
            Interface::Model | Interface::Metrics | Interface::Incidents => {}
        }
    }
    Ok(linker)
}
