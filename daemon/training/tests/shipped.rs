//! The shipped model: it loads, and forecasts as well as its record says.
#![expect(
    clippy::print_stderr,
    reason = "a test that leaves something out says so"
)]

use std::path::{Path, PathBuf};

use argus_generate::{FleetSpec, generate};
use argus_schema::{ProfileRules, Schema};
use argus_tft::{Device, Model, Prediction, Window};
use argus_trace::{Series, read_origins, read_series};
use argus_training::schema_ref;

const STEP_MS: i64 = 300_000;
const CONTEXT: i64 = 288;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn newest_model() -> Model {
    let entries = repository()
        .join("models/pretrained")
        .read_dir()
        .expect("models are shipped");
    let dirs = entries
        .map(|entry| entry.expect("is readable").path())
        .filter(|path| path.is_dir());
    let newest = dirs.max().expect("a model is shipped");
    Model::open(&newest, &schema_ref(&Schema::server()), Device::Cpu)
        .expect("the shipped model loads")
}

/// A series with at most one row per step, seen up to a row, as a forecast from there.
fn predict(model: &Model, series: &Series, origin: usize) -> Prediction {
    let schema = Schema::server();
    let bin = |row: usize| series.times_ms[row].div_euclid(STEP_MS);
    let last = bin(origin);
    let rows: Vec<usize> = (0..=origin)
        .filter(|row| bin(*row) > last - CONTEXT)
        .collect();
    let steps = (last - bin(rows[0]) + 1) as usize;
    let place = |row: usize| (bin(row) - bin(rows[0])) as usize;
    let mut values = vec![vec![f32::NAN; steps]; series.values.len()];
    let mut status = vec![0; steps];
    for row in &rows {
        status[place(*row)] = series.status[*row];
        for (binned, values) in values.iter_mut().zip(&series.values) {
            binned[place(*row)] = values[*row];
        }
    }
    let steps = model.config().history_steps() as i64;
    let mut history = vec![vec![f32::NAN; steps as usize]; series.values.len()];
    for row in (0..=origin).filter(|row| bin(*row) > last - steps) {
        let place = (bin(row) - (last - steps + 1)) as usize;
        for (binned, values) in history.iter_mut().zip(&series.values) {
            binned[place] = values[row];
        }
    }
    let history: Vec<&[f32]> = history.iter().map(Vec::as_slice).collect();
    let usual = model.config().usual(&history);
    let code = ProfileRules::default().profile_of(&series.name, &schema);
    let by_name = schema.profiles[usize::from(code)].id.clone();
    let window = Window {
        entity: &series.name,
        end_bin_ms: last * STEP_MS,
        step_secs: 300,
        values: values.iter().map(Vec::as_slice).collect(),
        status: &status,
        profile: series.profile.as_ref().unwrap_or(&by_name),
        usual: usual.as_ref(),
    };
    model.predict(&[window]).expect("forecasts").remove(0)
}

#[test]
fn a_synthetic_fleet_gets_sane_quantiles_for_all_metrics() {
    let model = newest_model();
    let schema = Schema::server();
    let spec = FleetSpec {
        servers: 7,
        days: 3,
        seed: 99,
        ..FleetSpec::default()
    };
    let series: Vec<_> = generate(&spec)
        .expect("is possible")
        .map(|server| server.series)
        .collect();
    let levels = model.quantile_levels().len();
    for series in series {
        let prediction = predict(&model, &series, series.times_ms.len() * 2 / 3);
        for (metric, quantiles) in schema.metrics.iter().zip(&prediction.metrics) {
            for step in quantiles
                .iter()
                .flat_map(|quantiles| quantiles.chunks_exact(levels))
            {
                assert!(step.is_sorted(), "{}: {step:?}", metric.name);
                let legal = |value: &f32| {
                    let value = f64::from(*value);
                    metric.min.is_none_or(|min| value >= min)
                        && metric.max.is_none_or(|max| value <= max)
                };
                assert!(step.iter().all(legal), "{}: {step:?}", metric.name);
            }
        }
    }
}

/// Mean pinball loss at 0.1, 0.5 and 0.9 as the record defines it, recomputed from the forecasts.
#[test]
fn its_record_tells_its_scores() {
    let data = repository().join("../shared/data");
    if !data.exists() {
        eprintln!("left out: the traces in ../shared/data are not here");
        return;
    }
    let (model, schema) = (newest_model(), Schema::server());
    let series = read_series(&data.join("smd.parquet"), &schema).expect("is a trace");
    let origins =
        read_origins(&data.join("smd_valid_origins.parquet")).expect("is a list of origins");
    let level = |wanted: f64| {
        model
            .quantile_levels()
            .iter()
            .position(|level| *level == wanted)
    };
    let columns =
        [0.1, 0.5, 0.9].map(|wanted| (wanted, level(wanted).expect("the model has this level")));
    let levels = model.quantile_levels().len();
    let metric = schema
        .metric_index("net_in_mb_s")
        .expect("is in the schema");
    let (mut pinball, mut size) = (0.0, 0.0);
    for origin in origins {
        let series = series.iter().find(|series| series.name == origin.server);
        let series = series.expect("an origin is of a server of the trace");
        let place = |row: &i64| row.div_euclid(STEP_MS) * STEP_MS == origin.origin_ms;
        let place = series.times_ms.iter().position(place).expect("has a row");
        let prediction = predict(&model, series, place);
        let Some(quantiles) = &prediction.metrics[metric] else {
            continue;
        };
        let truths = series.values[metric][place + 1..].iter();
        for (truth, step) in truths
            .zip(quantiles.chunks_exact(levels))
            .filter(|(truth, _)| !truth.is_nan())
        {
            let truth = f64::from(*truth);
            size += truth.abs();
            for (level, column) in columns {
                let error = truth - f64::from(step[column]);
                pinball += (level * error).max((level - 1.0) * error);
            }
        }
    }
    let wql = 2.0 / 3.0 * pinball / size;
    let recorded = model.training()["scores"]["smd"]["net_in_mb_s"]["wql"]
        .as_f64()
        .expect("is recorded");
    assert!(
        (wql - recorded).abs() < 2e-3 * recorded,
        "{wql} instead of {recorded}"
    );
}
