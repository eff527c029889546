//! From Parquet files to a scored model directory, on data small enough to learn in seconds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use argus_generate::{FleetKind, FleetSpec, generate};
use argus_risk::{Calibration, MetricRules, ThresholdRules};
use argus_schema::{ProfileRules, Schema};
use argus_tft::train::{Ending, TrainOptions};
use argus_tft::{Device, Model, ModelOptions};
use argus_trace::{Series, TraceWriter};
use argus_training::{
    Observer, Outcome, Stage, SyntheticInput, TraceInput, TrainRequest, TrainingError, schema_ref,
    train,
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
    write_trace_of(2, path, change);
}

fn write_trace_of(servers: u32, path: &Path, change: impl Fn(&mut Series)) {
    let mut writer = TraceWriter::create(path, &Schema::server()).unwrap();
    for mut server in generate(&fleet(servers, 4, 1)).unwrap() {
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
        synthetic: vec![
            SyntheticInput {
                fleet: fleet(7, 2, 2),
                share: 0.5,
            },
            SyntheticInput {
                fleet: FleetSpec {
                    kind: FleetKind::Varied,
                    ..fleet(2, 2, 3)
                },
                share: 0.1,
            },
        ],
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
        watched_share: 0.08,
        profiles: ProfileRules::default(),
        thresholds: ThresholdRules::default(),
        from: None,
        device: Device::Cpu,
        output: dir.join("models"),
        name: "tiny".to_owned(),
        created_ms: START_MS,
        work_dir: dir.join("models/.tiny.training"),
        restart: false,
    }
}

fn run(request: &TrainRequest) -> Result<Outcome, Box<TrainingError>> {
    run_until(request, u64::MAX)
}

/// Stops after some steps, as if the process had ended there.
fn run_until(request: &TrainRequest, stop_after: u64) -> Result<Outcome, Box<TrainingError>> {
    let mut tell = |stage: Stage<'_>| match stage {
        Stage::Training(progress) if progress.step == stop_after => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let mut observer = Observer {
        tell: &mut tell,
        now: &|| Duration::ZERO,
    };
    train(request, &Schema::server(), &mut observer).map_err(Box::new)
}

fn weights(outcome: &Outcome) -> Vec<u8> {
    fs::read(outcome.dir.join("model.safetensors")).unwrap()
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
    assert_eq!(
        left,
        ["tiny_20240101_000000"],
        "draft and work folder are gone"
    );

    let score = outcome.scores["small"]["cpu_user_pct"];
    assert!(
        score.values > 50 && score.wql > 0.0 && (0.0..=1.0).contains(&score.coverage),
        "{score:?}"
    );
    assert_eq!(
        outcome.scores.keys().collect::<Vec<_>>(),
        ["small"],
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
    assert_eq!(record["data"][2]["name"], "varied");
    assert_eq!(record["data"][2]["servers"], 2);
    assert_eq!(record["run"]["milestones"].as_array().unwrap().len(), 2);
    assert_eq!(model.calibration()["kind"], "identity");
    let encoder = &model.config().architecture.encoder_variables.reals;
    assert!(
        !encoder.iter().any(|name| name.contains("lag")),
        "a lag beyond the context is no encoder input"
    );
}

#[test]
fn risk_is_calibrated_by_what_came_true() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    // Disks that are full every other six hours.
    write_trace_of(24, &trace, |series| {
        let schema = Schema::server();
        for (metric, values) in schema.metrics.iter().zip(&mut series.values) {
            let full = |row: usize| {
                if (row / 72).is_multiple_of(2) {
                    60.0
                } else {
                    97.0
                }
            };
            match metric.name.as_str() {
                "disk_usage_pct" => {
                    (values.iter_mut().enumerate()).for_each(|(row, value)| *value = full(row))
                }
                "net_in_mb_s" => {}
                _ => values.fill(f32::NAN),
            }
        }
    });
    let mut request = request(dir.path(), &trace);
    request.traces[0].validation_start_ms = Some(START_MS + DAY_MS);
    request.synthetic.clear();
    let outcome = run(&request).unwrap();
    let [computed, calibrated] = [&outcome.risk.computed, &outcome.risk.calibrated];
    let (computed, calibrated) = (computed.as_ref().unwrap(), calibrated.as_ref().unwrap());
    assert!(computed.count >= 200, "{computed:?}");
    assert!(computed.came_true * 4 > computed.count, "{computed:?}");
    assert!(calibrated.brier < computed.brier, "{calibrated:?}");

    let model = Model::open(&outcome.dir, &schema_ref(&Schema::server()), Device::Cpu).unwrap();
    let told = &model.training()["risk"]["calibrated"];
    assert_eq!(told["brier"], calibrated.brier);
    let text = model.calibration().to_string();
    let calibration = Calibration::from_json(&text).unwrap();
    assert_eq!(calibration.kind(), "isotonic");

    // Thresholds that are never passed are another question, with another answer.
    let never = MetricRules {
        warning: Some(98.0),
        critical: Some(99.0),
        ..MetricRules::default()
    };
    request
        .thresholds
        .metrics
        .insert("disk_usage_pct".to_owned(), never);
    request.name = "quiet".to_owned();
    assert_eq!(run(&request).unwrap().risk.calibrated.unwrap().came_true, 0);
}

