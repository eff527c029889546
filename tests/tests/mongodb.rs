//! A MongoDB, its connector, its source plugin and the daemon: every document once, whatever is killed, and faults told.
//!
//! `ARGUS_TEST_DOCUMENTS=1000000 cargo xtask test -- -p argus-e2e --test mongodb` does with a million documents what
//! otherwise is done with 20,000; `… --test mongodb -- --ignored --nocapture throughput` measures.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use anyhow::{Context, ensure};
use argus_e2e::{Daemon, Setup, eventually, prepared, workload};
use argus_test_servers::{Options, Product, Server, start_all};
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::error::ErrorKind;
use mongodb::{Client, Collection, IndexModel};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const SEED: u64 = 20_261_122;
const DATABASE: &str = "metrics";
const KILLS_OF_DAEMON: usize = 5;
const KILLS_OF_SERVER: usize = 2;
/// Documents of a write.
const BATCH: usize = 500;
/// Pauses between writes, in all.
const WRITING: Duration = Duration::from_secs(12);
/// A key that a document has already.
const DUPLICATE_KEY: i32 = 11_000;

fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// The library of the connector: cargo puts it beside the test's executable.
fn library() -> anyhow::Result<PathBuf> {
    let executable = env::current_exe()?;
    let path = executable
        .parent()
        .context("a folder")?
        .join("libargus_connector_mongodb.so");
    ensure!(path.exists(), "{} is missing", path.display());
    Ok(path)
}

/// The configuration that the documentation shows, with this run's places in it; `extra` are more sections.
fn config(server: &Server, collection: &str, extra: &str) -> anyhow::Result<String> {
    let shown = include_str!("../../examples/mongodb.toml");
    let plugin = prepared("ARGUS_PLUGINS_DIR")?.join("mongodb.wasm");
    let places = [
        (
            "\"libargus_connector_mongodb.so\"",
            format!("{:?}", library()?.display().to_string()),
        ),
        (
            "\"mongodb.wasm\"",
            format!("{:?}", plugin.display().to_string()),
        ),
        (
            "hosts = [\"db-1.example.com:27017\", \"db-2.example.com:27017\"]",
            format!("uri = {:?}", server.url()),
        ),
        (
            "collection = \"servers\"",
            format!("collection = {collection:?}"),
        ),
        (
            "interval_secs = 15",
            "interval_secs = 1, max_backoff_secs = 2".to_owned(),
        ),
        ("start = \"-48h\"", "start = \"oldest\"".to_owned()),
    ];
    let mut text = shown.to_owned();
    for (from, to) in places {
        ensure!(text.contains(from), "the example has no {from}");
        text = text.replace(from, &to);
    }
    // What the test servers do not have; the connector's own tests have users and TLS.
    let without = [
        "username",
        "secrets.password",
        "replica_set",
        "read_preference",
        "tls.",
    ];
    let kept = text
        .lines()
        .filter(|line| !without.iter().any(|key| line.starts_with(key)));
    let kept: Vec<&str> = kept.collect();
    Ok(format!("{}\n{extra}", kept.join("\n")))
}

fn start(config: String) -> anyhow::Result<Daemon> {
    let no_models = env::temp_dir().join("argus-e2e-no-models");
    fs::create_dir_all(&no_models)?;
    Daemon::start(Setup {
        config,
        models_dir: Some(no_models),
        ..Setup::default()
    })
}

fn source(daemon: &Daemon, name: &str) -> anyhow::Result<Value> {
    let status = daemon.get_ok("/sources")?;
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    let found = sources.into_iter().find(|source| source["name"] == name);
    found.with_context(|| format!("no source {name} in {status}"))
}

/// Waits until several polls in a row found nothing more.
fn read_to_the_end(daemon: &Daemon, limit: Duration) -> anyhow::Result<Value> {
    let mut quiet = (0, Value::Null);
    eventually("the end of the collection", limit, || {
        let now = source(daemon, "servers")?;
        let is_well = now["catching_up"] == false
            && now["failures_in_row"] == 0
            && now["last_success_ms"].is_i64();
        if !is_well || now["accepted"] != quiet.1 {
            quiet = (now["polls"].as_u64().unwrap_or(0), now["accepted"].clone());
        }
        ensure!(now["polls"].as_u64().unwrap_or(0) > quiet.0 + 4, "{now}");
        Ok(now)
    })
}

async fn collection(server: &Server, name: &str) -> anyhow::Result<Collection<Document>> {
    let client = Client::with_uri_str(server.url()).await?;
    let collection = client.database(DATABASE).collection(name);
    // What an earlier run left on a server of the reader's own. (mongo-java-server cannot drop what is not there.)
    collection.delete_many(doc! {}).await?;
    let index = IndexModel::builder()
        .keys(doc! { "timestamp": 1, "_id": 1 })
        .build();
    collection.create_index(index).await?;
    Ok(collection)
}

