//! `argus model calibrate`: a model's risk against what came true in a trace, and the curve between them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use argus_backtest::{FitRequest, calibration_fit};
use argus_forecast::Edits;
use argus_risk::Calibration;
use argus_score::ProbabilityScore;
use argus_trace::trace_files;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use super::backtest::{Bar, parse_span};
use super::offline::OfflineArgs;
use crate::exit::Outcome;
use crate::output;

/// A file of a model directory.
const FILE: &str = "calibration.json";

/// `argus model calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Trace with timestamp, server_name and metric columns, or a folder of them.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Forecast from this date (UTC) on only: what the model learned from says nothing of how sure it may be.
    #[arg(long, value_name = "DATE")]
    pub from: Option<Date>,
    /// Time between two forecasts of a server, a multiple of the step.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_span)]
    pub every: u32,
    /// Say what would be told, and leave the model as it is.
    #[arg(long)]
    pub dry_run: bool,
    /// How the input is taken, and which model is calibrated.
    #[command(flatten)]
    pub offline: OfflineArgs,
}

/// Runs the command.
pub fn run(args: &CalibrateArgs) -> anyhow::Result<Outcome> {
    let config = args.offline.config()?;
    let from = args.from.map(|date| date.to_zoned(TimeZone::UTC));
    let from = from.transpose().context("--from")?;
    let request = FitRequest {
        files: trace_files(&args.input)?,
        every_secs: args.every,
        from_ms: from.map_or(i64::MIN, |from| from.timestamp().as_millisecond()),
    };
    let replay = args.offline.replay(&config, Edits::default())?;
    let mut bar = Bar(output::progress(0, "forecasts"));
    let fit = calibration_fit(&replay, &request, &mut bar)?;
    bar.0.finish_and_clear();
    let scores = |calibration: &Calibration| fit.score(calibration);
    let Some(calibration) = fit.finish() else {
        let windows = scores(&Calibration::Identity).map_or(0, |score| score.count);
        bail!(
            "{windows} forecasts with a metric that has a threshold and a known outcome are too few to calibrate by; give a longer trace, or a shorter --every"
        );
    };
    let model = &replay.model;
    if !args.dry_run {
        replace(Path::new(&model.id.path), &calibration)?;
    }
    let told = [
        ("computed", scores(&Calibration::Identity)),
        ("told before", scores(&model.calibration)),
        ("told now", scores(&calibration)),
    ];
    if args.offline.json {
        let [computed, before, now] = told.map(|(_, score)| score);
        output::line(json!({
            "model": model.id.path, "written": !args.dry_run, "computed": computed, "before": before, "now": now,
        }));
        return Ok(Outcome::Done);
    }
    for (what, score) in told {
        if let Some(score) = score {
            output::line(format_args!("{what:>11}: {}", line(&score)));
        }
    }
    if !args.dry_run {
        let path = &model.id.path;
        output::line(format_args!(
            "{path}/{FILE} is replaced; a daemon that serves this model reads it when it next starts or loads the model"
        ));
    }
    Ok(Outcome::Done)
}

fn line(score: &ProbabilityScore) -> String {
    format!(
        "Brier score {:.4} over {} forecasts, of which {} came true",
        score.brier, score.count, score.came_true
    )
}

/// The new file or the old one, never part of one.
fn replace(model: &Path, calibration: &Calibration) -> anyhow::Result<()> {
    let (path, beside) = (model.join(FILE), model.join(format!(".{FILE}.new")));
    let text = serde_json::to_vec_pretty(calibration)?;
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().with_context(|| format!("replace {}", path.display()))
}
