//! A replay gives what the daemon would have given: same contexts, same strokes, same alerts; and the report adds up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use argus_alerts::AlertConfig;
use argus_backtest::{
    BacktestError, FitRequest, Origins, Progress, Replay, Report, Request, ServerBins, Stroke,
    Truth, backtest, calibration_fit, strided,
};
use argus_fleet::{EditAction, InputEdit};
use argus_forecast::{Edits, ModelSlot, schema_ref};
use argus_risk::{Calibration, ThresholdRules};
use argus_schema::{ProfileRules, Record, Schema};
use argus_score::ProbabilityScore;
use argus_store::window::{Window, WindowConfig};
use argus_tft::{Device, ModelConfig, ModelOptions, Network, NormaliserState};
use argus_trace::{Incident, Series, TraceWriter, read_series};

const STEP_MS: i64 = 300_000;
const DAY: usize = 288;

/// A small untrained model: its numbers mean nothing, its path through the code is the real one.
fn model(dir: &Path, encoder_steps: u32) -> Arc<argus_forecast::LoadedModel> {
    let schema = schema_ref(&Schema::server());
    let options = ModelOptions {
        encoder_steps,
        hidden_size: 8,
        attention_heads: 2,
        continuous_size: 4,
        dropout: 0.0,
        ..ModelOptions::default()
    };
    let config = ModelConfig::for_schema(&schema, &options);
    let network = Network::new(&config.architecture, Device::Cpu, 7).unwrap();
    let place = dir.join("small_20260101_000000");
    let state = NormaliserState::neutral(schema.metrics.len());
    let nothing = serde_json::json!({"kind": "identity"});
    argus_tft::write(&place, &config, &network, &state, &nothing, &nothing).unwrap();
    let slot = ModelSlot::new(Schema::server(), Device::Cpu);
    slot.load(&place).unwrap();
    slot.current().unwrap()
}

fn replay(dir: &Path) -> Replay {
    Replay {
        schema: Schema::server(),
        model: model(dir, 288),
        step_secs: 300,
        profiles: ProfileRules::default(),
        told_profile: None,
        thresholds: ThresholdRules::default(),
        edits: Edits::default(),
        threads: 2,
    }
}

/// `memory[bin]` in percent, NaN for a bin without a row; other metrics are missing or constant.
fn series(name: &str, memory: &[f32]) -> Series {
    let rows: Vec<usize> = (0..memory.len())
        .filter(|bin| !memory[*bin].is_nan())
        .collect();
    let mut values = vec![vec![f32::NAN; rows.len()]; 14];
    values[0] = vec![20.0; rows.len()];
    values[5] = rows.iter().map(|bin| memory[*bin]).collect();
    Series {
        name: name.to_owned(),
        profile: None,
        cores: None,
        times_ms: rows
            .iter()
            .map(|bin| *bin as i64 * STEP_MS + 1_000)
            .collect(),
        values,
        status: vec![0; rows.len()],
    }
}

fn bins(replay: &Replay, series: Series) -> ServerBins {
    replay.bins(vec![series]).unwrap().remove(0)
}

fn write(path: &Path, all: &[Series]) {
    let mut writer = TraceWriter::create(path, &Schema::server()).unwrap();
    all.iter().for_each(|series| writer.write(series).unwrap());
    writer.finish().unwrap();
}

struct Silent(u64);

impl Progress for Silent {
    fn begin(&mut self, _forecasts: u64) {}
    fn advance(&mut self, forecasts: u64) {
        self.0 += forecasts;
    }
}

fn request(trace: &Path, every_secs: u32) -> Request {
    Request {
        files: vec![trace.to_owned()],
        origins: Origins::Every(every_secs),
        alerts: AlertConfig::default(),
        truth: None,
        forecasts_to: None,
        alerts_to: None,
    }
}