fn bson(document: &workload::Document) -> Document {
    doc! {
        "_id": format!("d{:08}", document.number),
        "timestamp": DateTime::from_millis(document.time_ms),
        "host": { "name": document.server_name(), "site": "north" },
        "cpu": { "user": f64::from(document.cpu_user_pct) / 100.0 },
        "mem_used_pct": 40.5,
    }
}

/// Writes a batch, however often the server goes away meanwhile.
async fn write(
    collection: &Collection<Document>,
    batch: &[workload::Document],
) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(900);
    loop {
        let Err(error) = collection
            .insert_many(batch.iter().map(bson))
            .ordered(false)
            .await
        else {
            return Ok(());
        };
        if let ErrorKind::InsertMany(many) = error.kind.as_ref()
            && let Some(errors) = &many.write_errors
            && errors.iter().all(|error| error.code == DUPLICATE_KEY)
        {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "cannot write: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn every_document_counts_once_whatever_is_killed() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let name = server.name().to_owned();
        documents_flow_through_kills(server).with_context(|| name)?;
    }
    Ok(())
}

fn documents_flow_through_kills(mut server: Server) -> anyhow::Result<()> {
    let documents = workload::documents(workload::count(), now_ms(), SEED);
    println!(
        "{}: {} documents, seed {SEED}",
        server.name(),
        documents.len()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let target = runtime.block_on(collection(&server, "argus_flow"))?;
    let mut daemon = start(config(&server, "argus_flow", "")?)?;
    let began = Instant::now();
    let is_written = AtomicBool::new(false);
    let mut rng = StdRng::seed_from_u64(SEED);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let writer = scope.spawn(|| {
            let written = runtime.block_on(async {
                // However few they are, they take as long as the kills.
                let pause = WRITING / u32::try_from(documents.len() / BATCH + 1)?;
                for batch in documents.chunks(BATCH) {
                    write(&target, batch).await?;
                    tokio::time::sleep(pause).await;
                }
                anyhow::Ok(())
            });
            is_written.store(true, Ordering::Relaxed);
            written
        });
        for kill in 0..KILLS_OF_DAEMON {
            std::thread::sleep(Duration::from_millis(rng.random_range(500..4000)));
            if kill < KILLS_OF_SERVER && server.product().is_some() {
                server.kill()?;
                std::thread::sleep(Duration::from_millis(rng.random_range(0..2000)));
                server.restart()?;
            }
            daemon.kill_and_restart()?;
            println!(
                "kill {} of the daemon, everything written: {}",
                kill + 1,
                is_written.load(Ordering::Relaxed)
            );
        }
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))?
    })?;
    let done = read_to_the_end(
        &daemon,
        Duration::from_secs(600 + documents.len() as u64 / 500),
    )?;
    println!("{}: {} s; {done}", server.name(), began.elapsed().as_secs());
    assert_eq!(done["rejected"], json!({}), "{done}");
    let expected = workload::expected(&documents);
    daemon.process().terminate(Duration::from_secs(120))?;
    let stored = workload::stored(&daemon.dir.path().join("data"), &expected)?;
    workload::compare(&expected, &stored)
}

#[test]
fn faults_name_plugin_connector_and_document_and_the_rest_goes_on() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let name = server.name().to_owned();
        faults_are_told(&server).with_context(|| name)?;
    }
    Ok(())
}

