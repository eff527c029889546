//! One call: a fresh instance, its limits, and the judgement of how it ended.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::bindings::argus::plugin::types::{Error as ReportedError, Pair};
use crate::bindings::sink::exports::argus::plugin::delivery;
use crate::clock::Clock;
use crate::engine::EPOCH_TICK;
use crate::errors::Failure;
use crate::interfaces::http::CallHttp;
use crate::interfaces::log::CallLog;
use crate::interfaces::wasi::Wasi;
use crate::limiter::Limiter;
use crate::loaded::Loaded;
use crate::notification::{Receipt, SinkNotification};
use crate::secrets::disarm;

/// What a plugin is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    Check,
    Deliver {
        notification: Box<SinkNotification>,
        idempotency_key: String,
    },
}

/// What a call holds on the host's side; gone when the call ends.
pub(crate) struct CallState {
    pub loaded: Arc<Loaded>,
    pub clock: Arc<dyn Clock>,
    pub started: Instant,
    pub limiter: Limiter,
    pub log: CallLog,
    pub http: CallHttp,
    pub wasi: Wasi,
    /// The limit that ended the call; more precise than the trap it shows as.
    violation: Option<Failure>,
    compute_ticks: u64,
}

/// How a call ended and what it took.
#[derive(Debug)]
pub(crate) struct Ended {
    pub result: Result<Receipt, Failure>,
    pub retry_after: Option<Duration>,
    pub took: Duration,
    pub memory_bytes: u64,
    pub http_requests: u64,
    pub http_bytes: u64,
    pub log_lines: u64,
}

impl Ended {
    /// A call that was lost because the host is going down.
    pub(crate) fn stopping() -> Self {
        Self {
            result: Err(Failure::Stopping),
            retry_after: None,
            took: Duration::ZERO,
            memory_bytes: 0,
            http_requests: 0,
            http_bytes: 0,
            log_lines: 0,
        }
    }
}

/// Strings in results and errors are for people; the rest is cut off.
const MAX_TEXT_CHARS: usize = 2000;
const MAX_CODE_CHARS: usize = 64;
/// Component-model handles a call may hold.
const MAX_HANDLES: usize = 1000;

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
pub(crate) async fn run(
    engine: &Engine,
    loaded: Arc<Loaded>,
    clock: Arc<dyn Clock>,
    task: Task,
) -> Ended {
    let limits = loaded.limits;
    let state = CallState {
        limiter: Limiter::new(&limits),
        loaded: loaded.clone(),
        clock,
        started: Instant::now(),
        log: CallLog::default(),
        http: CallHttp::default(),
        wasi: Wasi::default(),
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
    let outcome = tokio::time::timeout(limits.timeout, perform(&mut store, &loaded, task)).await;
    let mut state = store.into_data();
    let result = match outcome {
        Err(_) => Err(Failure::TimedOut(limits.timeout)),
        Ok(Err(error)) => Err(judge(&error, &mut state)),
        Ok(Ok(Err(error))) => Err(reported(error)),
        Ok(Ok(Ok(receipt))) => Ok(receipt),
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
        took: state.started.elapsed(),
        memory_bytes: state.limiter.high_water_bytes() as u64,
        http_requests: state.http.requests.into(),
        http_bytes: state.http.bytes,
        log_lines: state.log.lines.into(),
    }
}

async fn perform(
    store: &mut Store<CallState>,
    loaded: &Loaded,
    task: Task,
) -> wasmtime::Result<Result<Receipt, ReportedError>> {
    let sink = loaded.sink.instantiate_async(&mut *store).await?;
    let exports = sink.argus_plugin_delivery();
    match task {
        Task::Check => Ok(exports
            .call_check(&mut *store)
            .await?
            .map(|()| Receipt::default())),
        Task::Deliver {
            notification,
            idempotency_key,
        } => {
            let notification = to_wit(&notification);
            let receipt = exports
                .call_deliver(&mut *store, &notification, &idempotency_key)
                .await?;
            Ok(receipt.map(|receipt| Receipt {
                remote_id: receipt
                    .remote_id
                    .map(|text| readable(&text, MAX_TEXT_CHARS)),
                message: receipt.message.map(|text| readable(&text, MAX_TEXT_CHARS)),
            }))
        }
    }
}

/// Says in the operator's terms why a call ended.
fn judge(error: &wasmtime::Error, state: &mut CallState) -> Failure {
    if let Some(violation) = state.violation.take() {
        return violation;
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
fn readable(text: &str, max_chars: usize) -> String {
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

/// Texts of a notification come from outside (a server's name, say): placeholders in them are broken.
fn to_wit(from: &SinkNotification) -> delivery::Notification {
    let text = |text: &String| disarm(text).into_owned();
    let optional = |value: &Option<String>| value.as_ref().map(text);
    let pairs = |list: &[(String, String)]| {
        list.iter()
            .map(|(name, value)| Pair {
                name: text(name),
                value: text(value),
            })
            .collect()
    };
    delivery::Notification {
        id: text(&from.id),
        fingerprint: text(&from.fingerprint),
        event: text(&from.event),
        severity: text(&from.severity),
        level: text(&from.level),
        risk_score: from.risk_score,
        entity_kind: text(&from.entity_kind),
        entity: text(&from.entity),
        profile: text(&from.profile),
        metric: optional(&from.metric),
        unit: optional(&from.unit),
        threshold: from.threshold,
        probability: from.probability,
        current_value: from.current_value,
        expected_breach_ms: from.expected_breach_ms,
        started_at_ms: from.started_at_ms,
        updated_at_ms: from.updated_at_ms,
        ends_at_ms: from.ends_at_ms,
        summary: text(&from.summary),
        labels: pairs(&from.labels),
        annotations: pairs(&from.annotations),
        link: optional(&from.link),
    }
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState")
            .field("plugin", &self.loaded.name)
            .finish_non_exhaustive()
    }
}
