//! The WebAssembly engine and the thread that interrupts running plugins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{Config, Engine};

use crate::errors::HostError;

/// How often running plugins are interrupted to look at their deadlines and to let others run.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);

/// An engine that runs components with interruption, and nothing that a component does not need.
pub(crate) fn new_engine() -> Result<Engine, HostError> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(512 << 10);
    // The wasm stack plus room for host functions below it.
    config.async_stack_size(1 << 20);
    // Shared memories grow without asking the limiter.
    config.shared_memory(false);
    config.wasm_memory64(false);
    config.memory_init_cow(true);
    Engine::new(&config).map_err(|e| HostError::Engine(format!("{e:#}")))
}

/// Advances the engine's epoch every [`EPOCH_TICK`] while calls are running, from a thread of the operating system:
/// a plugin that hogs every worker cannot keep it from ticking.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    stop: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> Result<Self, HostError> {
        let shared = Arc::new(Shared::default());
        let (engine, state) = (engine.weak(), shared.clone());
        let tick = move || {
            while !state.stop.load(Ordering::Acquire) {
                if state.running.load(Ordering::Acquire) == 0 {
                    thread::park();
                    continue;
                }
                thread::sleep(EPOCH_TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        };
        let thread = thread::Builder::new()
            .name("argus-plugin-epoch".into())
            .spawn(tick);
        Ok(Self {
            shared,
            thread: Some(thread.map_err(HostError::Threads)?),
        })
    }

    /// Keeps the epoch advancing until the guard is dropped.
    pub(crate) fn keep_ticking(&self) -> Ticking {
        if self.shared.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.wake();
        }
        Ticking(self.shared.clone())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It ends within one tick and cannot panic.
            let _ = thread.join();
        }
    }
}

/// While it lives, the epoch advances.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<Shared>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}
