//! A daemon's parts around the router: a real store and alert database in a temporary directory, a hand-made fleet, a
//! fake for the rest.

#![expect(dead_code, reason = "each test binary uses its own part of this")]

pub mod write_request;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use argus_alerts::{AlertConfig, Alerts, Evaluation};
use argus_api::control::{
    BoxFuture, Control, DriverReport, ExplainAsk, ExplainError, Explained, ExplainerAnswer,
    ExplainerError, ExplanationReport, ForecastNow, ForecastNowError, ModelEntry, ModelInfo,
    ModelList, PluginReloadError, PluginReloaded, PluginReport, PluginVersion, Readiness,
    ReloadError, Reloaded, ScenarioError, ScenarioReport, SinkTestError,
};
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

pub struct FakeControl {
    pub model: Mutex<Result<ModelInfo, String>>,
    pub readiness: Mutex<Readiness>,
}

impl Control for FakeControl {
    fn models(&self) -> BoxFuture<'_, ModelList> {
        let entry = ModelEntry {
            path: "/models/argus_20260101_120000".to_owned(),
            name: "argus_20260101_120000".to_owned(),
            timestamp: Some("20260101_120000".to_owned()),
            size_bytes: 4_200_000,
            modified_ms: NOW_MS,
            training: json!({"epochs": 20}),
        };
        Box::pin(async {
            ModelList {
                models_dir: Some("/models".to_owned()),
                models: vec![entry],
            }
        })
    }

    fn model_info(&self) -> Result<ModelInfo, String> {
        self.model.lock().clone()
    }

    fn reload_model(&self, path: Option<String>) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        Box::pin(async move {
            match path.as_deref() {
                Some("missing") => Err(ReloadError::NotFound(
                    "no model `missing` in /models".to_owned(),
                )),
                Some("broken") => Err(ReloadError::Refused(
                    "model.safetensors is truncated".to_owned(),
                )),
                _ => Ok(Reloaded {
                    previous: None,
                    current: model_id(),
                    timestamp: None,
                }),
            }
        })
    }

    fn roll_back_model(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        Box::pin(async {
            Err(ReloadError::NotFound(
                "there is no earlier model to go back to".to_owned(),
            ))
        })
    }

    fn set_scenario(
        &self,
        name: &str,
        hours: Option<f64>,
    ) -> Result<(&'static str, ScenarioReport), ScenarioError> {
        if name != "critical" {
            return Err(ScenarioError::Unknown(format!("there is no `{name}`")));
        }
        let report = ScenarioReport {
            scenario: "critical",
            affected: vec![self::name("db-1"); 12],
            fleet_size: 40,
            ticks: 7,
            hours_left: hours,
            known: vec!["healthy", "critical"],
        };
        Ok(("healthy", report))
    }

    fn forecast_now(&self, entity: EntityName) -> BoxFuture<'_, ForecastNow> {
        Box::pin(async move {
            match entity.as_str() {
                "db-1" => Ok((Arc::new(forecast("db-1")), Arc::new(risk(20.0, Vec::new())))),
                "new-1" => Err(ForecastNowError::WarmingUp(
                    "`new-1` has 3 closed bins; the model needs 12".to_owned(),
                )),
                "panic" => panic!("the forecast went wrong"),
                other => Err(ForecastNowError::UnknownEntity(other.to_owned())),
            }
        })
    }

    fn explain(&self, ask: ExplainAsk) -> BoxFuture<'_, Result<Explained, ExplainError>> {
        Box::pin(async move { explained(&ask) })
    }

    fn drivers(&self, entity: &EntityName) -> Option<Arc<[DriverReport]>> {
        (entity.as_str() == "db-1").then(|| [driver()].into())
    }

    fn plugins(&self) -> Vec<PluginReport> {
        Vec::new()
    }

    fn reload_plugin(
        &self,
        name: String,
    ) -> BoxFuture<'_, Result<PluginReloaded, PluginReloadError>> {
        Box::pin(async move {
            match name.as_str() {
                "slack" => Ok(PluginReloaded {
                    previous: None,
                    current: PluginVersion {
                        version: Some("1.2.3".to_owned()),
                        sha256: "ab".repeat(32),
                    },
                }),
                "broken" => Err(PluginReloadError::Refused(
                    "plugin broken: the file is not a usable WebAssembly component".to_owned(),
                )),
                _ => Err(PluginReloadError::Unknown(format!(
                    "no plugin `{name}` is configured"
                ))),
            }
        })
    }

    fn test_sink(&self, name: String) -> BoxFuture<'_, Result<String, SinkTestError>> {
        Box::pin(async move {
            match name.as_str() {
                "slack" => Ok("delivered".to_owned()),
                "down" => Err(SinkTestError::Failed("connection refused".to_owned())),
                _ => Err(SinkTestError::Unknown(format!(
                    "no sink `{name}` is configured"
                ))),
            }
        })
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().clone()
    }
}

pub fn driver() -> DriverReport {
    DriverReport {
        name: "mem_used_pct".to_owned(),
        impact: 23.5,
        standard_error: 0.0,
        text: "mem_used_pct at 96.0 (usually 60.0) adds 23.5 to the risk".to_owned(),
    }
}

/// Three explainers of `db-1`, one of which is out of order.
fn explained(ask: &ExplainAsk) -> Result<Explained, ExplainError> {
    match ask.entity.as_str() {
        "db-1" => {}
        "new-1" => return Err(ExplainError::WarmingUp("3 closed bins".to_owned())),
        _ => return Err(ExplainError::UnknownEntity),
    }
    let report = |details: Value| {
        Ok(Arc::new(ExplanationReport {
            summary: format!("why {}", ask.target),
            drivers: vec![driver()],
            details,
        }))
    };
    let refused = |code: &str, retryable| {
        Err(ExplainerError {
            code: code.to_owned(),
            message: format!("plugin x 1.0: {code}"),
            retryable,
        })
    };
    let known = [
        ("shap", report(json!({"method": "shapley"}))),
        (
            "counterfactual",
            report(json!({"counterfactuals": [{"scenario": "Do nothing"}], "under": 50})),
        ),
        ("own", report(json!({"options": ask.options}))),
        ("choosy", refused("unknown_target", false)),
        ("busy", refused("model_busy", true)),
        ("broken", refused("trapped", false)),
    ];
    let answers: Vec<ExplainerAnswer> = known
        .into_iter()
        .filter(|(name, _)| {
            ask.explainer
                .as_deref()
                .is_none_or(|wanted| wanted == *name)
        })
        .map(|(name, outcome)| ExplainerAnswer {
            explainer: name.to_owned(),
            outcome,
        })
        .collect();
    if answers.is_empty() {
        return Err(ExplainError::NoExplainer(
            "there is no such explainer".to_owned(),
        ));
    }
    let fleet = fleet();
    let state = fleet
        .entities
        .get(&ask.entity)
        .ok_or(ExplainError::UnknownEntity)?;
    Ok(Explained {
        state: Arc::clone(state),
        forecast: Arc::new(forecast("db-1")),
        background: "profile",
        answers,
    })
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
        quantile_levels: LEVELS.to_vec(),
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
