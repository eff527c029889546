//! Known servers.

use argus_fleet::ForecastState;
use argus_schema::server_id;
use argus_store::EntityView;
use axum::Extension;
use axum::extract::State;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::context::{Api, Shared};
use crate::extract::ServerName;
use crate::feed::append_problem;
use crate::predictions::Age;
use crate::problem::{Answer, Problem, ok, rfc3339};

/// All known servers with what was last seen of them.
#[utoipa::path(get, path = "/servers", tag = "servers", security(("key" = ["read"])),
    responses((status = 200, description = "known servers", body = crate::shapes::Servers)))]
pub(crate) async fn list(State(api): State<Shared>) -> Answer {
    let servers = tokio::task::spawn_blocking(move || {
        let mut views = api.context.store.entities();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
            .iter()
            .map(|view| object(&api, view))
            .collect::<Vec<Value>>()
    })
    .await
    .map_err(Problem::internal)?;
    ok(&json!({"count": servers.len(), "servers": servers}))
}

fn object(api: &Api, view: &EntityView) -> Value {
    let fleet = api.fleet();
    let schema = &api.context.schema;
    let entity = fleet.entities.get(&view.name);
    let code = entity
        .map(|e| e.profile)
        .or(view.profile)
        .unwrap_or(schema.default_profile());
    let profile = schema.profiles.get(usize::from(code));
    let age = Age::new(view.latest_ms, api.now_ms(), fleet.step_secs);
    let status = usize::from(view.latest_status)
        .checked_sub(1)
        .and_then(|i| schema.statuses.get(i));
    json!({
        "server_name": view.name,
        "server_id": server_id(view.name.as_str()),
        "profile": profile.map(|p| p.id.as_str()),
        "profile_label": profile.map(|p| p.label.as_str()),
        "cores": view.cores,
        "status": status,
        "last_seen": rfc3339(view.latest_ms),
        "stale_secs": age.secs,
        "stale": age.is_stale,
        "records": view.records,
        "closed_steps": view.closed_bins,
        "forecast_state": entity.map_or(ForecastState::WarmingUp, |e| e.state),
        "risk_score": entity.and_then(|e| e.risk.as_ref()).map(|r| r.score),
    })
}

/// Forgets a server: its window, its alerts. Its history files stay until retention takes them.
#[utoipa::path(delete, path = "/servers/{name}", tag = "servers", security(("key" = ["admin"])),
    params(("name" = String, Path, description = "full name of the server")),
    responses(
        (status = 200, description = "forgotten"),
        (status = 404, description = "unknown server", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn retire(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    ServerName(name): ServerName,
) -> Answer {
    let was_known = api
        .context
        .store
        .retire(&name)
        .await
        .map_err(|error| append_problem(&api, &error))?;
    if !was_known {
        return Err(Problem::not_found(
            "unknown_server",
            format!("no server `{name}` is known"),
        ));
    }
    let (alerts, entity, now_ms) = (api.context.alerts.clone(), name.clone(), api.now_ms());
    tokio::task::spawn_blocking(move || alerts.retire(&entity, caller.name(), now_ms))
        .await
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    ok(&json!({"success": true, "server_name": name}))
}
