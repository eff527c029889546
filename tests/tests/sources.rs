//! A source plugin, its connector and the daemon: every record exactly once across SIGKILL, and misbehaviour told.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually, prepared};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const KILLS: usize = 25;
const SEED: u64 = 20_261_121;
const TOTAL: u64 = 40_000;
const SERVERS: u64 = 20;
/// All records lie within a few bins, where the store tells exactly what it has.
const SPACING_MS: u64 = 5;
const START_MS: u64 = 1_767_607_200_000;

/// The library of a crate that this one has as a dev-dependency: cargo puts it beside the test's executable.
fn library(name: &str) -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.parent().context("a folder")?;
    let path = folder.join(format!("libargus_connector_{name}.so"));
    anyhow::ensure!(path.exists(), "{} is missing", path.display());
    Ok(path)
}

fn config(plugins: &str) -> anyhow::Result<String> {
    let memory = library("memory")?.display().to_string();
    Ok(format!(
        "[connectors.numbers]\npath = \"{memory}\"\n{plugins}"
    ))
}

fn plugin(name: &str, keys: &str, settings: &str) -> anyhow::Result<String> {
    let wasm = prepared("ARGUS_PLUGINS_DIR")?.join("hostile-source.wasm");
    Ok(format!(
        "[plugins.{name}]\nkind = \"source\"\npath = \"{}\"\n{keys}\n[plugins.{name}.config]\n{settings}\n",
        wasm.display()
    ))
}

fn source(daemon: &Daemon, name: &str) -> anyhow::Result<Value> {
    let status = daemon.get_ok("/sources")?;
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    let found = sources.into_iter().find(|source| source["name"] == name);
    found.with_context(|| format!("no source {name} in {status}"))
}

/// What the source sends as record `n`.
fn record(n: u64) -> Value {
    json!({
        "server_name": format!("source-{}", n % SERVERS),
        "timestamp": START_MS + n * SPACING_MS,
        "cpu_user_pct": (n % 97) as f64,
        "mem_used_pct": 40.5,
    })
}

#[test]
fn every_record_is_there_once_across_kills() -> anyhow::Result<()> {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let keys = "connectors = [\"numbers\"]\nschedule = { interval_secs = 1, max_records = 100 }";
    let settings = format!(
        "connector = \"numbers\"\nstart_ms = {START_MS}\nspacing_ms = {SPACING_MS}\nservers = {SERVERS}\ntotal = {TOTAL}"
    );
    let no_models = tempfile::tempdir()?;
    let mut daemon = Daemon::start(Setup {
        config: config(&plugin("numbers", keys, &settings)?)?,
        models_dir: Some(no_models.path().to_path_buf()),
        ..Setup::default()
    })?;
    let (mut in_flight, mut stored) = (0, 0);
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(rng.random_range(0..350)));
        let before = source(&daemon, "numbers")?;
        // A batch that was stored without its checkpoint would come again, and be refused as a duplicate.
        assert_eq!(before["duplicates"], 0, "{before}");
        assert_eq!(before["rejected"], json!({}), "{before}");
        in_flight += usize::from(before["catching_up"] == true || before["state"] != "waiting");
        stored += before["accepted"].as_u64().unwrap_or_default();
        daemon.kill_and_restart()?;
    }
    println!(
        "{in_flight} of {KILLS} kills hit a run; at least {stored} records were stored between them"
    );
    assert!(in_flight >= KILLS / 3, "only {in_flight} kills hit a run");
    let done = eventually("the last record", Duration::from_secs(180), || {
        let source = source(&daemon, "numbers")?;
        let is_done = source["catching_up"] == false && source["last_success_ms"].is_i64();
        anyhow::ensure!(is_done && source["state"] == "waiting", "{source}");
        Ok(source)
    })?;
    assert_eq!(done["duplicates"], 0, "{done}");

    // Each number is refused as an identical duplicate if, and only if, it is stored.
    for from in (0..TOTAL).step_by(5_000) {
        let records: Vec<Value> = (from..from + 5_000).map(record).collect();
        let body = json!({ "records": records }).to_string();
        let (_, answer) = daemon.post("/feed/data", &body)?;
        assert_eq!(
            answer["identical_duplicates"], 5_000,
            "{}",
            answer["detail"]
        );
    }
    let metrics = daemon.get("/metrics")?.1.to_string();
    for metric in [
        "argus_source_records_accepted",
        "argus_connector_documents",
        "argus_source_polls",
    ] {
        assert!(
            metrics.contains(&format!("{metric}_total{{name=")),
            "{metric}"
        );
    }
    let status = daemon.get_ok("/sources")?;
    let connector = &status["connectors"][0];
    assert_eq!(connector["library"], "memory 0.1.0");
    assert_eq!(
        (&connector["state"], &connector["owed"]),
        (&json!("open"), &json!(0))
    );
    Ok(())
}

