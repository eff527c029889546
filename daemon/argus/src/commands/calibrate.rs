//! `argus model calibrate`: a model's risk against what came true in a trace, and the curve between them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
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
    if args.from.is_none() {
        output::note(
            "without --from DATE the model is also judged by rows that it may have learned from, and then comes out too sure of itself",
        );
    }
    let mut bar = Bar(output::progress(0, "forecasts"));
    let fit = calibration_fit(&replay, &request, &mut bar)?;
    bar.0.finish_and_clear();
    let scores = |calibration: &Calibration| fit.score(calibration);
    let since = args
        .from
        .map_or_else(String::new, |from| format!(" from {from}"));
    let whose = format!("{}{since}", args.input.display());
    let Some(calibration) = fit.finish(&whose) else {
        bail!(
            "{} forecasts with a metric that has a threshold and a known outcome are too few to calibrate by; give a longer trace, or a shorter --every",
            fit.windows()
        );
    };
    let model = &replay.model;
    let path = Path::new(&model.id.path);
    if !args.dry_run {
        argus_tft::replace_calibration(path, &serde_json::to_value(&calibration)?)?;
    }
    let now = if args.dry_run {
        "would be told"
    } else {
        "told now"
    };
    let told = [
        ("computed", scores(&Calibration::Identity)),
        ("told before", scores(&model.calibration)),
        (now, scores(&calibration)),
    ];
    if args.offline.json {
        let [computed, before, now] = told.map(|(_, score)| score);
        output::line(json!({
            "model": path, "written": !args.dry_run, "computed": computed, "before": before, "now": now,
        }));
        return Ok(Outcome::Done);
    }
    for (what, score) in told {
        if let Some(score) = score {
            output::line(format_args!("{what:>13}: {}", risk_line(&score)));
        }
    }
    output::line("the last line is of the very forecasts that the curve is fitted to");
    if !args.dry_run {
        output::line(format_args!(
            "{}: its calibration is replaced; a daemon that serves it takes the new one when it is started, or asked to with POST /admin/reload-model",
            path.display()
        ));
    }
    Ok(Outcome::Done)
}

/// How good told risk was, for people.
pub(super) fn risk_line(score: &ProbabilityScore) -> String {
    format!(
        "Brier score {:.4} over {} forecasts, of which {} came true",
        score.brier, score.count, score.came_true
    )
}
