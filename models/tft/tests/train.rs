//! Training on a corpus small enough to learn in seconds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use argus_tft::train::{
    Checkpoint, Ending, Job, MemoryCorpus, Milestone, Progress, Roughening, Source, Start, Track,
    TrainError, TrainOptions, Trained, Watch, WindowRef, run, single_threaded_torch,
};
use argus_tft::{
    Device, MetricRef, Model, ModelConfig, ModelOptions, SchemaRef, Window, encode_weights, write,
};

const STEP_SECS: u32 = 300;

fn schema() -> SchemaRef {
    let metric = |name: &str| MetricRef {
        name: name.to_owned(),
        min: Some(0.0),
        max: None,
    };
    SchemaRef {
        id: "test".to_owned(),
        version: 1,
        metrics: ["load", "memory", "never"].map(metric).to_vec(),
        statuses: vec!["healthy".to_owned()],
        profiles: vec!["database".to_owned(), "generic".to_owned()],
    }
}

fn config() -> ModelConfig {
    let options = ModelOptions {
        hidden_size: 8,
        attention_heads: 2,
        continuous_size: 4,
        dropout: 0.0,
        encoder_steps: 48,
        decoder_steps: 12,
        min_context_steps: 12,
        quantile_levels: vec![0.1, 0.5, 0.9],
        ..ModelOptions::default()
    };
    ModelConfig::for_schema(&schema(), &options)
}

/// A wave of 48 bins at some level, and a memory that follows it; bins that end in 7 are missing.
fn track(level: f32, bins: usize) -> Track {
    let wave = |bin: usize| (bin as f32 * std::f32::consts::TAU / 48.0).sin();
    let missing = |bin: usize, value: f32| if bin % 10 == 7 { f32::NAN } else { value };
    Track {
        profile: "database".to_owned(),
        first_bin_ms: 0,
        values: vec![
            (0..bins)
                .map(|bin| missing(bin, level * (2.0 + wave(bin))))
                .collect(),
            (0..bins)
                .map(|bin| missing(bin, 50.0 + 10.0 * wave(bin)))
                .collect(),
            vec![f32::NAN; bins],
        ],
        status: vec![1; bins],
    }
}

fn corpus() -> MemoryCorpus {
    let source = |name: &str, share| Source {
        name: name.to_owned(),
        share,
    };
    let data = vec![
        (
            source("small", 2.0),
            vec![track(1.0, 600), track(3.0, 500)],
            vec![track(20.0, 400)],
        ),
        (source("large", 1.0), vec![track(1_000.0, 600)], Vec::new()),
    ];
    MemoryCorpus::new(STEP_SECS, data)
}

/// Windows of the track that is not learned from.
fn validation() -> Vec<WindowRef> {
    (50..380)
        .step_by(20)
        .map(|origin| WindowRef {
            source: 0,
            track: 2,
            origin,
        })
        .collect()
}

fn options(max_steps: u64) -> TrainOptions {
    TrainOptions {
        max_steps,
        batch_windows: 16,
        chunk_windows: 4,
        learning_rate: 0.01,
        validate_every: 20,
        roughening: Roughening::USUAL,
        ..TrainOptions::default()
    }
}

fn train_with(
    options: &TrainOptions,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    let (config, corpus, validation) = (config(), corpus(), validation());
    let job = Job {
        validation: &validation,
        ..unwatched(&config, options, &corpus)
    };
    train_job(&job, &mut progress)
}

/// A run from the start that nothing watches.
fn unwatched<'a>(
    config: &'a ModelConfig,
    options: &'a TrainOptions,
    corpus: &'a MemoryCorpus,
) -> Job<'a> {
    Job {
        config,
        options,
        corpus,
        validation: &[],
        device: Device::Cpu,
        start: None,
        checkpoint: None,
    }
}

