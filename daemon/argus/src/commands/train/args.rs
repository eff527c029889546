//! The options of `argus train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::default_threads;

/// `argus train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Traces to learn from: Parquet files, or folders of them (such as the daemon's own history); repeat for several.
    #[arg(long, value_name = "PATH")]
    pub input: Vec<PathBuf>,
    /// `NAME=DATE`: rows of the trace NAME (file stem) from DATE on are for validation only; repeat for several.
    #[arg(long, value_name = "NAME=DATE", value_parser = parse_validation_start)]
    pub validation_start: Vec<(String, jiff::civil::Date)>,
    /// Servers of a synthetic fleet to add, for metrics that the traces lack.
    #[arg(long, default_value_t = 0)]
    pub synthetic_servers: u32,
    /// Servers of a synthetic fleet to add whose metrics run in all sorts of ways, for servers unlike those of the
    /// traces.
    #[arg(long, default_value_t = 0)]
    pub varied_servers: u32,
    /// Days of these fleets.
    #[arg(long, default_value_t = 14)]
    pub synthetic_days: u32,
    /// Seed of these fleets.
    #[arg(long, default_value_t = 42)]
    pub synthetic_seed: u64,
    /// `NAME=WEIGHT`: share of the windows that a trace (or `synthetic`, `varied`) gives, relative to the others; 1
    /// unless said.
    #[arg(long, value_name = "NAME=WEIGHT", value_parser = parse_share)]
    pub share: Vec<(String, f64)>,
    /// Steps between two validations.
    #[arg(long, default_value_t = 200)]
    pub validate_every: u64,
    /// Validations in a row without a better loss that end the run.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: u32,
    /// Directory in which the new model directory is made.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Name of the model; the directory is NAME_YYYYMMDD_HHMMSS.
    #[arg(long, default_value = "argus", value_parser = parse_name)]
    pub name: String,
    /// Same seed, same data, same threads: same weights.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Optimiser steps of the whole run.
    #[arg(long, default_value_t = 4000)]
    pub max_steps: u64,
    /// Windows per optimiser step.
    #[arg(long, default_value_t = 64)]
    pub batch_windows: usize,
    /// Windows that go through the network at a time.
    #[arg(long, default_value_t = 16)]
    pub pass_windows: usize,
    /// Threads of our own that share a batch.
    #[arg(long, default_value_t = default_threads())]
    pub threads: usize,
    /// Greatest learning rate.
    #[arg(long, default_value_t = 3e-3)]
    pub learning_rate: f64,
    /// Pull of matrices towards zero, times the learning rate, per step.
    #[arg(long, default_value_t = 0.1)]
    pub weight_decay: f64,
    /// Longest gradient.
    #[arg(long, default_value_t = 1.0)]
    pub clip_norm: f64,
    /// How much of the averaged weights stays at each step.
    #[arg(long, default_value_t = 0.998)]
    pub average_keep: f64,
    /// Newest part of what lies before the validation start that is not learned from but watched, to end the run early
    /// and to keep its best weights; 0 learns from all of it, for `--max-steps` steps, and keeps the last steps' average.
    #[arg(long, default_value_t = 0.08, value_parser = parse_watched_share)]
    pub watched_share: f64,
    /// Part of each chunk's windows that an epoch takes.
    #[arg(long, default_value_t = 0.125)]
    pub epoch_share: f64,
    /// Weighs a window's loss by its scale relative to its source's mean, to this power: 0 all alike, 1 as absolute
    /// errors pool.
    #[arg(long, default_value_t = 0.0)]
    pub scale_weight: f64,
    /// Windows that start within this many seconds of each other are a chunk.
    #[arg(long, value_name = "SECONDS", default_value_t = 7_200)]
    pub chunk_secs: u32,
    /// Bounds the data in memory, of all inputs together.
    #[arg(long, value_name = "MB", default_value_t = 256)]
    pub memory_mb: usize,
    /// Where the network runs; `auto` takes a CUDA card where libtorch has one.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Width of the network.
    #[arg(long, default_value_t = 32)]
    pub hidden_size: i64,
    /// Attention heads.
    #[arg(long, default_value_t = 4)]
    pub attention_heads: i64,
    /// Width that real inputs are scaled up to.
    #[arg(long, default_value_t = 8)]
    pub continuous_size: i64,
    /// Share of activations dropped in training; above 0 a run is repeatable with one thread only.
    #[arg(long, default_value_t = 0.0)]
    pub dropout: f64,
    /// Lag in steps whose values become known inputs (288 is a day); repeat for several, 0 for none.
    #[arg(long, value_name = "STEPS", default_value = "288")]
    pub lag: Vec<u32>,
    /// Width of each metric's direct path from ten days of its own to its outputs; 0 for none.
    #[arg(long, default_value_t = 32)]
    pub direct_width: u32,
    /// Residual blocks of a direct path.
    #[arg(long, default_value_t = 2)]
    pub direct_blocks: u32,
    /// End after this many minutes at the latest; such a run is not repeatable.
    #[arg(long, value_name = "MINUTES")]
    pub time_budget_mins: Option<u64>,
    /// Go on from the model in `--from` on new data; its sizes, encoders and normalisers are kept.
    #[arg(long, requires = "from", conflicts_with_all = ["hidden_size", "attention_heads", "continuous_size", "dropout", "lag", "direct_width"])]
    pub incremental: bool,
    /// The model directory to go on from.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Folder in which the unfinished run lives; `.NAME.training` in the output directory unless said. A run that was
    /// cut off there goes on.
    #[arg(long, value_name = "DIR")]
    pub checkpoint_dir: Option<PathBuf>,
    /// Go on with a run that was cut off. This is what happens without it too; it is for scripts that want to say so.
    #[arg(long, conflicts_with = "restart")]
    pub resume: bool,
    /// Discard a run that was cut off, and begin anew.
    #[arg(long)]
    pub restart: bool,
    /// Configuration file: profiles by name and thresholds, as serving has them.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep a JSON object there that tells where the run is, replaced once a second.
    #[arg(long, value_name = "FILE")]
    pub progress_json: Option<PathBuf>,
    /// Print JSON progress lines on stderr and one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Where the network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// A CUDA card where libtorch has one, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// The first CUDA card, or an error.
    Cuda,
}

fn parse_validation_start(text: &str) -> Result<(String, jiff::civil::Date), String> {
    let (name, date) = text
        .split_once('=')
        .ok_or("NAME=DATE is needed, e.g. jumpstarter=2020-01-29")?;
    let date = date
        .parse()
        .map_err(|error| format!("`{date}` is no date: {error}"))?;
    Ok((name.to_owned(), date))
}

fn parse_share(text: &str) -> Result<(String, f64), String> {
    let (name, weight) = text
        .split_once('=')
        .ok_or("NAME=WEIGHT is needed, e.g. jumpstarter=0.35")?;
    match weight.parse::<f64>() {
        Ok(share) if share.is_finite() && share > 0.0 => Ok((name.to_owned(), share)),
        _ => Err(format!("`{weight}` is no positive number")),
    }
}

/// The first part of a directory's name.
fn parse_name(text: &str) -> Result<String, String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.starts_with('.') || !text.chars().all(is_fit) {
        return Err(
            "letters, digits, `-`, `_` and `.` make a name; a point cannot be the first".to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn parse_watched_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=0.5).contains(&share) => Ok(share),
        _ => Err(format!("`{text}` is not between 0 and 0.5")),
    }
}
