//! An inert WASI 0.2: no files, no environment, no arguments, no sockets, no names, empty stdin.
//!
//! Output goes into the plugin's log when the call ends. Clocks and random numbers are real, since interpreters need
//! them; sleeping costs the call's own time. The context is made on first use: Rust plugins never touch it.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::argus::plugin::log::Level;
use crate::call::CallState;

/// Handles (streams, pollables) a call may hold.
const MAX_HANDLES: usize = 1000;
/// Random bytes in one go.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// The WASI side of a call.
#[derive(Default)]
pub(crate) struct Wasi {
    table: ResourceTable,
    context: Option<(WasiCtx, MemoryOutputPipe)>,
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log_bytes = self.loaded.limits.log_bytes;
        let wasi = &mut self.wasi;
        let (context, _) = wasi.context.get_or_insert_with(|| {
            wasi.table.set_max_capacity(MAX_HANDLES);
            let output = MemoryOutputPipe::new(log_bytes);
            let context = WasiCtx::builder()
                .stdout(output.clone())
                .stderr(output.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(MAX_RANDOM_BYTES)
                .build();
            (context, output)
        });
        WasiCtxView {
            ctx: context,
            table: &mut wasi.table,
        }
    }
}

impl CallState {
    /// Logs what the program wrote to stdout and stderr.
    pub(crate) fn log_output(&mut self) -> wasmtime::Result<()> {
        let Some((_, output)) = &self.wasi.context else {
            return Ok(());
        };
        let written = output.contents();
        let text = String::from_utf8_lossy(&written);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.log_line(Level::Info, line)?;
        }
        Ok(())
    }
}
