//! The `argus` binary: command line, wiring, lifecycle.

mod cli;
mod commands;
mod exit;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::init_logging();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Replay(args) => commands::replay::run(&args),
        Command::Forecast(args) => commands::forecast::run(&args),
        Command::Model(args) => commands::model::run(&args),
        Command::Generate(args) => commands::generate::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Backtest(args) => commands::backtest::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Key(args) => commands::key::run(&args),
        Command::Config(args) => commands::config::run(&args),
        Command::Plugin(args) => commands::plugin::run(&args),
        Command::CompilePlugin => {
            return ExitCode::from(argus_plugin_host::compile_stdin_to_stdout());
        }
    };
    exit::report(outcome)
}
