//! The WebAssembly engine and the thread that interrupts running plugins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::errors::HostError;

/// How often running plugins are interrupted to look at their deadlines and to let others run.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);

/// Calls of all plugins together that run at the same time.
pub(crate) const MAX_CALLS: u32 = 256;
/// A component consists of a few core instances: shims, adapters, the program. Python has about twenty.
pub(crate) const MAX_CORE_INSTANCES: u32 = 64;
/// Memories and tables of one component.
pub(crate) const MAX_MEMORIES: u32 = 8;
pub(crate) const MAX_TABLES: u32 = 16;
/// Elements of one table; address space is set aside for them.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 1_000_000;
/// What of a memory is zeroed by hand instead of given back to the kernel when a call ends, so that the next call need
/// not ask for these pages again: of the pages that were written to, where the kernel can tell which (Linux 6.7), else
/// of the lowest ones, written to or not.
const KEPT_WRITTEN_BYTES: usize = 2 << 20;
const KEPT_LOWEST_BYTES: usize = 256 << 10;
const KEPT_TABLE_BYTES: usize = 16 << 10;
const KEPT_STACK_BYTES: usize = 32 << 10;
/// Slots that stay warm beyond those that calls needed at the same time. Each keeps at most the bytes above, for good;
/// what a call touched beyond goes back to the kernel.
const WARM_SLOTS: u32 = 8;

/// The settings that compiled code depends on: the compiling process and the running one must agree on them.
fn settings() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(512 << 10);
    // The wasm stack plus room for host functions below it.
    config.async_stack_size(1 << 20);
    // Shared memories grow without asking the limiter.
    config.shared_memory(false);
    config.wasm_memory64(false);
    config.memory_init_cow(true);
    config
}

/// An engine that only compiles.
pub(crate) fn compiling_engine() -> Result<Engine, HostError> {
    Engine::new(&settings()).map_err(|e| HostError::Engine(format!("{e:#}")))
}

/// An engine that runs components with interruption, and nothing that a component does not need. Instances come from a
/// pool: making one takes microseconds.
pub(crate) fn running_engine() -> Result<Engine, HostError> {
    let kept = if PoolingAllocationConfig::is_pagemap_scan_available() {
        KEPT_WRITTEN_BYTES
    } else {
        KEPT_LOWEST_BYTES
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_CALLS)
        .total_core_instances(MAX_CALLS * MAX_CORE_INSTANCES)
        .total_memories(MAX_CALLS * 2)
        .total_tables(MAX_CALLS * 8)
        .total_stacks(MAX_CALLS)
        .max_memories_per_component(MAX_MEMORIES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(4 << 30)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .async_stack_keep_resident(KEPT_STACK_BYTES);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        // The pool sets address space aside, which not every system gives. Without it everything works, slower.
        tracing::warn!("plugins run without a pool of instances: {error:#}");
        compiling_engine()
    })
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
