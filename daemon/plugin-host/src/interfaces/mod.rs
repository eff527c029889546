//! The host interfaces, one file each: what a component can reach beyond itself.
//!
//! Only what a kind is granted gets linked. WASI is linked inert, because components made from JavaScript or Python
//! import it whether they use it or not.

pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod wasi;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::argus::plugin;
use crate::call::CallState;
use crate::config::PluginKind;

impl plugin::types::Host for CallState {}

/// A linker with everything that `kind` is granted.
pub(crate) fn linker(engine: &Engine, kind: PluginKind) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    match kind {
        PluginKind::Sink => {
            plugin::types::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
            plugin::log::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
            plugin::clock::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
            plugin::config::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
            plugin::http::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
        }
    }
    Ok(linker)
}
