//! How many windows a second a model of the usual size predicts, end to end: bins to quantiles in metric units.
//!
//! `cargo run --release -p argus-tft --example predict_speed -- [WINDOWS] [HIDDEN] [HEADS] [CONTINUOUS]`
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Instant;

use argus_tft::{
    Device, MetricRef, Model, ModelConfig, ModelOptions, Network, NormaliserState, SchemaRef,
    Window,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<i64> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let argument =
        |index: usize, otherwise: i64| arguments.get(index).copied().unwrap_or(otherwise);
    let (windows, metrics, steps) = (argument(0, 200) as usize, 14, 288);
    let schema = SchemaRef {
        id: "server".to_owned(),
        version: 1,
        metrics: (0..metrics)
            .map(|m| MetricRef {
                name: format!("m{m}"),
                min: Some(0.0),
                max: None,
            })
            .collect(),
        statuses: (0..8).map(|s| format!("s{s}")).collect(),
        profiles: (0..7).map(|p| format!("p{p}")).collect(),
    };
    let options = ModelOptions {
        hidden_size: argument(1, 32),
        attention_heads: argument(2, 4),
        continuous_size: argument(3, 16),
        ..ModelOptions::default()
    };
    let config = ModelConfig::for_schema(&schema, &options);
    let network = Network::new(&config.architecture, Device::Cpu, 1)?;
    let dir = std::env::temp_dir().join(format!("argus-predict-speed-{}", std::process::id()));
    let null = serde_json::Value::Null;
    argus_tft::write(
        &dir,
        &config,
        &network,
        &NormaliserState::neutral(metrics),
        &null,
        &null,
    )?;
    let model = Model::open(&dir, &schema, Device::Cpu)?;
    std::fs::remove_dir_all(&dir)?;

    let series: Vec<Vec<f32>> = (0..metrics)
        .map(|m| {
            (0..steps)
                .map(|t| 50.0 + ((t * (m + 1)) as f32 / 30.0).sin() * 20.0)
                .collect()
        })
        .collect();
    let status = vec![2u8; steps];
    let window = Window {
        entity: "",
        end_bin_ms: 1_700_000_000_000,
        step_secs: 300,
        values: series.iter().map(Vec::as_slice).collect(),
        status: &status,
        profile: "p3",
        usual: None,
    };
    let batch = vec![window; windows];
    model.predict(&batch[..windows.min(32)])?;
    println!(
        "{} parameters, {windows} windows a round",
        network.parameters().numel()
    );
    for _ in 0..5 {
        let start = Instant::now();
        model.predict(&batch)?;
        let secs = start.elapsed().as_secs_f64();
        println!(
            "{:.0} windows/s, {:.2} ms a window",
            windows as f64 / secs,
            secs * 1000.0 / windows as f64
        );
    }
    Ok(())
}
