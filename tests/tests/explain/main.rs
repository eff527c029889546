//! Explanations of a running daemon over real traces: what they claim holds when the model is asked by another way, the
//! command line, with the same edits.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

mod attention;
mod drivers;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, Setup, argus, eventually, prepared, shared, utf8};
use arrow::array::{AsArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

/// Servers whose explanations are put to the test.
const SERVERS: usize = 10;
/// Rows of a server that are replayed.
const KEPT_ROWS: usize = 400;
/// Fewer points between prediction and base leave nothing to explain.
const LEAST_EXPLAINED: f64 = 5.0;

/// One test at a time: a notification waits a second for its drivers, and on few cores another test takes that from it.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn explanations_hold_against_the_command_line() -> anyhow::Result<()> {
    let _turn = turn();
    let traces =
        ["jumpstarter", "bitbrains", "smd"].map(|set| shared(&format!("data/{set}.parquet")));
    let Some(traces) = traces.into_iter().collect::<Option<Vec<_>>>() else {
        println!("skipped: no ../shared/data beside this checkout");
        return Ok(());
    };
    let daemon = Daemon::start(Setup {
        config: explainers()?,
        ..Setup::default()
    })?;
    let cut = |trace: &PathBuf| {
        let small = daemon
            .dir
            .path()
            .join(trace.file_name().context("no name")?);
        newest_rows(trace, &small)?;
        argus(&["replay", utf8(&small)?, "--url", &daemon.url])?;
        anyhow::Ok(small)
    };
    let traces: Vec<PathBuf> = traces.iter().map(cut).collect::<anyhow::Result<_>>()?;
    // Every server of every trace is explained; the first ten with enough to explain count.
    let mut subjects = Vec::new();
    for trace in &traces {
        for server in servers(&daemon)? {
            let lies_in = trace_of(&server);
            if !trace.ends_with(format!("{lies_in}.parquet")) || subjects.len() == SERVERS {
                continue;
            }
            let body = explain(&daemon, &server, "")?;
            let shap = &body["shap"];
            let gap = number(&shap["prediction_value"])? - number(&shap["base_value"])?;
            if gap.abs() >= LEAST_EXPLAINED {
                subjects.push((server, trace.clone(), body));
            }
        }
    }
    anyhow::ensure!(
        subjects.len() == SERVERS,
        "only {} servers to explain",
        subjects.len()
    );

    let mut top_matters = 0;
    for (server, trace, body) in &subjects {
        let risk = |edits: &Value| risk_with(&daemon, trace, server, edits);
        let now = risk(&json!([]))?[1];
        let explained = number(&body["shap"]["prediction_value"])?;
        anyhow::ensure!(
            (now - explained).abs() <= 0.1,
            "{server}: {now} offline, {explained} explained"
        );
        adds_up(&body["shap"])?;
        agrees_with_more_samples(&daemon, server)?;

        // Hiding the top driver moves the explained value more than hiding the median metric does.
        let drivers = &body["explanations"]["shap"]["drivers"];
        let mut moved = Vec::new();
        for driver in drivers.as_array().context("no drivers")? {
            let metric = driver["name"].as_str().context("no name")?;
            let mask =
                json!([{"metric": metric, "from_step": -287, "to_step": 0, "action": "mask"}]);
            moved.push((risk(&mask)?[1] - now).abs());
        }
        let top = moved[0];
        moved.sort_by(f64::total_cmp);
        let median = moved[moved.len() / 2];
        top_matters += usize::from(top > median);
        println!(
            "{server}: {now:.1}; hiding {} moves {top:.1}, the median metric {median:.1}",
            drivers[0]["name"]
        );

        for one in body["counterfactuals"]
            .as_array()
            .context("no counterfactuals")?
        {
            let [score, unclamped] = risk(one)?;
            for (found, claimed) in [
                (score, "predicted_risk"),
                (unclamped, "predicted_risk_unclamped"),
            ] {
                let claimed = number(&one[claimed])?;
                anyhow::ensure!(
                    (found - claimed).abs() <= 0.5,
                    "{server}, {}: {found} offline, {claimed} claimed",
                    one["scenario"]
                );
            }
        }
    }
    println!("hiding the top driver moves more in {top_matters} of {SERVERS}");
    assert!(top_matters >= 9);
    attention_is_the_models(&traces, &subjects)
}

