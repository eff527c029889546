//! What `/explain` tells of the network's attention, beside what `argus forecast --attention` writes: the same network,
//! reached without the plugin, its host interface, the daemon and its store.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::Context;
use argus_e2e::{argus, utf8};
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Float32Type, Int32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::number;

const CONTEXT: usize = 288;
const HORIZON: usize = 96;
/// Both are the kernel's single precision, one of them through a mean of 96.
const CLOSE: f64 = 1e-6;

/// One forecast's weights.
#[derive(Default)]
pub struct Weights {
    /// By step ahead and step looked at.
    attention: BTreeMap<(i32, i32), f64>,
    /// Sum over steps and number of steps, by selection and variable.
    variables: BTreeMap<(String, String), (f64, f64)>,
}

/// Runs the model over each server's newest window.
pub fn weights(trace: &Path) -> anyhow::Result<BTreeMap<String, Weights>> {
    let output = trace.with_extension("attention");
    argus(&[
        "forecast",
        "--input",
        utf8(trace)?,
        "--attention",
        utf8(&output)?,
    ])?;
    let mut found: BTreeMap<String, Weights> = BTreeMap::new();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&output)?)?.build()?;
    for batch in reader {
        let batch = batch?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .with_context(|| format!("no {name}"))
        };
        let text = |name: &str| -> anyhow::Result<&StringArray> { Ok(column(name)?.as_string()) };
        let (names, parts, variables) = (text("server_name")?, text("part")?, text("variable")?);
        let steps = column("step")?.as_primitive::<Int32Type>();
        let at = column("at")?.as_primitive::<Int32Type>();
        let weights = column("weight")?.as_primitive::<Float32Type>();
        for row in 0..batch.num_rows() {
            let of_server = match found.get_mut(names.value(row)) {
                Some(weights) => weights,
                None => found.entry(names.value(row).to_owned()).or_default(),
            };
            let weight = f64::from(weights.value(row));
            if parts.value(row) == "attention" {
                let place = (steps.value(row), at.value(row));
                of_server.attention.insert(place, weight);
            } else {
                anyhow::ensure!(at.is_null(row) == (parts.value(row) == "static"));
                let name = (parts.value(row).to_owned(), variables.value(row).to_owned());
                let (sum, count) = of_server.variables.entry(name).or_default();
                (*sum, *count) = (*sum + weight, *count + 1.0);
            }
        }
    }
    Ok(found)
}

/// Compares an answer with what the model said of the same window.
pub fn agrees(server: &str, told: &Value, model: &Weights) -> anyhow::Result<()> {
    anyhow::ensure!(model.attention.len() == HORIZON * (CONTEXT + HORIZON));
    let close = |what: &str, told: f64, model: f64| {
        anyhow::ensure!(
            (told - model).abs() <= CLOSE,
            "{server}: {what} is {told} in the answer, {model} from the model"
        );
        Ok(())
    };
    let of_model = |step: i32| -> Vec<f64> {
        let row = model.attention.range((step, i32::MIN)..=(step, 0));
        row.map(|(_, weight)| *weight).collect()
    };
    let list = |value: &Value| -> anyhow::Result<Vec<f64>> {
        let list = value.as_array().context("no list")?;
        list.iter().map(number).collect()
    };

    let by_horizon = told["by_horizon"].as_array().context("no rows")?;
    anyhow::ensure!(by_horizon.len() == 5, "{by_horizon:?}");
    for row in by_horizon {
        let step = i32::try_from(row["step"].as_i64().context("no step")?)?;
        let (told, model) = (list(&row["weights"])?, of_model(step));
        anyhow::ensure!((told.len(), model.len()) == (CONTEXT, CONTEXT));
        for (told, model) in told.into_iter().zip(model) {
            close("attention", told, model)?;
        }
    }
    let mut mean = vec![0.0; CONTEXT];
    for step in 1..=HORIZON {
        let row = of_model(i32::try_from(step)?);
        for (sum, weight) in mean.iter_mut().zip(row) {
            *sum += weight / HORIZON as f64;
        }
    }
    let share: f64 = mean.iter().sum();
    close(
        "the context's share",
        number(&told["context_share"])?,
        share,
    )?;
    for (told, model) in list(&told["attention_weights"])?.into_iter().zip(mean) {
        close("mean attention", told, model / share)?;
    }

    let mut compared = 0;
    for part in ["static", "context", "horizon"] {
        for named in told["variable_weights"][part].as_array().context("none")? {
            let name = named[0].as_str().context("no name")?;
            let (sum, count) = model.variables[&(part.to_owned(), name.to_owned())];
            close(name, number(&named[1])?, sum / count)?;
            compared += 1;
        }
    }
    anyhow::ensure!(compared == model.variables.len(), "{compared} variables");
    Ok(())
}