#[test]
fn all_rows_before_the_validation_start_are_learned_from_if_none_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace(&trace, |_| {});
    let mut request = request(dir.path(), &trace);
    request.watched_share = 0.0;
    let outcome = run(&request).unwrap();
    let report = &outcome.report;
    assert_eq!((report.steps, report.best_validation_loss), (4, None));
    assert!(outcome.scores["small"]["cpu_user_pct"].values > 50);
    let model = Model::open(&outcome.dir, &schema_ref(&Schema::server()), Device::Cpu).unwrap();
    let data = &model.training()["data"][0];
    assert_eq!(data["learned_until"], data["validation_start"]);
}

#[test]
fn what_hardly_learned_is_widened_until_it_covers() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace_of(24, &trace, |_| {});
    let mut request = request(dir.path(), &trace);
    request.traces[0].validation_start_ms = Some(START_MS + DAY_MS);
    request.synthetic.clear();
    (request.train.max_steps, request.train.validate_every) = (180, 180);
    let outcome = run(&request).unwrap();
    let model = Model::open(&outcome.dir, &schema_ref(&Schema::server()), Device::Cpu).unwrap();
    let widening = &model.config().widening;
    for metric in ["cpu_user_pct", "mem_used_pct", "disk_usage_pct"] {
        assert!(widening.iter().any(|own| own.metric == metric), "{metric}");
        // A few steps teach no network what its quantiles mean; the factors, which have limits, do.
        let score = outcome.scores["small"][metric];
        assert!(
            (0.75..0.85).contains(&score.coverage),
            "{metric}: {score:?}"
        );
    }
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
        (weights(&outcome), outcome.scores)
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
            request.synthetic.clear();
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
    let work_dir = dir.path().join("unused");
    check(
        &|request| {
            request.traces[0].path = dir.path().join("absent.parquet");
            request.work_dir.clone_from(&work_dir);
        },
        "absent.parquet",
    );
    assert!(!work_dir.exists(), "no work folder for a mistake");
}

#[test]
fn a_run_goes_on_where_it_was_cut_off_and_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace(&trace, |_| {});
    let long = |folder: &str| {
        let mut request = request(&dir.path().join(folder), &trace);
        request.train.max_steps = 30;
        request.train.chunk_secs = 900;
        request.train.epoch_share = 0.05;
        request
    };
    let whole = run(&long("whole")).unwrap();
    let mut cut = long("cut");
    for stop_after in [3, 12, 13, 29] {
        assert!(run_until(&cut, stop_after).is_err());
        cut.created_ms += DAY_MS;
        cut.train.memory_mb = 16;
    }
    // Another request in the same place is refused while this one is unfinished.
    let mut other = cut.clone();
    other.train.learning_rate = 0.1;
    let refused = run(&other).expect_err("is another run").to_string();
    assert!(
        refused.contains("options.learning_rate: 0.003 -> 0.1"),
        "{refused}"
    );
    let mut changed = cut.clone();
    changed.traces[0].path = dir.path().join("changed/small.parquet");
    fs::create_dir(dir.path().join("changed")).unwrap();
    write_trace(&changed.traces[0].path, |series| series.values[0][0] += 1.0);
    let refused = run(&changed).expect_err("has other rows").to_string();
    assert!(refused.contains("data.sha256"), "{refused}");

    let resumed = run(&cut).unwrap();
    assert!(weights(&resumed) == weights(&whole));
    assert_eq!(resumed.scores, whole.scores);
    assert!(
        resumed.dir.ends_with("tiny_20240101_000000"),
        "named after its first start"
    );
    assert_eq!(resumed.report.ending, Ending::Complete);
}

