//! The shipped model: it loads, and forecasts as well as its record says.
#![expect(
    clippy::print_stderr,
    reason = "a test that leaves something out says so"
)]

use std::path::{Path, PathBuf};

use argus_generate::{FleetSpec, generate};
use argus_schema::Schema;
use argus_tft::{Device, Model};
use argus_trace::{Origin, read_origins, read_series};
use argus_training::{OriginForecast, forecast_origins, schema_ref};

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
    let origin = |series: &argus_trace::Series| Origin {
        server: series.name.clone(),
        origin_ms: series.times_ms[series.times_ms.len() * 2 / 3],
    };
    let origins: Vec<Origin> = series.iter().map(origin).collect();
    let (mut forecasts, levels) = (0, model.quantile_levels().len());
    let left_out = forecast_origins(&model, &series, &origins, |forecast| {
        forecasts += 1;
        for (metric, quantiles) in schema.metrics.iter().zip(forecast.metrics) {
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
    });
    assert_eq!(left_out.expect("forecasts"), 0);
    assert_eq!(forecasts, 7);
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
    let add = |forecast: &OriginForecast<'_>| {
        let Some(quantiles) = &forecast.metrics[metric] else {
            return;
        };
        let truths = forecast.track.values[metric][forecast.bin + 1..].iter();
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
    };
    forecast_origins(&model, &series, &origins, add).expect("forecasts");
    let wql = 2.0 / 3.0 * pinball / size;
    let recorded = model.training()["scores"]["smd"]["net_in_mb_s"]["wql"]
        .as_f64()
        .expect("is recorded");
    assert!(
        (wql - recorded).abs() < 2e-3 * recorded,
        "{wql} instead of {recorded}"
    );
}
