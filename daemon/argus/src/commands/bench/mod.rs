//! `argus bench`: how fast this machine does what the daemon does, and how that compares.
//!
//! Every benchmark states the machine's matrix product rate of the same run ([`Machine`]): a time without it says
//! little, for machines differ and are shared.

pub mod explain;
pub mod forecast;
pub mod train;

use clap::{Args, Subcommand};

use crate::exit::Outcome;

/// `argus bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// The verbs of `argus bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// From windows in the store to quantiles in metric units.
    #[command(after_help = "Example:\n  argus bench forecast --entities 500")]
    Forecast(forecast::ForecastBenchArgs),
    /// The three shipped explainers beside a reader of `/predictions/current`, in a daemon of its own.
    #[command(after_help = "Example:\n  argus bench explain --entities 500")]
    Explain(explain::ExplainBenchArgs),
    /// Windows per second in training, beside pytorch-forecasting's.
    #[command(after_help = "Example:\n  argus bench train --model-shape reference --windows 2048")]
    Train(train::TrainBenchArgs),
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        BenchCommand::Forecast(args) => forecast::run(args),
        BenchCommand::Explain(args) => explain::run(args),
        BenchCommand::Train(args) => train::run(args),
    }
}

/// What this machine can do, measured in the same run as whatever is compared with it.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Single-precision matrix products with one thread, GFLOP/s.
    pub sgemm_gflops_1_thread: f64,
    /// The same with two threads.
    pub sgemm_gflops_2_threads: f64,
}

impl Machine {
    /// Measures; takes about a second.
    pub fn measure() -> anyhow::Result<Self> {
        Ok(Self {
            sgemm_gflops_1_thread: argus_tft::sgemm_gflops(1)?,
            sgemm_gflops_2_threads: argus_tft::sgemm_gflops(2)?,
        })
    }
}

/// Resident memory of this process in bytes: now, and at its highest so far; 0 where the system does not tell.
pub fn resident_bytes() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    (
        kib("VmRSS:").unwrap_or(0) * 1024,
        kib("VmHWM:").unwrap_or(0) * 1024,
    )
}
