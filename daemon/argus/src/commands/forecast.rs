//! `argus forecast`: the model over a trace, offline, through the same windows as the daemon's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use argus_backtest::{Answer, BacktestError, Replay, ServerBins, Stroke, deciles, groups};
use argus_fleet::InputEdit;
use argus_forecast::{Edits, Interpretation, MIN_CONTEXT_BINS, VariableWeights};
use argus_schema::Schema;
use argus_trace::{
    AttentionWriter, ForecastWriter, RiskWriter, Weight, count_servers, read_servers, trace_files,
};
use clap::Args;
use serde_json::{Value, json};

use super::offline::{OfflineArgs, check_distinct, listed_origins};
use crate::exit::Outcome;
use crate::output;

/// `argus forecast`.
#[derive(Debug, Args)]
pub struct ForecastArgs {
    /// Trace with timestamp, server_name and metric columns, or a folder of them, such as the daemon's own history.
    #[arg(long, value_name = "PATH")]
    pub input: PathBuf,
    /// Parquet list of server_name and origin (start of the last bin to see); default: each server's last bin.
    #[arg(long, value_name = "FILE")]
    pub origins: Option<PathBuf>,
    /// Parquet file to write: server_name, origin, step, metric, p10, p50, p90.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["risk", "attention"])]
    pub output: Option<PathBuf>,
    /// Parquet file to write: server_name, origin, risk_score, risk_30m, risk_unclamped.
    #[arg(long, value_name = "FILE")]
    pub risk: Option<PathBuf>,
    /// Parquet file to write, about 45 000 rows a forecast: server_name, origin, part, step, at, variable, weight. In the
    /// part `attention` a step ahead looks at the step `at` (0 is the origin, -1 before it, 1 ahead), averaged over
    /// heads; in `static`, `context` and `horizon` a variable has its weight at the step `at`.
    #[arg(long, value_name = "FILE")]
    pub attention: Option<PathBuf>,
    /// JSON list of input edits to make before the model runs, e.g.
    /// [{"metric": "cpu_user_pct", "from_step": -11, "to_step": 0, "action": {"scale": 0.5}}].
    #[arg(long, value_name = "FILE")]
    pub edits: Option<PathBuf>,
    /// How the input is taken.
    #[command(flatten)]
    pub offline: OfflineArgs,
}

/// Runs the command.
pub fn run(args: &ForecastArgs) -> anyhow::Result<Outcome> {
    check_distinct(
        &[
            Some(&args.input),
            args.origins.as_deref(),
            args.edits.as_deref(),
        ],
        &[
            args.output.as_deref(),
            args.risk.as_deref(),
            args.attention.as_deref(),
        ],
    )?;
    let config = args.offline.config()?;
    let edits = match &args.edits {
        Some(path) => read_edits(path)?,
        None => Edits::default(),
    };
    let replay = args.offline.replay(&config, edits)?;
    let read = || format!("read {}", args.input.display());
    let files = trace_files(&args.input).with_context(read)?;
    let counts = count_servers(&files, &replay.schema).with_context(read)?;
    let mut listed = args.origins.as_deref().map(listed_origins).transpose()?;
    let expected = listed.as_ref().map_or(counts.len(), |listed| {
        listed.values().map(Vec::len).sum::<usize>()
    });
    let bar = output::progress(expected as u64, "forecasts");
    let is_wanted = |name: &str| {
        listed
            .as_ref()
            .is_none_or(|listed| listed.contains_key(name))
    };
    let groups = groups(&counts, is_wanted);

    let mut outputs = Outputs {
        replay: &replay,
        forecasts: args
            .output
            .as_deref()
            .map(ForecastWriter::create)
            .transpose()?,
        risk: args.risk.as_deref().map(RiskWriter::create).transpose()?,
        attention: args
            .attention
            .as_deref()
            .map(AttentionWriter::create)
            .transpose()?,
        not_judged: 0,
    };
    let (mut written, mut too_short, mut unknown, mut out_of_range) = (0, 0, 0, 0);
    for group in groups {
        let series = read_servers(&files, &replay.schema, &group).with_context(read)?;
        let servers = replay.bins(series)?;
        let (strokes, outside) = strokes(&replay, &servers, &mut listed);
        let done = replay.run(
            &servers,
            &strokes,
            |_| (),
            |answers, ()| {
                bar.inc(answers.len() as u64);
                answers.iter().try_for_each(|answer| outputs.write(answer))
            },
        )?;
        written += done.forecasts;
        too_short += done.too_short;
        unknown += outside;
        out_of_range += servers
            .iter()
            .map(|server| server.out_of_range)
            .sum::<usize>();
    }
    bar.finish_and_clear();
    unknown += (listed.iter().flatten())
        .map(|(_, origins)| origins.len())
        .sum::<usize>();
    if written == 0 {
        // The writers are dropped unfinished, so that no empty file looks like an answer.
        if unknown > 0 && too_short == 0 {
            bail!(
                "none of the {unknown} origins is of a server of {} and within its rows",
                args.input.display()
            );
        }
        bail!("no origin has the {MIN_CONTEXT_BINS} bins of context that the model needs");
    }
    let not_judged = outputs.finish()?;
    if out_of_range > 0 {
        output::note(format_args!(
            "{out_of_range} values outside their metric's range were taken as missing"
        ));
    }
    if args.offline.json {
        output::line(json!({
            "model": replay.model.id.path, "forecasts": written, "too_little_context": too_short,
            "origins_of_unknown_servers": unknown, "values_out_of_range": out_of_range,
            "not_judged": not_judged, "output": args.output, "risk": args.risk,
            "attention": args.attention,
        }));
    } else {
        let files = [&args.output, &args.risk, &args.attention]
            .into_iter()
            .flatten();
        let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
        if not_judged > 0 {
            output::note(format_args!(
                "{not_judged} of the forecasts have no risk: no metric with a threshold was observed"
            ));
        }
        output::line(format_args!(
            "{written} forecasts written to {}; {too_short} origins with too little context, \
             {unknown} of servers or times without rows",
            files.join(" and ")
        ));
    }
    Ok(Outcome::Done)
}

