//! The loop over a real store and a real (untrained) model: who is due, what counts as a strike, what is published.
#![expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use argus_fleet::{Fleet, ForecastState};
use argus_forecast::{
    ForecastError, ForecastHandle, ForecastLoop, ForecastObserver, LoopConfig, LoopParts, Made,
    ModelSlot, schema_ref,
};
use argus_risk::ThresholdRules;
use argus_schema::{EntityName, ProfileRules, Record, Schema};
use argus_store::{Clock, Store, StoreConfig};
use argus_tft::{Device, ModelConfig, ModelOptions, Network, NormaliserState};
use serde_json::json;

const STEP_MS: i64 = 300_000;
const START_MS: i64 = 1_767_607_200_000;

struct FakeClock(AtomicI64);

impl Clock for FakeClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Entity, origin and whether it counts, of every forecast made.
type Log = Arc<Mutex<Vec<(String, i64, bool)>>>;

struct Recorder(Log);

impl ForecastObserver for Recorder {
    fn published(&mut self, _fleet: &Fleet, made: &[Made]) {
        let entry = |m: &Made| {
            let origin = m.state.forecast.as_ref().unwrap().origin_ms;
            (
                m.state.name.to_string(),
                (origin - START_MS) / STEP_MS,
                m.scheduled,
            )
        };
        self.0.lock().unwrap().extend(made.iter().map(entry));
    }
}

struct Bench {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Arc<Store>,
    models: Arc<ModelSlot>,
    fleet: Arc<ArcSwap<Fleet>>,
    log: Log,
    handle: ForecastHandle,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let schema = Schema::server();
        // Long after all records, so that every bin is closed by the wall clock.
        let clock: Arc<dyn Clock> = Arc::new(FakeClock(AtomicI64::new(START_MS + 1_000 * STEP_MS)));
        let config = StoreConfig {
            min_free_bytes: 0,
            ..StoreConfig::new(dir.path().join("store"))
        };
        let (store, _) = Store::open(config, Arc::clone(&schema), Arc::clone(&clock)).unwrap();
        let models = Arc::new(ModelSlot::new(Arc::clone(&schema), Device::Cpu));
        let fleet = Arc::new(ArcSwap::from_pointee(Fleet::default()));
        let log = Log::default();
        let parts = LoopParts {
            store: Arc::clone(&store),
            schema,
            profiles: ProfileRules::default(),
            models: Arc::clone(&models),
            clock,
            thresholds: ThresholdRules::default(),
            observer: Box::new(Recorder(Arc::clone(&log))),
        };
        let mut config = LoopConfig::new(300);
        config.poll = Duration::from_millis(20);
        config.settle = Duration::from_millis(5);
        let (handle, _) = ForecastLoop::spawn(config, parts, Arc::clone(&fleet)).unwrap();
        Self {
            dir,
            runtime,
            store,
            models,
            fleet,
            log,
            handle,
        }
    }

    fn model(&self, seed: u64) -> PathBuf {
        let dir = self.dir.path().join(format!("tiny_{seed}_20260101_000000"));
        make_model(&dir, seed);
        dir
    }

    fn feed(&self, entity: &str, bins: std::ops::Range<i64>) {
        let records = bins.map(|bin| record(entity, bin, 50.0)).collect();
        let outcomes = self.runtime.block_on(self.store.append(records)).unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    /// Waits until what was made fits, and returns it.
    fn made(&self, fits: impl Fn(&[(String, i64, bool)]) -> bool) -> Vec<(String, i64, bool)> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log.lock().unwrap().clone();
            if fits(&log) {
                return log;
            }
            assert!(Instant::now() < deadline, "made so far: {log:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn state(&self, entity: &str) -> Option<ForecastState> {
        self.fleet
            .load()
            .entities
            .get(&name(entity))
            .map(|e| e.state)
    }

    fn now(&self, entity: &str) -> Result<i64, ForecastError> {
        let answer = self
            .runtime
            .block_on(self.handle.forecast_now(name(entity)));
        answer.map(|(forecast, _)| (forecast.origin_ms - START_MS) / STEP_MS)
    }
}

fn name(text: &str) -> EntityName {
    EntityName::new(text).unwrap()
}

fn record(entity: &str, bin: i64, cpu: f32) -> Record {
    let mut values = vec![f32::NAN; Schema::server().metrics.len()];
    values[0] = cpu;
    values[3] = 100.0 - cpu;
    Record {
        entity: name(entity),
        time_ms: START_MS + bin * STEP_MS,
        status: 0,
        profile: None,
        cores: None,
        values: values.into(),
    }
}

fn make_model(dir: &Path, seed: u64) {
    let options = ModelOptions {
        hidden_size: 8,
        continuous_size: 4,
        attention_heads: 2,
        ..ModelOptions::default()
    };
    let config = ModelConfig::for_schema(&schema_ref(&Schema::server()), &options);
    let network = Network::new(&config.architecture, Device::Cpu, seed).unwrap();
    let state = NormaliserState::neutral(config.schema.metrics.len());
    argus_tft::write(
        dir,
        &config,
        &network,
        &state,
        &json!({}),
        &json!({"kind": "identity"}),
    )
    .unwrap();
}

