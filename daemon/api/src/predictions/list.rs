//! `GET /predictions`: the oldest list shape, kept for clients that were written against it.

use argus_fleet::{EntityState, Risk};
use argus_schema::Schema;
use axum::extract::State;
use serde_json::{Value, json};

use super::display::{cpu_used, current};
use crate::context::Shared;
use crate::extract::{NoParams, Params};
use crate::problem::{Answer, ok, rfc3339};

/// One entry per server: CPU and memory now and at the end of the horizon.
#[utoipa::path(get, path = "/predictions", tag = "predictions", security(("key" = ["read"])), responses(
    (status = 200, description = "oldest list shape"),
    (status = 503, description = "no model", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn list(State(api): State<Shared>, _: Params<NoParams>) -> Answer {
    let fleet = api.predicting_fleet()?;
    let schema = &api.context.schema;
    let predictions: Vec<Value> = fleet
        .entities
        .values()
        .map(|entity| entry(schema, entity))
        .collect();
    ok(&json!({"predictions": predictions, "timestamp": rfc3339(fleet.published_ms)}))
}

fn entry(schema: &Schema, entity: &EntityState) -> Value {
    let memory = schema.metric_index("mem_used_pct");
    let idle = schema.metric_index("cpu_idle_pct");
    let forecast = entity.forecast.as_deref();
    let last = |metric: Option<usize>| forecast?.series(metric?, 0.5).last().map(f64::from);
    let end_ms =
        forecast.map(|f| super::render::step_start_ms(f, u32::try_from(f.horizon()).unwrap_or(0)));
    let risk = entity.risk.as_deref();
    json!({
        "server_name": entity.name,
        "profile": schema.profiles.get(usize::from(entity.profile)).map(|p| p.id.as_str()),
        "current": {
            "cpu_percent": cpu_used(schema, entity).0.map(shown),
            "memory_percent": memory.and_then(|i| current(entity, i)).map(shown),
            "timestamp": rfc3339(entity.newest_bin_ms),
        },
        "predicted": {
            "cpu_percent": last(idle).map(|idle| shown(100.0 - idle)),
            "memory_percent": last(memory).map(shown),
            "timestamp": end_ms.map(rfc3339),
        },
        "confidence": risk.map(confidence),
        "risk_level": risk.map(risk_level),
    })
}

/// The model's numbers are `f32`; written as such they have no digits that mean nothing.
#[expect(
    clippy::cast_possible_truncation,
    reason = "back to the precision that the value came with"
)]
fn shown(value: f64) -> f32 {
    value as f32
}

/// Probability of the likelier outcome: that there will be an incident within the horizon, or that there will be none.
fn confidence(risk: &Risk) -> f64 {
    risk.prob_horizon.max(1.0 - risk.prob_horizon)
}

fn risk_level(risk: &Risk) -> &'static str {
    match risk.score {
        score if score >= 80.0 => "high",
        score if score >= 50.0 => "medium",
        _ => "low",
    }
}
