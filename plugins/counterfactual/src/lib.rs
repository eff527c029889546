//! What would bring a risk down: the smallest changes to a server's recent past that the model answers with less risk.
//!
//! Each counterfactual carries its exact edits, as `argus forecast --edits` takes them. Changes never go further than the
//! action they stand for ([`action`]) plausibly would. That the model answers with less risk is no promise that the
//! action will help: it says what the forecast would be for a server whose last hours looked like that.

mod action;
mod search;

use argus_plugin::explainer::{Driver, Explanation, Subject};
use argus_plugin::{Error, Explainer, Host};
use serde::Deserialize;
use serde_json::{Value, json};

use search::{Search, Tried};

/// Step ahead whose CPU is told: 30 minutes at 5-minute steps.
const CPU_STEP: u32 = 6;
/// Less than this is no help, in points of risk.
const NOTICEABLE: f32 = 0.5;

/// The `[plugins.NAME.config]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    under: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { under: 50.0 }
    }
}

/// The explainer. Option: `under`, a risk score.
#[derive(Debug)]
struct Counterfactual {
    config: Config,
}

impl Explainer for Counterfactual {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error> {
        if subject.target != "risk" {
            let message = format!("counterfactuals are about the risk, not {}", subject.target);
            return Err(Error::new("unknown_target", message));
        }
        let under = match subject.option("under") {
            None => self.config.under,
            Some(text) => text
                .parse()
                .ok()
                .filter(|u| (0.0..=100.0).contains(u))
                .ok_or_else(|| {
                    let message =
                        format!("option under is {text:?}, wanted is a risk score, 0 to 100");
                    Error::new("invalid_option", message)
                })?,
        };
        let window = host.window(&subject.entity, &[])?;
        let mut search = Search::new(&window, CPU_STEP)?;
        let (nothing, mut best) = search.run(under)?;
        best.push(nothing.clone());
        // Ties go to what changes the explained value more; "do nothing" changes nothing.
        best.sort_by(|a, b| {
            a.risk
                .total_cmp(&b.risk)
                .then(a.risk_unclamped.total_cmp(&b.risk_unclamped))
        });
        let list: Vec<Value> = best.iter().map(|one| tell(one, &nothing, under)).collect();
        let summary = summary(&best, &nothing, under);
        let drivers = best.iter().filter(|one| one.action.is_some());
        let drivers = drivers
            .filter(|one| helps(one, &nothing))
            .map(|one| Driver {
                name: scenario(one),
                impact: one.risk_unclamped - nothing.risk_unclamped,
                standard_error: 0.0,
                text: format!("{}: risk {:.1}", scenario(one), one.risk),
            });
        let drivers: Vec<Driver> = drivers.collect();
        let details = json!({
            "server_name": subject.entity,
            "base_value": nothing.risk,
            "base_value_unclamped": nothing.risk_unclamped,
            "under": under,
            "nothing_helps": drivers.is_empty(),
            "counterfactuals": list,
            "summary": summary,
            "method": "counterfactual",
            "evaluations": search.evaluations(),
        });
        Ok(Explanation {
            summary,
            drivers,
            details: details.to_string(),
        })
    }
}

argus_plugin::explainer!(
    Counterfactual,
    config_schema = include_str!("../config.schema.json")
);

fn helps(one: &Tried, nothing: &Tried) -> bool {
    nothing.risk_unclamped - one.risk_unclamped >= NOTICEABLE
        || nothing.risk - one.risk >= NOTICEABLE
}

fn scenario(one: &Tried) -> String {
    let words = one.action.as_ref().map(|action| action.words(one.strength));
    words.map_or_else(|| "Do nothing".to_owned(), |[scenario, ..]| scenario)
}

fn tell(one: &Tried, nothing: &Tried, under: f32) -> Value {
    let [scenario, action, effort, risk] = match &one.action {
        Some(action) => action.words(one.strength),
        None => {
            let risk = match nothing.risk {
                r if r >= 80.0 => "HIGH",
                r if r >= 50.0 => "MEDIUM",
                _ => "LOW",
            };
            ["Do nothing", "continue", "None", risk].map(str::to_owned)
        }
    };
    let change = one
        .cpu_used
        .zip(nothing.cpu_used)
        .map(|(then, now)| then - now);
    let edit = |(metric, values): &(String, Vec<f32>)| {
        json!({
            "metric": metric, "from_step": 1 - one.steps as i64, "to_step": 0,
            "action": { "replace": values.iter().map(|value| number(*value)).collect::<Vec<_>>() },
        })
    };
    json!({
        "scenario": scenario,
        "action": action,
        "predicted_cpu": one.cpu_used,
        "change": change,
        "predicted_risk": one.risk,
        "predicted_risk_unclamped": one.risk_unclamped,
        "risk_change": one.risk - nothing.risk,
        "safe": one.risk < under,
        "helps": one.action.is_some() && helps(one, nothing),
        // What the model says are the odds that nothing breaches then.
        "confidence": 1.0 - one.risk_unclamped / 100.0,
        "effort": effort,
        "risk": risk,
        "strength": one.strength,
        "steps": one.steps,
        "edits": one.changes.iter().map(edit).collect::<Vec<_>>(),
    })
}

/// A number as it was given to the model: three decimals, not the digits of its binary form.
fn number(value: f32) -> Value {
    let rounded = (f64::from(value) * 1000.0).round() / 1000.0;
    if value.is_nan() {
        Value::Null
    } else {
        json!(rounded)
    }
}

fn summary(best: &[Tried], nothing: &Tried, under: f32) -> String {
    let now = nothing.risk;
    let first = best
        .iter()
        .find(|one| one.action.is_some() && helps(one, nothing));
    match first {
        None => format!("Nothing that was tried lowers the risk of {now:.1}"),
        Some(one) if now < under => format!(
            "The risk of {now:.1} is under {under:.0} as it is; {} would lower it to {:.1}",
            scenario(one),
            one.risk
        ),
        Some(one) if one.risk < under => {
            let safe = match best.iter().filter(|one| one.risk < under).count() {
                1 => "1 change brings".to_owned(),
                many => format!("{many} changes bring"),
            };
            format!(
                "{safe} the risk of {now:.1} under {under:.0}; most effective: {} ({:.1})",
                scenario(one),
                one.risk
            )
        }
        Some(one) => format!(
            "Nothing that was tried brings the risk of {now:.1} under {under:.0}; {} helps most ({:.1})",
            scenario(one),
            one.risk
        ),
    }
}

#[cfg(test)]
mod tests;
