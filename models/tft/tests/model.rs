//! Model directories and prediction.
#![expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]

use std::fs;
use std::path::Path;

use argus_tft::{
    Device, Future, Lane, MetricRef, Model, ModelConfig, ModelFiles, ModelOptions, Network,
    NormaliserState, Preparer, SchemaRef, Window, write,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

fn schema() -> SchemaRef {
    let metric = |name: &str, min, max| MetricRef {
        name: name.to_owned(),
        min,
        max,
    };
    SchemaRef {
        id: "server".to_owned(),
        version: 1,
        metrics: vec![
            metric("cpu_pct", Some(0.0), Some(100.0)),
            metric("net_mb_s", Some(0.0), None),
            metric("uptime_days", None, None),
        ],
        statuses: ["healthy", "offline"].map(str::to_owned).to_vec(),
        profiles: ["database", "generic"].map(str::to_owned).to_vec(),
    }
}

fn config() -> ModelConfig {
    let options = ModelOptions {
        hidden_size: 8,
        continuous_size: 4,
        attention_heads: 2,
        encoder_steps: 36,
        decoder_steps: 6,
        lags: vec![12],
        ..ModelOptions::default()
    };
    ModelConfig::for_schema(&schema(), &options)
}

/// A model with untrained weights.
fn make(dir: &Path) {
    let config = config();
    let network = Network::new(&config.architecture, Device::Cpu, 7).unwrap();
    let state = NormaliserState::neutral(config.schema.metrics.len());
    write(
        dir,
        &config,
        &network,
        &state,
        &json!({"seed": 7}),
        &json!({"kind": "identity"}),
    )
    .unwrap();
}

/// Owned series to borrow windows from.
#[derive(Debug, Clone)]
struct Series {
    values: Vec<Vec<f32>>,
    status: Vec<u8>,
}

impl Series {
    fn wave(steps: usize, level: f32) -> Self {
        let wave = |metric: usize| {
            let value = |t: usize| level + (metric as f32 + 1.0) * (t as f32 / 5.0).sin();
            (0..steps).map(value).collect()
        };
        Self {
            values: (0..3).map(wave).collect(),
            status: vec![1; steps],
        }
    }

    fn window(&self) -> Window<'_> {
        Window {
            entity: "",
            end_bin_ms: 3 * DAY_MS,
            step_secs: 300,
            values: self.values.iter().map(Vec::as_slice).collect(),
            status: &self.status,
            profile: "database",
            usual: None,
        }
    }
}

fn open(dir: &Path) -> Model {
    Model::open(dir, &schema(), Device::Cpu).unwrap()
}

#[test]
fn predicts_sorted_quantiles_within_the_legal_range() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("m");
    make(&dir);
    let model = open(&dir);
    let mut gap = Series::wave(36, 50.0);
    gap.values[1] = vec![f32::NAN; 36];
    let series = [Series::wave(36, 99.5), Series::wave(12, 0.2), gap];
    let windows: Vec<Window<'_>> = series.iter().map(Series::window).collect();
    let predictions = model.predict(&windows).unwrap();
    assert_eq!(
        predictions
            .iter()
            .map(|p| p.context_steps)
            .collect::<Vec<_>>(),
        [36, 12, 36]
    );
    assert!(predictions[2].metrics[1].is_none() && predictions[2].metrics[0].is_some());
    for quantiles in predictions.iter().flat_map(|p| p.metrics.iter().flatten()) {
        assert_eq!(quantiles.len(), 6 * 7);
        assert!(quantiles.chunks(7).all(<[f32]>::is_sorted));
    }
    let cpu = predictions[0].metrics[0].as_ref().unwrap();
    assert!(cpu.iter().all(|value| (0.0..=100.0).contains(value)));
}

#[test]
fn an_answer_does_not_depend_on_the_batch() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("m");
    make(&dir);
    let model = open(&dir);
    let series: Vec<Series> = (0..50)
        .map(|i| Series::wave(12 + i % 25, 10.0 + i as f32))
        .collect();
    let windows: Vec<Window<'_>> = series.iter().map(Series::window).collect();
    let together = model.predict(&windows).unwrap();
    assert_eq!(together, model.predict(&windows).unwrap());
    for (window, prediction) in windows.iter().zip(&together) {
        let alone = model.predict(std::slice::from_ref(window)).unwrap();
        let pairs = alone[0]
            .metrics
            .iter()
            .flatten()
            .zip(prediction.metrics.iter().flatten());
        for (a, b) in pairs.flat_map(|(a, b)| a.iter().zip(b)) {
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} {b}");
        }
    }
}

