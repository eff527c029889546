//! `argus train`: traces and a synthetic fleet into a model directory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use argus_generate::FleetSpec;
use argus_schema::Schema;
use argus_tft::ModelOptions;
use argus_tft::train::{Progress, TrainOptions, Watch};
use argus_training::{SyntheticInput, TraceInput, TrainRequest, train};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::TrainArgs;
use crate::exit::Outcome;
use crate::output;

/// Runs the command.
pub fn run(args: &TrainArgs) -> anyhow::Result<Outcome> {
    let request = request(args)?;
    output::note(format_args!("seed {}, {} threads", args.seed, args.threads));
    let bar = output::progress(args.max_steps, "steps");
    let started = Instant::now();
    let mut progress = |now: &Progress| {
        bar.set_position(now.step);
        bar.set_message(format!(
            "{:.0} windows/s, loss {:.4}",
            now.windows_per_sec(),
            now.loss
        ));
        if let Some(validation) = now.validation_loss {
            let facts = json!({
                "step": now.step, "steps": now.steps, "loss": now.loss, "validation_loss": validation,
                "windows_per_sec": now.windows_per_sec(), "remaining_secs": now.remaining().as_secs(),
            });
            bar.suspend(|| output::note(facts));
        }
        ControlFlow::Continue(())
    };
    let now = || started.elapsed();
    let outcome = train(
        &request,
        &Schema::server(),
        &mut Watch {
            progress: &mut progress,
            now: &now,
        },
    )?;
    bar.finish_and_clear();
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
        output::line(json!({ "model": outcome.dir, "report": outcome.report, "scores": scores }));
    } else {
        for (name, score) in scores {
            output::line(format_args!("{name}: {score}"));
        }
        output::line(format_args!("model written to {}", outcome.dir.display()));
    }
    Ok(Outcome::Done)
}

fn request(args: &TrainArgs) -> anyhow::Result<TrainRequest> {
    let starts: BTreeMap<&str, _> = args
        .validation_start
        .iter()
        .map(|(n, d)| (n.as_str(), *d))
        .collect();
    let traces = args
        .input
        .iter()
        .map(|path| {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
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
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let synthetic = (args.synthetic_servers > 0).then(|| SyntheticInput {
        fleet: FleetSpec {
            servers: args.synthetic_servers,
            days: args.synthetic_days,
            seed: args.synthetic_seed,
            ..FleetSpec::default()
        },
        share: share(args, "synthetic"),
    });
    Ok(TrainRequest {
        traces,
        synthetic,
        model: ModelOptions {
            hidden_size: args.hidden_size,
            attention_heads: args.attention_heads,
            continuous_size: args.continuous_size,
            dropout: args.dropout,
            lags: args.lag.clone(),
            ..ModelOptions::default()
        },
        train: TrainOptions {
            seed: args.seed,
            max_steps: args.max_steps,
            time_budget: args
                .time_budget_mins
                .map(|mins| Duration::from_secs(mins * 60)),
            batch_windows: args.batch_windows,
            validate_every: args.validate_every,
            threads: args.threads,
            ..TrainOptions::default()
        },
        output: args.output.clone(),
        name: args.name.clone(),
        created_ms: jiff::Timestamp::now().as_millisecond(),
    })
}

fn share(args: &TrainArgs, name: &str) -> f64 {
    let said = args.share.iter().rev().find(|(named, _)| named == name);
    said.map_or(1.0, |(_, share)| *share)
}

/// `<name>_valid_origins.parquet` beside a trace lists the origins that it is scored at.
fn origins_beside(trace: &Path, name: &str) -> Option<PathBuf> {
    Some(trace.with_file_name(format!("{name}_valid_origins.parquet"))).filter(|path| path.exists())
}
