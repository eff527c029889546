//! `argus model`: what there is, which one is active, and whether the network computes what it should.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use argus_config::Config;
use argus_forecast::lookup::{self, Lookup};
use argus_forecast::{ActivePointer, ModelSlot, schema_ref};
use argus_schema::Schema;
use argus_tft::{Device, ImportOptions, UnknownEntity, parity};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::calibrate::{self, CalibrateArgs};
use crate::cli::ModelSelection;
use crate::exit::Outcome;
use crate::output;
use crate::serve::models::activation;
use crate::serve::settings;

/// `argus model`.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// What to do with models.
    #[command(subcommand)]
    pub command: ModelCommand,
}

/// The verbs of `argus model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Compare the network with a reference run of pytorch-forecasting, weight by weight and output by output.
    Parity {
        /// Directory with config.json, model.safetensors, inputs.safetensors, outputs.safetensors.
        dir: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Make a model directory from a pytorch-forecasting model exported without pickle (examples/export_model.py).
    #[command(
        after_help = "Example:\n  argus model import --config config.json --weights model.safetensors --output models/mine"
    )]
    Import(ImportArgs),
    /// Fit a model's risk to what came true in a trace that it did not learn from, for the thresholds that you have.
    #[command(
        after_help = "Example:\n  argus model calibrate --model models/mine --input trace.parquet --from 2026-03-01"
    )]
    Calibrate(CalibrateArgs),
    /// List model directories, newest first; the active one is marked.
    List(RegistryArgs),
    /// Make a model the active one. A running daemon that follows the data directory's pointer takes it over at once.
    #[command(after_help = "Example:\n  argus model activate argus_20260101_120000")]
    Activate {
        /// Name of a listed model, or a model directory.
        #[arg(id = "activated", value_name = "MODEL")]
        model: String,
        /// Which registry.
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Make the model active again that was active before the active one.
    Rollback(RegistryArgs),
}

/// `argus model import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Description of the model: hyper-parameters, variables, categories, scalers, normaliser tables.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Its state dict as safetensors.
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// The schema that it is to serve: `server`, or a schema file (TOML).
    #[arg(long, default_value = "server")]
    pub schema: String,
    /// Length of a step in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub step_secs: u32,
    /// Scale of a server that the model's tables do not have: that of its own context, or the usual one of the table.
    #[arg(long, value_enum, default_value_t = UnknownServers::Own)]
    pub unknown_servers: UnknownServers,
    /// The model directory to make; within an existing models directory a new one, imported_YYYYMMDD_HHMMSS, is made.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What a server gets that the tables do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownServers {
    /// The scale of its own context.
    Own,
    /// The median of the table, as pytorch-forecasting does.
    Usual,
}

/// Which registry: the models directory and the data directory's pointer.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// Where models are looked for.
    #[command(flatten)]
    pub model: ModelSelection,
    /// Configuration file that names models and data directory.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The daemon's data directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ModelArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        ModelCommand::Parity { dir, json } => {
            let report = parity::check(dir).with_context(|| format!("{}", dir.display()))?;
            if *json {
                output::line(parity_json(&report));
            } else {
                output::line(&report);
            }
            Ok(if report.passes() {
                Outcome::Done
            } else {
                Outcome::No
            })
        }
        ModelCommand::Import(args) => import(args),
        ModelCommand::Calibrate(args) => calibrate::run(args),
        ModelCommand::List(registry) => registry.open()?.list(),
        ModelCommand::Activate { model, registry } => registry.open()?.activate(model),
        ModelCommand::Rollback(registry) => registry.open()?.roll_back(),
    }
}

fn parity_json(report: &parity::Report) -> serde_json::Value {
    let outputs: Vec<_> = report
        .differences
        .iter()
        .map(|d| {
            json!({
                "output": d.output, "greatest_absolute_difference": d.greatest, "tolerance": d.tolerance,
                "values": d.compared, "passes": d.passes(),
            })
        })
        .collect();
    json!({
        "dir": report.dir, "windows": report.windows, "parameters": report.parameters,
        "passes": report.passes(), "outputs": outputs,
    })
}

fn import(args: &ImportArgs) -> anyhow::Result<Outcome> {
    let schema = if args.schema == "server" {
        Schema::server()
    } else {
        let text = std::fs::read_to_string(&args.schema)
            .with_context(|| format!("read the schema {}", args.schema))?;
        Arc::new(Schema::from_toml(&text)?)
    };
    let options = ImportOptions {
        schema: schema_ref(&schema),
        step_secs: args.step_secs,
        unknown: match args.unknown_servers {
            UnknownServers::Own => UnknownEntity::Own,
            UnknownServers::Usual => UnknownEntity::Usual,
        },
    };
    let output = place(&args.output)?;
    let imported = argus_tft::import(&args.config, &args.weights, &options, &output)?;
    // What was written must be what the daemon loads.
    let slot = ModelSlot::new(schema, Device::Cpu);
    let id = slot.load(&output).map_err(anyhow::Error::msg)?;
    if args.json {
        output::line(json!({
            "model": id.path, "weights_sha256": id.weights_sha256, "targets": imported.targets,
            "servers_with_own_scale": imported.entities, "parameters": imported.parameters,
        }));
    } else {
        output::line(format_args!(
            "{}: {} parameters, forecasts {}, scales of {} servers",
            id.path,
            imported.parameters,
            imported.targets.join(", "),
            imported.entities
        ));
    }
    Ok(Outcome::Done)
}

