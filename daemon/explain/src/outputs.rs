//! What is read off the forecast of a variant.

use argus_fleet::{EntityForecast, EntityState, Risk};
use argus_plugin_host::services::model::Output;
use argus_risk::{Calibration, IN_BREACH_FLOOR, Subject, ThresholdRules};
use argus_schema::Schema;

/// What judging a forecast takes.
pub struct Answerer<'a> {
    pub schema: &'a Schema,
    pub thresholds: &'a ThresholdRules,
    pub calibration: &'a Calibration,
    pub state: &'a EntityState,
}

/// One number per output, NaN where the model gives none: a metric that is not in the context, a risk of nothing that
/// has a threshold. Risk is not rounded here.
///
/// "Now" is what the API takes for it, the newest raw values, for the window as it is. An `edited` past has an edited
/// present: there it is the newest value that the model saw, as in `argus forecast --edits`. `hidden` are the metrics of
/// which the edits leave nothing.
pub fn answer(
    answerer: &Answerer<'_>,
    forecast: &EntityForecast,
    (edited, hidden): (bool, &[bool]),
    outputs: &[Output],
) -> Vec<f32> {
    let Answerer { state, .. } = answerer;
    let seen = || {
        let current = |metric: &Option<_>| {
            metric
                .as_ref()
                .map_or(f32::NAN, |m: &argus_fleet::MetricForecast| m.current)
        };
        forecast.metrics.iter().map(current).collect()
    };
    let current: Vec<f32> = if edited {
        seen()
    } else {
        state.current.to_vec()
    };
    let subject = Subject {
        schema: answerer.schema,
        rules: answerer.thresholds,
        calibration: answerer.calibration,
        profile: state.profile,
        cores: state.cores,
        name: &state.name,
        current: &current,
        hidden,
    };
    // Most calls ask for one number per variant; the risk is judged once for all that need it.
    let of_risk = |output: &Output| {
        matches!(
            output,
            Output::Risk | Output::RiskUnclamped | Output::Risk30m
        )
    };
    let risk = outputs
        .iter()
        .any(of_risk)
        .then(|| subject.assess(forecast));
    let risk = risk.filter(|risk| risk.assessed != 0);
    let number = |output: &Output| match output {
        Output::Risk | Output::RiskUnclamped | Output::Risk30m => {
            risk.as_ref().map(|risk| score(risk, output))
        }
        Output::Quantile {
            metric,
            step,
            level,
        } => {
            let quantiles = &forecast.metrics.get(*metric)?.as_ref()?.quantiles;
            let place = (step - 1) * forecast.quantile_levels.len() + level;
            quantiles.get(place).copied()
        }
        Output::BreachProbability { metric, within } => {
            let probability = subject.breach_probability(forecast, *metric, *within)?;
            Some(single(probability))
        }
    };
    outputs
        .iter()
        .map(|output| number(output).unwrap_or(f32::NAN))
        .collect()
}

fn score(risk: &Risk, output: &Output) -> f32 {
    let probability = match output {
        Output::Risk30m => risk.prob_30m,
        _ => risk.prob_horizon,
    };
    let floor = match output {
        Output::RiskUnclamped => 0.0,
        _ if risk.in_breach => IN_BREACH_FLOOR,
        _ => 0.0,
    };
    single((100.0 * probability).max(floor))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "probabilities and scores need no double precision"
)]
fn single(number: f64) -> f32 {
    number as f32
}
