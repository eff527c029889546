//! One call: a fresh instance, its limits, and the judgement of how it ended.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::bindings::argus::plugin::types::Error as ReportedError;
use crate::clock::Clock;
use crate::engine::EPOCH_TICK;
use crate::errors::Failure;
use crate::interfaces::http::CallHttp;
use crate::interfaces::log::CallLog;
use crate::interfaces::model::CallModel;
use crate::interfaces::wasi::Wasi;
use crate::kinds::Task;
use crate::limiter::Limiter;
use crate::loaded::Loaded;
use crate::services::Services;
use crate::state::PluginStore;

/// What a call borrows from its host.
#[derive(Clone)]
pub(crate) struct Lent {
    pub clock: Arc<dyn Clock>,
    pub services: Services,
}

/// What a call holds on the host's side; gone when the call ends.
pub(crate) struct CallState {
    pub loaded: Arc<Loaded>,
    pub clock: Arc<dyn Clock>,
    pub services: Services,
    pub state: Arc<PluginStore>,
    pub started: Instant,
    pub limiter: Limiter,
    pub log: CallLog,
    pub http: CallHttp,
    pub model: CallModel,
    pub wasi: Wasi,
    /// Cursors of connectors that are open.
    pub cursors: usize,
    /// What the handles of our own interfaces stand for.
    pub resources: ResourceTable,
    /// Bytes that went between plugin and host, both ways.
    pub copied_bytes: u64,
    /// The limit that ended the call; more precise than the trap it shows as.
    violation: Option<Failure>,
    compute_ticks: u64,
}

/// How a call ended and what it took.
#[derive(Debug)]
pub(crate) struct Ended<T> {
    pub result: Result<T, Failure>,
    pub retry_after: Option<Duration>,
    pub cost: Cost,
}

/// What a call took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub took: Duration,
    pub memory_bytes: u64,
    pub copied_bytes: u64,
    pub http_requests: u64,
    pub http_bytes: u64,
    pub log_lines: u64,
    pub evaluations: u64,
}

impl<T> Ended<T> {
    /// A call that was lost because the host is going down.
    pub(crate) fn stopping() -> Self {
        Self {
            result: Err(Failure::Stopping),
            retry_after: None,
            cost: Cost::default(),
        }
    }
}

/// Strings in results and errors are for people; the rest is cut off.
pub(crate) const MAX_TEXT_CHARS: usize = 2000;
const MAX_CODE_CHARS: usize = 64;
/// Component-model handles a call may hold.
pub(crate) const MAX_HANDLES: usize = 1000;

impl CallState {
    /// Remembers why the call ends; the returned error makes the host function trap.
    pub(crate) fn end_call(&mut self, failure: Failure) -> wasmtime::Error {
        let text = failure.to_string();
        self.violation.get_or_insert(failure);
        wasmtime::Error::msg(text)
    }

    /// Wall time that is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.loaded
            .limits
            .timeout
            .saturating_sub(self.started.elapsed())
    }

    /// How long a host function may wait for others: a tenth of the call's time is left for the plugin to say what
    /// happened, else a slow far side would look like a plugin that hangs.
    pub(crate) fn patience(&self) -> Duration {
        self.remaining()
            .saturating_sub(self.loaded.limits.timeout / 10)
    }

    /// Counts bytes that a host function took from the plugin. How many it may hand over at once is watched by the
    /// engine, before anything is copied.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.copied_bytes = self.copied_bytes.saturating_add(bytes as u64);
    }

    /// Counts bytes that a host function is about to copy into the plugin's memory, and ends the call if they are too
    /// many at once.
    pub(crate) fn hand_over(&mut self, bytes: usize) -> wasmtime::Result<()> {
        let limit_bytes = self.loaded.limits.copied_bytes;
        if bytes > limit_bytes {
            return Err(self.end_call(Failure::TooMuchData { limit_bytes }));
        }
        self.received(bytes);
        Ok(())
    }

    fn count_tick(&mut self) -> Result<(), wasmtime::Error> {
        self.compute_ticks += 1;
        let compute = self.loaded.limits.compute;
        let allowed = compute.as_nanos() / EPOCH_TICK.as_nanos();
        if u128::from(self.compute_ticks) > allowed {
            return Err(self.end_call(Failure::ComputeExceeded(compute)));
        }
        Ok(())
    }
}