/// Also: another server's weights are not taken for a server's own.
fn attention_is_the_models(
    traces: &[PathBuf],
    subjects: &[(String, PathBuf, Value)],
) -> anyhow::Result<()> {
    let mut model = BTreeMap::new();
    for trace in traces {
        model.extend(attention::weights(trace)?);
    }
    for (place, (server, _, body)) in subjects.iter().enumerate() {
        attention::agrees(server, &body["attention"], &model[server])?;
        let (other, ..) = &subjects[(place + 1) % subjects.len()];
        let taken = attention::agrees(server, &body["attention"], &model[other]);
        anyhow::ensure!(taken.is_err(), "{server} is taken for {other}");
    }
    Ok(())
}

#[test]
fn who_cannot_be_explained_is_told_why() -> anyhow::Result<()> {
    let _turn = turn();
    let daemon = Daemon::start(Setup {
        config: explainers()?,
        ..Setup::default()
    })?;
    let asked = |path: &str| -> anyhow::Result<(u16, Value)> {
        let (status, body) = daemon.get(path)?;
        Ok((status, body["code"].clone()))
    };
    assert_eq!(asked("/explain/nobody")?, (404, json!("unknown_server")));
    assert_eq!(
        asked("/explain/nobody?explainer=none")?,
        (404, json!("unknown_server"))
    );
    feed(&daemon, "young", 3, |_| 50.0)?;
    eventually("the server is known", Duration::from_secs(30), || {
        let found = asked("/explain/young")?;
        anyhow::ensure!(found == (409, json!("warming_up")), "{found:?}");
        Ok(())
    })?;
    feed(
        &daemon,
        "grown",
        60,
        |step| if step < 40 { 50.0 } else { 97.5 },
    )?;
    let body = eventually("its explanation", Duration::from_secs(60), || {
        daemon.get_ok("/explain/grown")
    })?;
    let first = &body["shap"]["feature_importance"];
    assert_eq!(first.as_array().map(Vec::len), Some(14), "{first}");
    assert_eq!(
        asked("/explain/grown?explainer=none")?,
        (404, json!("unknown_explainer"))
    );
    assert_eq!(
        asked("/explain/grown?explainer=shap&target=nonsense")?,
        (400, json!("unknown_target"))
    );
    assert_eq!(
        asked("/explain/grown?explainer=counterfactual&under=x")?,
        (400, json!("invalid_option"))
    );
    // Nothing is forecast of a metric that the server does not send.
    assert_eq!(
        asked("/explain/grown?explainer=shap&target=swap_used_pct")?,
        (409, json!("no_prediction"))
    );
    let calls = || -> anyhow::Result<Value> {
        let plugins = daemon.get_ok("/plugins")?;
        let mut all = plugins["plugins"].as_array().into_iter().flatten();
        Ok(all
            .find(|p| p["name"] == "shap")
            .map_or(Value::Null, |p| p["calls"].clone()))
    };
    let before = calls()?;
    assert!(before.is_u64(), "{before}");
    let again = daemon.get_ok("/explain/grown")?;
    assert_eq!(
        again["shap"], body["shap"],
        "the answer of the same forecast"
    );
    assert_eq!(calls()?, before, "worked out once");
    Ok(())
}

