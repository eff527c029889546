//! `argus train`: traces and a synthetic fleet into a model directory.

mod args;
mod progress;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use argus_config::Config;
use argus_generate::{FleetKind, FleetSpec};
use argus_schema::Schema;
use argus_tft::train::TrainOptions;
use argus_tft::{Device, ModelOptions};
use argus_training::{Observer, Stage, SyntheticInput, TraceInput, TrainRequest, train};
use jiff::tz::TimeZone;
use serde_json::json;

use self::args::DeviceChoice;
pub use self::args::TrainArgs;
use self::progress::Teller;
use super::calibrate::risk_line;
use crate::exit::Outcome;
use crate::output;
use crate::serve::settings;

/// Runs the command.
pub fn run(args: &TrainArgs) -> anyhow::Result<Outcome> {
    let schema = Schema::server();
    let request = request(args, &schema)?;
    output::note(format_args!(
        "seed {}, {} threads, {}",
        args.seed, args.threads, request.device
    ));
    let mut teller = Teller::new(args.max_steps, args.progress_json.clone());
    let started = Instant::now();
    let mut tell = |stage: Stage<'_>| {
        teller.tell(stage);
        ControlFlow::Continue(())
    };
    let outcome = train(
        &request,
        &schema,
        &mut Observer {
            tell: &mut tell,
            now: &|| started.elapsed(),
        },
    );
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            teller.end(&json!({ "state": "failed", "error": error.to_string() }));
            return Err(error.into());
        }
    };
    teller.end(&json!({ "state": "done", "model": outcome.dir, "steps": outcome.report.steps }));
    let scores: BTreeMap<_, _> = outcome
        .scores
        .iter()
        .flat_map(|(trace, metrics)| {
            metrics.iter().map(move |(metric, score)| {
                let told = json!({
                    "wql": score.wql, "seasonal_naive_wql": score.seasonal_naive_wql,
                    "coverage": score.coverage, "mae": score.mae,
                });
                (format!("{trace}/{metric}"), told)
            })
        })
        .collect();
    if args.json {
        output::line(json!({
            "model": outcome.dir, "report": outcome.report, "scores": scores, "risk": outcome.risk,
        }));
    } else {
        for (name, score) in scores {
            output::line(format_args!("{name}: {score}"));
        }
        let risk = [
            ("risk as computed", &outcome.risk.computed),
            ("risk as told", &outcome.risk.calibrated),
        ];
        for (what, score) in risk {
            if let Some(score) = score {
                output::line(format_args!("{what}: {}", risk_line(score)));
            }
        }
        output::line(format_args!("model written to {}", outcome.dir.display()));
    }
    Ok(Outcome::Done)
}

fn request(args: &TrainArgs, schema: &Schema) -> anyhow::Result<TrainRequest> {
    if args.incremental && args.watched_share == 0.0 {
        bail!(
            "--incremental keeps the old weights if they are better on what is watched; give a --watched-share above 0"
        );
    }
    if args.incremental != args.from.is_some() {
        bail!("--incremental and --from DIR, the model to go on from, need each other");
    }
    check_names(args)?;
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let unknown_profile = usize::from(schema.default_profile());
    let work_dir = args.checkpoint_dir.clone();
    Ok(TrainRequest {
        traces: traces(args)?,
        synthetic: synthetic(args),
        profiles: settings::profiles(&config),
        thresholds: settings::thresholds(&config),
        model: ModelOptions {
            hidden_size: args.hidden_size,
            attention_heads: args.attention_heads,
            continuous_size: args.continuous_size,
            dropout: args.dropout,
            lags: (args.lag.iter().copied()).filter(|lag| *lag > 0).collect(),
            direct: (args.direct_width > 0).then_some((args.direct_width, args.direct_blocks)),
            ..ModelOptions::default()
        },
        from: args.from.clone(),
        train: TrainOptions {
            seed: args.seed,
            max_steps: args.max_steps,
            time_budget: args
                .time_budget_mins
                .map(|mins| Duration::from_secs(mins * 60)),
            batch_windows: args.batch_windows,
            chunk_windows: args.pass_windows,
            threads: args.threads,
            learning_rate: args.learning_rate,
            weight_decay: args.weight_decay,
            clip_norm: args.clip_norm,
            average_keep: args.average_keep,
            validate_every: args.validate_every,
            patience: args.patience,
            epoch_share: args.epoch_share,
            scale_weight: args.scale_weight,
            chunk_secs: args.chunk_secs,
            memory_mb: args.memory_mb,
            unknown_profile: schema.profiles[unknown_profile].id.clone(),
            ..TrainOptions::default()
        },
        watched_share: args.watched_share,
        device: device(args.device)?,
        work_dir: work_dir.unwrap_or_else(|| args.output.join(format!(".{}.training", args.name))),
        output: args.output.clone(),
        name: args.name.clone(),
        created_ms: jiff::Timestamp::now().as_millisecond(),
        restart: args.restart,
    })
}

