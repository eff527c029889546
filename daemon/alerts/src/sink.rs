//! Where notifications go.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use argus_fleet::Level;

use crate::notification::Notification;

/// A receiver of notifications; usually a plugin.
///
/// [`Sink::deliver`] is called by the delivery worker, at most `max_in_flight` times at once and never twice at once for
/// one fingerprint. The same idempotency key means the same notification: it comes again only if no answer was seen.
pub trait Sink: Send + Sync {
    /// Its name in the configuration, unique and stable: rows in the outbox carry it.
    fn name(&self) -> &str;

    /// Hands over one notification.
    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
        idempotency_key: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Receipt, DeliveryError>> + Send + 'a>>;

    /// Which notifications it gets. Asked once, when delivery starts.
    fn route(&self) -> SinkRoute {
        SinkRoute::all(self.name())
    }
}

/// Which notifications a sink gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRoute {
    /// Name of the sink.
    pub name: String,
    /// Alerts that never reach this severity are not told to it.
    pub min_severity: Level,
    /// Whether it wants firing alerts again every `refresh_secs` (Alertmanager does, a chat does not).
    pub refresh: bool,
}

impl SinkRoute {
    /// Everything, refreshes included.
    pub fn all(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            min_severity: Level::Warning,
            refresh: true,
        }
    }
}

/// The sink's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the receiver called it, if it said.
    pub reference: Option<String>,
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DeliveryError {
    /// Machine-readable, snake_case.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// The receiver asked to be left alone for this long; the whole sink pauses.
    pub retry_after: Option<Duration>,
}

impl DeliveryError {
    /// Another attempt may succeed.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            retryable: true,
            retry_after: None,
        }
    }

    /// No attempt will ever succeed.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self {
            retryable: false,
            ..Self::retryable(code, message)
        }
    }
}
