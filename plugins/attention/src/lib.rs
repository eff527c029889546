//! What the network itself looked at: its attention over the context, averaged over heads, and the weights of its
//! variable selections. Nothing here is an effect on the prediction; for that there is `shap`.

mod periods;

use argus_asked::{Target, span};
use argus_plugin::explainer::{Driver, Explanation, Subject};
use argus_plugin::model::{Selection, Shape, Window};
use argus_plugin::{Error, Explainer, Host};
use serde::Deserialize;
use serde_json::{Value, json};

use periods::Period;

/// Steps ahead whose own rows are told, where the horizon has them: 30 min to 8 h at 5-minute steps.
const TOLD_STEPS: [u32; 5] = [6, 12, 24, 48, 96];
/// Single steps of the context that are told.
const PEAKS: usize = 5;

/// The `[plugins.NAME.config]` table: nothing to set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

/// The explainer. A metric's target narrows the rows to its step; the risk takes all steps ahead together.
#[derive(Debug)]
struct Attention;

impl Explainer for Attention {
    type Config = Config;

    fn new(_: Config) -> Result<Self, Error> {
        Ok(Self)
    }

    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error> {
        let window = host.window(&subject.entity, &[])?;
        let shape = window.shape();
        Target::of(subject, &shape)?;
        let matrix = window.attention()?;
        let context = shape.context_steps as usize;
        let rows: Vec<&[f32]> = matrix
            .chunks_exact(context + shape.horizon_steps as usize)
            .map(|row| &row[..context])
            .collect();
        let chosen = match subject.step {
            0 => &rows[..],
            step => rows
                .get(step as usize - 1..step as usize)
                .unwrap_or_default(),
        };
        let mean = mean_row(chosen, context);
        let share: f64 = mean.iter().sum();
        let weights: Vec<f64> = mean
            .iter()
            .map(|w| w / share.max(f64::MIN_POSITIVE))
            .collect();

        let periods = periods::important(&weights);
        let variables = variables(&window)?;
        let top: Vec<String> = variables
            .0
            .iter()
            .take(3)
            .map(|(name, _)| name.clone())
            .collect();
        let summary = summary(&periods, &weights, &top, &shape);
        let period = |period: &Period| {
            json!({
                "period": period.name, "attention": period.attention, "importance": period.importance(),
                "timestep_range": [period.steps.start, period.steps.end],
                "span": span((period.steps.end - period.steps.start) as u32, shape.step_secs),
            })
        };
        let details = json!({
            "server_name": subject.entity,
            "attention_weights": weights,
            "context_share": share,
            "by_horizon": by_horizon(&rows, &shape),
            "important_periods": periods.iter().map(period).collect::<Vec<_>>(),
            "peaks": peaks(&weights, &shape),
            "variable_weights": variables.1,
            "summary": summary,
            "total_timesteps": context,
            "method": "attention",
        });
        let drivers = periods.iter().map(|period| Driver {
            name: period.name.to_owned(),
            impact: period.attention as f32,
            standard_error: 0.0,
            text: format!(
                "{} got {:.0} % of the attention",
                period.name,
                100.0 * period.attention
            ),
        });
        Ok(Explanation {
            summary,
            drivers: drivers.collect(),
            details: details.to_string(),
        })
    }
}

argus_plugin::explainer!(
    Attention,
    config_schema = include_str!("../config.schema.json")
);

fn mean_row(rows: &[&[f32]], length: usize) -> Vec<f64> {
    let mut mean = vec![0.0; length];
    for row in rows {
        for (sum, weight) in mean.iter_mut().zip(*row) {
            *sum += f64::from(*weight) / rows.len() as f64;
        }
    }
    mean
}

/// The network's own rows, as it gave them: with what it looked at among earlier steps ahead they add up to 1.
fn by_horizon(rows: &[&[f32]], shape: &Shape) -> Vec<Value> {
    let told = TOLD_STEPS
        .iter()
        .filter(|step| **step <= shape.horizon_steps);
    let row = |step: &u32| {
        let weights = rows.get(*step as usize - 1)?;
        Some(json!({ "step": step, "ahead": span(*step, shape.step_secs), "weights": weights }))
    };
    told.filter_map(row).collect()
}