#[test]
fn contexts_are_those_of_the_stores_window() {
    let dir = tempfile::tempdir().unwrap();
    let replay = replay(dir.path());
    let memory: Vec<f32> = (0..400)
        .map(|bin| {
            if bin % 7 == 3 || bin < 5 {
                f32::NAN
            } else {
                (bin % 50) as f32
            }
        })
        .collect();
    let mut series = series("a", &memory);
    // A second row in one bin, a duplicate, and a value out of range.
    series.times_ms.insert(100, series.times_ms[99] + 60_000);
    series
        .values
        .iter_mut()
        .for_each(|v| v.insert(100, f32::NAN));
    series.values[5][100] = 99.0;
    series.values[0][7] = 1e9;
    series.status.insert(100, 3);
    let server = bins(&replay, series.clone());
    assert_eq!(server.out_of_range, 1);

    let mut window = Window::new(WindowConfig {
        metrics: 14,
        step_ms: STEP_MS,
        window_steps: 288,
        exact_bins: 24,
        max_records_per_bin: u32::MAX,
        keeps_rows: false,
    });
    let mut row = 0;
    for bin in 0..400i64 {
        while series
            .times_ms
            .get(row)
            .is_some_and(|time| *time < (bin + 1) * STEP_MS)
        {
            let legal = |value: f32| {
                if (0.0..=100.0).contains(&value) {
                    value
                } else {
                    f32::NAN
                }
            };
            let record = Record {
                entity: server.name.clone(),
                time_ms: series.times_ms[row],
                status: series.status[row],
                profile: None,
                cores: None,
                values: series.values.iter().map(|v| legal(v[row])).collect(),
            };
            window.push(&record).unwrap();
            row += 1;
        }
        let Some(origin) = server.position(bin).filter(|at| server.has_data(*at)) else {
            continue;
        };
        let expected = window.context(bin, 288).unwrap();
        let (span, observed) = server.context(origin);
        assert_eq!(span.clone().count(), expected.status.len(), "bin {bin}");
        assert_eq!(observed, window.count_bins(bin - 287, bin), "bin {bin}");
        assert_eq!(&server.status[span.clone()], &*expected.status);
        for (metric, values) in expected.values.iter().enumerate() {
            let ours = &server.values[metric][span.clone()];
            assert!(
                ours.iter()
                    .zip(values)
                    .all(|(a, b)| a.to_bits() == b.to_bits()),
                "bin {bin}"
            );
        }
        let now: Vec<u32> = server.current(origin).iter().map(|v| v.to_bits()).collect();
        let latest: Vec<u32> = window
            .latest_values(288)
            .iter()
            .map(|v| v.to_bits())
            .collect();
        assert_eq!(now, latest, "bin {bin}");
    }
}

#[test]
fn strokes_take_the_newest_closed_bin_once() {
    let dir = tempfile::tempdir().unwrap();
    let replay = replay(dir.path());
    let mut memory = vec![50.0; 40];
    memory[9] = f32::NAN;
    memory[20..36].fill(f32::NAN);
    let server = bins(&replay, series("a", &memory));
    let check = |every: i64, expected: &[(usize, i64)]| {
        let told: Vec<_> = strided(&server, every, STEP_MS)
            .iter()
            .map(|stroke| (stroke.origin, stroke.at_ms / STEP_MS))
            .collect();
        assert_eq!(told, expected, "every {every}");
    };
    // Bin 9 is missing, so the stroke at 10 sees bin 8; nothing is new at 30, and at 40 the last bin has ended.
    check(10, &[(8, 10), (19, 20), (39, 40)]);
    check(24, &[(19, 24), (39, 48)]);
    let every_step = strided(&server, 1, STEP_MS);
    assert_eq!(every_step.len(), 40 - 1 - 16);
    assert!(
        every_step
            .iter()
            .all(|s| s.at_ms == (s.origin as i64 + 1) * STEP_MS)
    );
}

