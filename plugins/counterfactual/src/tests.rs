//! Windows whose cause of trouble is known.

use argus_plugin::model::Output;
use argus_plugin::testing;

use super::*;

const STEPS: usize = 48;
const METRICS: [&str; 5] = [
    "cpu_user_pct",
    "cpu_iowait_pct",
    "cpu_idle_pct",
    "mem_used_pct",
    "disk_usage_pct",
];

/// Mean of a metric's newest hour.
fn recent(context: &[Vec<f32>], metric: usize) -> f32 {
    context[metric][STEPS - 12..].iter().sum::<f32>() / 12.0
}

fn explain(model: impl Fn(&[Vec<f32>]) -> f32 + 'static, options: &[(&str, &str)]) -> Value {
    let of_output = move |context: &[Vec<f32>], output: &Output| match output.what.as_str() {
        "quantile" => recent(context, output.metric as usize),
        _ => model(context).clamp(0.0, 100.0),
    };
    let mut window = testing::Window::new(&METRICS, STEPS as u32, 8, of_output);
    for (name, now, usual) in [
        ("cpu_user_pct", 50.0, 20.0),
        ("cpu_iowait_pct", 10.0, 2.0),
        ("cpu_idle_pct", 38.0, 76.0),
        ("mem_used_pct", 95.0, 60.0),
        ("disk_usage_pct", 40.0, 40.0),
    ] {
        window = window
            .values(name, &[now; STEPS])
            .typical(name, &[usual; STEPS]);
    }
    let host = testing::Host::new().with_window("db-1", window);
    let plugin: Counterfactual = testing::explainer(json!({})).expect("settings");
    let subject = Subject {
        entity: "db-1".into(),
        profile: "database".into(),
        target: "risk".into(),
        step: 0,
        options: options
            .iter()
            .map(|(name, value)| argus_plugin::Pair {
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect(),
    };
    let told = plugin.explain(&host, &subject).expect("explained");
    serde_json::from_str(&told.details).expect("JSON")
}

fn named<'a>(told: &'a Value, scenario: &str) -> &'a Value {
    let list = told["counterfactuals"].as_array().expect("a list");
    let found = list.iter().find(|one| {
        one["scenario"]
            .as_str()
            .is_some_and(|text| text.starts_with(scenario))
    });
    found.unwrap_or_else(|| panic!("no {scenario} in {told}"))
}

/// Only memory counts: over 80 % it is dangerous.
fn memory(context: &[Vec<f32>]) -> f32 {
    5.0 * (recent(context, 3) - 80.0)
}

#[test]
fn the_known_cause_is_what_helps_and_no_more_than_needed() {
    let told = explain(memory, &[]);
    assert_eq!(
        (&told["base_value"], &told["nothing_helps"]),
        (&json!(75.0), &json!(false))
    );
    // Risk 50 is memory 90: the least that was tried below it, to a thirty-second of the strength.
    let free = named(&told, "Reduce memory usage");
    assert_eq!(free["safe"], true);
    let strength = free["strength"].as_f64().expect("a number");
    let needed = (1.0 - 90.0 / 95.0) / 0.6;
    assert!(
        strength >= needed && strength - needed <= 0.5 / 16.0 + 1e-6,
        "{strength} {needed}"
    );
    for idle in ["Throttle", "Optimize disk", "cpu_user_pct"] {
        assert_eq!(named(&told, idle)["helps"], false, "{idle}");
    }
    let nothing = named(&told, "Do nothing");
    assert_eq!(
        (&nothing["edits"], &nothing["risk"]),
        (&json!([]), &json!("MEDIUM"))
    );
    assert_eq!(nothing["predicted_cpu"], 62.0);
}

#[test]
fn what_is_told_is_sorted_by_effect_and_complete() {
    let told = explain(memory, &[]);
    let list = told["counterfactuals"].as_array().expect("a list");
    let risks: Vec<f64> = list
        .iter()
        .map(|o| o["predicted_risk"].as_f64().expect("risk"))
        .collect();
    assert!(risks.is_sorted(), "{risks:?}");
    let wanted = [
        "scenario",
        "action",
        "predicted_cpu",
        "change",
        "safe",
        "confidence",
        "effort",
        "risk",
    ];
    for one in list {
        assert!(wanted.iter().all(|field| !one[*field].is_null()), "{one}");
    }
}

#[test]
fn the_edits_are_exactly_what_the_model_was_given() {
    let told = explain(memory, &[]);
    let free = named(&told, "Reduce memory usage");
    let edit = &free["edits"][0];
    assert_eq!(
        (&edit["metric"], &edit["to_step"]),
        (&json!("mem_used_pct"), &json!(0))
    );
    let steps = free["steps"].as_i64().expect("a number");
    assert_eq!(edit["from_step"], 1 - steps);
    let values = edit["action"]["replace"].as_array().expect("a list");
    assert_eq!(values.len() as i64, steps);
    let value = values[0].as_f64().expect("a number") as f32;
    let claimed = free["predicted_risk"].as_f64().expect("a number");
    assert!(
        (f64::from(5.0 * (value - 80.0)) - claimed).abs() < 1e-3,
        "{value} {claimed}"
    );
}

#[test]
fn it_says_so_when_nothing_helps() {
    let told = explain(|_| 90.0, &[]);
    assert_eq!(told["nothing_helps"], true);
    assert_eq!(
        told["summary"],
        "Nothing that was tried lowers the risk of 90.0"
    );
    let half = explain(|context| 60.0 + recent(context, 1), &[("under", "20")]);
    let said = half["summary"].as_str().expect("text");
    assert!(
        said.starts_with("Nothing that was tried brings the risk of 70.0 under 20;"),
        "{said}"
    );
}

#[test]
fn cpu_that_is_given_back_is_idle() {
    let told = explain(|context| 100.0 - recent(context, 2), &[]);
    let throttle = named(&told, "Throttle");
    assert_eq!(throttle["safe"], true);
    let metrics: Vec<&str> = throttle["edits"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|edit| edit["metric"].as_str())
        .collect();
    assert_eq!(metrics, ["cpu_user_pct", "cpu_idle_pct"]);
    let cpu = throttle["predicted_cpu"].as_f64().expect("a number");
    assert!(
        cpu < 50.0 && throttle["change"].as_f64().expect("a number") < -12.0,
        "{throttle}"
    );
}

#[test]
fn the_schema_describes_the_settings() {
    testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
}
