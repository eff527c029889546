//! The component side: generated bindings and the glue behind [`sink!`](crate::sink). Not for authors.

use std::panic::PanicHookInfo;
use std::time::Duration;

use crate::error::Error;
use crate::host::{Host, Level};
use crate::http::{Request, Response};
use crate::notification::Notification;
use crate::settings;
use crate::sink::{Receipt, Sink};

/// Generated from `wit/`.
#[expect(missing_docs, reason = "generated; the WIT is documented")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "sink",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_sink",
        default_bindings_module: "argus_plugin::guest::bindings",
    });
}

use bindings::argus::plugin as imports;
pub use bindings::export_sink;
pub use bindings::exports::argus::plugin::delivery;
pub use imports::types::Error as WitError;

/// Runs [`Sink::check`].
pub fn check<S: Sink>() -> Result<(), WitError> {
    let sink: S = start()?;
    Ok(sink.check(&Component)?)
}

/// Runs [`Sink::deliver`].
pub fn deliver<S: Sink>(
    notification: delivery::Notification,
    idempotency_key: &str,
) -> Result<delivery::Receipt, WitError> {
    let sink: S = start()?;
    let Receipt { remote_id, message } =
        sink.deliver(&Component, &notification.into(), idempotency_key)?;
    Ok(delivery::Receipt { remote_id, message })
}

fn start<S: Sink>() -> Result<S, WitError> {
    std::panic::set_hook(Box::new(report_panic));
    let config = settings::parse(&imports::config::json())?;
    Ok(S::new(config)?)
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic
        .payload_as_str()
        .unwrap_or("with a payload that is no text");
    let place = panic
        .location()
        .map(|l| format!(", {}:{}", l.file(), l.line()))
        .unwrap_or_default();
    imports::log::panicked(&format!("{message}{place}"));
}

/// The host behind the component's imports.
struct Component;

impl Host for Component {
    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Error => imports::log::Level::Error,
            Level::Warn => imports::log::Level::Warn,
            Level::Info => imports::log::Level::Info,
            Level::Debug => imports::log::Level::Debug,
            Level::Trace => imports::log::Level::Trace,
        };
        imports::log::write(level, message);
    }

    fn now_ms(&self) -> i64 {
        imports::clock::now_ms()
    }

    fn monotonic_ns(&self) -> u64 {
        imports::clock::monotonic_ns()
    }

    fn send(&self, request: &Request) -> Result<Response, Error> {
        let pair = |(name, value): &(String, String)| imports::types::Pair {
            name: name.clone(),
            value: value.clone(),
        };
        let millis = |timeout: Duration| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let answer = imports::http::send(&imports::http::Request {
            target: request.target.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.iter().map(pair).collect(),
            body: request.body.clone(),
            timeout_ms: request.timeout.map(millis),
        })?;
        Ok(Response {
            status: answer.status,
            headers: from_pairs(answer.headers),
            body: answer.body,
        })
    }
}

fn from_pairs(pairs: Vec<imports::types::Pair>) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|pair| (pair.name, pair.value))
        .collect()
}

impl From<WitError> for Error {
    fn from(error: WitError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
        }
    }
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
        }
    }
}

impl From<delivery::Notification> for Notification {
    fn from(from: delivery::Notification) -> Self {
        Self {
            id: from.id,
            fingerprint: from.fingerprint,
            event: from.event,
            severity: from.severity,
            level: from.level,
            risk_score: from.risk_score,
            entity_kind: from.entity_kind,
            entity: from.entity,
            profile: from.profile,
            metric: from.metric,
            unit: from.unit,
            threshold: from.threshold,
            probability: from.probability,
            current_value: from.current_value,
            expected_breach_ms: from.expected_breach_ms,
            started_at_ms: from.started_at_ms,
            updated_at_ms: from.updated_at_ms,
            ends_at_ms: from.ends_at_ms,
            summary: from.summary,
            labels: from_pairs(from.labels),
            annotations: from_pairs(from.annotations),
            link: from.link,
        }
    }
}
