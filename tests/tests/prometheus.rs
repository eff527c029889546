//! A node watched by Prometheus: remote_write pointed at the daemon, nothing to map by hand.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use argus_e2e::{Daemon, Process, Setup, eventually, free_port, prepared};
use serde_json::Value;

#[test]
fn node_exporter_arrives_by_remote_write() -> anyhow::Result<()> {
    let binaries = prepared("ARGUS_TEST_BIN_DIR")?;
    let folder = tempfile::tempdir()?;
    let (exporter_port, prometheus_port) = (free_port()?, free_port()?);
    let daemon = Daemon::start(Setup::default())?;
    let _exporter = Process::start(
        Command::new(binaries.join("prometheus-node-exporter"))
            .arg(format!("--web.listen-address=127.0.0.1:{exporter_port}")),
    )?;
    let instance = format!("127.0.0.1:{exporter_port}");
    let config = folder.path().join("prometheus.yml");
    std::fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s}}\nremote_write: [{{url: '{}/api/v1/write'}}]\n\
             scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{instance}']}}]}}]\n",
            daemon.url
        ),
    )?;
    let prometheus = Process::start(
        Command::new(binaries.join("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{prometheus_port}")),
    )?;

    let node = eventually("the node's rates", Duration::from_secs(60), || {
        let body = daemon.get_ok("/predictions/current")?;
        let node = body["predictions"][&instance].clone();
        anyhow::ensure!(
            node["cpu_idle_pct"]["current"].is_number(),
            "not yet: {node}; {}",
            prometheus.output()
        );
        Ok(node)
    })?;
    let current = |metric: &str| node[metric]["current"].as_f64();
    for metric in [
        "cpu_user_pct",
        "cpu_sys_pct",
        "cpu_iowait_pct",
        "cpu_idle_pct",
        "mem_used_pct",
        "swap_used_pct",
        "disk_usage_pct",
        "net_in_mb_s",
        "net_out_mb_s",
        "load_average",
        "uptime_days",
    ] {
        assert!(
            current(metric).is_some(),
            "{metric} is mapped: {}",
            node[metric]
        );
    }
    assert_eq!(
        node["java_cpu_pct"]["current"],
        Value::Null,
        "nobody measures java, so it is missing"
    );

    let said = scrape(exporter_port)?;
    let near = |metric: &str, expected: f64, tolerance: f64| {
        let got = current(metric).unwrap_or(f64::NAN);
        assert!(
            (got - expected).abs() <= tolerance,
            "{metric}: {got}, the exporter says {expected}"
        );
    };
    near(
        "mem_used_pct",
        100.0 * (1.0 - said["node_memory_MemAvailable_bytes"] / said["node_memory_MemTotal_bytes"]),
        5.0,
    );
    near(
        "uptime_days",
        (said["node_time_seconds"] - said["node_boot_time_seconds"]) / 86_400.0,
        0.01,
    );
    near("load_average", said["node_load1"], 4.0);
    let shares: f64 = [
        "cpu_user_pct",
        "cpu_sys_pct",
        "cpu_iowait_pct",
        "cpu_idle_pct",
    ]
    .iter()
    .filter_map(|m| current(m))
    .sum();
    assert!(
        (99.0..=100.01).contains(&shares),
        "shares of one clock add up: {shares}"
    );
    Ok(())
}

/// Samples without labels, by name.
fn scrape(port: u16) -> anyhow::Result<HashMap<String, f64>> {
    let text = ureq::get(format!("http://127.0.0.1:{port}/metrics"))
        .call()?
        .body_mut()
        .read_to_string()?;
    let samples = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
    Ok(samples.collect())
}
