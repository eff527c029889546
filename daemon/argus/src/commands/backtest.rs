//! `argus backtest`: what the model and the alert chain would have said about the past, and how right they were.

use std::path::PathBuf;

use anyhow::bail;
use argus_backtest::{Origins, Progress, Request, Truth, backtest};
use argus_forecast::Edits;
use argus_trace::{read_incidents, read_labelled, trace_files};
use clap::Args;
use indicatif::ProgressBar;

use super::offline::{OfflineArgs, check_distinct, listed_origins};
use crate::exit::Outcome;
use crate::output;
use crate::serve::settings;

/// `argus backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Trace with timestamp, server_name and metric columns, or a folder of them; default: the daemon's stored history.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Time between two forecasts of a server, e.g. 5m, 30m, 1h: a multiple of the step. Default: every step.
    #[arg(long, value_name = "TIME", value_parser = parse_span, conflicts_with = "origins")]
    pub every: Option<u32>,
    /// Parquet list of server_name and origin (start of the last bin to see) to forecast from instead.
    #[arg(long, value_name = "FILE")]
    pub origins: Option<PathBuf>,
    /// Parquet file to write: server_name, origin, step, metric, p10, p50, p90.
    #[arg(long, value_name = "FILE")]
    pub forecasts: Option<PathBuf>,
    /// Parquet file to write: server_name, timestamp (when the alert fired), metric, severity, probability, risk_score.
    #[arg(long, value_name = "FILE")]
    pub alerts: Option<PathBuf>,
    /// CSV of known incidents (server_name,start,end,kind,metrics) to judge the alerts by.
    #[arg(long, value_name = "FILE")]
    pub incidents: Option<PathBuf>,
    /// CSV of the times over which incidents were looked for (server_name,labelled_from,labelled_to); default: all.
    #[arg(long, value_name = "FILE", requires = "incidents")]
    pub labelled: Option<PathBuf>,
    /// Time at the start of each labelled span in which alerts are not judged against incidents.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_span_or_none)]
    pub warm_up: u32,
    /// How the input is taken.
    #[command(flatten)]
    pub offline: OfflineArgs,
}

/// Seconds of `90s`, `5m`, `1h` or `1d`, at least one.
pub(super) fn parse_span(text: &str) -> Result<u32, String> {
    match parse_span_or_none(text)? {
        0 => Err(format!("`{text}` is no time; wanted is more than that")),
        span => Ok(span),
    }
}

/// The same, or none.
fn parse_span_or_none(text: &str) -> Result<u32, String> {
    let wanted = || format!("`{text}` is no time; wanted is a number with s, m, h or d, e.g. 30m");
    let unit = text.chars().next_back().ok_or_else(wanted)?;
    let secs = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wanted()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number: u32 = number.parse().map_err(|_| wanted())?;
    number.checked_mul(secs).ok_or_else(wanted)
}

/// Runs the command.
pub fn run(args: &BacktestArgs) -> anyhow::Result<Outcome> {
    let config = args.offline.config()?;
    let input = match &args.input {
        Some(input) => input.clone(),
        None => {
            let history = args.offline.data_dir(&config).join("store/history");
            if !history.is_dir() {
                bail!(
                    "there is no stored history at {}; name a trace with --input FILE",
                    history.display()
                );
            }
            history
        }
    };
    let lists = [&args.origins, &args.incidents, &args.labelled].map(Option::as_deref);
    let [origins, incidents, labelled] = lists;
    check_distinct(
        &[Some(&input), origins, incidents, labelled],
        &[args.forecasts.as_deref(), args.alerts.as_deref()],
    )?;
    let truth = match &args.incidents {
        None => None,
        Some(incidents) => Some(Truth {
            incidents: read_incidents(incidents)?,
            labelled: args
                .labelled
                .as_deref()
                .map(read_labelled)
                .transpose()?
                .unwrap_or_default(),
            warm_up_minutes: i64::from(args.warm_up / 60),
        }),
    };
    let request = Request {
        files: trace_files(&input)?,
        origins: match &args.origins {
            Some(path) => Origins::Listed(listed_origins(path)?),
            None => Origins::Every(args.every.unwrap_or(args.offline.step_secs)),
        },
        alerts: settings::alerts(&config),
        truth,
        forecasts_to: args.forecasts.clone(),
        alerts_to: args.alerts.clone(),
    };
    let replay = args.offline.replay(&config, Edits::default())?;
    let mut bar = Bar(output::progress(0, "forecasts"));
    let report = backtest(&replay, &request, &mut bar)?;
    bar.0.finish_and_clear();
    if args.offline.json {
        output::line(serde_json::to_value(&report)?);
    } else {
        output::line(&report);
    }
    Ok(Outcome::Done)
}

/// A progress bar of forecasts.
pub(super) struct Bar(pub(super) ProgressBar);

impl Progress for Bar {
    fn begin(&mut self, forecasts: u64) {
        self.0.set_length(forecasts);
    }

    fn advance(&mut self, forecasts: u64) {
        self.0.inc(forecasts);
    }
}

#[cfg(test)]
mod tests {
    use super::parse_span;

    #[test]
    fn times_have_a_unit() {
        for (text, secs) in [("90s", 90), ("5m", 300), ("1h", 3600), ("2d", 172_800)] {
            assert_eq!(parse_span(text), Ok(secs));
        }
        for text in ["", "1", "h", "-1h", "0m", "1.5h", "99999999999h", "1µ"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
