//! `argus:plugin/config`.

use crate::bindings::argus::plugin::config::Host;
use crate::call::CallState;

impl Host for CallState {
    fn json(&mut self) -> wasmtime::Result<String> {
        Ok(self.loaded.config_json.clone())
    }
}
