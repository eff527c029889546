//! `argus config`: checks a file.

use argus_config::Config;
use argus_plugin_host::{inspect, plain_words};

use crate::cli::{ConfigArgs, ConfigCommand};
use crate::exit::Outcome;
use crate::output;
use crate::serve::{connectors, messages, plugins};

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
            let mut problems = missing_directories(&config);
            for (name, plugin) in &config.plugins {
                let spec = plugins::spec(&config, name, plugin);
                let state = if plugin.enabled { "" } else { " (disabled)" };
                output::line(format_args!("{}{state}", plain_words(&spec)));
                if plugin.enabled
                    && let Err(error) = inspect(&spec)
                {
                    problems.push(error.to_string());
                }
            }
            for line in messages::plain_words(&config) {
                output::line(line);
            }
            if let Err(error) = messages::templates(&config) {
                problems.push(error.to_string());
            }
            for (name, connector) in &config.connectors {
                let state = if connector.enabled { "" } else { " (disabled)" };
                output::line(format_args!(
                    "{}{state}",
                    connectors::plain_words(name, connector)
                ));
                let file = connectors::file(&config, &connector.path);
                if connector.enabled && !file.is_file() {
                    problems.push(format!(
                        "connector {name}: there is no file {}",
                        file.display()
                    ));
                }
            }
            for problem in &problems {
                output::note(problem);
            }
            Ok(if problems.is_empty() {
                Outcome::Done
            } else {
                Outcome::No
            })
        }
    }
}

/// Directories that the configuration names and that are not there.
fn missing_directories(config: &Config) -> Vec<String> {
    let mut missing = Vec::new();
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
