//! Sample to page: an entity in breach reaches a real Alertmanager through the WebAssembly sink, once, and resolves.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use argus_e2e::{Daemon, Process, Setup, eventually, free_port, prepared};
use serde_json::{Value, json};

const STEP: i64 = 300;

#[test]
fn a_breach_arrives_once_and_resolves() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let _alertmanager = start_alertmanager(folder.path(), port)?;
    let plugin = prepared("ARGUS_PLUGINS_DIR")?.join("alertmanager.wasm");
    let config = format!(
        "[plugins.am]\nkind = \"sink\"\npath = \"{}\"\n[plugins.am.targets.alertmanager]\n\
         url = \"http://127.0.0.1:{port}/\"\nmethods = [\"POST\"]\n",
        plugin.display()
    );
    let daemon = Daemon::start(Setup {
        config,
        ..Setup::default()
    })?;

    // Event time ends about now, so that nothing is stale; memory is far past the critical threshold. Ten hours are
    // room enough for all of it: around midnight the model takes hours to believe that the trouble is over.
    let mut bin = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs()
        .cast_signed()
        / STEP
        - 120;
    let mut feed_bin = |memory: f64| -> anyhow::Result<()> {
        let records = [("ppweb001", memory), ("ppweb002", 40.0)].map(|(server, mem)| {
            json!({"timestamp": bin * STEP, "server_name": server, "mem_used_pct": mem, "cpu_idle_pct": 70,
                   "cpu_user_pct": 20, "disk_usage_pct": 40})
        });
        daemon.feed(&records)?;
        bin += 1;
        Ok(())
    };
    for _ in 0..14 {
        feed_bin(99.6)?;
    }
    let alert = eventually("the alert in Alertmanager", Duration::from_secs(90), || {
        feed_bin(99.6)?;
        std::thread::sleep(Duration::from_millis(800));
        let alerts = alerts(port)?;
        alerts
            .into_iter()
            .next()
            .ok_or_else(|| anyhow::anyhow!("none yet"))
    })?;
    assert_eq!(alert["labels"]["server"], "ppweb001", "{alert}");
    let metrics: Vec<_> = alerts(port)?
        .into_iter()
        .map(|a| a["labels"].clone())
        .collect();
    assert_eq!(metrics.len(), 1, "one condition, one alert: {metrics:?}");
    let active = daemon.get_ok("/alerts/active")?;
    assert_eq!(active["count"], 1, "{active}");

    eventually(
        "the alert resolved in Alertmanager",
        Duration::from_secs(90),
        || {
            feed_bin(35.0)?;
            std::thread::sleep(Duration::from_millis(800));
            anyhow::ensure!(alerts(port)?.is_empty(), "still active");
            Ok(())
        },
    )?;
    assert_eq!(daemon.get_ok("/alerts/active")?["count"], 0);
    Ok(())
}

fn start_alertmanager(folder: &Path, port: u16) -> anyhow::Result<Process> {
    let config = folder.join("alertmanager.yml");
    std::fs::write(
        &config,
        "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n",
    )?;
    let binary = prepared("ARGUS_TEST_BIN_DIR")?.join("prometheus-alertmanager");
    let process = Process::start(
        Command::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address="),
    )?;
    eventually("Alertmanager's readiness", Duration::from_secs(30), || {
        ureq::get(format!("http://127.0.0.1:{port}/-/ready")).call()?;
        Ok(())
    })?;
    Ok(process)
}

/// Alerts that Alertmanager holds as active.
fn alerts(port: u16) -> anyhow::Result<Vec<Value>> {
    Ok(
        ureq::get(format!("http://127.0.0.1:{port}/api/v2/alerts?active=true"))
            .call()?
            .body_mut()
            .read_json()?,
    )
}
