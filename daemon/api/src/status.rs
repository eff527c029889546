//! `/health`, `/status`, `/-/healthy`, `/-/ready`, `/`: is it up, is it ready, what does it do.

use std::sync::atomic::Ordering;

use argus_fleet::ForecastState;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::context::{Api, Shared};
use crate::control::Readiness;
use crate::inputs;
use crate::problem::{Answer, Problem, ok, rfc3339};

/// How many servers have enough data for a forecast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Warmup {
    pub tracked: u64,
    pub ready: u64,
    /// Steps with data in the context windows of all servers.
    pub window_size: u64,
}

/// Closed steps from which on a server gets a forecast.
const READY_STEPS: u32 = 12;

impl Warmup {
    pub fn of(api: &Api) -> Self {
        let fleet = api.fleet();
        let is_ready = |state: ForecastState| state != ForecastState::WarmingUp;
        // The store knows of a new server at once, the published state at the next tick.
        let tracked = api.context.store.entity_count() as u64;
        Self {
            tracked,
            ready: (fleet
                .entities
                .values()
                .filter(|e| is_ready(e.state))
                .count() as u64)
                .min(tracked),
            window_size: fleet
                .entities
                .values()
                .map(|e| u64::from(e.closed_bins))
                .sum(),
        }
    }

    pub fn is_complete(self) -> bool {
        self.tracked > 0 && self.ready == self.tracked
    }

    fn percent(self) -> u64 {
        self.ready
            .saturating_mul(100)
            .checked_div(self.tracked)
            .unwrap_or(0)
    }

    fn message(self, model_loaded: bool) -> String {
        match (self.tracked, self.is_complete(), model_loaded) {
            (0, ..) => "Waiting for data...".to_owned(),
            (_, true, true) => "Model ready - using TFT predictions".to_owned(),
            (_, true, false) => "Warmed up, but no model is loaded".to_owned(),
            _ => format!("Warming up: {}/{} servers ready", self.ready, self.tracked),
        }
    }
}

fn uptime_secs(api: &Api) -> i64 {
    (api.now_ms() - api.started_ms).max(0) / 1000
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, description = "it answers")))]
pub(crate) async fn health(State(api): State<Shared>) -> Answer {
    ok(&json!({
        "status": "healthy",
        "service": "argus",
        "running": true,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime_secs(&api),
        "model_loaded": api.context.control.model_info().is_ok(),
    }))
}

/// Liveness for supervisors.
#[utoipa::path(get, path = "/-/healthy", tag = "operations", responses((status = 200, description = "it answers")))]
pub(crate) async fn healthy() -> Answer {
    ok(&json!({"status": "healthy"}))
}

/// Readiness for load balancers: recovery is done and records are accepted. An empty store or a missing model does not
/// make it unready; the body says so.
#[utoipa::path(get, path = "/-/ready", tag = "operations", responses(
    (status = 200, description = "records are accepted"),
    (status = 503, description = "not yet, or no longer", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn ready(State(api): State<Shared>) -> Answer {
    match api.context.control.readiness() {
        Readiness::Ready(_) => {
            let model = api.context.control.model_info();
            ok(&json!({
                "status": "ready",
                "servers_tracked": api.context.store.entity_count(),
                "model_loaded": model.is_ok(),
                "no_model_reason": model.err(),
            }))
        }
        Readiness::Starting(what) => {
            Err(Problem::unavailable("starting", what).retry_after_secs(1))
        }
        Readiness::Stopping => {
            Err(Problem::unavailable("stopping", "the daemon is stopping").retry_after_secs(5))
        }
    }
}

/// What the daemon is doing: model, warm-up, recovery, step.
#[utoipa::path(get, path = "/status", tag = "operations", responses((status = 200, description = "state of the daemon")))]
pub(crate) async fn status(State(api): State<Shared>) -> Answer {
    let fleet = api.fleet();
    let warmup = Warmup::of(&api);
    let model = api.context.control.model_info();
    let readiness = api.context.control.readiness();
    let recovery = match &readiness {
        Readiness::Ready(report) => {
            serde_json::to_value(report.as_ref()).map_err(Problem::internal)?
        }
        Readiness::Starting(_) | Readiness::Stopping => Value::Null,
    };
    let newest_forecast_ms = fleet
        .entities
        .values()
        .filter_map(|e| e.forecast.as_ref())
        .map(|f| f.made_ms)
        .max();
    ok(&json!({
        "running": true,
        "version": env!("CARGO_PKG_VERSION"),
        "state": match &readiness {
            Readiness::Starting(_) => "starting",
            Readiness::Ready(_) => "ready",
            Readiness::Stopping => "stopping",
        },
        "state_reason": match &readiness {
            Readiness::Starting(what) => Some(what.as_str()),
            Readiness::Ready(_) | Readiness::Stopping => None,
        },
        "uptime_seconds": uptime_secs(&api),
        "tick_count": api.feed_ticks.load(Ordering::Relaxed),
        "window_size": warmup.window_size,
        "servers_tracked": warmup.tracked,
        "servers_ready": warmup.ready,
        "warmup_complete": warmup.is_complete(),
        "warmup": {
            "is_warmed_up": warmup.is_complete(),
            "progress_percent": warmup.percent(),
            "threshold": READY_STEPS,
            "current_size": warmup.window_size.checked_div(warmup.tracked).unwrap_or(0),
            "required_size": READY_STEPS,
            "message": warmup.message(model.is_ok()),
        },
        "step_secs": fleet.step_secs,
        "fleet_tick": fleet.tick,
        "forecast_ms": fleet.forecast_ms,
        "last_prediction": newest_forecast_ms.map(rfc3339),
        "model_loaded": model.is_ok(),
        "model_path": model.as_ref().ok().map(|m| &m.id.path),
        "model": match &model {
            Ok(model) => json!({
                "name": model.id.name,
                "path": model.id.path,
                "timestamp": model.timestamp,
                "weights_sha256": model.id.weights_sha256,
                "device": model.id.device,
                "calibration": model.calibration,
            }),
            Err(_) => Value::Null,
        },
        "no_model_reason": model.as_ref().err(),
        "recovery": recovery,
        "inputs": inputs::summary(&api),
    }))
}

/// What there is to ask for.
pub(crate) async fn index() -> Answer {
    ok(&json!({
        "service": "Argus",
        "version": env!("CARGO_PKG_VERSION"),
        "status": "running",
        "endpoints": {
            "health": "GET /health",
            "feed": "POST /feed/data",
            "predictions": "GET /predictions/current",
            "alerts": "GET /alerts/active",
            "status": "GET /status",
            "servers": "GET /servers",
            "websocket": "GET /ws/predictions",
            "metrics": "GET /metrics",
            "admin_models": "GET /admin/models",
            "admin_reload": "POST /admin/reload-model",
            "admin_rollback": "POST /admin/rollback-model",
            "admin_model_info": "GET /admin/model-info",
            "openapi": "GET /openapi.json",
            "docs": "GET /docs",
        },
        "feed_example": "{\"records\":[{\"server_name\":\"web-1\",\"timestamp\":\"2026-01-01T12:00:00Z\",\"cpu_user_pct\":12.5,\"mem_used_pct\":48.1}]}",
    }))
}

/// A page for people that draws `/openapi.json`.
pub(crate) async fn docs() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";
    (
        StatusCode::OK,
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, policy),
        ],
        include_str!("docs.html"),
    )
        .into_response()
}
