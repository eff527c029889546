//! Documents a second from the server into the store, beside the same client's plain cursor.

use std::time::{Duration, Instant};

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually};
use argus_test_servers::{Options, Product, start_all};
use elasticsearch::http::Method;
use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::transport::Transport;
use serde_json::{Value, json};

use crate::cluster::{Cluster, connector_toml, plugin_toml, source};

const INDEX: &str = "argus-speed-1";
const SERVERS: u64 = 1000;
const START_MS: i64 = 1_767_607_200_000;
const BATCH: usize = 5000;

fn total() -> u64 {
    let wanted = std::env::var("ARGUS_TEST_DOCUMENTS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(60_000)
}

/// A record as agents send it, all metrics that a host has.
fn document(n: u64) -> Value {
    let value = f64::from(u32::try_from(n % 1000).expect("small")) / 20.0;
    json!({
        "@timestamp": START_MS + i64::try_from(n / SERVERS).expect("small") * 10_000,
        "server_name": format!("speed-{:04}", n % SERVERS), "profile": "web_api",
        "cpu_user_pct": value, "cpu_sys_pct": 5.5, "cpu_iowait_pct": 0.5, "cpu_idle_pct": 94.0 - value,
        "mem_used_pct": value, "swap_used_pct": 0, "disk_usage_pct": 61.2, "net_in_mb_s": value, "net_out_mb_s": 1.25,
        "load_average": 0.75, "uptime_days": 12.5,
    })
}

#[test]
fn documents_a_second() -> anyhow::Result<()> {
    for product in [Product::Elasticsearch8, Product::OpenSearch2] {
        for server in start_all(&[product], &Options::default())? {
            let total = total();
            let cluster = Cluster::new(server.url());
            cluster.create(INDEX)?;
            let all: Vec<u64> = (0..total).collect();
            for bulk in all.chunks(BATCH) {
                let documents: Vec<(String, Value)> =
                    bulk.iter().map(|n| (n.to_string(), document(*n))).collect();
                cluster.put(
                    INDEX,
                    documents
                        .iter()
                        .map(|(id, document)| (id.clone(), document)),
                )?;
            }
            cluster.refresh(INDEX)?;
            plain(server.url(), total)?;
            let plain = plain(server.url(), total)?;
            let (ours, resident) = through_the_daemon(server.url(), total)?;
            println!(
                "{}: {total} documents; plain cursor {plain:.0} a second, into the store {ours:.0} a second: {:.0} %; \
                 resident memory of the daemon {resident:?} MB along the way",
                server.name(),
                100.0 * ours / plain,
            );
        }
    }
    Ok(())
}

/// The client's cursor as its documentation shows it, sorted as ours: documents a second.
fn plain(url: &str, total: u64) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Transport::single_node(url)?;
    let send = async |method, path: &str, body: Value| -> anyhow::Result<Value> {
        let body = Some(body.to_string());
        let answer = client
            .send(method, path, HeaderMap::new(), None::<&()>, body, None)
            .await?;
        Ok(answer.json().await?)
    };
    runtime.block_on(async {
        let began = Instant::now();
        let search = json!({ "size": BATCH, "sort": [{ "@timestamp": "asc" }] });
        let mut answer = send(Method::Post, &format!("/{INDEX}/_search?scroll=1m"), search).await?;
        let mut count = 0;
        loop {
            let hits = answer["hits"]["hits"].as_array().context("hits")?;
            if hits.is_empty() {
                break;
            }
            count += hits.len() as u64;
            let next = json!({ "scroll": "1m", "scroll_id": answer["_scroll_id"] });
            answer = send(Method::Post, "/_search/scroll", next).await?;
        }
        anyhow::ensure!(count == total, "{count} of {total}");
        Ok(f64::from(u32::try_from(count)?) / began.elapsed().as_secs_f64())
    })
}

/// Documents a second through connector, sandbox and store, and the daemon's resident memory at each tenth.
fn through_the_daemon(url: &str, total: u64) -> anyhow::Result<(f64, Vec<u64>)> {
    let connector = connector_toml("logs", "", &format!("urls = [\"{url}\"]"))?;
    let settings = format!(
        "index = \"{INDEX}\"\nmapping = {{ layout = \"flat\" }}\nreading = {{ start = \"oldest\" }}"
    );
    let no_models = tempfile::tempdir()?;
    let mut daemon = Daemon::start(Setup {
        config: format!("{connector}{}", plugin_toml("speed", "logs", &settings)?),
        models_dir: Some(no_models.path().to_path_buf()),
        ..Setup::default()
    })?;
    let id = daemon.process().id();
    let accepted = || -> anyhow::Result<u64> {
        Ok(source(&daemon, "speed")?["accepted"].as_u64().unwrap_or(0))
    };
    // From the first batch on: compiling the plugin is no part of it.
    let first = eventually("the first batch", Duration::from_secs(180), || {
        let count = accepted()?;
        anyhow::ensure!(count > 0, "none");
        Ok(count)
    })?;
    let began = Instant::now();
    let mut resident = Vec::new();
    eventually("the last batch", Duration::from_secs(900), || {
        let count = accepted()?;
        if count * 10 / total > resident.len() as u64 {
            resident.push(resident_mb(id)?);
        }
        anyhow::ensure!(count >= total, "{count}");
        Ok(())
    })?;
    let count = u32::try_from(total - first)?;
    Ok((f64::from(count) / began.elapsed().as_secs_f64(), resident))
}

fn resident_mb(id: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}