fn peaks(weights: &[f64], shape: &Shape) -> Vec<Value> {
    let mut steps: Vec<usize> = (0..weights.len()).collect();
    steps.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let peak = |step: usize| {
        let ago = (weights.len() - 1 - step) as u32;
        let at_ms = shape.origin_ms - i64::from(ago) * i64::from(shape.step_secs) * 1000;
        json!({ "step": step, "ago": span(ago, shape.step_secs), "at_ms": at_ms, "attention": weights[step] })
    };
    steps.into_iter().take(PEAKS).map(peak).collect()
}

type Named = Vec<(String, f64)>;

/// The variables of the context, most weight first, and all three selections as JSON; means over the rows.
fn variables(window: &Window) -> Result<(Named, Value), Error> {
    let of = |selection: Selection| -> Result<Named, Error> {
        let names = window.variable_names(selection);
        let weights = window.variable_weights(selection)?;
        let rows: Vec<&[f32]> = weights.chunks_exact(names.len().max(1)).collect();
        let mean = mean_row(&rows, names.len());
        let mut named: Named = names.into_iter().zip(mean).collect();
        named.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(named)
    };
    let context = of(Selection::ContextVariables)?;
    let json = json!({
        "context": context,
        "horizon": of(Selection::HorizonVariables)?,
        "static": of(Selection::StaticVariables)?,
    });
    Ok((context, json))
}

fn summary(periods: &[Period], weights: &[f64], variables: &[String], shape: &Shape) -> String {
    let newest = weights.len().saturating_sub(12);
    let last: f64 = weights[newest..].iter().sum();
    let steps = (weights.len() - newest) as u32;
    let most = match periods.first() {
        Some(period) => format!("Most attention on: {}", period.name),
        None => "Attention is spread evenly".to_owned(),
    };
    format!(
        "{most}; {:.0} % on the last {}; variables with most weight: {}",
        100.0 * last,
        span(steps, shape.step_secs),
        variables.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    fn explain(target: &str, step: u32, attention: &[f32]) -> Value {
        let window = testing::Window::new(&["cpu", "mem"], 10, 2, |_, _| 0.0).attention(attention);
        let host = testing::Host::new().with_window("web-1", window);
        let plugin: Attention = testing::explainer(json!({})).expect("settings");
        let subject = Subject {
            entity: "web-1".into(),
            profile: String::new(),
            target: target.into(),
            step,
            options: Vec::new(),
        };
        let told = plugin.explain(&host, &subject).expect("explained");
        serde_json::from_str(&told.details).expect("JSON")
    }

    /// The first step ahead looks at the newest bin only, the second half at the oldest and half at the first step.
    fn rows() -> Vec<f32> {
        let mut rows = vec![0.0; 24];
        (rows[9], rows[12], rows[22]) = (1.0, 0.5, 0.5);
        rows
    }

    #[test]
    fn weights_are_the_networks_own_and_add_up_to_one() {
        let told = explain("risk", 0, &rows());
        let weights = told["attention_weights"].as_array().expect("a list");
        assert_eq!((weights.len(), &told["total_timesteps"]), (10, &json!(10)));
        // 0.5 and 0.25 of all attention, of which three quarters fell on the context.
        let weight = |step: usize| weights[step].as_f64().expect("a number");
        assert!((weight(9) - 2.0 / 3.0).abs() < 1e-9 && (weight(0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(told["context_share"], 0.75);
        assert_eq!(told["peaks"][0]["step"], 9);
        assert_eq!(
            told["important_periods"][0]["period"],
            "Recent (last 30% of window)"
        );
        assert_eq!(told["important_periods"][0]["importance"], "VERY HIGH");
        assert_eq!(
            told["important_periods"][1]["timestep_range"],
            json!([0, 3])
        );
    }

    #[test]
    fn a_step_ahead_has_a_row_of_its_own() {
        let told = explain("cpu", 2, &rows());
        assert_eq!(told["attention_weights"][0], 1.0);
        assert_eq!(told["context_share"], 0.5);
    }

    #[test]
    fn the_schema_describes_the_settings() {
        testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
    }
}
