//! Why a forecast is what it is.

use std::collections::BTreeMap;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::context::Shared;
use crate::control::{ExplainAsk, ExplainError, Explained, ExplainerAnswer, ExplainerError};
use crate::extract::{Params, ServerName};
use crate::predictions::unknown_server;
use crate::problem::{Answer, Problem, ok, rfc3339};

/// Query of `/explain/{server}`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// Only this explainer, by its name in the configuration; else all of them.
    explainer: Option<String>,
    /// `risk` (the default), a metric's name (its median `step` steps ahead), or `breach:METRIC` (its odds within
    /// `step` steps).
    target: Option<String>,
    /// Steps ahead, for a metric or its odds; 30 minutes of 5-minute steps unless said.
    step: Option<String>,
    /// `shap`: `metric` (the default) or `segment`, parts of the past.
    by: Option<String>,
    /// `shap`: `auto` (the default), `exact` or `sampling`.
    method: Option<String>,
    /// `shap`: pairs of permutations, neither more nor fewer.
    samples: Option<String>,
    /// `shap`: where random permutations come from.
    seed: Option<String>,
    /// `counterfactual`: the risk score to get under.
    under: Option<String>,
}

/// Steps ahead of a metric that is asked for without any.
const DEFAULT_STEP: u32 = 6;
/// Longest option that is handed to a plugin.
const MAX_OPTION_CHARS: usize = 100;

impl ExplainQuery {
    fn understand(self, server: ServerName) -> Result<ExplainAsk, Problem> {
        let ServerName(entity) = server;
        let target = self.target.unwrap_or_else(|| "risk".to_owned());
        let step = match (&self.step, target.as_str()) {
            (None, "risk") => 0,
            (None, _) => DEFAULT_STEP,
            (Some(_), "risk") => {
                let detail = "the risk is about all steps; `step` goes with a metric";
                return Err(Problem::bad_request("bad_step", detail));
            }
            (Some(text), _) => text.parse().ok().filter(|step| *step > 0).ok_or_else(|| {
                let detail = "`step` is a whole number of steps ahead, from 1";
                Problem::bad_request("bad_step", detail)
            })?,
        };
        let options = [
            ("by", self.by),
            ("method", self.method),
            ("samples", self.samples),
            ("seed", self.seed),
            ("under", self.under),
        ];
        let options = options
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let options: Vec<(String, String)> = options.collect();
        let too_long = |text: &str| text.chars().count() > MAX_OPTION_CHARS;
        if too_long(&target) || options.iter().any(|(_, value)| too_long(value)) {
            let detail = format!("no parameter may be longer than {MAX_OPTION_CHARS} characters");
            return Err(Problem::bad_request("bad_query", detail));
        }
        Ok(ExplainAsk {
            entity,
            explainer: self.explainer,
            target,
            step,
            options,
        })
    }
}

