//! Data streams, nested documents, and the page's example of rules of one's own: OpenSearch has data streams among what
//! the tests start.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually, prepared};
use argus_schema::{EntityName, Schema};
use argus_store::{HistoryQuery, Store, StoreConfig, SystemClock};
use argus_test_servers::{Options, Product, start_all};
use serde_json::{Value, json};

use crate::cluster::{Cluster, connector_toml, example, source};

const START_MS: i64 = 1_767_607_200_000;
/// Documents in each of two indices behind the stream.
const HALF: i64 = 30;

#[test]
fn a_data_stream_goes_on_across_its_indices() -> anyhow::Result<()> {
    for product in [Product::OpenSearch2, Product::OpenSearch3] {
        for server in start_all(&[product], &Options::default())? {
            read(&Cluster::new(server.url())).with_context(|| server.name().to_owned())?;
        }
    }
    Ok(())
}

fn read(cluster: &Cluster) -> anyhow::Result<()> {
    let template = json!({ "index_patterns": ["racks"], "data_stream": {},
                           "template": { "settings": { "number_of_replicas": 0 } } });
    cluster.call("PUT", "/_index_template/racks", &template.to_string())?;
    append(cluster, 0..HALF)?;
    let mut toml = connector_toml("logs", "", &format!("urls = [\"{}\"]", cluster.url))?;
    toml.push_str(&format!(
        "[plugins.racks]\nkind = \"source\"\npath = \"{}\"\nconnectors = [\"logs\"]\n\
         schedule = {{ interval_secs = 1 }}\n[plugins.racks.config.reading]\nstart = \"oldest\"\n",
        prepared("ARGUS_PLUGINS_DIR")?
            .join("elasticsearch.wasm")
            .display()
    ));
    toml.push_str(&example("toml", 1)?);
    let mut daemon = Daemon::start(Setup {
        config: toml,
        ..Setup::default()
    })?;
    until(&daemon, HALF)?;
    cluster.call("POST", "/racks/_rollover", "")?;
    append(cluster, HALF..2 * HALF)?;
    until(&daemon, 2 * HALF)?;
    daemon.process().terminate(Duration::from_secs(60))?;

    let (schema, dir) = (Schema::server(), daemon.dir.path().join("data/store"));
    let metric = |name: &str| schema.metric_index(name).context("a metric");
    let (memory, network) = (metric("mem_used_pct")?, metric("net_in_mb_s")?);
    let (store, _) = Store::open(StoreConfig::new(dir), schema, Arc::new(SystemClock))?;
    let rows = store.history(&HistoryQuery {
        entity: EntityName::new("n1")?,
        from_ms: START_MS,
        to_ms: START_MS + 86_400_000,
        max_rows: 1000,
    })?;
    let count: u32 = rows.iter().map(|row| row.count).sum();
    assert_eq!(i64::from(count), 2 * HALF);
    for row in rows {
        assert!((row.mean[memory] - 75.0).abs() < 1e-3 && (row.mean[network] - 10.0).abs() < 1e-3);
    }
    Ok(())
}

/// Documents as the page's example expects them, one a minute; streams are only ever added to.
fn append(cluster: &Cluster, minutes: std::ops::Range<i64>) -> anyhow::Result<()> {
    let mut body = String::new();
    for n in minutes {
        let document = json!({
            "@timestamp": START_MS + n * 60_000, "meta": { "node": "n1", "rack": 7 },
            "memory": { "used": 48, "total": 64, "free": 16 }, "net": { "rx": 80, "tx": 3 },
        });
        body.push_str(&format!("{{\"create\":{{}}}}\n{document}\n"));
    }
    let answer: Value = cluster.call("POST", "/racks/_bulk?refresh=true", &body)?;
    anyhow::ensure!(answer["errors"] == false, "bulk: {answer}");
    Ok(())
}

fn until(daemon: &Daemon, count: i64) -> anyhow::Result<()> {
    eventually("its records", Duration::from_secs(120), || {
        let source = source(daemon, "racks")?;
        anyhow::ensure!(source["accepted"] == count, "{source}");
        Ok(())
    })
}
