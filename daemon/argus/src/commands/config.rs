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
            let missing = missing_files(&config);
            for problem in &missing {
                output::note(problem);
            }
            for (name, plugin) in &config.plugins {
                output::line(crate::serve::plugins::plain_words(name, plugin));
            }
            Ok(if missing.is_empty() {
                Outcome::Done
            } else {
                Outcome::No
            })
        }
    }
}

/// What the configuration names and is not there.
fn missing_files(config: &Config) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, plugin) in config.plugins.iter().filter(|(_, plugin)| plugin.enabled) {
        let file = crate::serve::plugins::file(config, &plugin.path);
        if !file.is_file() {
            missing.push(format!(
                "plugin {name}: there is no file {}",
                file.display()
            ));
        }
    }
    for dir in [&config.model.dir, &config.model.models_dir]
        .into_iter()
        .flatten()
    {
        let dir = config.resolve(dir);
        if !dir.is_dir() {
            missing.push(format!("model: there is no directory {}", dir.display()));
        }
    }
    missing
}
