//! Forecasts the origins of a trace for the scoring script: `forecast MODEL TRACE ORIGINS OUTPUT`.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a tool for developers"
)]

use std::path::Path;

use argus_schema::Schema;
use argus_tft::{Device, Model};
use argus_trace::{ForecastWriter, read_origins, read_series};
use argus_training::{forecast_origins, schema_ref};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, trace, origins, output] = arguments.as_slice() else {
        panic!("MODEL TRACE ORIGINS OUTPUT")
    };
    let schema = Schema::server();
    let model = Model::open(Path::new(model), &schema_ref(&schema), Device::Cpu).unwrap();
    let series = read_series(Path::new(trace), &schema).unwrap();
    let origins = read_origins(Path::new(origins)).unwrap();
    let mut writer = ForecastWriter::create(Path::new(output)).unwrap();
    let level = |wanted: f64| {
        model
            .quantile_levels()
            .iter()
            .position(|level| *level == wanted)
            .unwrap()
    };
    let (columns, levels) = ([0.1, 0.5, 0.9].map(level), model.quantile_levels().len());
    let left_out = forecast_origins(&model, &series, &origins, |forecast| {
        for (metric, quantiles) in schema.metrics.iter().zip(forecast.metrics) {
            let Some(quantiles) = quantiles else { continue };
            let steps = quantiles
                .chunks_exact(levels)
                .map(|row| columns.map(|column| row[column]));
            writer
                .write(
                    &forecast.origin.server,
                    forecast.origin.origin_ms,
                    &metric.name,
                    steps,
                )
                .unwrap();
        }
    })
    .unwrap();
    writer.finish().unwrap();
    eprintln!("{} origins, {left_out} without context", origins.len());
}
