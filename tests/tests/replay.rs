//! A real trace through the public API gives the same numbers as the model run offline on the file.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, Setup, argus, eventually, shared, utf8};
use arrow::array::{AsArray, Float32Array};
use arrow::datatypes::{Float32Type, Int32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

const HORIZON: usize = 96;
const TRACE_METRICS: [&str; 7] = [
    "cpu_user_pct",
    "cpu_sys_pct",
    "cpu_iowait_pct",
    "cpu_idle_pct",
    "load_average",
    "net_in_mb_s",
    "net_out_mb_s",
];

#[test]
fn replay_and_offline_forecast_agree() -> anyhow::Result<()> {
    let Some(trace) = shared("data/jumpstarter.parquet") else {
        println!("skipped: no ../shared/data beside this checkout");
        return Ok(());
    };
    let daemon = Daemon::start(Setup::default())?;
    argus(&[
        "replay",
        utf8(&trace)?,
        "--speed",
        "max",
        "--url",
        &daemon.url,
    ])?;

    let body = eventually(
        "the forecast of the last bin",
        Duration::from_secs(60),
        || {
            let body = daemon.get_ok("/predictions/current")?;
            let servers = body["predictions"].as_object().context("no predictions")?;
            anyhow::ensure!(servers.len() == 30, "{} servers", servers.len());
            let last = "2020-02-04T23:55:00.000Z";
            let behind = servers
                .values()
                .filter(|s| s["forecast_origin"] != last)
                .count();
            anyhow::ensure!(
                behind == 0,
                "{behind} servers are not at {last}: {}",
                servers["js2-00"]["forecast_origin"]
            );
            Ok(body)
        },
    )?;

    let output = daemon.dir.path().join("forecasts.parquet");
    argus(&[
        "forecast",
        "--input",
        utf8(&trace)?,
        "--output",
        utf8(&output)?,
    ])?;
    let offline = read_forecasts(&output)?;
    assert_eq!(
        offline.len(),
        30 * TRACE_METRICS.len() * HORIZON,
        "a row for each metric that the trace has"
    );

    for ((server, metric, step), expected) in &offline {
        let served = &body["predictions"][server][metric];
        let got = ["p10", "p50", "p90"].map(|q| served[q][step - 1].as_f64().unwrap_or(f64::NAN));
        assert!(
            got[0] <= got[1] && got[1] <= got[2],
            "{server} {metric} step {step}: {got:?} cross"
        );
        for (a, b) in got.iter().zip(expected) {
            let close = (a - b).abs() <= 1e-3 * b.abs().max(1.0);
            assert!(
                close,
                "{server} {metric} step {step}: served {got:?}, offline {expected:?}"
            );
        }
    }
    let lacking = &body["predictions"]["js2-00"]["mem_used_pct"];
    for field in ["p10", "p50", "p90", "current", "trend"] {
        assert_eq!(
            lacking[field],
            Value::Null,
            "the trace has no memory: {lacking}"
        );
    }
    Ok(())
}

type Key = (String, String, usize);

fn read_forecasts(path: &Path) -> anyhow::Result<HashMap<Key, [f64; 3]>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path)?)?.build()?;
    let mut rows = HashMap::new();
    for batch in reader {
        let batch = batch?;
        let text = |name: &str| -> anyhow::Result<Vec<String>> {
            let column = batch
                .column_by_name(name)
                .with_context(|| format!("no column {name}"))?;
            let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8)?;
            Ok(column
                .as_string::<i32>()
                .iter()
                .map(|v| v.unwrap_or_default().to_owned())
                .collect())
        };
        let values = |name: &str| -> anyhow::Result<Float32Array> {
            let column = batch
                .column_by_name(name)
                .with_context(|| format!("no column {name}"))?;
            let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Float32)?;
            Ok(column.as_primitive::<Float32Type>().clone())
        };
        let (servers, metrics) = (text("server_name")?, text("metric")?);
        let steps = arrow::compute::cast(
            batch.column_by_name("step").context("no column step")?,
            &arrow::datatypes::DataType::Int32,
        )?;
        let steps = steps.as_primitive::<Int32Type>();
        let quantiles = [values("p10")?, values("p50")?, values("p90")?];
        for row in 0..batch.num_rows() {
            let step = usize::try_from(steps.value(row))?;
            let levels = [0, 1, 2].map(|level| f64::from(quantiles[level].value(row)));
            rows.insert((servers[row].clone(), metrics[row].clone(), step), levels);
        }
    }
    Ok(rows)
}
