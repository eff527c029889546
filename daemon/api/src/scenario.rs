//! What the demo feed plays.

use axum::body::Bytes;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::Shared;
use crate::control::{ScenarioError, ScenarioReport};
use crate::problem::{Answer, Problem, ok};

/// Affected servers that are named; all are counted.
const NAMED_SERVERS: usize = 10;
/// Longest time for which a scenario can be set: a year.
const MAX_HOURS: f64 = 8_760.0;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ScenarioRequest {
    /// `healthy`, `degrading`, `critical`, `cascade`, `stable`, `business_hours`, `gradual_spike`, `sudden_spike` or
    /// `cyclic`.
    #[serde(alias = "mode")]
    scenario: String,
    /// Hours after which it is `healthy` again; without it, until another is set.
    duration_hours: Option<f64>,
}

/// Plays another scenario from the next record on.
#[utoipa::path(post, path = "/scenario/set", tag = "demo", security(("key" = ["admin"])),
    request_body = ScenarioRequest,
    responses(
        (status = 200, description = "it plays"),
        (status = 404, description = "there is no demo feed", body = crate::shapes::ProblemDocument),
        (status = 422, description = "no such scenario", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn set(State(api): State<Shared>, body: Bytes) -> Answer {
    let request: ScenarioRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request("bad_body", error.to_string()))?;
    if let Some(hours) = request.duration_hours
        && !(hours > 0.0 && hours <= MAX_HOURS)
    {
        let detail = format!(
            "`duration_hours` is {hours}; more than 0 and at most {MAX_HOURS} are possible"
        );
        return Err(Problem::bad_request("bad_duration", detail));
    }
    let control = &api.context.control;
    let (before, report) = control
        .set_scenario(&request.scenario, request.duration_hours)
        .map_err(|error| match &error {
            ScenarioError::Off => off(),
            ScenarioError::Unknown(_) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown_scenario",
                error.to_string(),
            ),
        })?;
    let affected = report.affected.len();
    ok(&json!({
        "status": "success",
        "old_scenario": before,
        "new_scenario": report.scenario,
        "scenario": report.scenario,
        "mode": report.scenario,
        "duration_hours": request.duration_hours,
        "affected_servers": affected,
        "affected_count": affected,
        "tick_count": report.ticks,
    }))
}

/// What plays, and on whom.
#[utoipa::path(get, path = "/scenario/status", tag = "demo", security(("key" = ["read"])),
    responses(
        (status = 200, description = "what plays, and on whom"),
        (status = 404, description = "there is no demo feed", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn status(State(api): State<Shared>) -> Answer {
    let report = api.context.control.scenario().ok_or_else(off)?;
    ok(&object(&report))
}

fn object(report: &ScenarioReport) -> Value {
    let named = &report.affected[..report.affected.len().min(NAMED_SERVERS)];
    json!({
        "scenario": report.scenario,
        "affected_servers": named,
        "total_affected": report.affected.len(),
        "fleet_size": report.fleet_size,
        "tick_count": report.ticks,
        "hours_left": report.hours_left,
        "known_scenarios": report.known,
    })
}

fn off() -> Problem {
    Problem::not_found("demo_off", ScenarioError::Off.to_string())
}
