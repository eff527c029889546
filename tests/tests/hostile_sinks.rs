//! Sinks that loop, allocate, trap, flood the log or park in HTTP cost their own deliveries an error, and nobody else.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use argus_e2e::{Daemon, Setup, eventually, free_port, prepared};
use serde_json::{Value, json};

const STEP: i64 = 300;
const BEHAVIOURS: [&str; 5] = ["loop", "allocate", "trap", "log_flood", "http"];
const PROBES: usize = 1_500;

#[test]
fn hostile_sinks_cost_only_their_own_deliveries() -> anyhow::Result<()> {
    // Accepts connections and never answers: where `http` parks.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let parked = silent.local_addr()?.port();
    let plugins = prepared("ARGUS_PLUGINS_DIR")?;
    let mut config = String::new();
    for behaviour in BEHAVIOURS {
        config.push_str(&format!(
            "[plugins.{behaviour}]\nkind = \"sink\"\npath = \"{}\"\nlimits = {{ memory_mb = 32, timeout_secs = 2 }}\n\
             [plugins.{behaviour}.targets.hook]\nurl = \"http://127.0.0.1:{parked}/\"\nmethods = [\"POST\"]\n\
             [plugins.{behaviour}.config]\nbehaviour = \"{behaviour}\"\n",
            plugins.join("hostile.wasm").display()
        ));
    }
    let dead = free_port()?;
    config.push_str(&format!(
        "[plugins.honest]\nkind = \"sink\"\npath = \"{}\"\n[plugins.honest.targets.hook]\n\
         url = \"http://127.0.0.1:{dead}/\"\nmethods = [\"POST\"]\n",
        plugins.join("webhook.wasm").display()
    ));
    let daemon = Daemon::start(Setup {
        config,
        ..Setup::default()
    })?;
    let usual = health_p99(&daemon)?;

    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs()
        .cast_signed();
    let mut bin = now / STEP - 40;
    let mut feed_bin = || -> anyhow::Result<()> {
        let records: Vec<_> = (0..4)
            .map(|i| json!({"timestamp": bin * STEP, "server_name": format!("ppweb00{i}"), "mem_used_pct": 99.7}))
            .collect();
        daemon.feed(&records)?;
        bin += 1;
        Ok(())
    };
    for _ in 0..14 {
        feed_bin()?;
    }
    eventually("four firing alerts", Duration::from_secs(60), || {
        feed_bin()?;
        std::thread::sleep(Duration::from_millis(700));
        let active = daemon.get_ok("/alerts/active")?;
        anyhow::ensure!(active["count"] == 4, "{} active", active["count"]);
        Ok(())
    })?;
    let meanwhile = health_p99(&daemon)?;
    println!("/health p99: usual {usual:?}, with hostile sinks {meanwhile:?}");

    for behaviour in BEHAVIOURS {
        let plugin = eventually(
            "an error of the hostile sink",
            Duration::from_secs(60),
            || {
                let body = daemon.get_ok("/plugins")?;
                let plugins = body["plugins"].as_array().cloned().unwrap_or_default();
                let plugin = plugins
                    .into_iter()
                    .find(|p| p["name"] == behaviour)
                    .unwrap_or(Value::Null);
                anyhow::ensure!(plugin["errors"].as_u64() > Some(0), "{behaviour}: {plugin}");
                Ok(plugin)
            },
        )?;
        let error = plugin["last_error"].to_string();
        let version = plugin["version"].as_str().unwrap_or("no version");
        assert!(
            error.contains(behaviour) && error.contains(version),
            "names plugin and version: {error}"
        );
    }
    assert_eq!(daemon.get_ok("/health")?["status"], "healthy");
    Ok(())
}

fn health_p99(daemon: &Daemon) -> anyhow::Result<Duration> {
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let started = Instant::now();
        daemon.get_ok("/health")?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[PROBES * 99 / 100])
}
