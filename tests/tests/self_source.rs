//! This very host: on the list at once, forecast by the model once 12 bins are closed.

use std::time::Duration;

use argus_e2e::{Daemon, Setup, eventually};
use serde_json::Value;

#[test]
fn this_host_is_watched_then_forecast() -> anyhow::Result<()> {
    let config =
        "[step]\nstep_secs = 1\ngrace_secs = 0\n[self_source]\nenabled = true\ninterval_secs = 1\n"
            .to_owned();
    let daemon = Daemon::start(Setup {
        config,
        ..Setup::default()
    })?;

    let host = eventually("this host's first values", Duration::from_secs(20), || {
        host(&daemon)
    })?;
    for metric in [
        "cpu_user_pct",
        "cpu_idle_pct",
        "mem_used_pct",
        "disk_usage_pct",
        "net_in_mb_s",
        "load_average",
    ] {
        assert!(
            host[metric]["current"].is_number(),
            "{metric}: {}",
            host[metric]
        );
    }
    assert!(host["mem_used_pct"]["current"].as_f64() > Some(0.0));

    let host = eventually("the model's answer", Duration::from_secs(60), || {
        let host = self::host(&daemon)?;
        anyhow::ensure!(
            host["forecast_state"] == "ready",
            "still {}",
            host["forecast_state"]
        );
        Ok(host)
    })?;
    assert_eq!(
        host["mem_used_pct"]["p50"].as_array().map(Vec::len),
        Some(96)
    );
    assert!(host["context_steps"].as_u64() >= Some(12));
    let all = daemon.get_ok("/predictions/current")?;
    assert_eq!(
        all["metadata"]["step_secs"], 1,
        "a short step is said everywhere"
    );
    Ok(())
}

fn host(daemon: &Daemon) -> anyhow::Result<Value> {
    let body = daemon.get_ok("/predictions/current")?;
    let servers = body["predictions"].as_object();
    let host = servers.and_then(|servers| servers.values().next()).cloned();
    host.filter(|h| h["mem_used_pct"]["current"].is_number())
        .ok_or_else(|| anyhow::anyhow!("no values yet: {body}"))
}