/// Memory that climbs over its critical threshold of 98 % on the third day and stays there for ten hours.
fn troubled() -> Vec<f32> {
    let bin = |bin: usize| match bin {
        bin if (3 * DAY..3 * DAY + 120).contains(&bin) => 99.5,
        bin => 40.0 + (bin % 12) as f32,
    };
    (0..6 * DAY).map(bin).collect()
}

fn run(replay: &Replay, request: &Request) -> Report {
    backtest(replay, request, &mut Silent(0)).unwrap()
}

#[test]
fn alerts_fire_after_three_strikes_of_scheduled_forecasts_and_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let replay = replay(dir.path());
    let trace = dir.path().join("trace.parquet");
    let calm: Vec<f32> = (0..6 * DAY).map(|bin| 40.0 + (bin % 12) as f32).collect();
    write(
        &trace,
        &[series("calm", &calm), series("troubled", &troubled())],
    );

    let alerts_to = dir.path().join("alerts.parquet");
    let start_ms = 3 * DAY as i64 * STEP_MS;
    let mut told = request(&trace, 3600);
    told.alerts_to = Some(alerts_to.clone());
    told.truth = Some(Truth {
        incidents: vec![Incident {
            server: "troubled".to_owned(),
            start_ms,
            end_ms: start_ms + 120 * STEP_MS,
            kind: "labelled".to_owned(),
            metrics: Vec::new(),
        }],
        labelled: Vec::new(),
        warm_up_minutes: 24 * 60,
    });
    let mut progress = Silent(0);
    let report = backtest(&replay, &told, &mut progress).unwrap();
    // 6 days of hours for two servers; the first forecast needs 12 bins, which the first hour has.
    assert_eq!((report.forecasts, report.too_little_context), (2 * 144, 0));
    assert_eq!((progress.0, report.servers), (2 * 144, 2));
    assert_eq!(report.every_secs, Some(3600));
    // From the twelfth bin on, which the first forecast starts from.
    let weeks = 2.0 * (6.0 * 288.0 - 11.0) / 288.0 / 7.0;
    assert!((report.alerts.server_weeks - weeks).abs() < 1e-9);
    // What the untrained model foretells is noise, but an entity in breach is a strike: at the third stroke of the
    // trouble an alert on memory must have fired, and it had been passed already.
    assert!(report.alerts.already_passed >= 1, "{report}");
    let fired = read_alerts(&alerts_to);
    assert_eq!(fired.len(), report.alerts.fired);
    let on_memory = |(server, at_ms, metric): &&(String, i64, String)| {
        server == "troubled" && metric == "mem_used_pct" && *at_ms >= start_ms
    };
    let first = fired.iter().find(on_memory).unwrap();
    assert!(first.1 <= start_ms + 3 * 3_600_000, "{fired:?}");
    let incidents = report.incidents.clone().unwrap();
    assert_eq!(incidents.incidents, 1);

    // With every step three strikes come after 15 minutes, in the incident's first hour.
    let mut every_step = request(&trace, 300);
    every_step.alerts_to = Some(alerts_to.clone());
    every_step.truth = told.truth;
    let report = run(&replay, &every_step);
    let incidents = report.incidents.clone().unwrap();
    assert_eq!(incidents.warned + incidents.late, 1, "{report}");
    let fired = read_alerts(&alerts_to);
    let first = fired.iter().find(on_memory).unwrap();
    assert!(first.1 <= start_ms + 3 * STEP_MS, "{fired:?}");
}

