//! `argus config`: checks a file.

use std::collections::BTreeMap;

use argus_api::auth::{KeyStore, check_bind};
use argus_config::{Config, Connector, Plugin, SecretSource};
use argus_plugin_host::{PluginSpec, plain_words};
use argus_plugin_tools::inspect;

use crate::cli::{ConfigArgs, ConfigCommand};
use crate::exit::Outcome;
use crate::output;
use crate::serve::settings::data_dir;
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
            let mut found = Found {
                problems: missing_directories(&config),
                notes: Vec::new(),
            };
            found.address(&config);
            for (name, plugin) in &config.plugins {
                let spec = plugins::spec(&config, name, plugin);
                let state = if plugin.enabled { "" } else { " (disabled)" };
                output::line(format_args!("{}{state}", plain_words(&spec)));
                if plugin.enabled {
                    found.plugin(&config, plugin, &spec);
                }
            }
            for line in messages::plain_words(&config) {
                output::line(line);
            }
            if let Err(error) = messages::templates(&config) {
                found.problems.push(error.to_string());
            }
            for (name, connector) in &config.connectors {
                let state = if connector.enabled { "" } else { " (disabled)" };
                output::line(format_args!(
                    "{}{state}",
                    connectors::plain_words(name, connector)
                ));
                if connector.enabled {
                    found.connector(&config, name, connector);
                }
            }
            found.notes.iter().for_each(output::note);
            found.problems.iter().for_each(output::note);
            if found.problems.is_empty() {
                output::line(format_args!("{} is valid", file.display()));
                Ok(Outcome::Done)
            } else {
                Ok(Outcome::No)
            }
        }
    }
}

/// What a look at the files that a configuration names brings to light.
#[derive(Debug, Default)]
struct Found {
    problems: Vec<String>,
    /// What may well be right where the daemon runs.
    notes: Vec<String>,
}

impl Found {
    fn plugin(&mut self, config: &Config, plugin: &Plugin, spec: &PluginSpec) {
        match argus_plugin_host::inspect(spec) {
            Ok(inspected) => self.component(spec, &inspected.wasm),
            Err(error) => self.problems.push(error.to_string()),
        }
        for (target, settings) in &plugin.targets {
            let whose = format!("plugin {}, target {target}", spec.name);
            self.secrets(config, &whose, &settings.secrets);
            if let Some(file) = &settings.ca_file {
                let file = config.resolve(file);
                if let Err(error) = std::fs::read(&file) {
                    self.problems.push(format!(
                        "{whose}: cannot read ca_file {}: {error}",
                        file.display()
                    ));
                }
            }
        }
    }

    fn component(&mut self, spec: &PluginSpec, wasm: &[u8]) {
        let refusals = match inspect::inspect(wasm) {
            Ok(report) => {
                let mut refusals = report.refusals();
                if let Some(kind) = report.kind.filter(|kind| *kind != spec.kind.as_str()) {
                    refusals.push(format!("it is a {kind}, not a {}", spec.kind));
                }
                refusals
            }
            Err(reason) => vec![reason],
        };
        let (name, path) = (&spec.name, spec.path.display());
        let told = refusals
            .iter()
            .map(|reason| format!("plugin {name}: {path}: {reason}"));
        self.problems.extend(told);
    }

    /// A note and no problem: the daemon may run on another machine, with keys of its own.
    fn address(&mut self, config: &Config) {
        let refused = match KeyStore::open(&data_dir(config)) {
            Ok(keys) => check_bind(config.server.listen, &keys)
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.notes
            .extend(refused.map(|reason| format!("note: {reason}")));
    }

    fn connector(&mut self, config: &Config, name: &str, connector: &Connector) {
        let file = connectors::file(config, &connector.path);
        if !file.is_file() {
            self.problems.push(format!(
                "connector {name}: there is no file {}",
                file.display()
            ));
        }
        self.secrets(config, &format!("connector {name}"), &connector.secrets);
    }

    fn secrets(&mut self, config: &Config, whose: &str, secrets: &BTreeMap<String, SecretSource>) {
        for (name, source) in secrets {
            let Err(error) = source.read(&config.base_dir) else {
                continue;
            };
            let line = format!("{whose}: secret {name}: {error}");
            match source {
                // The daemon's environment is another one.
                SecretSource::Env(_) => self.notes.push(format!("note: {line}")),
                SecretSource::File(_) => self.problems.push(line),
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_at_and_variables_only_noted() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("text.wasm"), "no component").expect("write");
        let text = r#"
            [plugins.hook]
            kind = "sink"
            path = "text.wasm"
            [plugins.hook.targets.webhook]
            url = "https://hooks.example.com/"
            ca_file = "no.pem"
            secrets = { token = { file = "no.token" }, key = { env = "ARGUS_TEST_NO_SUCH_VARIABLE" } }
        "#;
        let mut config = Config::from_toml_str("argus.toml", text).expect("valid");
        config.base_dir = dir.path().to_owned();
        let plugin = &config.plugins["hook"];
        let mut found = Found::default();
        found.plugin(&config, plugin, &plugins::spec(&config, "hook", plugin));
        for (line, part) in found
            .problems
            .iter()
            .zip(["text.wasm", "no.token", "no.pem"])
        {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(found.problems.len(), 3, "{found:?}");
        assert!(
            found.notes[0].contains("ARGUS_TEST_NO_SUCH_VARIABLE"),
            "{found:?}"
        );
    }
}
