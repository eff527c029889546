//! `argus model`: what there is, and whether the network computes what it should.

use anyhow::Context;
use argus_forecast::{Lookup, lookup};
use argus_tft::parity;
use serde_json::json;

use crate::cli::{ModelArgs, ModelCommand, ModelSelection};
use crate::exit::Outcome;
use crate::output;

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
        ModelCommand::List { model, json } => list(model, *json),
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

fn list(selection: &ModelSelection, as_json: bool) -> anyhow::Result<Outcome> {
    let lookup = Lookup {
        model: selection.model.clone(),
        models_dir: selection.models_dir.clone(),
        ..Lookup::default()
    };
    let dir = lookup
        .models_dir()
        .context("no models directory; name one with --models-dir DIR")?;
    let models = lookup::list(&dir);
    if as_json {
        let models: Vec<_> = models
            .iter()
            .map(|m| json!({"name": m.name, "path": m.path, "timestamp": m.timestamp}))
            .collect();
        output::line(json!({ "models_dir": dir, "models": models }));
        return Ok(Outcome::Done);
    }
    if models.is_empty() {
        output::note(format_args!("no models in {}", dir.display()));
    }
    for model in models {
        output::line(format_args!("{}  {}", model.name, model.path.display()));
    }
    Ok(Outcome::Done)
}
