//! Models and plugins.

use axum::body::Bytes;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::Shared;
use crate::control::{ModelEntry, PluginReloadError, ReloadError, Reloaded, SinkTestError};
use crate::extract::Params;
use crate::problem::{Answer, Problem, ok, rfc3339};

/// Model directories that could serve, newest first.
#[utoipa::path(get, path = "/admin/models", tag = "admin", security(("key" = ["admin"])),
    responses((status = 200, description = "model directories")))]
pub(crate) async fn models(State(api): State<Shared>) -> Answer {
    let list = api.context.control.models().await;
    let current = api.context.control.model_info().ok();
    let current_path = current.as_ref().map(|info| info.id.path.as_str());
    let models: Vec<Value> = list
        .models
        .iter()
        .map(|model| entry(model, current_path))
        .collect();
    ok(&json!({
        "models": models,
        "count": list.models.len(),
        "models_dir": list.models_dir,
        "current_model": current.as_ref().map(|info| info.id.name.as_str()),
    }))
}

fn entry(model: &ModelEntry, current_path: Option<&str>) -> Value {
    json!({
        "path": model.path,
        "name": model.name,
        "timestamp": model.timestamp,
        "is_current": current_path == Some(model.path.as_str()),
        "size_mb": (model.size_bytes as f64 / 1e4).round() / 100.0,
        "modified": rfc3339(model.modified_ms),
        "training": model.training,
    })
}

/// The serving model.
#[utoipa::path(get, path = "/admin/model-info", tag = "admin", security(("key" = ["admin"])),
    responses((status = 200, description = "the serving model, or why there is none")))]