/// An explainer from the JavaScript template, unchanged, beside the shipped ones.
#[test]
fn an_explainer_in_javascript_runs_against_the_same_model() -> anyhow::Result<()> {
    let _turn = turn();
    let there = Command::new("npm").arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("ARGUS_TEST_REQUIRE_TOOLCHAINS").is_some();
        anyhow::ensure!(!required, "`npm` is missing");
        println!("skipped: `npm` is missing");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str], within: &Path| -> anyhow::Result<()> {
        let mut command = Command::new(prepared("ARGUS_BIN")?);
        let run = command.args(arguments).current_dir(within).output()?;
        let said = String::from_utf8_lossy(&run.stderr);
        anyhow::ensure!(run.status.success(), "argus {arguments:?}: {said}");
        Ok(())
    };
    run(
        &[
            "plugin",
            "new",
            "--kind",
            "explainer",
            "--lang",
            "js",
            "own",
        ],
        folder.path(),
    )?;
    let project = folder.path().join("own");
    run(&["plugin", "build"], &project)?;
    let component = project.join("dist/own.wasm");
    let own = format!(
        "[plugins.own]\nkind = \"explainer\"\npath = \"{}\"\n",
        component.display()
    );
    let daemon = Daemon::start(Setup {
        config: explainers()? + &own,
        ..Setup::default()
    })?;
    feed(
        &daemon,
        "web-1",
        60,
        |step| if step < 40 { 50.0 } else { 97.5 },
    )?;
    let body = eventually("its explanation", Duration::from_secs(60), || {
        let body = daemon.get_ok("/explain/web-1")?;
        anyhow::ensure!(body["errors"] == json!({}), "{}", body["errors"]);
        Ok(body)
    })?;
    // Both are told the risk by the same model, one with the floor and one without.
    let told = &body["explanations"]["own"];
    let risk = number(&told["details"]["risk"])?;
    anyhow::ensure!((risk - number(&body["risk_score"])?).abs() <= 0.1, "{told}");
    let unclamped = number(&body["shap"]["prediction_value"])?;
    anyhow::ensure!(
        (unclamped - number(&body["risk_unclamped"])?).abs() <= 0.1,
        "{}",
        body["shap"]
    );
    anyhow::ensure!(told["details"]["evaluations"] == 15, "{told}");
    Ok(())
}

/// A server's record per step, ending now, with memory as told.
fn feed(
    daemon: &Daemon,
    server: &str,
    steps: u32,
    memory: impl Fn(u32) -> f64,
) -> anyhow::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let newest = now.as_secs() / 300 * 300;
    let record = |step: u32| {
        json!({
            "server_name": server, "timestamp": newest - u64::from(steps - step) * 300,
            "mem_used_pct": memory(step), "cpu_user_pct": 20.0, "cpu_idle_pct": 75.0,
        })
    };
    // The last one only closes the step before it.
    daemon.feed(&(0..=steps).map(record).collect::<Vec<_>>())?;
    Ok(())
}

fn explainers() -> anyhow::Result<String> {
    let dir = prepared("ARGUS_PLUGINS_DIR")?;
    let one = |name: &str| {
        let file = dir.join(format!("{name}.wasm"));
        format!(
            "[plugins.{name}]\nkind = \"explainer\"\npath = \"{}\"\nlimits = {{ model_evaluations = 100000 }}\n",
            file.display()
        )
    };
    Ok(["shap", "attention", "counterfactual"].map(one).concat()
        + "[server]\nreads_per_minute = 100000\n")
}

/// The explanation, once the newest forecast has caught up with the data.
fn explain(daemon: &Daemon, server: &str, query: &str) -> anyhow::Result<Value> {
    eventually(
        &format!("an explanation of {server}"),
        Duration::from_secs(60),
        || {
            let body = daemon.get_ok(&format!("/explain/{server}{query}"))?;
            anyhow::ensure!(body["errors"] == json!({}), "{}", body["errors"]);
            Ok(body)
        },
    )
}

fn adds_up(shap: &Value) -> anyhow::Result<()> {
    let parts = shap["feature_importance"].as_array().context("no values")?;
    let sum = parts
        .iter()
        .map(|part| number(&part[1]["impact"]))
        .sum::<anyhow::Result<f64>>()?;
    let gap = number(&shap["prediction_value"])? - number(&shap["base_value"])?;
    anyhow::ensure!((sum - gap).abs() < 1e-3, "{sum} is not {gap}");
    Ok(())
}

