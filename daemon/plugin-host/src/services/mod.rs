//! What the daemon lends to plugins: one trait per service, each with its plain data.
//!
//! The host knows neither the model nor the store nor the alerts; the binary that wires everything implements these
//! traits. A service that is not there is not linked, and a plugin that imports it is told so.

pub mod connectors;
pub mod incidents;
pub mod metrics;
pub mod model;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::bindings::argus::plugin::types;

/// A future that a service returns. Nothing in it may block: plugins of all kinds share a few threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a service cannot answer; handed to the plugin as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// A stable word, one of those that the interface's documentation lists.
    pub code: &'static str,
    /// A sentence that says what to do where that is known.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl ServiceError {
    /// An error that trying again does not help.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: false,
        }
    }

    /// An error that may be gone later.
    pub fn retryable(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::new(code, message)
        }
    }
}

impl From<ServiceError> for types::Error {
    fn from(error: ServiceError) -> Self {
        Self {
            code: error.code.to_owned(),
            message: error.message,
            retryable: error.retryable,
        }
    }
}

/// The services that a host has.
#[derive(Clone, Default)]
pub struct Services {
    /// The forecasting model, for explainers and investigators.
    pub model: Option<Arc<dyn model::ModelService>>,
    /// History of metrics.
    pub metrics: Option<Arc<dyn metrics::MetricsService>>,
    /// Alerts and regressions.
    pub incidents: Option<Arc<dyn incidents::IncidentsService>>,
    /// Native connectors, for sources; which plugin may ask which is in its own configuration.
    pub connectors: connectors::Connectors,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("model", &self.model.is_some())
            .field("metrics", &self.metrics.is_some())
            .field("incidents", &self.incidents.is_some())
            .field("connectors", &self.connectors)
            .finish()
    }
}