fn faults_are_told(server: &Server) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let documents = workload::documents(200, now_ms(), SEED);
    let mut written: Vec<Document> = documents.iter().map(bson).collect();
    written[7].get_document_mut("cpu")?.insert("user", "high");
    written[8].remove("host");
    written[9].remove("timestamp");
    written[10].insert("timestamp", "yesterday");
    // Beyond what user CPU can be: the daemon refuses the record, and counts it.
    written[11].get_document_mut("cpu")?.insert("user", 7.0);
    runtime.block_on(async {
        let collection = collection(server, "argus_faults").await?;
        collection.insert_many(&written).await?;
        anyhow::Ok(())
    })?;
    let library = library()?;
    let wasm = prepared("ARGUS_PLUGINS_DIR")?.join("mongodb.wasm");
    let closed = argus_e2e::free_port()?;
    let mut extra = String::new();
    for (name, settings, collection) in [
        ("nowhere", format!("hosts = [\"127.0.0.1:{closed}\"]"), "c"),
        (
            "unknown",
            "hosts = [\"db.argus-test.invalid\"]".to_owned(),
            "c",
        ),
        (
            "absent",
            format!("uri = {:?}", server.url()),
            "argus_absent",
        ),
    ] {
        extra += &format!(
            "[connectors.{name}]\npath = {library:?}\n[connectors.{name}.config]\n{settings}\ndatabase = \"{DATABASE}\"\n\
             server_selection_timeout_secs = 1\n\
             [plugins.{name}]\nkind = \"source\"\npath = {wasm:?}\nconnectors = [\"{name}\"]\n\
             schedule = {{ interval_secs = 1, max_backoff_secs = 2 }}\n\
             [plugins.{name}.config]\nconnector = \"{name}\"\ncollection = \"{collection}\"\nmapping = {{ layout = \"flat\" }}\n"
        );
    }
    let mut daemon = start(config(server, "argus_faults", &extra)?)?;
    for (name, fragment) in [
        ("nowhere", format!("127.0.0.1:{closed} cannot be reached")),
        (
            "unknown",
            "db.argus-test.invalid:27017 cannot be reached".to_owned(),
        ),
        (
            "absent",
            "no collection `argus_absent` in database `metrics`".to_owned(),
        ),
    ] {
        // Before its first poll, a source says that it was not tried yet.
        let error = eventually("the error", Duration::from_secs(120), || {
            let source = source(&daemon, name)?;
            let error = source["last_error"].as_str().map(str::to_owned);
            let error = error.with_context(|| source.to_string())?;
            ensure!(error.contains(&fragment), "{error}");
            Ok(error)
        })?;
        assert!(error.starts_with(&format!("plugin {name} ")), "{error}");
        assert!(error.contains(&format!("connector {name}")), "{error}");
    }
    let done = read_to_the_end(&daemon, Duration::from_secs(120))?;
    assert_eq!(done["accepted"], documents.len() - 5, "{done}");
    assert_eq!(done["rejected"], json!({ "out_of_range": 1 }), "{done}");
    let output = daemon.process().output();
    for (n, fragment) in [
        (
            7,
            "has \\\"high\\\" at `cpu.user`, where a number is needed",
        ),
        (8, "names no server"),
        (9, "has no time"),
        (10, "has no time"),
    ] {
        let id = format!("d{:08}", documents[n].number);
        let told = output.lines().find(|line| line.contains(&id));
        let told =
            told.with_context(|| format!("nothing was said of document {n}, {id}: {output}"))?;
        let unescaped = fragment.replace('\\', "");
        assert!(
            told.contains(fragment) || told.contains(&unescaped),
            "{told}"
        );
        assert!(
            told.contains("collection `argus_faults`") && told.contains("connector `metrics-db`"),
            "{told}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "measures; run with --release and --nocapture on an idle machine"]
fn throughput() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let documents = workload::documents(workload::count(), now_ms(), SEED);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let target = runtime.block_on(collection(&server, "argus_rate"))?;
        runtime.block_on(async {
            for batch in documents.chunks(1000) {
                write(&target, batch).await?;
            }
            anyhow::Ok(())
        })?;
        let count = documents.len();
        let plain = count as f64
            / runtime
                .block_on(plain_cursor(&server, count))?
                .as_secs_f64();
        // From the first document's time on: to find it from 1970 on, SecantusDB would sort them all within a poll's time.
        let first_ms = documents.iter().map(|document| document.time_ms).min();
        let first = DateTime::from_millis(first_ms.context("documents")?);
        let start_at = format!("start = \"{}\"", first.try_to_rfc3339_string()?);
        let config = config(&server, "argus_rate", "")?;
        let mut daemon = start(config.replace("start = \"oldest\"", &start_at))?;
        // From the first batch on: compiling the plugin is no part of it.
        let first = eventually("the first batch", Duration::from_secs(180), || {
            let accepted = source(&daemon, "servers")?["accepted"].as_u64();
            accepted.filter(|count| *count > 0).context("none")
        })?;
        let began = Instant::now();
        let mut memory = Vec::new();
        eventually("all documents", Duration::from_secs(3600), || {
            memory.push(resident_mb(daemon.process().id())?);
            let source = source(&daemon, "servers")?;
            ensure!(source["accepted"] == count, "{source}");
            Ok(())
        })?;
        let flow = (count as f64 - first as f64) / began.elapsed().as_secs_f64();
        println!(
            "{}: {count} documents; plain cursor {:.0}/s, into the store {:.0}/s ({:.0} %); resident {} to {} MB",
            server.name(),
            plain,
            flow,
            100.0 * flow / plain,
            memory.iter().min().context("measured")?,
            memory.iter().max().context("measured")?,
        );
    }
    Ok(())
}

/// The driver alone: the whole collection in the order in which it is read.
async fn plain_cursor(server: &Server, count: usize) -> anyhow::Result<Duration> {
    let client = Client::with_uri_str(server.url()).await?;
    let collection = client
        .database(DATABASE)
        .collection::<RawDocumentBuf>("argus_rate");
    let began = Instant::now();
    let sort = doc! { "timestamp": 1, "_id": 1 };
    let mut cursor = collection.find(doc! {}).sort(sort).batch_size(5000).await?;
    let mut read = 0;
    while cursor.advance().await? {
        read += 1;
    }
    ensure!(read == count, "{read} of {count}");
    Ok(began.elapsed())
}

fn resident_mb(id: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmRSS")?
        .parse()?;
    Ok(kb / 1024)
}
