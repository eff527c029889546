//! The daemon around the router, faked: answers by name.

use std::sync::Arc;

use argus_api::control::{
    BoxFuture, Control, DriverReport, ExplainAsk, ExplainError, Explained, ExplainerAnswer,
    ExplainerError, ExplanationReport, ForecastNow, ForecastNowError, ModelEntry, ModelInfo,
    ModelList, PluginReloadError, PluginReloaded, PluginReport, PluginVersion, Readiness,
    ReloadError, Reloaded, ScenarioError, ScenarioReport, SinkTestError,
};
use argus_schema::EntityName;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{NOW_MS, fleet, forecast, model_id, risk};

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
            affected: vec![super::name("db-1"); 12],
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
