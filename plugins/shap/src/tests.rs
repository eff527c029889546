//! Against models whose Shapley values are known, or computed another way.

use argus_plugin::explainer::{Explanation, Subject};
use argus_plugin::testing::{self, Host};
use serde_json::{Value, json};

use super::*;

const STEPS: usize = 3;

/// A model of the newest values by metric; metric `i` is 10 + i at present and i typically.
fn host(metrics: usize, model: impl Fn(&[f32]) -> f32 + 'static) -> Host {
    let names: Vec<String> = (0..metrics).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let of_newest = move |context: &[Vec<f32>], _: &_| {
        let newest: Vec<f32> = context.iter().map(|series| series[STEPS - 1]).collect();
        model(&newest)
    };
    let mut window = testing::Window::new(&names, STEPS as u32, 2, of_newest);
    for (i, name) in names.iter().enumerate() {
        window = window.values(name, &[10.0 + i as f32; STEPS]);
        window = window.typical(name, &[i as f32; STEPS]);
    }
    Host::new()
        .with_window("web-1", window)
        .evaluations(100_000)
}

fn explain(host: &Host, options: &[(&str, &str)]) -> Explanation {
    let plugin: Shap = testing::explainer(json!({})).expect("settings");
    let options = options.iter().map(|(name, value)| argus_plugin::Pair {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    let subject = Subject {
        entity: "web-1".into(),
        profile: "web_api".into(),
        target: "risk".into(),
        step: 0,
        options: options.collect(),
    };
    plugin.explain(host, &subject).expect("an explanation")
}

fn details(explanation: &Explanation) -> Value {
    serde_json::from_str(&explanation.details).expect("JSON")
}

/// Shapley values by their other definition: the mean gain over all orders, every one of them tried.
fn over_all_orders(metrics: usize, model: impl Fn(&[f32]) -> f32) -> Vec<f64> {
    fn orders(left: Vec<usize>) -> Vec<Vec<usize>> {
        if left.is_empty() {
            return vec![Vec::new()];
        }
        let begin = |first: &usize| {
            let rest = left
                .iter()
                .filter(|other| *other != first)
                .copied()
                .collect();
            orders(rest)
                .into_iter()
                .map(|order| [vec![*first], order].concat())
                .collect::<Vec<_>>()
        };
        left.iter().flat_map(begin).collect()
    }
    let all = orders((0..metrics).collect());
    let mut sums = vec![0.0; metrics];
    for order in &all {
        let mut values: Vec<f32> = (0..metrics).map(|i| i as f32).collect();
        for player in order {
            let before = model(&values);
            values[*player] += 10.0;
            sums[*player] += f64::from(model(&values) - before);
        }
    }
    sums.into_iter().map(|sum| sum / all.len() as f64).collect()
}

/// Products, a maximum and a threshold: more than any two metrics interact, so that no pair of orders is exact.
fn tangled(v: &[f32]) -> f32 {
    let knee = if v[0] + v[1] > 15.0 { 20.0 } else { 0.0 };
    let rest: f32 = v[3..].iter().sum();
    0.02 * v[0] * v[1] * v[3] + (4.0 * v[2]).max(rest) + knee - 0.05 * v[2] * v[0]
}

#[test]
fn exact_values_are_the_mean_over_all_orders() {
    let expected = over_all_orders(6, tangled);
    let found = explain(&host(6, tangled), &[]);
    assert_eq!(details(&found)["exact"], true);
    for (player, expected) in expected.iter().enumerate() {
        let name = format!("m{player}");
        let driver = found.drivers.iter().find(|d| d.name == name).expect("told");
        assert!(
            (f64::from(driver.impact) - expected).abs() < 1e-4,
            "{driver:?} {expected}"
        );
        assert_eq!(driver.standard_error, 0.0);
    }
}

#[test]
fn sampled_values_agree_with_exact_ones_within_their_error_and_add_up() {
    let exact = explain(&host(9, tangled), &[("method", "exact")]);
    let (mut outside, mut compared, mut squares) = (0, 0, 0.0);
    for seed in 1..=50 {
        let seed = seed.to_string();
        let options = [("method", "sampling"), ("seed", seed.as_str())];
        let sampled = explain(&host(9, tangled), &options);
        let told = details(&sampled);
        assert_eq!(told["exact"], false);
        assert!(
            told["evaluations"].as_u64().expect("a number") <= 192,
            "{told}"
        );
        let gap = told["left_over"].as_f64().expect("a number");
        assert!(gap.abs() < 1e-6, "each order adds up exactly: {gap}");
        for driver in &sampled.drivers {
            let truth = exact
                .drivers
                .iter()
                .find(|d| d.name == driver.name)
                .expect("told");
            let error = (driver.impact - truth.impact).abs();
            compared += 1;
            outside += u32::from(error > 3.0 * driver.standard_error + 1e-4);
            squares += (error / driver.standard_error.max(1e-4)).powi(2);
        }
    }
    assert!(
        outside == 0,
        "{outside} of {compared} are further off than three standard errors"
    );
    // Neither is the error told out of caution alone: it is no more than four times the real one.
    let ratio = (squares / compared as f32).sqrt();
    assert!(
        (0.25..1.0).contains(&ratio),
        "root mean square of error over told error: {ratio}"
    );
}

#[test]
fn twenty_times_the_samples_agree() {
    let options = |samples| [("method", "sampling"), ("samples", samples), ("seed", "3")];
    let few = explain(&host(14, tangled), &options("6"));
    let many = explain(&host(14, tangled), &options("120"));
    assert_eq!(details(&few)["permutations"], 12);
    assert_eq!(details(&many)["permutations"], 240);
    for driver in &few.drivers {
        let better = many
            .drivers
            .iter()
            .find(|d| d.name == driver.name)
            .expect("told");
        let gap = (driver.impact - better.impact).abs();
        assert!(
            gap <= 3.0 * driver.standard_error + 1e-4,
            "{driver:?} {better:?}"
        );
        assert!(better.standard_error <= driver.standard_error);
    }
}

#[test]
fn an_additive_model_stops_early() {
    let found = explain(&host(14, |v| v.iter().sum()), &[]);
    let told = details(&found);
    assert_eq!(
        (&told["stopped"], &told["permutations"]),
        (&json!("precision"), &json!(8))
    );
    assert!(
        found.drivers.iter().all(|d| (d.impact - 10.0).abs() < 1e-4),
        "{found:?}"
    );
    assert_eq!(
        (&told["prediction_value"], &told["base_value"]),
        (&json!(231.0), &json!(91.0))
    );
}

#[test]
fn the_budget_is_kept_where_precision_is_out_of_reach() {
    let found = explain(&host(14, |v| tangled(v) * 100.0), &[]);
    let told = details(&found);
    assert_eq!(told["stopped"], "evaluations");
    assert!(told["evaluations"].as_u64().expect("a number") <= 192);
}

#[test]
fn segments_are_told_by_when() {
    // Only the oldest step counts, and only the first metric.
    let window = testing::Window::new(&["cpu", "mem"], 12, 2, |context, _| context[0][0] * 2.0);
    let window = window.values("cpu", &[5.0; 12]).typical("cpu", &[1.0; 12]);
    let host = Host::new().with_window("web-1", window);
    let found = explain(&host, &[("by", "segment")]);
    assert_eq!(found.drivers[0].name, "30 min to 1 h ago");
    assert_eq!(
        (found.drivers[0].impact, found.drivers[1].impact),
        (8.0, 0.0)
    );
}

#[test]
fn the_fields_that_clients_know_are_there() {
    let found = explain(&host(3, |v| v[0] * 3.0 - v[1]), &[]);
    let told = details(&found);
    assert_eq!(told["server_name"], "web-1");
    assert_eq!(
        told["top_driver"],
        json!({"feature": "m0", "impact": 30.0, "direction": "stable"})
    );
    let [name, first] = told["feature_importance"][0]
        .as_array()
        .expect("a pair")
        .as_slice()
    else {
        panic!("{told}");
    };
    assert_eq!((name, &first["stars"]), (&json!("m0"), &json!("⭐⭐⭐")));
    assert_eq!(
        first["explanation"],
        "m0 at 10.0 (usually 0.0) adds 30.0 to the risk"
    );
    assert_eq!(told["feature_importance"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        found.summary,
        "Primary driver: m0 +30.0; the risk is 19.0, −1.0 for a typical window".replace('−', "-")
    );
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let plugin: Shap = testing::explainer(json!({})).expect("settings");
    let refused = |target: &str, step, options: &[(&str, &str)]| {
        let subject = Subject {
            entity: "web-1".into(),
            profile: String::new(),
            target: target.into(),
            step,
            options: options
                .iter()
                .map(|(name, value)| argus_plugin::Pair {
                    name: (*name).into(),
                    value: (*value).into(),
                })
                .collect(),
        };
        plugin
            .explain(&host(2, |_| f32::NAN), &subject)
            .expect_err("refused")
            .code
    };
    assert_eq!(refused("risk", 0, &[]), "no_prediction");
    assert_eq!(refused("cpu", 1, &[]), "unknown_target");
    assert_eq!(refused("m0", 3, &[]), "unknown_target");
    assert_eq!(refused("risk", 0, &[("by", "hour")]), "invalid_option");
    assert_eq!(refused("risk", 0, &[("samples", "0")]), "invalid_option");
}

#[test]
fn more_than_a_call_may_run_is_the_askers_mistake() {
    let plugin: Shap = testing::explainer(json!({})).expect("settings");
    let refused = |host: &Host, name: &str, value: &str| {
        let subject = Subject {
            entity: "web-1".into(),
            profile: String::new(),
            target: "risk".into(),
            step: 0,
            options: vec![argus_plugin::Pair {
                name: name.into(),
                value: value.into(),
            }],
        };
        plugin.explain(host, &subject).expect_err("refused").code
    };
    let sum = |v: &[f32]| v.iter().sum();
    let short = || host(14, sum).evaluations(1000);
    assert_eq!(refused(&short(), "method", "exact"), "invalid_option");
    assert_eq!(refused(&short(), "samples", "500"), "invalid_option");
    let wide = host(32, sum);
    assert_eq!(refused(&wide, "method", "auto"), "too_many_metrics");
}

#[test]
fn the_schema_describes_the_settings() {
    testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
}