/// Sampled values, few and twenty times as many, agree within three of their stated standard errors, and with the exact
/// ones.
fn agrees_with_more_samples(daemon: &Daemon, server: &str) -> anyhow::Result<()> {
    let values = |query: &str| -> anyhow::Result<Vec<(String, f64, f64)>> {
        let body = explain(daemon, server, &format!("?explainer=shap&{query}"))?;
        let mut values = Vec::new();
        for part in body["shap"]["feature_importance"]
            .as_array()
            .context("no values")?
        {
            let name = part[0].as_str().context("no name")?.to_owned();
            values.push((
                name,
                number(&part[1]["impact"])?,
                number(&part[1]["standard_error"])?,
            ));
        }
        values.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(values)
    };
    let few = values("method=sampling&samples=6")?;
    for better in ["method=sampling&samples=120", "method=exact"] {
        for ((name, value, error), (_, reference, _)) in few.iter().zip(values(better)?) {
            anyhow::ensure!(
                (value - reference).abs() <= 3.0 * error + 0.01,
                "{server}, {name}: {value} ± {error}, but {reference} with {better}"
            );
        }
    }
    Ok(())
}

fn servers(daemon: &Daemon) -> anyhow::Result<Vec<String>> {
    let body = daemon.get_ok("/servers")?;
    let all = body["servers"].as_array().context("no servers")?;
    let name = |server: &Value| Some(server["server_name"].as_str()?.to_owned());
    Ok(all.iter().filter_map(name).collect())
}

/// The traces name their servers apart.
fn trace_of(server: &str) -> &'static str {
    match server {
        s if s.starts_with("js") => "jumpstarter",
        s if s.starts_with("bb") => "bitbrains",
        _ => "smd",
    }
}

/// The newest rows of each server, as a trace of its own: more than a forecast reads, less than takes minutes.
fn newest_rows(trace: &Path, small: &Path) -> anyhow::Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(trace)?)?.build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let all = concat_batches(&batches[0].schema(), &batches)?;
    let names = cast(
        all.column_by_name("server_name").context("no names")?,
        &DataType::Utf8,
    )?;
    let times = cast(
        all.column_by_name("timestamp").context("no times")?,
        &DataType::Int64,
    )?;
    let mut rows: BTreeMap<&str, Vec<(i64, u32)>> = BTreeMap::new();
    for row in 0..all.num_rows() {
        let at = times.as_primitive::<Int64Type>().value(row);
        let of_server = rows.entry(names.as_string::<i32>().value(row)).or_default();
        of_server.push((at, u32::try_from(row)?));
    }
    let newest = rows.into_values().flat_map(|mut rows| {
        rows.sort_unstable();
        let first = rows.len().saturating_sub(KEPT_ROWS);
        rows.split_off(first).into_iter().map(|(_, row)| row)
    });
    let kept = take_record_batch(&all, &UInt32Array::from_iter_values(newest))?;
    let mut writer = ArrowWriter::try_new(File::create(small)?, kept.schema(), None)?;
    writer.write(&kept)?;
    writer.close()?;
    Ok(())
}

/// Score and unclamped score of a server's last bin by `argus forecast`, after edits.
fn risk_with(
    daemon: &Daemon,
    trace: &Path,
    server: &str,
    edits: &Value,
) -> anyhow::Result<[f64; 2]> {
    let (file, output) = (
        daemon.dir.path().join("edits.json"),
        daemon.dir.path().join("risk.parquet"),
    );
    std::fs::write(&file, edits.to_string())?;
    argus(&[
        "forecast",
        "--input",
        utf8(trace)?,
        "--edits",
        utf8(&file)?,
        "--risk",
        utf8(&output)?,
    ])?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&output)?)?.build()?;
    for batch in reader {
        let batch = batch?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .with_context(|| format!("no {name}"))
        };
        let names = column("server_name")?.as_string::<i32>();
        let of_server = (0..batch.num_rows()).find(|row| names.value(*row) == server);
        if let Some(row) = of_server {
            let value =
                |name: &str| anyhow::Ok(column(name)?.as_primitive::<Float64Type>().value(row));
            return Ok([value("risk_score")?, value("risk_unclamped")?]);
        }
    }
    anyhow::bail!("no risk of {server}")
}

fn number(value: &Value) -> anyhow::Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("{value} is no number"))
}
