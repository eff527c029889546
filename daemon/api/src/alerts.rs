//! Alerts out, acknowledgements in.

use argus_alerts::{AcknowledgeError, Alert, AlertId, AlertState};
use argus_fleet::Level;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, response::Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::context::{Api, Shared};
use crate::extract::{NoParams, Params};
use crate::problem::{Answer, Problem, ok, rfc3339};

/// Query of `/alerts/active`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActiveQuery {
    /// `firing` (the default), `pending`, or `all`.
    state: Option<String>,
    /// Only this server.
    server: Option<String>,
}

/// Alerts that fire now: conditions that enough forecasts in a row expect.
#[utoipa::path(get, path = "/alerts/active", tag = "alerts", security(("key" = ["read"])), params(ActiveQuery),
    responses((status = 200, description = "firing alerts", body = crate::shapes::ActiveAlerts)))]
pub(crate) async fn active(
    State(api): State<Shared>,
    Params(query): Params<ActiveQuery>,
) -> Answer {
    let wanted: &[AlertState] = match query.state.as_deref() {
        None | Some("firing") => &[AlertState::Firing],
        Some("pending") => &[AlertState::Pending],
        Some("all") => &[AlertState::Firing, AlertState::Pending],
        Some(other) => {
            let detail = format!("there is no state `{other}`; there are firing, pending, all");
            return Err(Problem::bad_request("unknown_state", detail));
        }
    };
    let step_secs = api.fleet().step_secs;
    let alerts: Vec<Value> = api
        .context
        .alerts
        .active()
        .iter()
        .filter(|alert| wanted.contains(&alert.state))
        .filter(|alert| {
            query
                .server
                .as_deref()
                .is_none_or(|name| name == alert.entity.as_str())
        })
        .map(|alert| {
            let mut object = object(alert, step_secs);
            // What is known is of the entity's newest alert that fired, not of one that may come.
            let firing = alert.state == AlertState::Firing;
            let drivers = firing.then(|| api.context.control.drivers(&alert.entity));
            object["drivers"] = json!(drivers.flatten().as_deref());
            object
        })
        .collect();
    ok(&json!({"timestamp": rfc3339(api.now_ms()), "count": alerts.len(), "alerts": alerts}))
}

/// An alert with the names that older clients know beside our own.
pub(crate) fn object(alert: &Alert, step_secs: u32) -> Value {
    let steps_ahead = alert
        .minutes_ahead
        .map(|minutes| (minutes * 60.0 / f64::from(step_secs.max(1))).round());
    json!({
        "server": alert.entity,
        "server_name": alert.entity,
        "metric": alert.metric,
        "severity": alert.severity,
        "level": alert.severity,
        "predicted_value": alert.predicted_peak,
        "current": alert.current,
        "unit": alert.unit,
        "threshold": alert.threshold,
        "below": alert.below,
        "steps_ahead": steps_ahead,
        "minutes_ahead": alert.minutes_ahead,
        "message": message(alert),
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "state": alert.state,
        "profile": alert.profile,
        "probability": alert.probability,
        "probability_30m": alert.probability_30m,
        "in_breach": alert.in_breach,
        "derived": alert.derived,
        "expected_at": alert.expected_breach_ms.map(rfc3339),
        "risk_score": alert.risk_score,
        "peak_severity": alert.peak_severity,
        "pending_since": rfc3339(alert.pending_since_ms),
        "started_at": alert.started_at_ms.map(rfc3339),
        "updated_at": rfc3339(alert.updated_at_ms),
        "resolved_at": alert.resolved_at_ms.map(rfc3339),
        "acknowledged": alert.acknowledged.as_ref().map(|ack| json!({
            "who": ack.who, "at": rfc3339(ack.at_ms), "note": ack.note,
        })),
        "flaps": alert.flaps,
    })
}

fn message(alert: &Alert) -> String {
    let Alert {
        entity,
        metric,
        unit,
        ..
    } = alert;
    let text = match (alert.in_breach, alert.current, alert.predicted_peak) {
        (true, Some(current), _) => format!("{entity}: {metric} is {current:.1} {unit}"),
        (_, _, Some(peak)) => format!("{entity}: {metric} predicted to reach {peak:.1} {unit}"),
        _ => format!(
            "{entity}: {metric} is expected to pass {:.1} {unit}",
            alert.threshold
        ),
    };
    text.trim_end().to_owned()
}

/// Firing alerts in the oldest list shape.
#[utoipa::path(get, path = "/alerts", tag = "alerts", security(("key" = ["read"])),
    responses((status = 200, description = "oldest list shape")))]
pub(crate) async fn list(State(api): State<Shared>, _: Params<NoParams>) -> Answer {
    let firing = |alert: &&Alert| alert.state == AlertState::Firing;
    let alerts: Vec<Value> = api
        .context
        .alerts
        .active()
        .iter()
        .filter(firing)
        .map(oldest_object)
        .collect();
    ok(&json!({"alerts": alerts}))
}

fn oldest_object(alert: &Alert) -> Value {
    let metric = alert.metric.split('_').next().unwrap_or(&alert.metric);
    json!({
        "server_name": alert.entity,
        "alert_type": format!("{metric}_spike_predicted"),
        "severity": if alert.severity == Level::Critical { "high" } else { "medium" },
        "message": message(alert),
        "timestamp": rfc3339(alert.started_at_ms.unwrap_or(alert.pending_since_ms)),
        "prediction_time": alert.expected_breach_ms.map(rfc3339),
    })
}

/// Body of an acknowledgement; both members are optional, and so is the body.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
pub(crate) struct Acknowledgement {
    /// Who has seen it. Counts where no key names the caller (a loopback listener without keys); else the name of the key
    /// is noted.
    who: Option<String>,
    /// What they want to say; without it an earlier note stays.
    note: Option<String>,
}

/// Notes that somebody has seen an alert.
#[utoipa::path(post, path = "/alerts/{id}/ack", tag = "alerts", security(("key" = ["admin"])),
    params(("id" = i64, Path, description = "number of the alert")), request_body = Option<Acknowledgement>,
    responses(
        (status = 200, description = "the alert"),
        (status = 404, description = "no such alert is active", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn acknowledge(
    State(api): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<Response> {
    let number = id.parse().map_err(|_| unknown(&id))?;
    let said: Acknowledgement = if body.is_empty() {
        Acknowledgement::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::bad_request("bad_body", error.to_string()))?
    };
    // A name that a key vouches for is worth more than one that anybody can send.
    let who = match (&caller.0, said.who) {
        (None, Some(who)) => who,
        _ => caller.name().to_owned(),
    };
    let (alerts, now_ms) = (api.context.alerts.clone(), api.now_ms());
    let work = move || alerts.acknowledge(AlertId(number), &who, said.note.as_deref(), now_ms);
    let alert = tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::internal)?
        .map_err(|error| match error {
            AcknowledgeError::NotActive(_) => unknown(&id),
            AcknowledgeError::Text => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad_text",
                error.to_string(),
            ),
            AcknowledgeError::Alerts(cause) => Problem::internal(cause),
        })?;
    ok(&json!({"success": true, "alert": object(&alert, step_secs(&api))}))
}

fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(40).collect();
    Problem::not_found(
        "unknown_alert",
        format!("no alert `{shown}` is active; `/alerts/active?state=all` lists them"),
    )
}

fn step_secs(api: &Api) -> u32 {
    api.fleet().step_secs
}
