//! How long a window takes on one thread: our kernel and libtorch side by side, forward alone and there and back.
//!
//! `cargo run --release -p argus-tft --example kernel_speed -- [WINDOWS] [HIDDEN] [HEADS] [CONTINUOUS]`
//!
//! Each figure is the best of many rounds over a chunk of WINDOWS windows of 14 metrics, 288 + 96 steps, in processor
//! time; the rounds of the two take turns, so that a busy machine slows both.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use argus_tft::{
    Device, Kernel, MetricRef, Mode, ModelConfig, ModelOptions, Network, NormaliserState, Preparer,
    SchemaRef, Targets, Want, Window, Workspace,
};
use rustix::time::{ClockId, clock_gettime};
use tch::{Kind, Tensor};

/// Rounds of each kind: the kernel's are short, so it gets more.
const ROUNDS: usize = 12;
const KERNEL_ROUNDS: usize = 10;

/// How long this thread has been running.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<i64> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let argument =
        |index: usize, otherwise: i64| arguments.get(index).copied().unwrap_or(otherwise);
    argus_tft::train::single_threaded_torch();
    let (windows, metrics, steps) = (argument(0, 16) as usize, 14, 600);
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
        continuous_size: argument(3, 8),
        dropout: 0.0,
        lags: vec![288],
        ..ModelOptions::default()
    };
    let config = ModelConfig::for_schema(&schema, &options);
    let network = Network::new(&config.architecture, Device::Cpu, 1)?;
    let preparer = Preparer::new(&config, &NormaliserState::neutral(metrics))?;
    let series: Vec<Vec<f32>> = (0..metrics)
        .map(|m| {
            let value = |t: usize| 50.0 + ((t * (m + 1)) as f32 / 30.0).sin() * 20.0;
            (0..steps).map(value).collect()
        })
        .collect();
    let status = vec![2u8; steps];
    let window = Window {
        entity: "a",
        end_bin_ms: 1_700_000_000_000,
        step_secs: 300,
        values: series.iter().map(Vec::as_slice).collect(),
        status: &status,
        profile: "p3",
        usual: None,
    };
    let batch = preparer.prepare(&vec![window; windows])?.batch;
    let rows = batch.decoder.steps * windows;
    let targets = Targets {
        values: vec![0.1; rows * metrics],
        weights: vec![1.0; rows * metrics],
    };
    let levels: Vec<f32> = config.quantile_levels.iter().map(|l| *l as f32).collect();

    let mut kernel = Kernel::new(&config.architecture)?;
    kernel.bind(&Vec::<f32>::try_from(network.parameters().f_detach()?)?);
    let mut space = Workspace::default();
    let mut gradient = vec![0f32; kernel.parameters()];
    let inputs = batch.inputs()?;
    let of_levels = Tensor::from_slice(&levels);
    let wanted = Tensor::from_slice(&targets.values)
        .f_view([batch.decoder.steps as i64, windows as i64, -1, 1])?
        .f_transpose(0, 1)?;

    let mut best = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        let mut time =
            |kind: usize, work: &mut dyn FnMut() -> Result<(), argus_tft::TorchError>| {
                let start = busy();
                work()?;
                best[kind] = best[kind].min(busy() - start);
                Ok::<(), argus_tft::TorchError>(())
            };
        time(0, &mut || {
            tch::no_grad(|| network.forward(&inputs, Mode::Eval, Want::default()))?;
            Ok(())
        })?;
        for _ in 0..KERNEL_ROUNDS {
            time(1, &mut || {
                kernel.forward(&batch, Want::default(), &mut space)?;
                Ok(())
            })?;
        }
        time(2, &mut || {
            let outputs = network.forward(&inputs, Mode::Train, Want::default())?;
            let shape = [
                windows as i64,
                rows as i64 / windows as i64,
                metrics as i64,
                -1,
            ];
            let error = wanted.f_sub(&outputs.raw.f_view(shape)?)?;
            let loss = error
                .f_mul(&of_levels.f_sub_scalar(1.0)?)?
                .f_maximum(&error.f_mul(&of_levels)?)?
                .f_sum(Kind::Float)?;
            Tensor::f_run_backward(&[&loss], &[network.parameters()], false, false)?;
            Ok(())
        })?;
        for _ in 0..KERNEL_ROUNDS {
            time(3, &mut || {
                kernel.gradient(&batch, &targets, &levels, &mut space, &mut gradient)?;
                Ok(())
            })?;
        }
    }
    let kinds = [
        "forward, libtorch",
        "forward, kernel",
        "there and back, libtorch",
        "there and back, kernel",
    ];
    println!(
        "{} parameters, {windows} windows a chunk, {:.0} GFLOP/s in matrix products",
        kernel.parameters(),
        argus_tft::sgemm_gflops(1)?
    );
    for (kind, best) in kinds.into_iter().zip(best) {
        let secs = best.as_secs_f64() / windows as f64;
        println!(
            "{kind:26} {:7.3} ms a window, {:6.0} windows/s",
            secs * 1e3,
            1.0 / secs
        );
    }
    Ok(())
}
