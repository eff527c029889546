//! Models change while requests are answered: by command, by API, back again, and never to a broken one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use argus_e2e::{Daemon, Setup, eventually, prepared};
use serde_json::{Value, json};

/// A copy of the model that serves, under another name.
fn copy_model(daemon: &Daemon, models: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let info = daemon.get_ok("/admin/model-info")?;
    let from = PathBuf::from(info["model_path"].as_str().context("no model serves")?);
    let to = models.join(name);
    copy_files(&from, &to)?;
    Ok(to)
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn argus_model(daemon: &Daemon, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let output = Command::new(prepared("ARGUS_BIN")?)
        .arg("model")
        .args(arguments)
        .arg("--data-dir")
        .arg(daemon.dir.path().join("data"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), said))
}

fn serving(daemon: &Daemon) -> anyhow::Result<String> {
    let info = daemon.get_ok("/admin/model-info")?;
    Ok(info["model_name"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn models_change_under_load_and_broken_ones_never_serve() -> anyhow::Result<()> {
    let setup = Setup {
        config: "[server]\nreads_per_minute = 1000000\n".to_owned(),
        ..Setup::default()
    };
    let daemon = Daemon::start(setup)?;
    let records: Vec<Value> = (0..60)
        .map(|i| json!({"timestamp": 1_767_607_200 + i * 300, "server_name": "ppdb001", "mem_used_pct": 50 + i % 3}))
        .collect();
    daemon.feed(&records)?;
    let answered = || {
        let current = daemon.get_ok("/predictions/current")?;
        ensure!(
            current["predictions"]["ppdb001"]
                .to_string()
                .contains("p50"),
            "{current}"
        );
        Ok(current)
    };
    eventually("the first forecast", Duration::from_secs(30), answered)?;
    let shipped = serving(&daemon)?;

    let models = daemon.dir.path().join("models");
    let first = copy_model(&daemon, &models, "first_20300101_000000")?;
    copy_model(&daemon, &models, "second_20300102_000000")?;
    let broken = copy_model(&daemon, &models, "broken_20300103_000000")?;
    let weights = broken.join("model.safetensors");
    let bytes = std::fs::read(&weights)?;
    std::fs::write(&weights, &bytes[..bytes.len() / 2])?;

    let (done, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let ask = || -> anyhow::Result<()> {
            while !done.load(Ordering::Relaxed) {
                let (status, body) = daemon.get("/predictions/current")?;
                ensure!(status == 200, "{status}: {body}");
                ensure!(
                    body["predictions"]["ppdb001"].to_string().contains("p50"),
                    "{body}"
                );
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        let changed = change(&daemon, &shipped, &first, &broken);
        done.store(true, Ordering::Relaxed);
        for asker in askers {
            asker
                .join()
                .map_err(|_| anyhow::anyhow!("an asker panicked"))??;
        }
        changed
    })?;
    let count = answers.load(Ordering::Relaxed);
    ensure!(count >= 20, "only {count} requests were answered meanwhile");
    Ok(())
}

fn change(daemon: &Daemon, shipped: &str, first: &Path, broken: &Path) -> anyhow::Result<()> {
    let serves = |wanted: &str| {
        let wanted = wanted.to_owned();
        eventually("another model", Duration::from_secs(20), move || {
            let now = serving(daemon)?;
            ensure!(now == wanted, "{now} serves, not {wanted}");
            Ok(())
        })
    };
    // By command, followed by the running daemon.
    let first = first.display().to_string();
    let (code, said) = argus_model(daemon, &["activate", &first])?;
    ensure!(code == Some(0), "{said}");
    serves("first_20300101_000000")?;
    let (code, said) = argus_model(daemon, &["activate", &broken.display().to_string()])?;
    ensure!(
        code == Some(2) && said.contains("truncated"),
        "{code:?}: {said}"
    );

    // By API; the models beside the active one are the ones that may be loaded.
    let reload = |name: &str| daemon.post(&format!("/admin/reload-model?model_path={name}"), "");
    let (status, body) = reload("second_20300102_000000")?;
    ensure!(
        status == 200 && body["previous_model"] == "first_20300101_000000",
        "{status}: {body}"
    );
    serves("second_20300102_000000")?;
    let (status, body) = reload("broken_20300103_000000")?;
    ensure!(
        status == 422 && body["current_model"] == "second_20300102_000000",
        "{status}: {body}"
    );
    ensure!(reload("nothing")?.0 == 404);
    serves("second_20300102_000000")?;

    // And back, to what served before anything was activated.
    for wanted in ["first_20300101_000000", shipped] {
        let (status, body) = daemon.post("/admin/rollback-model", "")?;
        ensure!(
            status == 200 && body["new_model"] == wanted,
            "{status}: {body}"
        );
        serves(wanted)?;
    }
    let (status, body) = daemon.post("/admin/rollback-model", "")?;
    ensure!(status == 404, "{status}: {body}");
    Ok(())
}

#[test]
fn what_is_active_survives_a_restart() -> anyhow::Result<()> {
    let mut daemon = Daemon::start(Setup::default())?;
    let models = daemon.dir.path().join("models");
    let mine = copy_model(&daemon, &models, "mine_20300101_000000")?;
    let (code, said) = argus_model(&daemon, &["activate", &mine.display().to_string()])?;
    ensure!(code == Some(0), "{said}");
    daemon.kill_and_restart()?;
    ensure!(serving(&daemon)? == "mine_20300101_000000");
    let (code, said) = argus_model(&daemon, &["rollback"])?;
    ensure!(code == Some(0), "{said}");
    eventually("the one before", Duration::from_secs(20), || {
        ensure!(serving(&daemon)? != "mine_20300101_000000");
        Ok(())
    })
}

#[test]
fn a_model_is_calibrated_to_a_trace() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let argus = |arguments: &[&str]| -> anyhow::Result<(Option<i32>, String, String)> {
        let run = Command::new(prepared("ARGUS_BIN")?)
            .args(arguments)
            .current_dir(dir.path())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((run.status.code(), text(&run.stdout), text(&run.stderr)))
    };
    let told = |arguments: &[&str]| -> anyhow::Result<Value> {
        let (code, out, said) = argus(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {said}");
        Ok(serde_json::from_str(&out)?)
    };
    let shipped = told(&["model", "list", "--json", "--data-dir", "none"])?;
    let shipped = PathBuf::from(shipped["active"].as_str().context("a shipped model")?);
    let model = dir.path().join("mine_20300101_000000");
    copy_files(&shipped, &model)?;
    let file = model.join("calibration.json");
    let identity = r#"{"kind":"identity"}"#;
    std::fs::write(&file, identity)?;
    let fleet = [
        "generate",
        "--servers",
        "7",
        "--days",
        "3",
        "--seed",
        "5",
        "--output",
    ];
    let (code, _, said) = argus(&[&fleet[..], &["fleet.parquet"]].concat())?;
    ensure!(code == Some(0), "{said}");

    let given = ["model", "calibrate", "--model", "mine_20300101_000000"];
    let given = [&given[..], &["--input", "fleet.parquet", "--json"]].concat();
    let calibrate = |more: &[&'static str]| [&given[..], more].concat();
    let (code, _, said) = argus(&calibrate(&["--every", "1d"]))?;
    ensure!(
        code == Some(2) && said.contains("too few"),
        "{code:?}: {said}"
    );
    let would = told(&calibrate(&["--dry-run"]))?;
    ensure!(
        std::fs::read_to_string(&file)? == identity,
        "a dry run writes nothing"
    );
    let done = told(&calibrate(&[]))?;
    ensure!(
        done["now"] == would["now"] && done["before"] == done["computed"],
        "{done}"
    );
    let brier = |when: &str| done[when]["brier"].as_f64().context("a score");
    ensure!(brier("now")? < brier("computed")?, "{done}");
    let again = told(&calibrate(&["--dry-run"]))?;
    ensure!(again["before"] == done["now"], "{again}");
    let replaced: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure!(replaced["kind"] == "isotonic", "{replaced}");
    let files = std::fs::read_dir(&model)?.count();
    ensure!(files == 4, "{files} files: something is left behind");
    Ok(())
}
