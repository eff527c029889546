//! `argus bench train`: windows per second in training, beside pytorch-forecasting's.

use std::time::Instant;

use anyhow::Context;
use argus_config::Config;
use argus_schema::Schema;
use argus_tft::train::TrainOptions;
use argus_tft::{Device, ModelConfig, ModelFiles, ModelOptions};
use argus_training::{measure_speed, schema_ref};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Machine, resident_bytes};
use crate::cli::{ModelSelection, default_threads};
use crate::exit::Outcome;
use crate::output;
use crate::serve::settings;

/// Windows per second of pytorch-forecasting 1.8 on two cores: its network alone, and its whole `fit`; hidden size 32,
/// 8 heads, continuous size 16, 288 + 96 steps.
const PEER_NETWORK: [f64; 2] = [100.0, 116.0];
const PEER_FIT: [f64; 2] = [70.0, 78.0];
/// Matrix rate of the machine that the peer was measured on, two threads.
const PEER_SGEMM_GFLOPS: f64 = 340.0;

/// `argus bench train`.
#[derive(Debug, Args)]
pub struct TrainBenchArgs {
    /// Sizes of the network.
    #[arg(long, value_enum, default_value_t = ModelShape::Reference)]
    pub model_shape: ModelShape,
    /// Windows to learn from in each measurement.
    #[arg(long, default_value_t = 2_048, value_parser = clap::value_parser!(u32).range(64..=10_000_000))]
    pub windows: u32,
    /// Threads of our own that share a batch.
    #[arg(long, default_value_t = default_threads())]
    pub threads: usize,
    /// Windows per step.
    #[arg(long, default_value_t = 64)]
    pub batch_windows: usize,
    /// Windows that go through the network at a time.
    #[arg(long, default_value_t = 16)]
    pub pass_windows: usize,
    /// Bounds the data in memory.
    #[arg(long, value_name = "MB", default_value_t = 256)]
    pub memory_mb: usize,
    /// Whose sizes `--model-shape shipped` takes.
    #[command(flatten)]
    pub model: ModelSelection,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Which network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelShape {
    /// As the peer was measured: hidden size 32, 8 heads, continuous size 16. All 14 metrics are inputs; unlike the
    /// peer's one they are all targets too.
    Reference,
    /// As the model that serves.
    Shipped,
}

/// Runs the command.
pub fn run(args: &TrainBenchArgs) -> anyhow::Result<Outcome> {
    let schema = Schema::server();
    let config = match args.model_shape {
        ModelShape::Reference => ModelConfig::for_schema(
            &schema_ref(&schema),
            &ModelOptions {
                hidden_size: 32,
                attention_heads: 8,
                continuous_size: 16,
                dropout: 0.0,
                ..ModelOptions::default()
            },
        ),
        ModelShape::Shipped => shipped(args, &schema)?,
    };
    let options = TrainOptions {
        batch_windows: args.batch_windows,
        chunk_windows: args.pass_windows,
        threads: args.threads,
        memory_mb: args.memory_mb,
        unknown_profile: schema.profiles[usize::from(schema.default_profile())]
            .id
            .clone(),
        ..TrainOptions::default()
    };
    let machine = Machine::measure()?;
    let dir = std::env::temp_dir().join(format!("argus-bench-train-{}", std::process::id()));
    let started = Instant::now();
    let now = || started.elapsed();
    let windows = args.windows as usize;
    let speed = measure_speed(&config, &schema, &options, windows, &dir, &now);
    // Whatever came of it, the data are of no more use.
    let _ = std::fs::remove_dir_all(&dir);
    let speed = speed?;
    let (_, most_resident) = resident_bytes();
    let times = |rate: f64, peer: [f64; 2]| [rate / peer[1], rate / peer[0]];
    let (network, fit) = (
        times(speed.network, PEER_NETWORK),
        times(speed.fit, PEER_FIT),
    );
    if args.json {
        output::line(json!({
            "sgemm_gflops_1_thread": machine.sgemm_gflops_1_thread,
            "sgemm_gflops_2_threads": machine.sgemm_gflops_2_threads,
            "threads": args.threads,
            "windows": args.windows,
            "network_windows_per_sec": speed.network,
            "fit_windows_per_sec": speed.fit,
            "waited_share": speed.waited_share,
            "most_resident_bytes": most_resident,
            "peer": {
                "sgemm_gflops_2_threads": PEER_SGEMM_GFLOPS,
                "network_windows_per_sec": PEER_NETWORK,
                "fit_windows_per_sec": PEER_FIT,
            },
            "times_peer_network": network,
            "times_peer_fit": fit,
        }));
        return Ok(Outcome::Done);
    }
    let architecture = &config.architecture;
    output::line(format_args!(
        "hidden size {}, {} heads, continuous size {}, {} + {} steps, {} targets; {} threads",
        architecture.hidden_size,
        architecture.attention_heads,
        architecture.continuous_size,
        config.context_steps(),
        config.horizon(),
        architecture.targets.len(),
        args.threads,
    ));
    output::line(format_args!(
        "sgemm of this run: {:.0} GFLOP/s (1 thread), {:.0} GFLOP/s (2 threads); the peer's machine: {PEER_SGEMM_GFLOPS:.0} (2 threads)",
        machine.sgemm_gflops_1_thread, machine.sgemm_gflops_2_threads,
    ));
    // What the peer would do at this run's matrix rate, if all of it scaled with that.
    let slower = PEER_SGEMM_GFLOPS / machine.sgemm_gflops_2_threads;
    let line = |what: &str, rate: f64, peer: [f64; 2], times: [f64; 2]| {
        output::line(format_args!(
            "{what}: {rate:.0} windows/s; pytorch-forecasting {:.0} to {:.0}: {:.1} to {:.1} times as many, {:.1} to {:.1} at equal matrix rate",
            peer[0],
            peer[1],
            times[0],
            times[1],
            times[0] * slower,
            times[1] * slower
        ));
    };
    line("network only", speed.network, PEER_NETWORK, network);
    line("whole fit", speed.fit, PEER_FIT, fit);
    output::line(format_args!(
        "the network waited for data {:.1} % of the time; most resident memory {} MiB",
        100.0 * speed.waited_share,
        most_resident >> 20
    ));
    Ok(Outcome::Done)
}

/// The configuration of the model that would serve.
fn shipped(args: &TrainBenchArgs, schema: &Schema) -> anyhow::Result<ModelConfig> {
    let config = Config::default();
    let lookup = settings::lookup(&args.model, &config, &settings::data_dir(&config));
    let chosen = lookup.choose();
    let dir = (chosen.candidates.first())
        .with_context(|| format!("no model was found; looked at: {}", chosen.because))?;
    output::note(format_args!(
        "sizes of {} ({})",
        dir.display(),
        chosen.because
    ));
    let files = ModelFiles::read(dir, Some(&schema_ref(schema)), Device::Cpu)?;
    Ok(files.config)
}