pub(crate) async fn model_info(State(api): State<Shared>) -> Answer {
    let fleet = api.fleet();
    match api.context.control.model_info() {
        Ok(info) => ok(&json!({
            "loaded": true,
            "mode": "tft",
            "model_path": info.id.path,
            "model_name": info.id.name,
            "model_timestamp": info.timestamp,
            "weights_sha256": info.id.weights_sha256,
            "device": info.id.device,
            "parameters": info.parameters,
            "calibration": info.calibration,
            "config": {
                "max_prediction_length": info.horizon_steps,
                "max_encoder_length": info.context_steps,
                "quantiles": info.quantile_levels,
                "schema": info.schema_id,
                "schema_version": info.schema_version,
            },
            "servers": {
                "total": fleet.entities.len(),
                "known": fleet.entities.values().filter(|e| e.forecast.is_some()).count(),
            },
        })),
        Err(reason) => ok(&json!({"loaded": false, "mode": "none", "reason": reason})),
    }
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReloadRequest {
    /// Model directory; without it the one that a restart would take.
    model_path: Option<String>,
}

/// Lets another model serve. The running one stays if that fails. The path may stand in the query or in a JSON body.
#[utoipa::path(post, path = "/admin/reload-model", tag = "admin", security(("key" = ["admin"])), params(ReloadRequest),
    request_body = Option<ReloadRequest>,
    responses(
        (status = 200, description = "it serves now"),
        (status = 404, description = "no such model", body = crate::shapes::ProblemDocument),
        (status = 422, description = "broken or foreign; the old one still serves", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn reload_model(
    State(api): State<Shared>,
    Params(query): Params<ReloadRequest>,
    body: Bytes,
) -> Answer {
    let from_body = if body.iter().all(u8::is_ascii_whitespace) {
        ReloadRequest::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::bad_request("bad_body", error.to_string()))?
    };
    let path = query.model_path.or(from_body.model_path);
    let before = serving(&api);
    changed(api.context.control.reload_model(path).await, before)
}

/// Lets the model serve that was active before the active one. The running one stays if that fails.
#[utoipa::path(post, path = "/admin/rollback-model", tag = "admin", security(("key" = ["admin"])),
    responses(
        (status = 200, description = "it serves again"),
        (status = 404, description = "no model was active before", body = crate::shapes::ProblemDocument),
        (status = 422, description = "it is gone or broken; nothing has changed", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn roll_back_model(State(api): State<Shared>) -> Answer {
    let before = serving(&api);
    changed(api.context.control.roll_back_model().await, before)
}

fn serving(api: &Shared) -> Option<String> {
    let info = api.context.control.model_info().ok()?;
    Some(info.id.name.clone())
}

/// The answer to a change of model; `before` is what served before it.
fn changed(outcome: Result<Reloaded, ReloadError>, before: Option<String>) -> Answer {
    let reloaded = outcome.map_err(|error| {
        let (status, code) = match &error {
            ReloadError::NotFound(_) => (StatusCode::NOT_FOUND, "model_not_found"),
            ReloadError::NotAllowed(_) => (StatusCode::FORBIDDEN, "model_not_allowed"),
            ReloadError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "model_refused"),
            ReloadError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Problem::new(status, code, error.to_string())
            .with("success", false)
            .with("error", error.to_string())
            .with("current_model", before)
    })?;
    ok(&json!({
        "success": true,
        "message": format!("model `{}` serves now", reloaded.current.name),
        "previous_model": reloaded.previous,
        "new_model": reloaded.current.name,
        "model": reloaded.current.name,
        "model_path": reloaded.current.path,
        "model_timestamp": reloaded.timestamp,
    }))
}

/// Plugins: state, version, limits, calls, errors.
#[utoipa::path(get, path = "/plugins", tag = "plugins", security(("key" = ["read"])),
    responses((status = 200, description = "configured plugins", body = crate::shapes::Plugins)))]
pub(crate) async fn plugins(State(api): State<Shared>) -> Answer {
    let plugins = api.context.control.plugins();
    let sinks = api.context.alerts.stats().sinks;
    ok(&json!({"count": plugins.len(), "plugins": plugins, "sinks": sinks}))
}

/// Puts a plugin's file to use again: compiles beside, runs the new version's check, swaps. Running calls end with the
/// old version, which also stays if anything about the new one is wrong.
#[utoipa::path(post, path = "/admin/plugins/{name}/reload", tag = "plugins", security(("key" = ["admin"])),
    params(("name" = String, Path, description = "name of the plugin")),
    responses(
        (status = 200, description = "the file as it is now is in use", body = crate::shapes::PluginReloadedAnswer),
        (status = 404, description = "no such plugin, or disabled", body = crate::shapes::ProblemDocument),
        (status = 422, description = "refused, says why; the old version runs on", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn reload_plugin(State(api): State<Shared>, Path(name): Path<String>) -> Answer {
    let reloaded = api.context.control.reload_plugin(name.clone()).await;
    let reloaded = reloaded.map_err(|error| match error {
        PluginReloadError::Unknown(detail) => Problem::not_found("unknown_plugin", detail),
        PluginReloadError::Refused(detail) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "plugin_refused", detail)
        }
    })?;
    ok(&json!({
        "success": true,
        "plugin": name,
        "previous": reloaded.previous,
        "current": reloaded.current,
    }))
}

/// Sends a test notification through a sink and waits for its answer.
#[utoipa::path(post, path = "/admin/sinks/{name}/test", tag = "plugins", security(("key" = ["admin"])),
    params(("name" = String, Path, description = "name of the sink")),
    responses(
        (status = 200, description = "delivered"),
        (status = 404, description = "no such sink", body = crate::shapes::ProblemDocument),
        (status = 502, description = "not delivered; says why", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn test_sink(State(api): State<Shared>, Path(name): Path<String>) -> Answer {
    let receipt =
        api.context
            .control
            .test_sink(name.clone())
            .await
            .map_err(|error| match error {
                SinkTestError::Unknown(detail) => Problem::not_found("unknown_sink", detail),
                SinkTestError::Failed(detail) => {
                    Problem::new(StatusCode::BAD_GATEWAY, "not_delivered", detail)
                }
            })?;
    ok(&json!({"success": true, "sink": name, "receipt": receipt}))
}
