//! The HTTP and WebSocket API.
//!
//! A tour of a request: [`serve`] accepts the connection under deadlines and a cap; `router` finds the handler; `auth`
//! checks key and scope and counts reads; the handler answers from the published [`argus_fleet::Fleet`], the store or
//! the alerts, which are all in memory, and leaves anything that blocks or is large to blocking threads. Every error is
//! an RFC 9457 problem document with a real status code (`problem`). What the API needs from the rest of the daemon it
//! asks through [`Control`], so that this crate knows neither libtorch nor wasmtime.

mod admin;
mod alerts;
pub mod auth;
mod body;
mod context;
pub mod control;
mod explain;
mod extract;
mod feed;
mod inputs;
mod limits;
mod metrics;
mod openapi;
mod predictions;
mod problem;
mod remote_write;
mod router;
mod scenario;
mod scrape;
mod serve;
mod servers;
mod shapes;
mod stall;
mod status;
mod ws;

pub use auth::{KeyStore, check_bind};
pub use context::ApiContext;
pub use control::Control;
pub use openapi::openapi_json;
pub use serve::serve;

/// All paths as a service, without a listener; for tests and for embedding. Only [`serve`] stores what remote write
/// receives.
pub fn router(context: ApiContext) -> axum::Router {
    router::router(context::Api::new(
        context,
        tokio_util::sync::CancellationToken::new(),
    ))
}
