//! `argus config`: checks a file.

use argus_config::Config;

use crate::cli::{ConfigArgs, ConfigCommand};
use crate::exit::Outcome;
use crate::output;

/// Runs the command.
pub fn run(args: &ConfigArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        ConfigCommand::Check { file } => {
            let config = match Config::load(file) {
                Ok(config) => config,
                Err(error) => {
                    output::note(error.drawing(output::is_terminal()));
                    return Ok(Outcome::No);
                }
            };
            output::line(format_args!("{} is valid", file.display()));
            for (name, plugin) in &config.plugins {
                output::line(crate::serve::plugins::plain_words(name, plugin));
            }
            Ok(Outcome::Done)
        }
    }
}
