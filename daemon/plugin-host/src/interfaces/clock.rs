//! `argus:plugin/clock`.

use crate::bindings::argus::plugin::clock::Host;
use crate::call::CallState;

impl Host for CallState {
    fn now_ms(&mut self) -> wasmtime::Result<i64> {
        Ok(self.clock.now_ms())
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        // Counted from the start of the call: a longer view would tell plugins about the daemon's life.
        Ok(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.remaining().as_millis()).unwrap_or(u32::MAX))
    }
}