/// What to forecast of some servers: what is listed of them, which is taken from the list, or without a list each one's
/// last bin. Also tells how many origins lie outside of their rows.
fn strokes(
    replay: &Replay,
    servers: &[ServerBins],
    listed: &mut Option<BTreeMap<String, Vec<i64>>>,
) -> (Vec<(usize, Stroke)>, usize) {
    let step_ms = replay.step_ms();
    let mut unknown = 0;
    let mut strokes = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let bins = match listed {
            None => vec![server.first_bin + i64::try_from(server.len()).unwrap_or(0) - 1],
            Some(left) => {
                let origins = left.remove(server.name.as_str()).unwrap_or_default();
                origins.iter().map(|ms| ms.div_euclid(step_ms)).collect()
            }
        };
        let (of_server, outside) = argus_backtest::listed(server, &bins, step_ms);
        unknown += outside;
        strokes.extend(of_server.into_iter().map(|stroke| (index, stroke)));
    }
    (strokes, unknown)
}

/// A JSON list of edits, or an object that has one under `edits`, such as a counterfactual.
fn read_edits(path: &Path) -> anyhow::Result<Edits> {
    let said = || format!("edits of {}", path.display());
    let text = std::fs::read_to_string(path).with_context(said)?;
    let mut value: Value = serde_json::from_str(&text).with_context(said)?;
    if let Some(list) = value.get_mut("edits") {
        value = list.take();
    }
    let edits: Vec<InputEdit> = serde_json::from_value(value).with_context(said)?;
    Edits::new(&edits, &Schema::server()).with_context(said)
}

struct Outputs<'a> {
    replay: &'a Replay,
    forecasts: Option<ForecastWriter>,
    risk: Option<RiskWriter>,
    attention: Option<AttentionWriter>,
    not_judged: usize,
}

impl Outputs<'_> {
    fn write(&mut self, answer: &Answer<'_>) -> Result<(), BacktestError> {
        let forecast = &answer.forecast;
        let (name, origin_ms) = (forecast.entity.as_str(), forecast.origin_ms);
        if let Some(writer) = &mut self.forecasts {
            for (column, metric) in self.replay.schema.metrics.iter().enumerate() {
                writer.write(name, origin_ms, &metric.name, deciles(forecast, column))?;
            }
        }
        if let Some(writer) = &mut self.attention {
            let found = self.replay.interpret(answer)?;
            writer.write(name, origin_ms, weights(&found))?;
        }
        match (&mut self.risk, &answer.risk) {
            (Some(writer), Some(risk)) => {
                writer.write(
                    name,
                    origin_ms,
                    [risk.score, risk.score_30m, risk.unclamped],
                )?;
            }
            (Some(_), None) => self.not_judged += 1,
            (None, _) => {}
        }
        Ok(())
    }

    /// Returns how many forecasts had no metric with a threshold, and so no risk.
    fn finish(self) -> anyhow::Result<usize> {
        if let Some(writer) = self.forecasts {
            writer.finish()?;
        }
        if let Some(writer) = self.risk {
            writer.finish()?;
        }
        if let Some(writer) = self.attention {
            writer.finish()?;
        }
        Ok(self.not_judged)
    }
}

/// Weight by weight, steps counted from the origin's bin.
fn weights(found: &Interpretation) -> Vec<Weight<'_>> {
    let oldest = 1 - found.context_steps.cast_signed();
    let steps = |of: &VariableWeights| of.weights.len() / of.names.len().max(1);
    let width = steps(&found.encoder) + steps(&found.decoder);
    let mut weights = Vec::with_capacity(2 * found.attention.len());
    for (step, row) in (1..).zip(found.attention.chunks_exact(width)) {
        weights.extend((oldest..).zip(row).map(|(at, weight)| Weight {
            part: "attention",
            step: Some(step),
            at: Some(at),
            variable: None,
            weight: *weight,
        }));
    }
    for (part, of, first) in [
        ("static", &found.statics, None),
        ("context", &found.encoder, Some(oldest)),
        ("horizon", &found.decoder, Some(1)),
    ] {
        for (later, row) in (0..).zip(of.weights.chunks_exact(of.names.len().max(1))) {
            weights.extend(of.names.iter().zip(row).map(|(name, weight)| Weight {
                part,
                step: None,
                at: first.map(|first| first + later),
                variable: Some(name),
                weight: *weight,
            }));
        }
    }
    weights
}