fn device(choice: DeviceChoice) -> anyhow::Result<Device> {
    match (choice, Device::best()) {
        (DeviceChoice::Auto, best) => Ok(best),
        (DeviceChoice::Cpu, _) => Ok(Device::Cpu),
        (DeviceChoice::Cuda, card @ Device::Cuda(_)) => Ok(card),
        (DeviceChoice::Cuda, Device::Cpu) => {
            bail!("libtorch has no CUDA card here; use --device cpu, or a libtorch built for CUDA")
        }
    }
}

/// A mistyped name must not leave rows to be learned from that were meant to be kept back.
fn check_names(args: &TrainArgs) -> anyhow::Result<()> {
    let traces: Vec<String> = args.input.iter().map(|path| name_of(path)).collect();
    let is_trace = |name: &String| traces.contains(name);
    if let Some((name, _)) = (args.validation_start.iter()).find(|(name, _)| !is_trace(name)) {
        bail!(
            "--validation-start {name}: no input has this name; there are: {}",
            traces.join(", ")
        );
    }
    let fleets = synthetic(args);
    let is_fleet = |name: &String| {
        (fleets.iter()).any(|input| input.fleet.kind.source_name() == name.as_str())
    };
    if let Some((name, _)) =
        (args.share.iter()).find(|(name, _)| !is_trace(name) && !is_fleet(name))
    {
        bail!(
            "--share {name}: no input has this name; there are: {} (and the fleets that are asked for)",
            traces.join(", ")
        );
    }
    Ok(())
}

/// What a trace is called.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn traces(args: &TrainArgs) -> anyhow::Result<Vec<TraceInput>> {
    let starts: BTreeMap<&str, _> = args
        .validation_start
        .iter()
        .map(|(n, d)| (n.as_str(), *d))
        .collect();
    let trace = |path: &PathBuf| {
        let name = name_of(path);
        let start = starts.get(name.as_str());
        let start = start
            .map(|date| date.to_zoned(TimeZone::UTC))
            .transpose()
            .context("validation start")?;
        Ok(TraceInput {
            origins: origins_beside(path, &name),
            share: share(args, &name),
            name,
            path: path.clone(),
            validation_start_ms: start.map(|zoned| zoned.timestamp().as_millisecond()),
        })
    };
    args.input.iter().map(trace).collect()
}

fn synthetic(args: &TrainArgs) -> Vec<SyntheticInput> {
    let kinds = [
        (FleetKind::Typical, args.synthetic_servers),
        (FleetKind::Varied, args.varied_servers),
    ];
    let input = |(kind, servers): (FleetKind, u32)| SyntheticInput {
        fleet: FleetSpec {
            kind,
            servers,
            days: args.synthetic_days,
            seed: args.synthetic_seed,
            ..FleetSpec::default()
        },
        share: share(args, kind.source_name()),
    };
    kinds
        .into_iter()
        .filter(|(_, servers)| *servers > 0)
        .map(input)
        .collect()
}

fn share(args: &TrainArgs, name: &str) -> f64 {
    let said = args.share.iter().rev().find(|(named, _)| named == name);
    said.map_or(1.0, |(_, share)| *share)
}

/// `<name>_valid_origins.parquet` beside a trace lists the origins that it is scored at.
fn origins_beside(trace: &Path, name: &str) -> Option<PathBuf> {
    Some(trace.with_file_name(format!("{name}_valid_origins.parquet"))).filter(|path| path.exists())
}