#[test]
fn files_may_be_cut_up_in_any_way() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace(&trace, |_| {});
    let whole = run(&request(&dir.path().join("whole"), &trace)).unwrap();

    // The same rows as one file per day, with doubles of every twentieth row in the older files: as files are read
    // the last first, the newer ones count.
    let parts = dir.path().join("small");
    for day in 0..4 {
        let folder = parts.join(format!("day={day}"));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("part-{day}.parquet"));
        let mut writer = TraceWriter::create(&path, &Schema::server()).unwrap();
        for server in generate(&fleet(2, 4, 1)).unwrap() {
            let mut series = server.series;
            let of_day = |time: i64| (time - START_MS) / DAY_MS;
            let rows: Vec<usize> = (0..series.times_ms.len())
                .filter(|row| {
                    let found = of_day(series.times_ms[*row]);
                    found == day || (found > day && row % 20 == 0)
                })
                .collect();
            for values in &mut series.values {
                *values = (rows.iter())
                    .map(|row| {
                        let is_double = of_day(series.times_ms[*row]) != day;
                        if is_double { 1.0 } else { values[*row] }
                    })
                    .collect();
            }
            series.status = rows.iter().map(|row| series.status[*row]).collect();
            series.times_ms = rows.iter().map(|row| series.times_ms[*row]).collect();
            writer.write(&series).unwrap();
        }
        writer.finish().unwrap();
    }
    let cut = run(&request(&dir.path().join("cut"), &parts)).unwrap();
    assert!(weights(&cut) == weights(&whole));
    assert_eq!(cut.scores, whole.scores);
}

#[test]
fn a_server_without_a_profile_is_what_serving_takes_it_for() {
    let dir = tempfile::tempdir().unwrap();
    let train_as = |name: &str, profile: Option<&str>| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let trace = dir.join("small.parquet");
        write_trace(&trace, |series| {
            series.profile = profile.map(str::to_owned);
            series.name = series.name.replace(|c: char| !c.is_ascii_digit(), "");
        });
        let mut request = request(&dir, &trace);
        request.synthetic.clear();
        run(&request).unwrap()
    };
    let (unknown, generic) = (
        train_as("unknown", None),
        train_as("generic", Some("generic")),
    );
    let database = train_as("database", Some("database"));
    assert!(weights(&unknown) == weights(&generic));
    assert_eq!(unknown.scores, generic.scores);
    assert!(weights(&unknown) != weights(&database));
}

#[test]
fn a_model_is_gone_on_from_with_new_data() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("small.parquet");
    write_trace(&trace, |_| {});
    let first = run(&request(&dir.path().join("first"), &trace)).unwrap();
    let newer = dir.path().join("newer.parquet");
    write_trace(&newer, |series| {
        series
            .times_ms
            .iter_mut()
            .for_each(|time| *time += 7 * DAY_MS);
    });
    let mut request = request(&dir.path().join("second"), &newer);
    request.synthetic.clear();
    request.traces[0].validation_start_ms = Some(START_MS + 10 * DAY_MS);
    request.from = Some(first.dir.clone());
    // Its own sizes hold, whatever is asked for.
    request.model = ModelOptions::default();
    let second = run(&request).unwrap();
    let open = |outcome: &Outcome| {
        Model::open(&outcome.dir, &schema_ref(&Schema::server()), Device::Cpu).unwrap()
    };
    let (first, second) = (open(&first), open(&second));
    assert_eq!(first.config(), second.config());
    assert_eq!(
        second.training()["from_sha256"].as_str(),
        Some(first.weights_sha256())
    );
}
