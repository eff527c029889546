//! Predictions out.

pub(crate) mod cache;
mod display;
mod list;
mod overview;
mod query;
mod render;

pub(crate) use list::{__path_list, list};
pub(crate) use query::{OneQuery, Query, Selection};
pub(crate) use render::Age;

use std::collections::HashMap;
use std::sync::Arc;

use argus_fleet::{EntityState, Fleet, ForecastState};
use argus_schema::EntityName;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use serde_json::Value;

use crate::context::{Api, Shared};
use crate::control::ForecastNowError;
use crate::extract::{Params, ServerName};
use crate::problem::{Answer, Problem, rfc3339};
use render::{Parts, freshness, members, write_json};

/// The newest forecasts of all servers, or of those asked for; answered from memory, never waiting for the model.
#[utoipa::path(get, path = "/predictions/current", tag = "predictions", security(("key" = ["read"])), params(Query),
    responses(
        (status = 200, description = "newest finished forecasts; empty while no server is known", body = crate::shapes::CurrentPredictions),
        (status = 400, description = "unknown filter", body = crate::shapes::ProblemDocument),
        (status = 429, description = "too many reads", body = crate::shapes::ProblemDocument),
        (status = 503, description = "no model is loaded; says why", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn current(State(api): State<Shared>, Params(query): Params<Query>) -> Answer {
    let selection = query.understand(&api.context.schema)?;
    let fleet = api.predicting_fleet()?;
    selection.check_cursor(&fleet)?;
    let chunks = tokio::task::spawn_blocking(move || document(&api, &fleet, &selection))
        .await
        .map_err(Problem::internal)?;
    let body = Body::from_stream(stream::iter(
        chunks.into_iter().map(Ok::<_, std::convert::Infallible>),
    ));
    Ok((
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response())
}

/// The newest forecast of one server.
#[utoipa::path(get, path = "/predictions/{server}", tag = "predictions", security(("key" = ["read"])),
    params(("server" = String, Path, description = "full name of the server"), OneQuery),
    responses(
        (status = 200, description = "its prediction", body = crate::shapes::ServerPrediction),
        (status = 400, description = "unknown filter", body = crate::shapes::ProblemDocument),
        (status = 404, description = "unknown server", body = crate::shapes::ProblemDocument),
        (status = 503, description = "no model is loaded; says why", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn one(
    State(api): State<Shared>,
    ServerName(name): ServerName,
    Params(query): Params<OneQuery>,
) -> Answer {
    let parts = query.understand(&api.context.schema)?;
    let fleet = api.predicting_fleet()?;
    let entity = fleet
        .entities
        .get(&name)
        .ok_or_else(|| unknown_server(&name))?;
    let text = members_of(&api, entity, &parts);
    Ok(entity_response(&api, &fleet, entity, &text))
}

/// A forecast of one server made now from its closed steps. It never counts as a strike.
#[utoipa::path(post, path = "/predictions/{server}", tag = "predictions", security(("key" = ["read"])),
    params(("server" = String, Path, description = "full name of the server"), OneQuery),
    responses(
        (status = 200, description = "its prediction", body = crate::shapes::ServerPrediction),
        (status = 400, description = "unknown filter", body = crate::shapes::ProblemDocument),
        (status = 404, description = "unknown server", body = crate::shapes::ProblemDocument),
        (status = 409, description = "too little data yet", body = crate::shapes::ProblemDocument),
        (status = 503, description = "no model is loaded; says why", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn now(
    State(api): State<Shared>,
    ServerName(name): ServerName,
    Params(query): Params<OneQuery>,
) -> Answer {
    let parts = query.understand(&api.context.schema)?;
    let (forecast, risk) = api
        .context
        .control
        .forecast_now(name.clone())
        .await
        .map_err(|error| match error {
            ForecastNowError::NoModel(detail) => Problem::unavailable("no_model", detail),
            ForecastNowError::UnknownEntity(_) => unknown_server(&name),
            ForecastNowError::WarmingUp(detail) => {
                Problem::new(StatusCode::CONFLICT, "warming_up", detail)
            }
            ForecastNowError::Failed(cause) => Problem::internal(cause),
            ForecastNowError::Stopping(detail) => {
                Problem::unavailable("stopping", detail).retry_after_secs(5)
            }
        })?;
    let fleet = api.fleet();
    let published = fleet
        .entities
        .get(&name)
        .ok_or_else(|| unknown_server(&name))?;
    let entity = EntityState {
        state: ForecastState::Ready,
        forecast: Some(forecast),
        risk: Some(risk),
        ..published.as_ref().clone()
    };
    let text = members(&api.context.schema, &entity, &parts);
    Ok(entity_response(&api, &fleet, &entity, &text))
}

pub(crate) fn unknown_server(name: &EntityName) -> Problem {
    Problem::not_found(
        "unknown_server",
        format!("no server `{name}` is known; `/servers` lists all"),
    )
    .with("server", name.as_str())
}

/// The wanted members; all of them are shared with other readers.
fn members_of(api: &Api, entity: &Arc<EntityState>, parts: &Parts) -> Bytes {
    match parts.metrics {
        None => api.cache.members(&api.context.schema, entity),
        Some(_) => Bytes::from(members(&api.context.schema, entity, parts)),
    }
}

fn entity_response(api: &Api, fleet: &Fleet, entity: &EntityState, members: &[u8]) -> Response {
    let newest_ms = api
        .context
        .store
        .entity(&entity.name)
        .map_or(entity.newest_bin_ms, |view| view.latest_ms);
    let mut body = vec![b'{'];
    freshness(
        &mut body,
        Age::new(newest_ms, api.now_ms(), fleet.step_secs),
    );
    body.push(b',');
    body.extend_from_slice(members);
    body.extend_from_slice(b",\"metadata\":");
    write_json(&mut body, &overview::metadata(api, fleet));
    body.push(b'}');
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The whole answer in pieces, one per entity, most of them shared with other readers.
pub(crate) fn document(api: &Api, fleet: &Fleet, selection: &Selection) -> Vec<Bytes> {
    api.cache.keep_only(fleet);
    let now_ms = api.now_ms();
    let newest: HashMap<EntityName, i64> = api
        .context
        .store
        .entities()
        .into_iter()
        .map(|view| (view.name, view.latest_ms))
        .collect();
    let page = selection.page(fleet);
    let mut chunks = Vec::with_capacity(2 * page.entities.len() + 2);
    chunks.push(Bytes::from_static(b"{\"predictions\":{"));
    for (position, entity) in page.entities.iter().enumerate() {
        let newest_ms = newest
            .get(&entity.name)
            .copied()
            .unwrap_or(entity.newest_bin_ms);
        let mut head = Vec::with_capacity(128);
        if position > 0 {
            head.push(b',');
        }
        write_json(&mut head, entity.name.as_str());
        head.extend_from_slice(b":{");
        freshness(&mut head, Age::new(newest_ms, now_ms, fleet.step_secs));
        head.push(b',');
        chunks.push(Bytes::from(head));
        chunks.push(members_of(api, entity, &selection.parts));
        chunks.push(Bytes::from_static(b"}"));
    }
    chunks.push(Bytes::from(tail(
        api,
        fleet,
        &page,
        newest.values().copied().max(),
        now_ms,
    )));
    chunks
}

fn tail(
    api: &Api,
    fleet: &Fleet,
    page: &query::Page,
    newest_ms: Option<i64>,
    now_ms: i64,
) -> Vec<u8> {
    let risk = overview::fleet_risk(fleet);
    let mut metadata = overview::metadata(api, fleet);
    metadata["next_cursor"] = page.next.as_ref().map(EntityName::as_str).into();
    let members = [
        (
            "alerts",
            overview::expected(page.entities.iter().map(AsRef::as_ref)).into(),
        ),
        ("environment", overview::environment(fleet, &risk)),
        ("metadata", metadata),
        ("summary", overview::summary(fleet, &risk)),
        ("as_of", newest_ms.map_or(Value::Null, rfc3339)),
        ("timestamp", rfc3339(now_ms)),
    ];
    let mut tail = b"}".to_vec();
    for (name, value) in members {
        tail.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
    tail.push(b'}');
    tail
}