fn train_job(
    job: &Job<'_>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    single_threaded_torch();
    let now = || Duration::ZERO;
    let mut watch = Watch {
        progress,
        now: &now,
    };
    run(job, &mut watch)
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn weights(trained: &Trained) -> Vec<u8> {
    encode_weights(&trained.network, &trained.state).unwrap()
}

#[test]
fn a_wave_is_learned_and_served_from_files() {
    let (mut steps, mut told) = (Vec::new(), Vec::new());
    // Another wave of luck with the first weights costs twice the steps.
    let options = TrainOptions {
        seed: 2,
        ..options(160)
    };
    let trained = train_with(&options, |progress| {
        steps.push(progress.step);
        told.extend(progress.is_milestone.then_some(Some(progress.loss)));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(steps, (1..=160).collect::<Vec<_>>());
    let report = &trained.report;
    let means: Vec<_> = report.milestones.iter().map(|m| m.loss).collect();
    assert_eq!(told, means, "the mean since the milestone before");
    assert_eq!(
        (report.steps, report.windows, report.ending),
        (160, 2_560, Ending::Complete)
    );
    let first = report.milestones[0].validation[0].unwrap();
    let best = report.best_validation_loss.unwrap();
    assert!(best < 0.6 * first && best < 0.25, "{report:?}");
    assert_eq!(
        report.milestones[0].validation[1], None,
        "the second source has no validation windows"
    );

    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    let record = serde_json::to_value(report).unwrap();
    let calibration = serde_json::json!({ "kind": "identity" });
    write(
        &dir,
        &trained.config,
        &trained.network,
        &trained.state,
        &record,
        &calibration,
    )
    .unwrap();
    let model = Model::open(&dir, &schema(), Device::Cpu).unwrap();
    let track = track(70.0, 400);
    let window = Window {
        entity: "",
        end_bin_ms: 300 * i64::from(STEP_SECS) * 1_000,
        step_secs: STEP_SECS,
        values: track
            .values
            .iter()
            .map(|values| &values[253..301])
            .collect(),
        status: &track.status[253..301],
        profile: "database",
        usual: None,
    };
    let prediction = model.predict(&[window]).unwrap().remove(0);
    assert!(
        prediction.metrics[2].is_none(),
        "a metric that was never seen has no forecast"
    );
    let load = prediction.metrics[0].as_ref().unwrap();
    for (step, quantiles) in load.chunks_exact(3).enumerate() {
        let truth = track.values[0][301 + step];
        assert!(
            truth.is_nan() || (quantiles[1] - truth).abs() < 35.0,
            "step {step}: {quantiles:?}, truth {truth}"
        );
    }
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let go = |threads, seed| {
        let options = TrainOptions {
            threads,
            seed,
            ..options(25)
        };
        weights(&train_with(&options, |_| ControlFlow::Continue(())).unwrap())
    };
    let once = go(1, 1);
    assert!(once == go(1, 1), "the same seed gives the same weights");
    assert!(once == go(3, 1), "threads change the speed only");
    assert!(once != go(1, 2), "another seed gives other weights");
}

#[test]
fn a_run_can_be_stopped() {
    let stop = |progress: &Progress| {
        if progress.step == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    assert!(matches!(
        train_with(&options(100), stop),
        Err(TrainError::Stopped)
    ));
}

#[test]
fn a_run_ends_when_its_time_is_up() {
    single_threaded_torch();
    let clock = std::cell::Cell::new(0);
    let now = || {
        clock.set(clock.get() + 1);
        Duration::from_secs(clock.get())
    };
    let options = TrainOptions {
        time_budget: Some(Duration::from_secs(20)),
        ..options(100)
    };
    let (config, corpus, validation) = (config(), corpus(), validation());
    let job = Job {
        validation: &validation,
        ..unwatched(&config, &options, &corpus)
    };
    let mut watch = Watch {
        progress: &mut go_on,
        now: &now,
    };
    let trained = run(&job, &mut watch).unwrap();
    let report = &trained.report;
    assert_eq!(report.ending, Ending::TimeBudget);
    assert!((2..20).contains(&report.steps), "{report:?}");
    assert_eq!(
        report.best_step, report.steps,
        "the last weights were judged"
    );
}

#[test]
fn impossible_runs_are_refused() {
    let check = |options: TrainOptions, expected: &str| {
        let error = train_with(&options, |_| ControlFlow::Continue(()))
            .expect_err("is impossible")
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        TrainOptions {
            max_steps: 0,
            ..options(1)
        },
        "max_steps",
    );
    check(
        TrainOptions {
            learning_rate: f64::NAN,
            ..options(1)
        },
        "learning_rate",
    );
    check(
        TrainOptions {
            epoch_share: 0.0,
            ..options(1)
        },
        "epoch_share",
    );

    let source = Source {
        name: "short".to_owned(),
        share: 1.0,
    };
    let short = MemoryCorpus::new(STEP_SECS, vec![(source, vec![track(1.0, 20)], Vec::new())]);
    let (config, options) = (config(), options(1));
    let error =
        train_job(&unwatched(&config, &options, &short), &mut go_on).expect_err("has no window");
    assert!(
        error.to_string().contains("`short` has no window"),
        "{error}"
    );
}

/// Runs with a checkpoint file, and stops after some steps if told to.
fn train_stored(
    options: &TrainOptions,
    path: &Path,
    stop_after: Option<u64>,
) -> Result<Trained, TrainError> {
    let (config, corpus, validation) = (config(), corpus(), validation());
    let identity = serde_json::json!("the data");
    let job = Job {
        config: &config,
        options,
        corpus: &corpus,
        validation: &validation,
        device: Device::Cpu,
        start: None,
        checkpoint: Some(Checkpoint {
            path,
            identity: &identity,
        }),
    };
    let mut stop = |progress: &Progress| {
        if stop_after == Some(progress.step) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    train_job(&job, &mut stop)
}

#[test]
fn a_run_that_is_cut_off_again_and_again_ends_with_the_same_bits() {
    // Chunks of half an hour and short epochs: checkpoints come every few steps, across epochs and validations.
    let options = TrainOptions {
        chunk_secs: 1_800,
        epoch_share: 0.1,
        scale_weight: 0.5,
        ..options(70)
    };
    let whole = train_with(&options, go_on).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint.safetensors");
    let mut resumed_later_than_from_the_start = 0;
    for stop_after in [1, 9, 10, 23, 41, 42, 66] {
        assert!(matches!(
            train_stored(&options, &path, Some(stop_after)),
            Err(TrainError::Stopped)
        ));
        let mut first = None;
        let _ = {
            let mut note = |progress: &Progress| {
                first = Some(progress.step);
                ControlFlow::Break(())
            };
            let (config, corpus, validation) = (config(), corpus(), validation());
            let identity = serde_json::json!("the data");
            let job = Job {
                validation: &validation,
                checkpoint: Some(Checkpoint {
                    path: &path,
                    identity: &identity,
                }),
                ..unwatched(&config, &options, &corpus)
            };
            train_job(&job, &mut note)
        };
        resumed_later_than_from_the_start += usize::from(first.is_some_and(|step| step > 1));
    }
    assert!(resumed_later_than_from_the_start > 3);
    let resumed = train_stored(&options, &path, None).unwrap();
    assert!(weights(&resumed) == weights(&whole));
    let losses = |trained: &Trained| -> Vec<Milestone> { trained.report.milestones.clone() };
    assert_eq!(losses(&resumed).len(), losses(&whole).len());
    assert_eq!(resumed.report.best_step, whole.report.best_step);
    assert_eq!(resumed.report.epochs, whole.report.epochs);
    assert!(whole.report.epochs > 2, "epochs ended on the way");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint.safetensors");
    assert!(train_stored(&options(30), &path, Some(2)).is_err());
    let other = TrainOptions {
        learning_rate: 0.02,
        ..options(30)
    };
    let error = train_stored(&other, &path, None).unwrap_err().to_string();
    assert!(
        error.contains("options.learning_rate: 0.01 -> 0.02"),
        "{error}"
    );
    let more_threads = TrainOptions {
        threads: 2,
        ..options(30)
    };
    assert!(train_stored(&more_threads, &path, None).is_ok());
    std::fs::write(&path, b"no checkpoint").unwrap();
    let error = train_stored(&options(30), &path, None).unwrap_err();
    assert!(error.to_string().contains("checkpoint.safetensors"));
}

#[test]
fn a_model_is_gone_on_from() {
    let first = train_with(&options(60), go_on).unwrap();
    let (config, corpus, validation, options) = (config(), corpus(), validation(), options(20));
    let job = Job {
        validation: &validation,
        start: Some(Start {
            network: &first.network,
            normaliser: &first.state,
        }),
        ..unwatched(&config, &options, &corpus)
    };
    let second = train_job(&job, &mut go_on).unwrap();
    assert_eq!(second.state, first.state, "the normaliser is kept");
    let losses: Vec<f64> = (second.report.milestones.iter())
        .map(|milestone| milestone.validation[0].unwrap())
        .collect();
    assert_eq!(losses.len(), 2, "before the first step, and at the end");
    let reached = first.report.best_validation_loss.unwrap();
    assert!((losses[0] - reached).abs() < 1e-6, "{losses:?} {reached}");
    assert!(second.report.best_validation_loss.unwrap() <= losses[0]);
}