#[test]
fn risk_is_judged_by_what_came_true_and_can_be_calibrated_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut replay = replay(dir.path());
    let trace = dir.path().join("trace.parquet");
    let calm: Vec<f32> = (0..6 * DAY).map(|bin| 40.0 + (bin % 12) as f32).collect();
    write(
        &trace,
        &[series("calm", &calm), series("troubled", &troubled())],
    );
    let report = run(&replay, &request(&trace, 3600));
    let before = report.risk.within_8h.clone().unwrap();
    // Of 144 forecasts of each server the newest 8 see less than nine tenths of their 8 hours. The trouble lies in bins
    // 864 to 983; of the origins 12 h - 1, those from h = 65 to 81 have some of it in the 96 bins that follow.
    assert_eq!((before.count, before.came_true), (2 * 136, 17));
    assert_eq!(report.calibration, "identity");

    let fit = |replay: &Replay, from_ms: i64| {
        let request = FitRequest {
            files: vec![trace.clone()],
            every_secs: 3600,
            from_ms,
        };
        calibration_fit(replay, &request, &mut Silent(0)).unwrap()
    };
    let all = fit(&replay, i64::MIN);
    let close = |score: &ProbabilityScore, other: &ProbabilityScore| {
        let counts = |score: &ProbabilityScore| (score.count, score.came_true);
        counts(score) == counts(other) && (score.brier - other.brier).abs() < 1e-4
    };
    let computed = all.score(&Calibration::Identity).unwrap();
    assert!(close(&computed, &before), "{computed:?}");
    let late = fit(&replay, 100 * 3_600_000);
    assert_eq!(late.score(&Calibration::Identity).unwrap().count, 2 * 37);
    assert_eq!(late.finish("a test"), None, "too few");

    let place = replay.model.id.path.clone();
    let calibration = all.finish("a test").unwrap();
    let told = all.score(&calibration).unwrap();
    let text = serde_json::to_string(&calibration).unwrap();
    std::fs::write(Path::new(&place).join("calibration.json"), text).unwrap();
    let slot = ModelSlot::new(Schema::server(), Device::Cpu);
    slot.load(Path::new(&place)).unwrap();
    replay.model = slot.current().unwrap();
    let report = run(&replay, &request(&trace, 3600));
    let after = report.risk.within_8h.clone().unwrap();
    assert_eq!(report.calibration, "isotonic");
    assert!(close(&after, &told), "{after:?} {told:?}");
    assert!(after.brier < before.brier, "{after:?} {before:?}");
    // What is computed does not depend on what was told before.
    let again = fit(&replay, i64::MIN).score(&Calibration::Identity);
    assert_eq!(again, Some(computed));
}

fn read_alerts(path: &Path) -> Vec<(String, i64, String)> {
    // Alerts are read back as rows of a table of their own; the test knows its columns.
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMillisecondType;
    let file = std::fs::File::open(path).unwrap();
    let builder =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut rows = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let (servers, metrics) = (
            batch["server_name"].as_string::<i32>(),
            batch["metric"].as_string::<i32>(),
        );
        let times = batch["timestamp"].as_primitive::<TimestampMillisecondType>();
        rows.extend((0..batch.num_rows()).map(|row| {
            (
                servers.value(row).to_owned(),
                times.value(row),
                metrics.value(row).to_owned(),
            )
        }));
    }
    rows
}

#[test]
fn scores_do_not_depend_on_how_the_work_is_split() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace.parquet");
    let waves: Vec<f32> = (0..3 * DAY)
        .map(|bin| 50.0 + 30.0 * (bin as f32 / 45.0).sin())
        .collect();
    write(&trace, &[series("a", &waves), series("b", &waves)]);
    let mut one = replay(dir.path());
    one.threads = 1;
    let report = run(&one, &request(&trace, 1800));
    one.threads = 3;
    let again = run(&one, &request(&trace, 1800));
    assert_eq!(report.alerts, again.alerts);
    for (metric, horizons) in &report.scores {
        for (horizon, score) in horizons {
            let other = again.scores[metric][horizon];
            assert_eq!(score.model.values, other.model.values);
            assert!(
                (score.model.wql - other.model.wql).abs() <= 1e-4 * score.model.wql,
                "{metric}"
            );
        }
    }
    // Horizons are cumulative: values within 2 h contain those within 30 min.
    let memory = &report.scores["mem_used_pct"];
    assert!(memory["30m"].model.values < memory["2h"].model.values);
    assert!(memory["2h"].model.values < memory["8h"].model.values);
    // A constant metric: every baseline is exact.
    let constant = report.scores["cpu_user_pct"]["8h"];
    assert_eq!(
        (constant.naive_last.mae, constant.seasonal_naive.mae),
        (0.0, 0.0)
    );
    assert_eq!(constant.moving_average.wql, 0.0);
}

