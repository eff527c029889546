//! `cargo bench -p argus-store`: what the store carries, on real files with real fsyncs.
//!
//! Prints samples per second of [`Store::append`] for several batch sizes (records of 14 samples; checked, logged,
//! synced, applied, with checkpoints and history in between), bytes per full entity, and the times of the readers.
//! `ARGUS_BENCH_DIR` chooses the folder (default: the system's folder for temporary files, often memory: choose a disk).
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark talks to the terminal"
)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argus_schema::{EntityName, Record, Schema};
use argus_store::window::{Window, WindowConfig};
use argus_store::{Clock, Store, StoreConfig};

const REOPEN: &str = "--reopen";
const METRICS: usize = 14;
const STEP_MS: i64 = 300_000;
const START_MS: i64 = 1_772_323_200_000;

struct FarClock(AtomicI64);

impl Clock for FarClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::var_os("ARGUS_BENCH_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("argus-store-bench");
    if std::env::args().any(|argument| argument == REOPEN) {
        return reopened_fleet(&dir);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    std::fs::remove_dir_all(&dir).ok();
    runtime.block_on(full_fleet(&dir))?;
    // In a process of its own: what this one has freed would count.
    std::process::Command::new(std::env::current_exe()?)
        .arg(REOPEN)
        .status()?;
    println!("| batch | senders | samples/s | append p50 ms | p99 ms | groups/s | checkpoints |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for (batch, senders) in [(100, 8), (1_000, 1), (1_000, 8), (10_000, 1), (10_000, 4)] {
        std::fs::remove_dir_all(&dir).ok();
        runtime.block_on(throughput(&dir, batch, senders))?;
    }
    std::fs::remove_dir_all(&dir).ok();
    bytes_per_entity();
    Ok(())
}

fn open(dir: &Path) -> Result<Arc<Store>, Box<dyn Error>> {
    let clock = Arc::new(FarClock(AtomicI64::new(START_MS + 365 * 86_400_000)));
    let (store, report) = Store::open(StoreConfig::new(dir), Schema::server(), clock)?;
    if report.entities > 0 {
        println!(
            "reopened {} entities in {} ms, {} records replayed",
            report.entities, report.elapsed_ms, report.replayed_records
        );
    }
    Ok(store)
}

/// One record per entity and round, ten rounds to a bin.
fn record(names: &[EntityName], at: u64) -> Record {
    let entity = names[(at % names.len() as u64) as usize].clone();
    let round = (at / names.len() as u64) as i64;
    let values = (0..METRICS as u64)
        .map(|metric| ((at * 31 + metric * 17) % 1_000) as f32 / 10.0)
        .collect();
    Record {
        entity,
        time_ms: START_MS + round * STEP_MS / 10,
        status: 2,
        profile: None,
        cores: None,
        values,
    }
}

async fn throughput(dir: &Path, batch: usize, senders: usize) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for sender in 0..senders {
        // Each sender has entities of its own, so that none of them runs ahead of another's time.
        let names: Vec<EntityName> = (0..1_000 / senders)
            .map(|i| EntityName::new(&format!("srv-{sender}-{i}")))
            .collect::<Result<_, _>>()?;
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut at) = (Vec::new(), 0);
            while started.elapsed() < Duration::from_secs(8) {
                let records: Vec<Record> = (at..at + batch as u64)
                    .map(|at| record(&names, at))
                    .collect();
                at += batch as u64;
                let sent = Instant::now();
                let verdicts = store
                    .append(records)
                    .await
                    .map_err(|error| error.to_string())?;
                latencies.push(sent.elapsed());
                next.fetch_add(
                    verdicts.iter().filter(|verdict| verdict.is_ok()).count() as u64,
                    Ordering::Relaxed,
                );
            }
            Ok::<_, String>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |quantile: f64| {
        latencies[((latencies.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e3
    };
    let stats = store.stats();
    println!(
        "| {batch} | {senders} | {:.0} | {:.1} | {:.1} | {:.0} | {} |",
        (next.load(Ordering::Relaxed) * METRICS as u64) as f64 / seconds,
        at(0.5),
        at(0.99),
        stats.groups as f64 / seconds,
        stats.checkpoints,
    );
    store.close();
    Ok(())
}

/// 1,000 entities with full windows: memory, readers, restart.
async fn full_fleet(dir: &Path) -> Result<(), Box<dyn Error>> {
    let names: Vec<EntityName> = (0..1_000)
        .map(|i| EntityName::new(&format!("srv-{i}")))
        .collect::<Result<_, _>>()?;
    let store = open(dir)?;
    let before = resident_bytes();
    let started = Instant::now();
    for bin in 0..2_880 {
        let records = names.iter().map(|name| Record {
            entity: name.clone(),
            time_ms: START_MS + bin * STEP_MS,
            status: 2,
            profile: None,
            cores: None,
            values: vec![bin as f32; METRICS].into(),
        });
        store.append(records.collect()).await?;
    }
    println!(
        "\n1,000 entities, 2,880 bins each, filled in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    println!(
        "resident memory: {} MiB, {} MiB of it since the store was opened",
        resident_bytes() >> 20,
        (resident_bytes() - before) >> 20
    );
    println!(
        "windows: {} MiB by the store's own count",
        store.stats().window_bytes >> 20
    );
    timed("all views", 50, || store.entities().len());
    let newest = store.entities()[0].newest_bin;
    timed("contexts of 288 bins for all", 20, || {
        names
            .iter()
            .filter_map(|name| store.context(name, newest, 288))
            .count()
    });
    let started = Instant::now();
    store.close();
    println!(
        "closed with a checkpoint in {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    let stats = store.stats();
    println!(
        "on disk: database {} MiB, history {} MiB in {} parts",
        stats.database_bytes >> 20,
        stats.history_bytes >> 20,
        stats.history_parts
    );
    Ok(())
}

fn reopened_fleet(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let query = argus_store::HistoryQuery {
        entity: EntityName::new("srv-500")?,
        from_ms: 0,
        to_ms: i64::MAX,
        max_rows: 100_000,
    };
    timed("history of one entity, 10 days", 5, || {
        store.history(&query).map_or(0, |rows| rows.len())
    });
    println!(
        "resident memory after reopening: {} MiB",
        resident_bytes() >> 20
    );
    Ok(())
}

fn timed(what: &str, times: u32, run: impl Fn() -> usize) {
    let started = Instant::now();
    let count = (0..times).map(|_| run()).max();
    println!(
        "{what}: {:.2} ms ({} items)",
        started.elapsed().as_secs_f64() * 1e3 / f64::from(times),
        count.unwrap_or(0)
    );
}

fn bytes_per_entity() {
    let config = WindowConfig {
        metrics: METRICS,
        step_ms: STEP_MS,
        window_steps: 2_880,
        exact_bins: 24,
        max_records_per_bin: 20_000,
        keeps_rows: false,
    };
    let entity = EntityName::new("x").expect("legal");
    for per_bin in [1, 60] {
        let mut window = Window::new(config);
        for bin in 0..2_880 {
            for i in 0..per_bin {
                let time_ms = START_MS + bin * STEP_MS + i * (STEP_MS / per_bin);
                let values = vec![1.0; METRICS].into();
                let record = Record {
                    entity: entity.clone(),
                    time_ms,
                    status: 1,
                    profile: None,
                    cores: None,
                    values,
                };
                window.apply(&record);
            }
        }
        println!(
            "a full entity with {per_bin} records per bin: {} bytes",
            window.heap_bytes()
        );
    }
}

/// From `/proc`; 0 elsewhere.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        << 10
}
