//! What `/predictions/current` says of the whole fleet: expected alerts, odds, counts, and which model spoke.

use std::cmp::Reverse;

use argus_fleet::{BreachForecast, EntityForecast, EntityState, Fleet, FleetRisk, ForecastState};
use serde_json::{Value, json};

use super::render::{minutes_ahead, step_start_ms};
use crate::context::Api;
use crate::problem::rfc3339;

/// Entities named as the worst.
const TOP: usize = 20;

/// Odds and counts of the fleet, filters aside.
pub(crate) fn fleet_risk(fleet: &Fleet) -> FleetRisk {
    let risks = fleet
        .entities
        .iter()
        .filter_map(|(name, entity)| Some((name, entity.risk.as_deref()?)));
    argus_risk::fleet_risk(risks, TOP)
}

/// `environment`: probabilities are null while nothing is assessed.
pub(crate) fn environment(fleet: &Fleet, risk: &FleetRisk) -> Value {
    let known = |value: f64| (risk.assessed > 0).then_some(value);
    json!({
        "prob_30m": known(risk.prob_30m),
        "prob_8h": known(risk.prob_8h),
        "incident_probability_30m": known(risk.prob_30m),
        "incident_probability_8h": known(risk.prob_8h),
        "prob_any_30m": known(risk.prob_any_30m),
        "prob_any_8h": known(risk.prob_any_8h),
        "high_risk_servers": risk.high_risk,
        "total_servers": fleet.entities.len(),
        "assessed_servers": risk.assessed,
        "fleet_health": risk.health,
    })
}

/// `summary`: counts by level and the worst servers.
pub(crate) fn summary(fleet: &Fleet, risk: &FleetRisk) -> Value {
    // A server without risk to speak of is not a top risk.
    let names: Vec<&str> = risk
        .top
        .iter()
        .filter(|(_, score)| *score > 0.0)
        .map(|(name, _)| name.as_str())
        .collect();
    let top = |count: usize| names.get(..count.min(names.len())).unwrap_or_default();
    let in_state = |state| {
        fleet
            .entities
            .values()
            .filter(|entity| entity.state == state)
            .count()
    };
    json!({
        "total_servers": fleet.entities.len(),
        "critical_count": risk.critical,
        "warning_count": risk.warning,
        "degrading_count": risk.degraded,
        "degraded_count": risk.degraded,
        "healthy_count": risk.healthy,
        "warming_up_count": in_state(ForecastState::WarmingUp),
        "pending_count": in_state(ForecastState::Pending),
        "avg_risk_score": (risk.assessed > 0).then_some(risk.avg_score),
        "max_risk_score": (risk.assessed > 0).then_some(risk.max_score),
        "top_5_risks": top(5),
        "top_10_risks": top(10),
        "top_20_risks": top(20),
        "risk_calculation_time": rfc3339(fleet.published_ms),
    })
}

/// `metadata`: which model spoke, when, for which steps.
pub(crate) fn metadata(api: &Api, fleet: &Fleet) -> Value {
    let info = api.context.control.model_info().ok();
    let model = fleet
        .model
        .as_deref()
        .or(info.as_ref().map(|i| i.id.as_ref()));
    let closed_steps: u64 = fleet
        .entities
        .values()
        .map(|entity| u64::from(entity.closed_bins))
        .sum();
    json!({
        "model_type": "TFT",
        "model_dir": model.map(|m| m.path.as_str()),
        "model_name": model.map(|m| m.name.as_str()),
        "weights_sha256": model.map(|m| m.weights_sha256.as_str()),
        "prediction_time": rfc3339(fleet.published_ms),
        "horizon_steps": info.as_ref().map(|i| i.horizon_steps),
        "step_secs": fleet.step_secs,
        "quantiles": [0.1, 0.5, 0.9],
        "input_points": closed_steps,
        "device": model.map(|m| m.device.as_str()),
        "tick": fleet.tick,
        "forecast_ms": fleet.forecast_ms,
    })
}

/// `alerts`: what the newest forecasts expect within the horizon, one entry per server and condition, worst and soonest
/// first. Which of them have struck often enough to be told is `/alerts/active`.
pub(crate) fn expected<'a>(entities: impl Iterator<Item = &'a EntityState>) -> Vec<Value> {
    let mut alerts: Vec<(&BreachForecast, &EntityForecast, &str)> = entities
        .filter_map(|entity| {
            let forecast = entity.forecast.as_deref()?;
            Some((entity.risk.as_deref()?, forecast, entity.name.as_str()))
        })
        .flat_map(|(risk, forecast, name)| {
            let likely = |b: &&BreachForecast| b.now || b.expected_step.is_some();
            // Most severe first, so that a metric's critical threshold stands for its warning one.
            let mut seen = Vec::new();
            let mut breaches: Vec<&BreachForecast> = risk.breaches.iter().filter(likely).collect();
            breaches.sort_by_key(|breach| Reverse(breach.severity));
            breaches.retain(|breach| {
                let is_new = !seen.contains(&breach.metric_index);
                seen.push(breach.metric_index);
                is_new
            });
            breaches
                .into_iter()
                .map(move |breach| (breach, forecast, name))
        })
        .collect();
    alerts.sort_by(|(a, _, a_name), (b, _, b_name)| {
        let soonness = |breach: &BreachForecast| {
            if breach.now {
                0
            } else {
                breach.expected_step.unwrap_or(u32::MAX)
            }
        };
        b.severity
            .cmp(&a.severity)
            .then(soonness(a).cmp(&soonness(b)))
            .then(a_name.cmp(b_name))
    });
    alerts
        .into_iter()
        .map(|(breach, forecast, name)| expected_alert(name, breach, forecast))
        .collect()
}

fn expected_alert(name: &str, breach: &BreachForecast, forecast: &EntityForecast) -> Value {
    let step = if breach.now {
        0
    } else {
        breach.expected_step.unwrap_or(0)
    };
    let metric = &breach.metric;
    let unit = &breach.unit;
    let message = if breach.now {
        let current = breach.current.unwrap_or(f64::NAN);
        format!("{name}: {metric} is {current:.1} {unit}")
    } else {
        format!(
            "{name}: {metric} predicted to reach {:.1} {unit}",
            breach.peak_median
        )
    };
    json!({
        "server": name,
        "server_name": name,
        "metric": metric,
        "severity": breach.severity,
        "predicted_value": breach.peak_median,
        "current": breach.current,
        "threshold": breach.threshold,
        "probability": breach.probability,
        "in_breach": breach.now,
        "steps_ahead": step,
        "minutes_ahead": minutes_ahead(forecast, step),
        "expected_at": rfc3339(step_start_ms(forecast, step)),
        "message": message.trim_end(),
    })
}