#[test]
fn each_closed_bin_is_forecast_once_and_late_changes_do_not_count() {
    let bench = Bench::new();
    bench.models.load(&bench.model(1)).unwrap();
    bench.feed("a", 0..20);
    let log = bench.made(|log| log.iter().any(|(_, origin, _)| *origin == 19));
    // While catching up only the newest closed bin is forecast, so origins between may be missing, never doubled.
    assert!(log.iter().all(|(_, _, scheduled)| *scheduled), "{log:?}");

    bench.feed("a", 20..21);
    bench.made(|log| log.contains(&("a".to_owned(), 20, true)));

    let late = Record {
        time_ms: START_MS + 10 * STEP_MS + 1,
        ..record("a", 10, 70.0)
    };
    bench
        .runtime
        .block_on(bench.store.append(vec![late]))
        .unwrap();
    bench.made(|log| log.contains(&("a".to_owned(), 20, false)));
}

#[test]
fn a_forecast_that_somebody_asked_for_is_no_strike() {
    let bench = Bench::new();
    bench.models.load(&bench.model(1)).unwrap();
    bench.feed("a", 0..15);
    bench.made(|log| log.contains(&("a".to_owned(), 14, true)));
    assert_eq!(bench.now("a").unwrap(), 14);
    assert_eq!(
        bench.made(|log| log.len() >= 2).last(),
        Some(&("a".to_owned(), 14, false))
    );
}

#[test]
fn too_little_context_and_strangers_are_told_apart() {
    let bench = Bench::new();
    bench.feed("a", 0..11);
    assert!(matches!(bench.now("a"), Err(ForecastError::NoModel(_))));
    bench.models.load(&bench.model(1)).unwrap();
    assert!(matches!(
        bench.now("a"),
        Err(ForecastError::WarmingUp {
            closed_bins: 11,
            ..
        })
    ));
    assert!(matches!(
        bench.now("b"),
        Err(ForecastError::UnknownEntity(_))
    ));
    assert_eq!(bench.state("a"), Some(ForecastState::WarmingUp));
    bench.feed("a", 11..12);
    bench.made(|log| log.contains(&("a".to_owned(), 11, true)));
    assert_eq!(bench.state("a"), Some(ForecastState::Ready));
}

#[test]
fn another_model_answers_at_once_and_a_broken_one_changes_nothing() {
    let bench = Bench::new();
    let first = bench.models.load(&bench.model(1)).unwrap();
    bench.feed("a", 0..15);
    bench.made(|log| !log.is_empty());

    let broken = bench.model(2);
    let weights = std::fs::read(broken.join("model.safetensors")).unwrap();
    std::fs::write(
        broken.join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();
    let refusal = bench.models.load(&broken).unwrap_err();
    assert!(refusal.contains("tiny_2"), "{refusal}");
    // Every weight is a number, but no forecast is.
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let mut ruined = weights.clone();
    for weight in ruined[header..].chunks_exact_mut(4) {
        weight.copy_from_slice(&1e30_f32.to_le_bytes());
    }
    std::fs::write(broken.join("model.safetensors"), ruined).unwrap();
    let refusal = bench.models.load(&broken).unwrap_err();
    assert!(refusal.contains("are not numbers"), "{refusal}");
    assert_eq!(bench.models.current().unwrap().id, first);

    let second = bench.models.load(&bench.model(3)).unwrap();
    let log = bench.made(|log| {
        log.last()
            .is_some_and(|(_, origin, scheduled)| *origin == 14 && !scheduled)
    });
    assert_eq!(
        log.iter().filter(|(_, _, scheduled)| *scheduled).count(),
        1,
        "{log:?}"
    );
    let fleet = bench.fleet.load_full();
    assert_eq!(fleet.model.as_ref(), Some(&second));
    assert_eq!(
        fleet.entities[&name("a")].forecast.as_ref().unwrap().model,
        second
    );
}

#[test]
fn quantiles_are_sorted_within_range_and_missing_metrics_have_none() {
    let bench = Bench::new();
    bench.models.load(&bench.model(1)).unwrap();
    bench.feed("a", 0..40);
    bench.made(|log| log.iter().any(|(_, origin, _)| *origin == 39));
    let fleet = bench.fleet.load_full();
    let forecast = fleet.entities[&name("a")].forecast.clone().unwrap();
    assert_eq!((forecast.horizon(), forecast.context_steps), (96, 40));
    for (index, metric) in forecast.metrics.iter().enumerate() {
        assert_eq!(metric.is_some(), [0, 3].contains(&index), "metric {index}");
        let Some(metric) = metric else { continue };
        for step in metric
            .quantiles
            .chunks_exact(forecast.quantile_levels.len())
        {
            assert!(step.is_sorted(), "{step:?}");
            assert!(step.iter().all(|v| (0.0..=100.0).contains(v)), "{step:?}");
        }
    }
}