/// Where an imported model goes: the named place, or a new directory within it where it is a models directory already.
fn place(output: &Path) -> anyhow::Result<PathBuf> {
    let Ok(mut entries) = std::fs::read_dir(output) else {
        return Ok(output.to_owned());
    };
    if entries.next().is_none() {
        std::fs::remove_dir(output)
            .with_context(|| format!("replace the empty {}", output.display()))?;
        return Ok(output.to_owned());
    }
    if output.join("config.json").exists() {
        anyhow::bail!("model directory {} exists already", output.display());
    }
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    Ok(output.join(format!("imported_{}", now.strftime("%Y%m%d_%H%M%S"))))
}

/// The models directory, the pointer, and the order in which the daemon looks for a model.
struct Registry {
    lookup: Lookup,
    pointer: ActivePointer,
    data_dir: PathBuf,
    json: bool,
}

impl RegistryArgs {
    fn open(&self) -> anyhow::Result<Registry> {
        let config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        let named = self.data_dir.clone();
        let data_dir = named.unwrap_or_else(|| settings::data_dir(&config));
        Ok(Registry {
            lookup: settings::lookup(&self.model, &config, &data_dir),
            pointer: ActivePointer::of(&data_dir),
            data_dir,
            json: self.json,
        })
    }
}

impl Registry {
    fn list(&self) -> anyhow::Result<Outcome> {
        let dir = self
            .lookup
            .models_dir()
            .context("no models directory; name one with --models-dir DIR")?;
        let models = lookup::list(&dir);
        anyhow::ensure!(dir.is_dir(), "there is no directory {}", dir.display());
        let active = self.serving();
        if active.is_none() {
            let because = self.lookup.choose().because;
            output::note(format_args!("no model would serve ({because})"));
        }
        let is_active = |path: &Path| active.as_deref().is_some_and(|a| same_place(a, path));
        if self.json {
            let models: Vec<_> = models
                .iter()
                .map(|m| {
                    json!({
                        "name": m.name, "path": m.path, "timestamp": m.timestamp, "active": is_active(&m.path),
                    })
                })
                .collect();
            output::line(json!({ "models_dir": dir, "active": active, "models": models }));
            return Ok(Outcome::Done);
        }
        if models.is_empty() {
            output::note(format_args!("no models in {}", dir.display()));
        }
        for model in models {
            let mark = if is_active(&model.path) { "*" } else { " " };
            output::line(format_args!(
                "{mark} {}  {}",
                model.name,
                model.path.display()
            ));
        }
        Ok(Outcome::Done)
    }

    /// What a daemon would serve: the first candidate that loads.
    fn serving(&self) -> Option<PathBuf> {
        let candidates = self.lookup.choose().candidates;
        candidates.into_iter().find(|dir| load(dir).is_ok())
    }

    fn activate(&self, model: &str) -> anyhow::Result<Outcome> {
        let listed = self
            .lookup
            .models_dir()
            .and_then(|dir| lookup::find(&dir, model));
        let dir = match listed {
            Some(listed) => listed.path,
            None if Path::new(model).join("config.json").is_file() => PathBuf::from(model),
            None => anyhow::bail!(
                "`{model}` is neither a model directory nor the name of one that `argus model list` shows"
            ),
        };
        let path = load(&dir)?;
        let serving = self.serving();
        let serving = serving.and_then(|dir| dir.canonicalize().ok());
        std::fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("make data directory {}", self.data_dir.display()))?;
        let new = activation(&path, "argus model activate");
        self.pointer.activate(new, serving.as_deref())?;
        self.tell(&path, "is active")
    }

    fn roll_back(&self) -> anyhow::Result<Outcome> {
        let path = load(&self.pointer.before()?)?;
        self.pointer.roll_back()?;
        self.tell(&path, "is active again")
    }

    fn tell(&self, path: &str, what: &str) -> anyhow::Result<Outcome> {
        let follows = self.lookup.follows_pointer();
        if !follows {
            output::note(
                "the command line or the configuration names where the model comes from, which goes before the active one",
            );
        }
        if self.json {
            output::line(json!({
                "active": path, "pointer": self.pointer.path(), "takes_effect": follows,
            }));
        } else {
            output::line(format_args!(
                "{path} {what} ({})",
                self.pointer.path().display()
            ));
        }
        Ok(Outcome::Done)
    }
}

/// Loads a model as the daemon would, so that nothing broken or foreign becomes active; returns its full path.
fn load(dir: &Path) -> anyhow::Result<String> {
    let slot = ModelSlot::new(Schema::server(), Device::Cpu);
    let id = slot.load(dir).map_err(anyhow::Error::msg)?;
    Ok(id.path.clone())
}

fn same_place(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
