//! Documents flow in while the server is killed and restarted and the daemon is killed: afterwards the bins hold each
//! document once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually};
use argus_schema::{EntityName, Schema};
use argus_store::{HistoryQuery, Store, StoreConfig, SystemClock};
use argus_test_servers::{Options, Product, start_all};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::cluster::{Cluster, connector_toml, plugin_toml, source};

const SEED: u64 = 20_261_122;
const SERVERS: u64 = 1000;
const SPACING_MS: i64 = 2000;
const START_MS: i64 = 1_767_607_200_000;
const STEP_MS: i64 = 300_000;
const INDEX: &str = "argus-flow-1";
/// Documents that are sent at once.
const BULK: usize = 4000;
const LATENESS_SECS: i64 = 300;

/// Documents per server product; a million takes minutes.
fn total() -> u64 {
    let wanted = std::env::var("ARGUS_TEST_DOCUMENTS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(60_000)
}

fn time_ms(n: u64) -> i64 {
    START_MS + i64::try_from(n / SERVERS).expect("small") * SPACING_MS
}

fn value(n: u64) -> f64 {
    f64::from(u32::try_from(n * 7919 % 1000).expect("small")) / 10.0
}

fn server_name(n: u64) -> String {
    format!("flow-{:04}", n % SERVERS)
}

fn document(n: u64) -> Value {
    json!({ "@timestamp": time_ms(n), "server_name": server_name(n), "mem_used_pct": value(n) })
}

/// The order in which documents are sent: mixed within a few bulks, and one in fifty up to four minutes of its own time
/// late.
fn order(total: u64, rng: &mut StdRng) -> Vec<u64> {
    let late = |rng: &mut StdRng| rng.random_range(0..(LATENESS_SECS - 60) * 1000);
    let mut order: Vec<(i64, u64)> = (0..total)
        .map(|n| {
            let is_late = rng.random_bool(0.02);
            let sent_ms = time_ms(n)
                + if is_late {
                    late(rng)
                } else {
                    rng.random_range(0..8000)
                };
            (sent_ms, n)
        })
        .collect();
    order.shuffle(rng);
    order.sort_by_key(|(sent_ms, _)| *sent_ms);
    order.into_iter().map(|(_, n)| n).collect()
}

#[test]
fn every_document_once_whatever_is_killed() -> anyhow::Result<()> {
    println!("seed {SEED}");
    let plugin = plugin_toml(
        "flow",
        "logs",
        &format!(
            "index = \"argus-flow-*\"\nmapping = {{ layout = \"flat\" }}\n\
             reading = {{ start = \"oldest\", lateness_secs = {LATENESS_SECS} }}"
        ),
    )?;
    // One after the other: each takes half a gigabyte.
    for product in Product::ELASTICSEARCH {
        for mut server in start_all(&[*product], &Options::default())? {
            let total = total();
            let began = Instant::now();
            let cluster = Cluster::new(server.url());
            cluster.create(INDEX)?;
            let connector = connector_toml("logs", "", &format!("urls = [\"{}\"]", server.url()))?;
            let no_models = tempfile::tempdir()?;
            let mut daemon = Daemon::start(Setup {
                config: format!("{connector}{plugin}"),
                models_dir: Some(no_models.path().to_path_buf()),
                ..Setup::default()
            })?;
            let mut rng = StdRng::seed_from_u64(SEED);
            let order = order(total, &mut rng);
            let feeder = std::thread::spawn({
                let cluster = cluster.clone();
                move || feed(&cluster, &order)
            });
            for kill in 1..=5 {
                // In the midst of it, each time.
                eventually("a seventh of all", Duration::from_secs(600), || {
                    let source = source(&daemon, "flow")?;
                    let accepted = source["accepted"].as_u64().unwrap_or(0);
                    anyhow::ensure!(accepted >= total / 7, "{source}");
                    Ok(())
                })?;
                daemon.kill_and_restart()?;
                if kill == 3 && server.product().is_some() {
                    server.kill()?;
                    server.restart()?;
                }
            }
            feeder.join().expect("feeder ends")?;
            cluster.refresh(INDEX)?;
            let fed = began.elapsed();
            wait_until_quiet(&daemon)?;
            let found = source(&daemon, "flow")?;
            println!(
                "{}: {total} documents, fed in {fed:.1?}, all in after {:.1?}; since the last kill: {} accepted, {} known already",
                server.name(),
                began.elapsed(),
                found["accepted"],
                found["duplicates"],
            );
            assert_eq!(found["rejected"], json!({}), "{found}");
            daemon.process().terminate(Duration::from_secs(60))?;
            compare(&daemon.dir.path().join("data/store"), total)
                .with_context(|| server.name().to_owned())?;
        }
    }
    Ok(())
}

/// Sends bulks until each is acknowledged; the server may be away.
fn feed(cluster: &Cluster, order: &[u64]) -> anyhow::Result<()> {
    for bulk in order.chunks(BULK) {
        let documents: Vec<_> = bulk.iter().map(|n| (n.to_string(), document(*n))).collect();
        eventually("a bulk", Duration::from_secs(300), || {
            let named = documents
                .iter()
                .map(|(id, document)| (id.clone(), document));
            cluster.put(INDEX, named)
        })?;
    }
    Ok(())
}

/// Until three polls in a row found nothing more.
fn wait_until_quiet(daemon: &Daemon) -> anyhow::Result<()> {
    let mut quiet = (0, Value::Null);
    eventually("the end of it", Duration::from_secs(900), || {
        let source = source(daemon, "flow")?;
        let is_done = source["catching_up"] == false && source["failures_in_row"] == 0;
        if !is_done || quiet.1 != source["accepted"] {
            quiet = (
                source["polls"].as_u64().unwrap_or(0),
                source["accepted"].clone(),
            );
        }
        let polls = source["polls"].as_u64().unwrap_or(0);
        anyhow::ensure!(is_done && polls >= quiet.0 + 4, "{source}");
        Ok(())
    })
}

/// What the data directory holds, against what was sent.
fn compare(dir: &Path, total: u64) -> anyhow::Result<()> {
    let mut expected: BTreeMap<(String, i64), (u32, f64)> = BTreeMap::new();
    for n in 0..total {
        let bin = expected
            .entry((server_name(n), time_ms(n).div_euclid(STEP_MS) * STEP_MS))
            .or_default();
        *bin = (bin.0 + 1, bin.1 + value(n));
    }
    let schema = Schema::server();
    let metric = schema.metric_index("mem_used_pct").context("a metric")?;
    let (store, _) = Store::open(StoreConfig::new(dir), schema, Arc::new(SystemClock))?;
    let mut count = 0;
    for server in 0..SERVERS.min(total) {
        let name = server_name(server);
        let rows = store.history(&HistoryQuery {
            entity: EntityName::new(&name)?,
            from_ms: START_MS,
            to_ms: time_ms(total) + STEP_MS,
            max_rows: 1_000_000,
        })?;
        for row in rows {
            let (bin_count, sum) = expected
                .remove(&(name.clone(), row.bin_ms))
                .with_context(|| format!("{name} has a bin at {} that nobody sent", row.bin_ms))?;
            anyhow::ensure!(
                row.count == bin_count,
                "{name} at {}: {} instead of {bin_count}",
                row.bin_ms,
                row.count
            );
            let (mean, oracle) = (f64::from(row.mean[metric]), sum / f64::from(bin_count));
            anyhow::ensure!(
                (mean - oracle).abs() < 1e-3,
                "{name} at {}: mean {mean} instead of {oracle}",
                row.bin_ms
            );
            count += u64::from(row.count);
        }
    }
    anyhow::ensure!(expected.is_empty(), "{} bins are missing", expected.len());
    anyhow::ensure!(count == total, "{count} instead of {total}");
    Ok(())
}
