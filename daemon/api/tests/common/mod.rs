//! A daemon's parts around the router: a real store and alert database in a temporary directory, a hand-made fleet, a
//! fake for the rest.

#![expect(dead_code, reason = "each test binary uses its own part of this")]

mod control;
pub mod write_request;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use argus_alerts::{AlertConfig, Alerts, Evaluation};
use argus_api::control::{Control, ModelInfo, Readiness};
use argus_api::{ApiContext, KeyStore};
use argus_fleet::{
    BreachForecast, EntityForecast, EntityState, Fleet, ForecastState, Level, MetricForecast,
    ModelId, Risk,
};
use argus_ingest::remote_write::{RemoteWrite, RemoteWriteConfig};
use argus_schema::{Breach, EntityName, Limits, Mapping, RecordParser, Schema};
use argus_store::{Clock, RecoveryReport, Store, StoreConfig};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

pub use control::FakeControl;

/// 2026-03-01T12:00:00Z.
pub const NOW_MS: i64 = 1_772_366_400_000;
pub const LEVELS: [f32; 7] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98];
pub const HORIZON: usize = 96;

pub struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct Daemon {
    pub dir: tempfile::TempDir,
    pub clock: Arc<TestClock>,
    pub store: Arc<Store>,
    pub alerts: Arc<Alerts>,
    pub keys: Arc<KeyStore>,
    pub control: Arc<FakeControl>,
    pub fleet: Arc<ArcSwap<Fleet>>,
    pub tick: watch::Sender<u64>,
    pub config: argus_config::Server,
}

impl Daemon {
    /// With a model and the servers of [`fleet`].
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let clock = Arc::new(TestClock(AtomicI64::new(NOW_MS)));
        let config = StoreConfig::new(dir.path().join("store"));
        let (store, _) = Store::open(
            config,
            Schema::server(),
            Arc::clone(&clock) as Arc<dyn Clock>,
        )
        .expect("a fresh store");
        let control = FakeControl {
            model: Mutex::new(Ok(model_info())),
            readiness: Mutex::new(Readiness::Ready(Arc::new(RecoveryReport::default()))),
        };
        Self {
            clock,
            store,
            alerts: Alerts::in_memory(AlertConfig::default()).expect("alerts"),
            keys: Arc::new(KeyStore::open(dir.path()).expect("no keys")),
            control: Arc::new(control),
            fleet: Arc::new(ArcSwap::from_pointee(fleet())),
            tick: watch::Sender::new(1),
            config: argus_config::Server::default(),
            dir,
        }
    }

    pub fn without_model() -> Self {
        let daemon = Self::new();
        let reason = "no model directory was found in /models".to_owned();
        *daemon.control.model.lock() = Err(reason.clone());
        daemon.fleet.store(Arc::new(Fleet {
            model: None,
            no_model_reason: Some(reason),
            ..fleet()
        }));
        daemon
    }

    pub fn context(&self) -> ApiContext {
        let schema = Schema::server();
        ApiContext {
            parser: Arc::new(RecordParser::new(
                Arc::clone(&schema),
                Mapping::default(),
                Limits::default(),
            )),
            remote_write: Arc::new(RemoteWrite::new(
                Arc::clone(&schema),
                RemoteWriteConfig::default(),
            )),
            schema,
            fleet: Arc::clone(&self.fleet),
            tick: self.tick.subscribe(),
            store: Arc::clone(&self.store),
            alerts: Arc::clone(&self.alerts),
            keys: Arc::clone(&self.keys),
            control: Arc::clone(&self.control) as Arc<dyn Control>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            config: self.config.clone(),
        }
    }

    /// Lets an alert about `web-1`'s memory fire.
    pub fn fire_an_alert(&self) {
        let (entity, risk) = (name("web-1"), risk(90.0, vec![breach()]));
        for step in 0..3 {
            let evaluation = Evaluation {
                now_ms: NOW_MS + step * 300_000,
                entity: &entity,
                profile: "web_api",
                origin_ms: NOW_MS + step * 300_000,
                step_secs: 300,
                scheduled: true,
                risk: &risk,
            };
            self.alerts.evaluate(&[evaluation]).expect("in memory");
        }
    }

    pub fn router(&self) -> Router {
        argus_api::router(self.context())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.store.close();
    }
}

pub fn model_id() -> Arc<ModelId> {
    Arc::new(ModelId {
        name: "argus_20260101_120000".to_owned(),
        path: "/models/argus_20260101_120000".to_owned(),
        weights_sha256: "00".repeat(32),
        device: "cpu".to_owned(),
    })
}