#[test]
fn interpretation_weights_sum_to_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("m");
    make(&dir);
    let series = [Series::wave(36, 5.0), Series::wave(20, 5.0)];
    let windows: Vec<Window<'_>> = series.iter().map(Series::window).collect();
    let interpretations = open(&dir).interpret(Lane::Aside, &windows).unwrap();
    for (interpretation, steps) in interpretations.iter().zip([36usize, 20]) {
        let sums_to_one = |weights: &[f32], rows: usize| {
            assert!(weights.len().is_multiple_of(rows));
            for row in weights.chunks_exact(weights.len() / rows) {
                let sum: f32 = row.iter().sum();
                assert!((sum - 1.0).abs() < 1e-4, "{row:?}");
            }
        };
        for (selection, rows) in [
            (&interpretation.statics, 1),
            (&interpretation.encoder, steps),
            (&interpretation.decoder, 6),
        ] {
            assert_eq!(selection.weights.len(), rows * selection.names.len());
            sums_to_one(&selection.weights, rows);
        }
        assert_eq!(interpretation.attention.len(), 6 * (steps + 6));
        sums_to_one(&interpretation.attention, 6);
        let ahead = &interpretation.attention[steps..steps + 6];
        assert_eq!(
            ahead, [0.0; 6],
            "the first step ahead sees the context only"
        );
    }
    // A window's own rows do not depend on the longer one beside it.
    let alone = open(&dir).interpret(Lane::Main, &windows[1..]).unwrap();
    let pairs = alone[0].attention.iter().zip(&interpretations[1].attention);
    for (a, b) in pairs {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn the_lanes_agree() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("m");
    make(&dir);
    let model = open(&dir);
    let series = [Series::wave(36, 5.0), Series::wave(20, 5.0)];
    let windows: Vec<Window<'_>> = series.iter().map(Series::window).collect();
    let main = model.predict(&windows).unwrap();
    assert_eq!(main, model.predict_on(Lane::Aside, &windows).unwrap());
}

#[test]
fn windows_that_do_not_fit_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("m");
    make(&dir);
    let model = open(&dir);
    let (good, short) = (Series::wave(20, 1.0), Series::wave(11, 1.0));
    let wrong_step = Window {
        step_secs: 60,
        ..good.window()
    };
    let mut few = good.window();
    few.values.pop();
    let mut ragged = good.window();
    ragged.values[0] = &ragged.values[0][1..];
    let cases = [
        (short.window(), "a forecast needs 12"),
        (wrong_step, "the model's is 300 s"),
        (few, "it has 2 metrics"),
        (ragged, "each metric needs 20 bins"),
    ];
    for (bad, expected) in cases {
        let error = model
            .predict(&[good.window(), bad])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("window 1") && error.contains(expected),
            "{error}"
        );
    }
    assert!(model.predict(&[]).unwrap().is_empty());
}

#[test]
fn what_is_written_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let (first, second) = (temp.path().join("a"), temp.path().join("b"));
    make(&first);
    let files = ModelFiles::read(&first, Some(&schema()), Device::Cpu).unwrap();
    files.write(&second).unwrap();
    for file in [
        "config.json",
        "model.safetensors",
        "training.json",
        "calibration.json",
    ] {
        assert_eq!(
            fs::read(first.join(file)).unwrap(),
            fs::read(second.join(file)).unwrap(),
            "{file}"
        );
    }
    assert!(
        files
            .write(&second)
            .unwrap_err()
            .to_string()
            .contains("exists already")
    );
    let names: Vec<_> = fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "nothing partial stays: {names:?}");
}

fn refused(change: impl FnOnce(&Path), expect: &SchemaRef, expected: &str) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("m");
    make(&dir);
    change(&dir);
    let error = Model::open(&dir, expect, Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(error.contains(expected), "expected `{expected}`: {error}");
}

fn edit(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
}

#[test]
fn broken_and_foreign_directories_are_refused() {
    let ours = schema();
    for file in [
        "config.json",
        "model.safetensors",
        "training.json",
        "calibration.json",
    ] {
        let named = format!("has no {file}");
        refused(
            |dir| fs::remove_file(dir.join(file)).unwrap(),
            &ours,
            &named,
        );
        let truncate = |dir: &Path| {
            let bytes = fs::read(dir.join(file)).unwrap();
            fs::write(dir.join(file), &bytes[..bytes.len() / 2]).unwrap();
        };
        let expected = if file == "model.safetensors" {
            "truncated"
        } else {
            "not JSON"
        };
        if file != "training.json" && file != "calibration.json" {
            refused(truncate, &ours, expected);
        }
    }
    type Edit = fn(&mut Value);
    let edits: [(Edit, &str); 8] = [
        (
            |c| c["format_version"] = json!(2),
            "reads up to 1: update it",
        ),
        (|c| c["format_version"] = json!("1"), "expected 1"),
        (
            |c| *c = json!({"hyper_parameters": {}}),
            "argus model import",
        ),
        (|c| *c = json!([1, 2]), "no `format_version`"),
        (|c| c["surprise"] = json!(1), "unknown field `surprise`"),
        (
            |c| c["architecture"]["hidden_size"] = json!(9),
            "fit the architecture",
        ),
        (
            |c| c["architecture"]["hidden_size"] = json!(-1),
            "architecture is impossible",
        ),
        (
            |c| c["quantile_levels"] = json!([0.5, 0.1]),
            "must be ascending",
        ),
    ];
    for (change, expected) in edits {
        refused(|dir| edit(dir, change), &ours, expected);
    }
}