/// Runs a task in a fresh instance. Must run on the host's own runtime, with the epoch ticking.
pub(crate) async fn run<T: Task>(
    engine: &Engine,
    loaded: Arc<Loaded>,
    lent: Lent,
    task: T,
) -> Ended<T::Answer> {
    let limits = loaded.limits;
    let state = CallState {
        limiter: Limiter::new(&limits),
        state: loaded.state.clone(),
        loaded: loaded.clone(),
        clock: lent.clock,
        services: lent.services,
        started: Instant::now(),
        log: CallLog::default(),
        http: CallHttp::default(),
        model: CallModel::default(),
        wasi: Wasi::default(),
        cursors: 0,
        resources: ResourceTable::new(),
        copied_bytes: 0,
        violation: None,
        compute_ticks: 0,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits.copied_bytes);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    // At every tick the plugin steps aside, so that timers fire and other calls run, and is charged for the tick.
    store.epoch_deadline_callback(|mut context| {
        context.data_mut().count_tick()?;
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    let performed = task.perform(&mut store, &loaded.exports);
    let outcome = tokio::time::timeout(limits.timeout, performed).await;
    let mut state = store.into_data();
    let result = match outcome {
        Err(_) => Err(Failure::TimedOut(limits.timeout)),
        Ok(Err(error)) => Err(judge(&error, &mut state)),
        Ok(Ok(Err(error))) => Err(reported(error)),
        Ok(Ok(Ok(answer))) => Ok(answer),
    };
    let retry_after = match &result {
        Err(Failure::Reported {
            retryable: true, ..
        }) => state.http.retry_after,
        _ => None,
    };
    let result = match state.log_output() {
        Err(_) if result.is_ok() => Err(judge(&wasmtime::Error::msg("log"), &mut state)),
        _ => result,
    };
    Ended {
        result,
        retry_after,
        cost: Cost {
            took: state.started.elapsed(),
            memory_bytes: state.limiter.high_water_bytes() as u64,
            copied_bytes: state.copied_bytes,
            http_requests: state.http.requests.into(),
            http_bytes: state.http.bytes,
            log_lines: state.log.lines.into(),
            evaluations: state.model.evaluations.into(),
        },
    }
}

/// Says in the operator's terms why a call ended.
fn judge(error: &wasmtime::Error, state: &mut CallState) -> Failure {
    if let Some(violation) = state.violation.take() {
        return violation;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::Crowded;
    }
    let limits = &state.loaded.limits;
    if state.limiter.memory_refused() {
        // A program that is refused memory panics or traps for want of it; both mean the same.
        return Failure::MemoryExceeded {
            limit_bytes: limits.memory_bytes,
        };
    }
    if let Some(message) = state.log.panic.take() {
        return Failure::Panicked(message);
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return Failure::StackExhausted,
        Some(Trap::MemoryOutOfBounds) if backtrace.is_some_and(recurses) => {
            return Failure::StackExhausted;
        }
        _ => {}
    }
    let cause = error.root_cause().to_string();
    // The engine's error type for this is private.
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return Failure::TooMuchData {
            limit_bytes: limits.copied_bytes,
        };
    }
    let function = backtrace
        .and_then(|b| b.frames().first()?.func_name())
        .map(|name| format!(", in {name}"));
    let text = format!(
        "{}{}",
        cause.trim_start_matches("wasm trap: "),
        function.unwrap_or_default()
    );
    Failure::Trapped(readable(&text, MAX_TEXT_CHARS))
}

/// Programs keep large frames on a stack of their own at the low end of their memory: running out of it shows as an
/// access below address 0, deep inside a few functions that call each other.
fn recurses(backtrace: &WasmBacktrace) -> bool {
    const DEEP: usize = 16;
    const FEW: usize = 4;
    let innermost = backtrace
        .frames()
        .iter()
        .take(DEEP)
        .map(|frame| frame.func_index());
    let distinct: BTreeSet<u32> = innermost.collect();
    backtrace.frames().len() >= DEEP && distinct.len() <= FEW
}

fn reported(error: ReportedError) -> Failure {
    let code = readable(&error.code, MAX_CODE_CHARS);
    Failure::Reported {
        code: if code.is_empty() {
            "plugin_error".into()
        } else {
            code
        },
        message: readable(&error.message, MAX_TEXT_CHARS),
        retryable: error.retryable,
    }
}

/// Text from a plugin, fit for logs and terminals.
pub(crate) fn readable(text: &str, max_chars: usize) -> String {
    let mut readable: String = text
        .chars()
        .take(max_chars)
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect();
    if readable.len() < text.len() && text.chars().count() > max_chars {
        readable.push('…');
    }
    readable
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState")
            .field("plugin", &self.loaded.name)
            .finish_non_exhaustive()
    }
}