#[test]
fn sources_that_misbehave_are_told_apart() -> anyhow::Result<()> {
    let keys = "connectors = [\"numbers\"]\nlimits = { timeout_secs = 8, compute_ms = 200 }\n\
                schedule = { interval_secs = 1, max_records = 10 }";
    let cases = [
        (
            "loop",
            "behaviour = \"loop\"",
            "computed for more than 200ms",
        ),
        (
            "panic",
            "behaviour = \"panic\"",
            "panicked: I was told to panic",
        ),
        (
            "no_progress",
            "behaviour = \"no_progress\"",
            "stays where it is",
        ),
        (
            "too_many",
            "behaviour = \"too_many\"\nspacing_ms = 5",
            "more than 10 records",
        ),
        (
            "cursors",
            "behaviour = \"cursors\"\nconnector = \"numbers\"",
            "cursors",
        ),
        (
            "wait",
            "behaviour = \"wait\"\nconnector = \"numbers\"",
            "did not finish within 8s",
        ),
        (
            "not_granted",
            "connector = \"orders\"\ntotal = 5",
            "no connector \"orders\" for this plugin",
        ),
    ];
    let mut plugins = String::new();
    for (name, settings, _) in cases {
        plugins.push_str(&plugin(name, keys, settings)?);
    }
    plugins.push_str(&plugin("garbage", keys, "behaviour = \"garbage\"")?);
    let total = format!("total = 50\nstart_ms = {START_MS}\nspacing_ms = 1000");
    plugins.push_str(&plugin("fine", keys, &total)?);
    let broken = "[connectors.broken]\npath = \"no-such-library.so\"\n";
    let daemon = Daemon::start(Setup {
        config: config(&format!("{broken}{plugins}"))?,
        ..Setup::default()
    })?;
    for (name, _, fragment) in cases {
        let error = eventually("an error", Duration::from_secs(60), || {
            let source = source(&daemon, name)?;
            let error = source["last_error"].as_str().map(str::to_owned);
            error.context(source.to_string())
        })?;
        assert!(error.contains(fragment), "{name}: {error}");
        // The host's errors name the version too; what is wrong with a batch is said of the source.
        let named = [format!("plugin {name} 0.1.0: "), format!("source {name}: ")];
        assert!(
            named.iter().any(|start| error.starts_with(start)),
            "{name}: {error}"
        );
    }
    // Garbage is a bad record, counted, and passed over.
    let garbage = eventually("a rejection", Duration::from_secs(30), || {
        let source = source(&daemon, "garbage")?;
        anyhow::ensure!(
            source["rejected"]["malformed"].as_u64() > Some(0),
            "{source}"
        );
        Ok(source)
    })?;
    assert_eq!(garbage["errors"], 0, "{garbage}");
    eventually("the good source's records", Duration::from_secs(30), || {
        let source = source(&daemon, "fine")?;
        anyhow::ensure!(source["accepted"] == 50, "{source}");
        Ok(())
    })?;
    let status = daemon.get_ok("/sources")?;
    let broken = &status["connectors"][0];
    assert_eq!(
        (&broken["name"], &broken["state"]),
        (&json!("broken"), &json!("failed"))
    );
    // Whatever was left open was closed with its call.
    let numbers = &status["connectors"][1];
    assert_eq!(
        (&numbers["owed"], &numbers["state"]),
        (&json!(0), &json!("open")),
        "{numbers}"
    );
    assert_eq!(daemon.get_ok("/health")?["status"], "healthy");
    Ok(())
}
