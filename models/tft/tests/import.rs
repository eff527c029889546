//! An imported pytorch-forecasting model answers like the original; what cannot be imported says why.
//!
//! `fixtures/imported` was made by `make_import_fixture.py` with the library itself.
#![expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use argus_tft::{
    Device, ImportOptions, Imported, MetricRef, Model, Prediction, SchemaRef, UnknownEntity,
    Window, import,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The expected numbers are rounded to 1e-5; the rest is single precision.
const TOLERANCE: f32 = 5e-5;

#[derive(Deserialize)]
struct Case {
    entity: String,
    profile: String,
    end_bin_ms: i64,
    status: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
    expected: BTreeMap<String, Vec<[f32; 3]>>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/imported")
        .join(name)
}

fn schema() -> SchemaRef {
    // More metrics than the model has, in another order, among them one that it does not read.
    let metrics = [
        "load_average",
        "mem_used_pct",
        "cpu_user_pct",
        "cpu_iowait_pct",
    ];
    let metric = |name: &str| MetricRef {
        name: name.to_owned(),
        min: Some(0.0),
        max: None,
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    SchemaRef {
        id: "server".to_owned(),
        version: 1,
        metrics: metrics.into_iter().map(metric).collect(),
        statuses: owned(&["critical_issue", "healthy", "heavy_load", "idle"]),
        profiles: owned(&["ml_compute", "database", "web_api", "generic"]),
    }
}

fn options(unknown: UnknownEntity) -> ImportOptions {
    ImportOptions {
        schema: schema(),
        step_secs: 300,
        unknown,
    }
}

fn imported(dir: &Path, unknown: UnknownEntity) -> (Model, Imported) {
    let (config, weights) = (fixture("config.json"), fixture("model.safetensors"));
    let told = import(&config, &weights, &options(unknown), dir).unwrap();
    (Model::open(dir, &schema(), Device::Cpu).unwrap(), told)
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&fs::read(fixture("windows.json")).unwrap()).unwrap()
}

fn predict(model: &Model, case: &Case, entity: &str) -> Prediction {
    let schema = schema();
    let missing = vec![f32::NAN; case.status.len()];
    let code =
        |status: &String| schema.statuses.iter().position(|s| s == status).unwrap() as u8 + 1;
    let status: Vec<u8> = case.status.iter().map(code).collect();
    let values = schema.metrics.iter();
    let window = Window {
        entity,
        end_bin_ms: case.end_bin_ms,
        step_secs: 300,
        values: values
            .map(|metric| case.values.get(&metric.name).unwrap_or(&missing).as_slice())
            .collect(),
        status: &status,
        profile: &case.profile,
        usual: None,
    };
    model.predict(&[window]).unwrap().remove(0)
}

fn of<'a>(prediction: &'a Prediction, metric: &str) -> Option<&'a [f32]> {
    prediction.metrics[schema().metric_index(metric).unwrap()].as_deref()
}

#[test]
fn it_answers_like_the_original_with_each_servers_own_scale() {
    let dir = tempfile::tempdir().unwrap();
    let (model, told) = imported(&dir.path().join("m"), UnknownEntity::Own);
    assert_eq!(
        told.targets,
        ["cpu_user_pct", "cpu_iowait_pct", "mem_used_pct"]
    );
    assert_eq!(told.entities, 3);
    let cases = cases();
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let prediction = predict(&model, case, &case.entity);
        assert_eq!(of(&prediction, "load_average"), None);
        for (metric, expected) in &case.expected {
            let found = of(&prediction, metric).unwrap();
            assert_eq!(found.len(), expected.len() * 3);
            for (found, expected) in found.iter().zip(expected.iter().flatten()) {
                // The legal range cuts off what the original lets go below 0.
                let expected = expected.max(0.0);
                assert!(
                    (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
                    "{} {metric}: {found} for {expected}",
                    case.entity
                );
            }
        }
    }
}

