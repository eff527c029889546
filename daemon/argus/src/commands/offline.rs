//! What commands share that run a model over files: the same configuration, model, windows and risk as the daemon's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use argus_backtest::Replay;
use argus_config::Config;
use argus_forecast::{Edits, LoadedModel, ModelSlot};
use argus_schema::Schema;
use argus_trace::read_origins;
use clap::Args;

use crate::cli::{ModelSelection, default_threads};
use crate::output;
use crate::serve::settings;

/// Options that say how an offline run takes its input.
#[derive(Debug, Args)]
pub struct OfflineArgs {
    /// Length of a step in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub step_secs: u32,
    /// Tell the model this profile of all servers, e.g. `generic`, instead of their own; thresholds stay.
    #[arg(long, value_name = "ID")]
    pub profile: Option<String>,
    /// Configuration file: profiles by name, thresholds, alerts, and which model.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The daemon's data directory, whose activated model is taken.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Which model answers.
    #[command(flatten)]
    pub model: ModelSelection,
    /// Print one JSON object when done.
    #[arg(long)]
    pub json: bool,
}

impl OfflineArgs {
    /// The configuration; the built-in defaults where no file is named.
    pub fn config(&self) -> anyhow::Result<Config> {
        match &self.config {
            Some(file) => Ok(Config::load(file)?),
            None => Ok(Config::default()),
        }
    }

    /// The daemon's data directory.
    pub fn data_dir(&self, config: &Config) -> PathBuf {
        let named = self.data_dir.clone();
        named.unwrap_or_else(|| settings::data_dir(config))
    }

    /// The model that the daemon would take, loaded; says which.
    pub fn model(&self, config: &Config) -> anyhow::Result<Arc<LoadedModel>> {
        let lookup = settings::lookup(&self.model, config, &self.data_dir(config));
        let slot = ModelSlot::new(Schema::server(), settings::device(config));
        slot.load_first(&lookup.choose());
        let model = slot.current().map_err(anyhow::Error::msg)?;
        output::note(format_args!("model {} ({})", model.id.name, model.id.path));
        let learned = model.model.config().step_secs;
        if learned != self.step_secs {
            output::note(format_args!(
                "it learned from steps of {learned} s and is now given steps of {} s, which it takes for its own: \
                 leave out --step-secs unless that is meant",
                self.step_secs
            ));
        }
        Ok(model)
    }

    /// Everything from a trace to forecasts and risk.
    pub fn replay(&self, config: &Config, edits: Edits) -> anyhow::Result<Replay> {
        let schema = Schema::server();
        let thresholds = settings::thresholds(config);
        thresholds.check(&schema)?;
        let told_profile = match &self.profile {
            Some(id) => Some(schema.profile_code(id).with_context(|| {
                let known: Vec<&str> = schema.profiles.iter().map(|p| p.id.as_str()).collect();
                format!("there is no profile `{id}`; known are {}", known.join(", "))
            })?),
            None => None,
        };
        Ok(Replay {
            model: self.model(config)?,
            step_secs: self.step_secs,
            profiles: settings::profiles(config),
            told_profile,
            thresholds,
            edits,
            threads: default_threads(),
            schema,
        })
    }
}

/// Refuses to write where something is read, into a folder that is read, or two things to one place.
pub fn check_distinct(read: &[Option<&Path>], written: &[Option<&Path>]) -> anyhow::Result<()> {
    let real = |path: &Path| {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let named = folder.join(path.file_name().unwrap_or_default());
        path.canonicalize().unwrap_or(named)
    };
    let inputs: Vec<PathBuf> = read.iter().flatten().map(|path| real(path)).collect();
    let mut outputs = Vec::new();
    for path in written.iter().flatten() {
        let place = real(path);
        let is_read = inputs.iter().any(|input| place.starts_with(input));
        anyhow::ensure!(
            !is_read && !outputs.contains(&place),
            "{} is (or lies in) an input, or is another output; name another file",
            path.display()
        );
        outputs.push(place);
    }
    Ok(())
}

/// Listed origins by server, ms since the epoch.
pub fn listed_origins(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<i64>>> {
    let mut listed: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let origins = read_origins(path).with_context(|| format!("read {}", path.display()))?;
    for origin in origins {
        listed
            .entry(origin.server)
            .or_default()
            .push(origin.origin_ms);
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_where_something_is_read_or_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (trace, link) = (
            dir.path().join("trace.parquet"),
            dir.path().join("link.parquet"),
        );
        std::fs::write(&trace, b"rows").expect("write");
        std::os::unix::fs::symlink(&trace, &link).expect("link");
        let (new, same) = (dir.path().join("new"), dir.path().join("./new"));
        let refused = |written: &[Option<&Path>]| {
            check_distinct(&[Some(&trace), None], written).map_err(|error| error.to_string())
        };
        assert_eq!(refused(&[Some(&new), None]), Ok(()));
        for written in [
            [Some(&*trace), None],
            [Some(&link), None],
            [Some(&new), Some(&same)],
        ] {
            assert!(
                refused(&written)
                    .expect_err("one place")
                    .contains("another"),
                "{written:?}"
            );
        }
    }
}