pub fn model_info() -> ModelInfo {
    ModelInfo {
        id: model_id(),
        timestamp: Some("20260101_120000".to_owned()),
        horizon_steps: 96,
        context_steps: 288,
        quantile_levels: LEVELS.map(f64::from).to_vec(),
        schema_id: "server".to_owned(),
        schema_version: 1,
        parameters: 250_000,
        calibration: "identity".to_owned(),
    }
}

pub fn name(text: &str) -> EntityName {
    EntityName::new(text).expect("a name")
}

/// Every metric but `java_cpu_pct`; the median of metric `i` rises by 0.1 per step from `10 + i`.
pub fn forecast(entity: &str) -> EntityForecast {
    let schema = Schema::server();
    let metric = |index: usize| {
        let quantiles = (0..HORIZON).flat_map(|step| {
            LEVELS
                .map(|level| 10.0 + index as f32 + 0.1 * (step as f32 + 1.0) + 4.0 * (level - 0.5))
        });
        MetricForecast {
            quantiles: quantiles.collect(),
            current: 10.0 + index as f32,
        }
    };
    let java = schema.metric_index("java_cpu_pct");
    EntityForecast {
        entity: name(entity),
        origin_ms: NOW_MS - 300_000,
        step_secs: 300,
        context_steps: 288,
        quantile_levels: LEVELS.into(),
        metrics: (0..schema.metrics.len())
            .map(|i| (Some(i) != java).then(|| metric(i)))
            .collect(),
        model: model_id(),
        made_ms: NOW_MS,
        context_hash: 0,
    }
}

pub fn risk(score: f64, breaches: Vec<BreachForecast>) -> Risk {
    Risk {
        score,
        unclamped: score,
        score_30m: score / 2.0,
        prob_horizon: score / 100.0,
        prob_30m: score / 200.0,
        in_breach: false,
        calibration: "identity",
        breaches,
        assessed: 1 << 5,
    }
}

pub fn breach() -> BreachForecast {
    BreachForecast {
        metric_index: 5,
        metric: "mem_used_pct".to_owned(),
        unit: "%".to_owned(),
        derived: false,
        severity: Level::Critical,
        threshold: 98.0,
        side: Breach::Above,
        current: Some(95.0),
        probability: 0.9,
        probability_30m: 0.4,
        now: false,
        expected_step: Some(12),
        earliest_step: Some(6),
        latest_step: None,
        peak_median: 99.5,
    }
}

/// `db-1` healthy, `web-1` critical, `new-1` warming up.
pub fn fleet() -> Fleet {
    let schema = Schema::server();
    let current: Box<[f32]> = (0..schema.metrics.len())
        .map(|i| {
            if schema.metrics[i].name == "java_cpu_pct" {
                f32::NAN
            } else {
                10.0 + i as f32
            }
        })
        .collect();
    let entity = |text: &str, profile: &str, risk: Option<Risk>| {
        let state = EntityState {
            name: name(text),
            profile: schema.profile_code(profile).expect("a profile"),
            cores: Some(8.0),
            closed_bins: if risk.is_some() { 288 } else { 3 },
            newest_bin_ms: NOW_MS - 300_000,
            current: current.clone(),
            state: if risk.is_some() {
                ForecastState::Ready
            } else {
                ForecastState::WarmingUp
            },
            forecast: risk.is_some().then(|| Arc::new(forecast(text))),
            risk: risk.map(Arc::new),
        };
        (name(text), Arc::new(state))
    };
    Fleet {
        tick: 1,
        published_ms: NOW_MS,
        model: Some(model_id()),
        no_model_reason: None,
        step_secs: 300,
        forecast_ms: 12.5,
        entities: BTreeMap::from([
            entity("db-1", "database", Some(risk(20.0, Vec::new()))),
            entity("new-1", "generic", None),
            entity("web-1", "web_api", Some(risk(90.0, vec![breach()]))),
        ]),
    }
}

/// Sends a request as a client on this machine would.
pub async fn send(
    router: &Router,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut request: Request<Body> = request.body(body.into()).expect("a request");
    request
        .headers_mut()
        .entry("host")
        .or_insert(http::HeaderValue::from_static("127.0.0.1:8000"));
    request
        .extensions_mut()
        .insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
    router
        .clone()
        .oneshot(request)
        .await
        .expect("the router never fails")
}

pub async fn get(router: &Router, path: &str) -> (StatusCode, Value) {
    read(send(router, Request::get(path), Body::empty()).await).await
}

pub async fn post(router: &Router, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    read(send(router, Request::post(path), body).await).await
}

pub async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    let value =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    (status, value)
}

/// A record of a server some minutes ago.
pub fn record(server: &str, minutes_ago: i64) -> Value {
    json!({
        "server_name": server,
        "timestamp": (NOW_MS - minutes_ago * 60_000) / 1000,
        "cpu_user_pct": 12.5,
        "mem_used_pct": 48.1,
    })
}