#[test]
fn other_schemas_are_refused() {
    let change = |change: fn(&mut SchemaRef)| {
        let mut other = schema();
        change(&mut other);
        other
    };
    refused(
        |_| {},
        &change(|s| s.version = 2),
        "wanted is `server` version 2",
    );
    refused(
        |_| {},
        &change(|s| s.id = "router".to_owned()),
        "wanted is `router`",
    );
    refused(
        |_| {},
        &change(|s| s.metrics.swap(0, 1)),
        "its metric 0 is `cpu_pct`, wanted is `net_mb_s`",
    );
    refused(
        |_| {},
        &change(|s| s.metrics.truncate(2)),
        "it has 3 metrics, wanted are 2",
    );
    refused(|_| {}, &change(|s| s.statuses.reverse()), "statuses");
}

#[test]
fn nan_in_weights_is_refused() {
    let spoil = |dir: &Path| {
        let path = dir.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[header..header + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    refused(spoil, &schema(), "NaN or infinity");
}

#[test]
fn lags_relative_time_and_targets_line_up() {
    let config = config();
    let preparer = Preparer::new(&config, &NormaliserState::neutral(3)).unwrap();
    let steps = 36;
    let ramp = Series {
        values: vec![(0..steps).map(|t| t as f32).collect(); 3],
        status: vec![2; steps],
    };
    let prepared = preparer.prepare(&[ramp.window()]).unwrap();
    let column = |name: &str| {
        config
            .architecture
            .real_columns
            .iter()
            .position(|c| c == name)
            .unwrap() as i64
    };
    let (inputs, scale) = (prepared.batch.inputs().unwrap(), prepared.scales[0][0]);
    let lag = |step: i64| {
        inputs
            .decoder_reals
            .double_value(&[0, step, column("cpu_pct_lag_12")]) as f32
    };
    // The bin after the newest is 12 steps after bin 24.
    assert!((scale.restore(lag(0)) - 24.0).abs() < 1e-3);
    assert!((scale.restore(lag(5)) - 29.0).abs() < 1e-3);
    let relative = column("relative_time_idx");
    assert_eq!(inputs.decoder_reals.double_value(&[0, 0, relative]), 0.0);
    assert!((inputs.encoder_reals.double_value(&[0, 35, relative]) + 1.0 / 36.0).abs() < 1e-6);
    assert_eq!(inputs.encoder_categories.int64_value(&[0, 0, 1]), 2);

    let future = [vec![40.0, f32::NAN, 42.0], vec![1.0; 6], vec![1.0; 9]];
    let future = Future {
        values: future.iter().map(Vec::as_slice).collect(),
    };
    let targets = preparer.targets(&prepared, &[future]).unwrap();
    let of_first: Vec<f32> = targets.weights.iter().step_by(3).copied().collect();
    assert_eq!(of_first, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let value = targets.values[2 * 3];
    assert!((scale.restore(value) - 42.0).abs() < 1e-3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever bins hold, inputs are finite and bounded, and category codes are in range.
    #[test]
    fn inputs_are_always_usable(
        values in prop::collection::vec(prop::collection::vec(prop::num::f32::ANY, 1..60), 3),
        status in any::<u8>(),
        end_bin_ms in any::<i64>(),
    ) {
        let config = config();
        let preparer = Preparer::new(&config, &NormaliserState::neutral(3)).unwrap();
        let steps = values.iter().map(Vec::len).min().unwrap();
        let status = vec![status; steps];
        let window = Window {
            entity: "",
            end_bin_ms,
            step_secs: 300,
            values: values.iter().map(|v| &v[..steps]).collect(),
            status: &status,
            profile: "nobody",
            usual: None,
        };
        let prepared = preparer.prepare(&[window]).unwrap();
        let (past, future) = (&prepared.batch.encoder, &prepared.batch.decoder);
        prop_assert!(past.reals.iter().chain(&future.reals).all(|value| value.abs() < 1e4));
        prop_assert!(past.codes.iter().all(|code| (0..=2).contains(code)));
    }
}