#[test]
fn listed_origins_are_forecast_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let replay = replay(dir.path());
    let trace = dir.path().join("trace.parquet");
    write(
        &trace,
        &[series("a", &[50.0; 100]), series("b", &[50.0; 100])],
    );
    let mut listed = request(&trace, 300);
    let origins = vec![50 * STEP_MS, 60 * STEP_MS, 5 * STEP_MS, 2_000 * STEP_MS];
    listed.origins = Origins::Listed(BTreeMap::from([
        ("a".to_owned(), origins),
        ("nobody".to_owned(), vec![0]),
    ]));
    let report = run(&replay, &listed);
    // Bin 5 has six bins of context, bin 2000 lies outside, and nobody knows `nobody`.
    let counts = (
        report.forecasts,
        report.too_little_context,
        report.unknown_origins,
    );
    assert_eq!(counts, (2, 1, 2));
    assert_eq!((report.servers, report.every_secs), (1, None));

    let odd = backtest(&replay, &request(&trace, 400), &mut Silent(0));
    assert!(matches!(odd, Err(BacktestError::Stride { .. })));
    write(&trace, &[series("a", &[50.0; 5])]);
    let nothing = backtest(&replay, &request(&trace, 300), &mut Silent(0));
    assert!(matches!(nothing, Err(BacktestError::Nothing { .. })));
}

#[test]
fn edits_change_what_the_model_sees_and_what_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let mut replay = replay(dir.path());
    let trace = dir.path().join("trace.parquet");
    write(&trace, &[series("a", &[99.0; 100])]);
    let read = || read_series(&trace, &Schema::server()).unwrap();
    let at = |replay: &Replay| {
        let servers = replay.bins(read()).unwrap();
        let stroke = Stroke {
            origin: 99,
            at_ms: 0,
        };
        let mut seen = None;
        let take = |answers: &[argus_backtest::Answer<'_>], ()| {
            let memory = answers[0].forecast.metrics[5].clone();
            seen = Some((memory, answers[0].risk.clone()));
            Ok::<_, BacktestError>(())
        };
        replay.run(&servers, &[(0, stroke)], |_| (), take).unwrap();
        seen.unwrap()
    };
    let (before, risk) = at(&replay);
    assert_eq!(before.as_ref().unwrap().current, 99.0);
    assert!(risk.unwrap().in_breach);
    let edit = |action| InputEdit {
        metric: "mem_used_pct".to_owned(),
        from_step: -287,
        to_step: 0,
        action,
    };
    replay.edits = Edits::new(&[edit(EditAction::Scale(0.5))], &Schema::server()).unwrap();
    let (after, risk) = at(&replay);
    assert_eq!(after.as_ref().unwrap().current, 49.5);
    assert_ne!(after, before);
    assert!(!risk.unwrap().in_breach);
    replay.edits = Edits::new(&[edit(EditAction::Mask)], &Schema::server()).unwrap();
    let (memory, risk) = at(&replay);
    // CPU used is judged by its parts, for idle was never sent.
    assert_eq!((memory, risk.unwrap().assessed), (None, 1 << 3));
    // A model may see less of the past than an edit reaches over.
    replay.edits = Edits::new(&[edit(EditAction::Scale(0.5))], &Schema::server()).unwrap();
    replay.model = model(tempfile::tempdir().unwrap().path(), 24);
    assert_eq!(at(&replay).0.unwrap().current, 49.5);
}