/// Why the newest forecast of a server is what it is. Every number comes from running the model: what each metric adds
/// (`shap`), what the network looked at (`attention`), what would bring the risk down (`counterfactual`), and whatever
/// other explainers are configured. Answers are kept until the next forecast. Where all explainers are asked, one that
/// cannot answer is listed under `errors` beside the others' answers.
#[utoipa::path(get, path = "/explain/{server}", tag = "predictions", security(("key" = ["read"])),
    params(("server" = String, Path, description = "full name of the server"), ExplainQuery),
    responses(
        (status = 200, description = "explanations", body = Explanations),
        (status = 400, description = "a target or option that is not known", body = crate::shapes::ProblemDocument),
        (status = 404, description = "unknown server or explainer", body = crate::shapes::ProblemDocument),
        (status = 409, description = "too little data for a forecast yet, or none of the target", body = crate::shapes::ProblemDocument),
        (status = 502, description = "the explainer failed; says how", body = crate::shapes::ProblemDocument),
        (status = 503, description = "no model is loaded, or the explainer is busy; says why", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn explain(
    State(api): State<Shared>,
    server: ServerName,
    Params(query): Params<ExplainQuery>,
) -> Answer {
    let ask = query.understand(server)?;
    let (target, step, name) = (ask.target.clone(), ask.step, ask.entity.clone());
    let explained = api.context.control.explain(ask).await;
    let explained = explained.map_err(|error| match error {
        ExplainError::NoModel(reason) => Problem::no_model(&reason),
        ExplainError::UnknownEntity => unknown_server(&name),
        ExplainError::NoExplainer(detail) => Problem::not_found("unknown_explainer", detail),
        ExplainError::WarmingUp(detail) => Problem::new(StatusCode::CONFLICT, "warming_up", detail),
        ExplainError::Pending(detail) => {
            Problem::unavailable("pending", detail).retry_after_secs(1)
        }
    })?;
    let answered = explained
        .answers
        .iter()
        .any(|answer| answer.outcome.is_ok());
    if let (false, Some(error)) = (answered, first_error(&explained)) {
        return Err(refusal(error));
    }
    let now = rfc3339(api.now_ms());
    ok(&document(&explained, &target, step, now))
}

fn first_error(explained: &Explained) -> Option<&ExplainerError> {
    let mut outcomes = explained.answers.iter().map(|answer| &answer.outcome);
    outcomes.find_map(|outcome| outcome.as_ref().err())
}

/// The status for what kept the only explainer, or all of them, from answering.
fn refusal(error: &ExplainerError) -> Problem {
    let detail = error.message.clone();
    let problem = match error.code.as_str() {
        "unknown_target" => Problem::bad_request("unknown_target", detail),
        "invalid_option" => Problem::bad_request("invalid_option", detail),
        "no_prediction" => Problem::new(StatusCode::CONFLICT, "no_prediction", detail),
        "unknown_entity" => Problem::not_found("unknown_server", detail),
        "warming_up" => Problem::new(StatusCode::CONFLICT, "warming_up", detail),
        "no_model" => Problem::no_model(&detail),
        _ if error.retryable => Problem::unavailable("explainer_busy", detail).retry_after_secs(1),
        _ => Problem::new(StatusCode::BAD_GATEWAY, "explainer_failed", detail),
    };
    problem.with("explainer_code", error.code.as_str())
}

fn document(explained: &Explained, target: &str, step: u32, now: Value) -> Value {
    let Explained {
        state,
        forecast,
        background,
        answers,
    } = explained;
    let risk = state.risk.as_ref();
    let (mut told, mut errors) = (Map::new(), Map::new());
    let mut document = json!({
        "server_name": state.name,
        "timestamp": now,
        "prediction": risk.map(|risk| json!({
            "risk_score": risk.score,
            "alert_level": argus_fleet::Level::of(risk.score).as_str(),
        })),
        "risk_score": risk.map(|risk| risk.score),
        "risk_unclamped": risk.map(|risk| risk.unclamped),
        "data_points": forecast.context_steps,
        "forecast_origin": rfc3339(forecast.origin_ms),
        "forecast_made": rfc3339(forecast.made_ms),
        "model": forecast.model.name,
        "target": target,
        "step": (step > 0).then_some(step),
        "background": background,
    });
    for ExplainerAnswer { explainer, outcome } in answers {
        match outcome {
            Err(error) => {
                errors.insert(explainer.clone(), json!(error));
            }
            Ok(report) => {
                let mut one = json!({ "summary": report.summary, "drivers": report.drivers });
                // The shipped ones' details are where clients have always looked for them.
                match explainer.as_str() {
                    "shap" | "attention" => document[explainer.as_str()] = report.details.clone(),
                    "counterfactual" => {
                        document["counterfactuals"] = report.details["counterfactuals"].clone();
                        let mut details = report.details.clone();
                        if let Some(details) = details.as_object_mut() {
                            details.remove("counterfactuals");
                        }
                        one["details"] = details;
                    }
                    _ => one["details"] = report.details.clone(),
                }
                told.insert(explainer.clone(), one);
            }
        }
    }
    document["explanations"] = Value::Object(told);
    document["errors"] = Value::Object(errors);
    document
}

/// Answer of `/explain/{server}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanations {
    /// The server.
    server_name: String,
    /// Time of this answer.
    timestamp: String,
    /// Risk score and its level; null where nothing observed has a threshold.
    #[schema(value_type = Option<Object>)]
    prediction: Option<Value>,
    /// Risk score, 0 to 100.
    risk_score: Option<f64>,
    /// The same before the floor that holds in breach: the number that is explained.
    risk_unclamped: Option<f64>,
    /// Steps of context behind the forecast.
    data_points: u32,
    /// Start of the newest step that the forecast saw.
    forecast_origin: String,
    /// When the forecast was made.
    forecast_made: String,
    /// The model's name.
    model: String,
    /// What was explained.
    target: String,
    /// Steps ahead; null for the risk.
    step: Option<u32>,
    /// What is typical is taken from the `profile`, from the whole `fleet`, or from `few_entities`.
    background: String,
    /// Shapley values, where `shap` is configured and answered.
    #[schema(value_type = Option<Object>)]
    shap: Option<Value>,
    /// The network's attention, where `attention` is configured and answered.
    #[schema(value_type = Option<Object>)]
    attention: Option<Value>,
    /// What would bring the risk down, most effective first, where `counterfactual` is configured and answered.
    #[schema(value_type = Option<Vec<Object>>)]
    counterfactuals: Option<Value>,
    /// Summary and drivers by explainer; with `details` where those are not above.
    explanations: BTreeMap<String, ExplainerSummary>,
    /// Code, message and whether asking again may help, by explainer that could not answer.
    #[schema(value_type = BTreeMap<String, Object>)]
    errors: BTreeMap<String, Value>,
}

/// One explainer's answer in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainerSummary {
    /// One line.
    summary: String,
    /// What matters most, first.
    drivers: Vec<crate::control::DriverReport>,
    /// The explainer's own object.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}
