//! `argus bench forecast`: window store → tensors → network → quantiles in metric units.

use clap::Args;

use super::Machine;
use crate::cli::ModelSelection;
use crate::exit::Outcome;
use crate::output;

/// `argus bench forecast`.
#[derive(Debug, Args)]
pub struct ForecastBenchArgs {
    /// Entities to forecast.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub entities: u32,
    /// Which model answers.
    #[command(flatten)]
    pub model: ModelSelection,
}

/// Runs the command.
pub fn run(args: &ForecastBenchArgs) -> anyhow::Result<Outcome> {
    let machine = Machine::measure()?;
    output::line(format_args!(
        "sgemm {:.0} GFLOP/s (1 thread), {:.0} GFLOP/s (2 threads), {} entities",
        machine.sgemm_gflops_1_thread, machine.sgemm_gflops_2_threads, args.entities
    ));
    Ok(Outcome::Done)
}