#[test]
fn a_server_that_the_tables_lack_is_scaled_by_its_own_context() {
    let dir = tempfile::tempdir().unwrap();
    let (own, _) = imported(&dir.path().join("own"), UnknownEntity::Own);
    let (usual, _) = imported(&dir.path().join("usual"), UnknownEntity::Usual);
    // Of the three servers this one is furthest from the median, so the usual scale serves it badly.
    let case = cases()
        .into_iter()
        .find(|case| case.entity == "srv-1")
        .unwrap();
    let level =
        case.values["cpu_user_pct"].iter().sum::<f32>() / case.values["cpu_user_pct"].len() as f32;
    let distance = |model: &Model, entity: &str| {
        let prediction = predict(model, &case, entity);
        (of(&prediction, "cpu_user_pct").unwrap()[1] - level).abs()
    };
    assert!(distance(&own, "new") < distance(&usual, "new") / 2.0);
    assert_eq!(distance(&own, "srv-1"), distance(&usual, "srv-1"));
}

#[test]
fn what_cannot_be_imported_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let original: Value =
        serde_json::from_slice(&fs::read(fixture("config.json")).unwrap()).unwrap();
    let config = dir.path().join("config.json");
    let mut number = 0;
    let mut refused = |change: &dyn Fn(&mut Value)| {
        let mut changed = original.clone();
        change(&mut changed);
        fs::write(&config, changed.to_string()).unwrap();
        number += 1;
        let output = dir.path().join(format!("m{number}"));
        let weights = fixture("model.safetensors");
        let error = import(&config, &weights, &options(UnknownEntity::Own), &output);
        assert!(!output.exists());
        error.expect_err("refused").to_string()
    };
    let rename = |from: &'static str, to: &'static str| {
        move |config: &mut Value| {
            let text = config
                .to_string()
                .replace(&format!("\"{from}\""), &format!("\"{to}\""));
            *config = serde_json::from_str(&text).unwrap();
        }
    };
    type Change = dyn Fn(&mut Value);
    let checks: [(&Change, &str); 9] = [
        (&rename("month", "holiday"), "`holiday` cannot be computed"),
        (&rename("status", "mood"), "`mood` cannot be computed"),
        (&rename("mem_used_pct", "mem"), "target `mem` is no metric"),
        (
            &|c| c["scalers"]["hour"]["scale"] = json!(0.0),
            "scalers.hour",
        ),
        (
            &|c| c["target_normalisers"][1]["table"]["1"] = json!([1.0]),
            "table.1",
        ),
        (
            &|c| c["target_normalisers"][0]["kind"] = json!("EncoderNormalizer"),
            "EncoderNormalizer",
        ),
        (
            &|c| c["target_normalisers"][0]["table"]["9"] = json!([1.0, 1.0]),
            "does not name",
        ),
        (
            &|c| c["hyper_parameters"]["quantiles"] = json!(vec![[0.2, 0.5, 0.9]; 3]),
            "lack 0.1",
        ),
        (
            &|c| c["categories"]["status"]["healthy"] = json!(99),
            "categories.status",
        ),
    ];
    for (change, told) in checks {
        let error = refused(change);
        assert!(error.contains(told), "wanted {told}: {error}");
    }
    assert!(refused(&|c| c["format_version"] = json!(1)).contains("no import"));
}

#[test]
fn broken_weights_leave_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("model.safetensors")).unwrap();
    let mut with_nan = whole.clone();
    let last = with_nan.len() - 4;
    with_nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    for (bytes, told) in [
        (&whole[..whole.len() / 2], "truncated"),
        (&with_nan[..], "NaN"),
    ] {
        let weights = dir.path().join("broken.safetensors");
        fs::write(&weights, bytes).unwrap();
        let output = dir.path().join("m");
        let options = options(UnknownEntity::Own);
        let error = import(&fixture("config.json"), &weights, &options, &output);
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(told), "{error}");
        assert!(!output.exists());
    }
}
