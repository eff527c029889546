//! What the API works with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use arc_swap::ArcSwap;
use argus_alerts::Alerts;
use argus_fleet::Fleet;
use argus_ingest::remote_write::RemoteWrite;
use argus_schema::{RecordParser, Schema};
use argus_store::{Clock, Store};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::KeyStore;
use crate::control::Control;
use crate::limits::RateLimiter;
use crate::metrics::Metrics;
use crate::predictions::cache::EntityCache;
use crate::problem::Problem;
use crate::remote_write::Intake;

/// Everything the API is given. Fields are shared with the rest of the daemon.
pub struct ApiContext {
    /// Shape of the entities.
    pub schema: Arc<Schema>,
    /// The newest published state.
    pub fleet: Arc<ArcSwap<Fleet>>,
    /// Changes with each published state.
    pub tick: watch::Receiver<u64>,
    /// Where records go.
    pub store: Arc<Store>,
    /// Alert states.
    pub alerts: Arc<Alerts>,
    /// Reads records from JSON.
    pub parser: Arc<RecordParser>,
    /// Reads Prometheus remote write.
    pub remote_write: Arc<RemoteWrite>,
    /// API keys.
    pub keys: Arc<KeyStore>,
    /// The daemon around.
    pub control: Arc<dyn Control>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// `[server]` of the configuration; `listen` is the address really bound.
    pub config: argus_config::Server,
}

/// The context with the API's own state.
pub(crate) struct Api {
    pub context: ApiContext,
    pub metrics: Metrics,
    pub reads: RateLimiter,
    pub cache: EntityCache,
    /// Where remote write goes.
    pub intake: Arc<Intake>,
    /// Bytes of bodies that may be in memory at a time, in KiB.
    pub body_kib: Arc<Semaphore>,
    /// WebSocket clients that may still connect.
    pub websockets: Arc<Semaphore>,
    /// Feed calls that were accepted since start; clients know it as `tick`.
    pub feed_ticks: AtomicU64,
    /// Connections open now.
    pub connections: AtomicUsize,
    /// When the API was made, ms since the epoch.
    pub started_ms: i64,
    /// Cancelled when the daemon stops.
    pub shutdown: CancellationToken,
}

/// Memory for request bodies, all requests together.
const BODY_BUDGET_BYTES: usize = 256 << 20;

pub(crate) type Shared = Arc<Api>;

impl Api {
    pub fn new(context: ApiContext, shutdown: CancellationToken) -> Shared {
        let config = &context.config;
        // A single request of the greatest size must always fit.
        let budget = BODY_BUDGET_BYTES.max(2 * config.max_body_bytes);
        Arc::new(Self {
            metrics: Metrics::new(),
            reads: RateLimiter::per_minute(config.reads_per_minute),
            cache: EntityCache::default(),
            intake: Arc::new(Intake::new(Arc::clone(&context.remote_write))),
            body_kib: Arc::new(Semaphore::new(budget / 1024)),
            websockets: Arc::new(Semaphore::new(config.max_websockets)),
            feed_ticks: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            started_ms: context.clock.now_ms(),
            shutdown,
            context,
        })
    }

    pub fn now_ms(&self) -> i64 {
        self.context.clock.now_ms()
    }

    pub fn fleet(&self) -> Arc<Fleet> {
        self.context.fleet.load_full()
    }

    /// The newest published state, if there is a model to make predictions. Right after the start a model may be there
    /// before its first forecasts are; that is no error.
    pub fn predicting_fleet(&self) -> Result<Arc<Fleet>, Problem> {
        let fleet = self.fleet();
        match (&fleet.model, self.context.control.model_info()) {
            (Some(_), _) | (None, Ok(_)) => Ok(fleet),
            (None, Err(reason)) => Err(Problem::no_model(&reason)),
        }
    }

    pub fn listens_on_loopback(&self) -> bool {
        is_loopback(self.context.config.listen)
    }
}

pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
