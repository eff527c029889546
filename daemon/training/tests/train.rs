//! From Parquet files to a scored model directory, on data small enough to learn in seconds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use argus_generate::{FleetSpec, generate};
use argus_schema::Schema;
use argus_tft::train::{Progress, TrainOptions, Watch};
use argus_tft::{Device, Model, ModelOptions};
use argus_trace::{Series, TraceWriter};
use argus_training::{
    Outcome, SyntheticInput, TraceInput, TrainRequest, TrainingError, schema_ref, train,
};

const START_MS: i64 = 1_704_067_200_000;
const DAY_MS: i64 = 86_400_000;

fn fleet(servers: u32, days: u32, seed: u64) -> FleetSpec {
    FleetSpec {
        servers,
        days,
        seed,
        start_ms: START_MS,
        ..FleetSpec::default()
    }
}

/// A trace of two servers over four days; `change` may edit each series.
fn write_trace(path: &Path, change: impl Fn(&mut Series)) {
    let mut writer = TraceWriter::create(path, &Schema::server()).unwrap();
    for mut server in generate(&fleet(2, 4, 1)).unwrap() {
        change(&mut server.series);
        writer.write(&server.series).unwrap();
    }
    writer.finish().unwrap();
}

fn request(dir: &Path, trace: &Path) -> TrainRequest {
    TrainRequest {
        traces: vec![TraceInput {
            name: "small".to_owned(),
            path: trace.to_owned(),
            validation_start_ms: Some(START_MS + 3 * DAY_MS),
            origins: None,
            share: 1.0,
        }],
        synthetic: Some(SyntheticInput {
            fleet: fleet(7, 2, 2),
            share: 0.5,
        }),
        model: ModelOptions {
            hidden_size: 8,
            attention_heads: 2,
            continuous_size: 2,
            dropout: 0.0,
            encoder_steps: 36,
            decoder_steps: 12,
            lags: vec![36],
            ..ModelOptions::default()
        },
        train: TrainOptions {
            max_steps: 4,
            batch_windows: 8,
            validate_every: 2,
            ..TrainOptions::default()
        },
        output: dir.join("models"),
        name: "tiny".to_owned(),
        created_ms: START_MS,
    }
}

fn run(request: &TrainRequest) -> Result<Outcome, Box<TrainingError>> {
    let mut go_on = |_: &Progress| ControlFlow::Continue(());
    train(
        request,
        &Schema::server(),
        &mut Watch {
            progress: &mut go_on,
            now: &|| Duration::ZERO,
        },
    )
    .map_err(Box::new)
}

#[test]
fn a_model_directory_tells_data_losses_and_scores() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace(&trace, |_| {});
    let outcome = run(&request(dir.path(), &trace)).unwrap();
    assert_eq!(outcome.dir, dir.path().join("models/tiny_20240101_000000"));
    let left: Vec<_> = fs::read_dir(dir.path().join("models"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["tiny_20240101_000000"], "the draft is gone");

    let score = outcome.scores["small"]["cpu_user_pct"];
    assert!(
        score.values > 50 && score.wql > 0.0 && (0.0..=1.0).contains(&score.coverage),
        "{score:?}"
    );
    assert!(
        !outcome.scores.contains_key("synthetic"),
        "nothing is claimed from synthetic data"
    );

    let model = Model::open(&outcome.dir, &schema_ref(&Schema::server()), Device::Cpu).unwrap();
    let record = model.training();
    assert_eq!(record["scores"]["small"]["cpu_user_pct"]["wql"], score.wql);
    assert_eq!(
        record["data"][0]["validation_start"],
        "2024-01-04T00:00:00Z"
    );
    assert_eq!(record["data"][1]["seed"], 2);
    assert_eq!(record["run"]["milestones"].as_array().unwrap().len(), 2);
    assert_eq!(model.calibration()["kind"], "identity");
    let encoder = &model.config().architecture.encoder_variables.reals;
    assert!(
        !encoder.iter().any(|name| name.contains("lag")),
        "a lag beyond the context is no encoder input"
    );
}

#[test]
fn rows_from_the_validation_start_on_change_no_weight() {
    let dir = tempfile::tempdir().unwrap();
    let train_on = |name: &str, change: &dyn Fn(&mut Series)| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let trace = dir.join("small.parquet");
        write_trace(&trace, change);
        let outcome = run(&request(&dir, &trace)).unwrap();
        (
            fs::read(outcome.dir.join("model.safetensors")).unwrap(),
            outcome.scores,
        )
    };
    let spoil = |from_ms: i64| {
        move |series: &mut Series| {
            for (row, time) in series.times_ms.iter().enumerate() {
                if *time >= from_ms {
                    series
                        .values
                        .iter_mut()
                        .for_each(|values| values[row] = 77.0);
                }
            }
        }
    };
    let (weights, scores) = train_on("whole", &|_| {});
    let (later_weights, later_scores) = train_on("later", &spoil(START_MS + 3 * DAY_MS));
    assert!(weights == later_weights && scores != later_scores);
    let (earlier_weights, _) = train_on("earlier", &spoil(START_MS + DAY_MS));
    assert!(weights != earlier_weights);
}

#[test]
fn useless_inputs_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace(&trace, |_| {});
    let check = |change: &dyn Fn(&mut TrainRequest), expected: &str| {
        let mut request = request(dir.path(), &trace);
        change(&mut request);
        let error = run(&request).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        &|request| {
            request.traces.clear();
            request.synthetic = None;
        },
        "nothing to train on",
    );
    check(
        &|request| request.traces.push(request.traces[0].clone()),
        "two inputs are called `small`",
    );
    check(
        &|request| request.traces[0].validation_start_ms = Some(START_MS),
        "no row before 2024-01-01T00:00:00Z",
    );
    check(
        &|request| request.traces[0].path = dir.path().join("absent.parquet"),
        "absent.parquet",
    );
}
