//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::backtest::BacktestArgs;
use crate::commands::bench::BenchArgs;
use crate::commands::forecast::ForecastArgs;
use crate::commands::model::ModelArgs;
use crate::commands::plugin::args::PluginArgs;
use crate::commands::train::TrainArgs;

/// Forecasts every server's metrics 8 hours ahead, and tells you what will break.
#[derive(Debug, Parser)]
#[command(name = "argus", version, about, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str =
    "Exit codes: 0 done, 1 the answer is no (records refused, parity missed), 2 could not run.
Logs go to stderr; ARGUS_LOG sets their filter, e.g. ARGUS_LOG=debug.";

/// The verb with which the daemon starts itself to compile a plugin.
pub const COMPILE_VERB: &str = "compile-plugin";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    #[command(
        after_help = "Examples:\n  argus serve\n  argus serve --config argus.toml --listen 127.0.0.1:9000"
    )]
    Serve(ServeArgs),
    /// Post a Parquet trace to a daemon, timestamps as they are.
    #[command(after_help = "Example:\n  argus replay trace.parquet --speed max")]
    Replay(ReplayArgs),
    /// Run the model over a Parquet trace, offline.
    #[command(
        after_help = "Example:\n  argus forecast --input trace.parquet --output forecasts.parquet"
    )]
    Forecast(ForecastArgs),
    /// Model directories.
    Model(ModelArgs),
    /// Write a synthetic fleet with known incidents as Parquet.
    #[command(
        after_help = "Example:\n  argus generate --servers 20 --days 14 --seed 42 --output fleet.parquet"
    )]
    Generate(GenerateArgs),
    /// Train a model.
    #[command(
        after_help = "Example:\n  argus train --input trace.parquet --synthetic-servers 28 --output models/"
    )]
    Train(TrainArgs),
    /// Replay the past through the model and the whole alert chain, and judge both.
    #[command(
        after_help = "Examples:\n  argus backtest --every 1h\n  argus backtest --input trace.parquet --incidents incidents.csv --alerts alerts.parquet"
    )]
    Backtest(BacktestArgs),
    /// How fast this machine does what the daemon does.
    Bench(BenchArgs),
    /// API keys.
    Key(KeyArgs),
    /// The configuration file.
    Config(ConfigArgs),
    /// Write, build, test and measure plugins.
    Plugin(PluginArgs),
    /// Compiles a plugin, standard input to standard output, within limits: how the daemon does it in a child.
    #[command(name = COMPILE_VERB, hide = true)]
    CompilePlugin,
}

/// `argus serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file; without it the built-in defaults hold.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where everything durable is kept.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Which model answers.
    #[command(flatten)]
    pub model: ModelSelection,
}

/// Which model to take; see `argus model`.
#[derive(Debug, Clone, Default, Args)]
pub struct ModelSelection {
    /// This model directory.
    #[arg(long, value_name = "DIR", conflicts_with = "models_dir")]
    pub model: Option<PathBuf>,
    /// The newest model in this directory; without one in it there is no model.
    #[arg(long, value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
}

/// `argus replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Trace with timestamp, server_name and metric columns.
    pub file: PathBuf,
    /// The daemon.
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    pub url: String,
    /// Times real time, or `max`.
    #[arg(long, default_value = "max", value_parser = parse_speed)]
    pub speed: Speed,
    /// API key with the scope `ingest`.
    #[arg(long, env = "ARGUS_API_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Print one JSON object with the counts.
    #[arg(long)]
    pub json: bool,
}

/// How fast a trace is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the daemon takes it.
    Max,
    /// This many times real time.
    Times(f64),
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("a positive number (times real time) or `max` is needed".to_owned()),
    }
}

/// Threads that share a batch unless said otherwise.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A number of things of which there must be one.
pub fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err(format!("`{text}` is no whole number")),
    }
}

/// `argus generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What kind of servers.
    #[arg(long, value_enum, default_value_t = FleetChoice::Typical)]
    pub kind: FleetChoice,
    /// Number of servers; typical ones are spread over the seven profiles.
    #[arg(long, default_value_t = 20)]
    pub servers: u32,
    /// Length in days.
    #[arg(long, default_value_t = 14)]
    pub days: u32,
    /// Same seed, same fleet.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// In a typical fleet, how often each database, conductor or ingest server fails and drags down what depends on it,
    /// per day.
    #[arg(long, value_name = "N", default_value_t = 0.15)]
    pub cascades_per_day: f64,
    /// First day, RFC 3339 date.
    #[arg(long, default_value = "2026-01-05")]
    pub start: jiff::civil::Date,
    /// Parquet file to write; the true incidents go beside it as `<name>_incidents.csv`.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Kinds of synthetic fleets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FleetChoice {
    /// Servers of seven profiles with incidents.
    Typical,
    /// Servers whose metrics run in all sorts of ways, to train on; without incidents and cascades.
    Varied,
}

/// `argus key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do with keys.
    #[command(subcommand)]
    pub command: KeyCommand,
    /// Configuration file that names the data directory.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The daemon's data directory.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

/// The verbs of `argus key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it once. From the first key on, keys are required.
    Create {
        /// What it is for.
        name: String,
        /// Comma-separated: ingest, read, admin.
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scopes: Vec<String>,
    },
    /// List keys (never their text).
    List {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Make a key useless, at once.
    Revoke {
        /// Id of the key, as `argus key list` shows it.
        id: String,
    },
}

/// `argus config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with the configuration.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The verbs of `argus config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a file and say what each plugin may do.
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// clap checks a command only when it is used; this checks all of them.
    #[test]
    fn every_command_is_sound() {
        super::Cli::command().debug_assert();
    }
}
