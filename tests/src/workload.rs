//! Documents for a database, in an order that hurts, and what has to become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, ensure};
use arrow::array::{AsArray, Float32Array};
use arrow::datatypes::{Float32Type, TimestampMillisecondType, UInt32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Length of a bin, in milliseconds.
pub const BIN_MS: i64 = 300_000;
/// Most documents of one time, and servers in all.
const SERVERS: u32 = 1000;
/// From one run of documents of one time to the next.
const SPACING_MS: i64 = 10_000;
/// Runs that a late document may come after its own: five minutes.
const LATEST_RUNS: u32 = 30;

/// A document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Document {
    /// Its number, which names it.
    pub number: u32,
    /// Number of its server.
    pub server: u32,
    /// Its time, in milliseconds since the epoch. No two documents have the same server and time.
    pub time_ms: i64,
    /// User CPU, in percent.
    pub cpu_user_pct: f32,
}

impl Document {
    /// Name of its server.
    pub fn server_name(&self) -> String {
        format!("flow-{:04}", self.server)
    }
}

/// Counts and sums of user CPU by server name and start of the bin.
pub type Bins = BTreeMap<(String, i64), (u32, f64)>;

/// Documents in the order in which they are written: runs of one time, of one to a thousand servers; every tenth a
/// little out of order, every thirtieth late by up to five minutes of the documents' own time. Ends 20 minutes before
/// `now_ms`.
pub fn documents(count: u32, now_ms: i64, seed: u64) -> Vec<Document> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut runs = Vec::new();
    let mut left = count;
    while left > 0 {
        let length = match rng.random_range(0..4) {
            0 => rng.random_range(1..=SERVERS),
            _ => SERVERS,
        };
        runs.push(length.min(left));
        left -= length.min(left);
    }
    let length_ms = SPACING_MS * i64::try_from(runs.len()).unwrap_or(0);
    let end_ms = now_ms - 20 * 60_000;
    let start_ms = end_ms - length_ms;
    let mut written = Vec::new();
    let mut number = 0;
    for (run, length) in (0_u32..).zip(runs) {
        let first = rng.random_range(0..SERVERS);
        let time_ms = start_ms + SPACING_MS * i64::from(run) + rng.random_range(0..1000);
        for place in 0..length {
            let delay = match rng.random_range(0..30) {
                0 => rng.random_range(1..=LATEST_RUNS),
                1..=3 => rng.random_range(1..=3),
                _ => 0,
            };
            let document = Document {
                number,
                server: (first + place) % SERVERS,
                time_ms,
                cpu_user_pct: rng.random_range(0..400_u16).into(),
            };
            // Quarters of a percent, so that sums of any order are exact.
            let document = Document {
                cpu_user_pct: document.cpu_user_pct / 4.0,
                ..document
            };
            written.push((run + delay, document));
            number += 1;
        }
    }
    written.shuffle(&mut rng);
    written.sort_by_key(|(when, _)| *when);
    written.into_iter().map(|(_, document)| document).collect()
}

/// What the bins have to hold.
pub fn expected(documents: &[Document]) -> Bins {
    let mut bins = Bins::new();
    for document in documents {
        let bin_ms = document.time_ms - document.time_ms.rem_euclid(BIN_MS);
        let bin = bins.entry((document.server_name(), bin_ms)).or_default();
        bin.0 += 1;
        bin.1 += f64::from(document.cpu_user_pct);
    }
    bins
}

/// One later record of each server, which closes its last bin.
pub fn closing(expected: &Bins) -> Vec<serde_json::Value> {
    let last_ms = expected
        .keys()
        .map(|(_, bin_ms)| *bin_ms)
        .max()
        .unwrap_or(0);
    let servers: BTreeSet<&String> = expected.keys().map(|(server, _)| server).collect();
    let record = |server| serde_json::json!({ "server_name": server, "timestamp": last_ms + BIN_MS, "mem_used_pct": 1 });
    servers.into_iter().map(record).collect()
}

/// What the history in a data directory holds, of the daemon that was stopped there: of several rows of a bin, the one
/// in the newest part counts.
///
/// # Errors
/// When it cannot be read.
pub fn stored(data_dir: &Path) -> anyhow::Result<Bins> {
    let mut parts = Vec::new();
    find_parts(&data_dir.join("store/history"), &mut parts)?;
    // `part-FIRST-LAST.parquet`, the numbers of equal length.
    parts.sort_by_key(|part| {
        let name = part
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.rsplit('-').next().map(str::to_owned)
    });
    let mut bins = Bins::new();
    for part in parts {
        let file = fs::File::open(&part)?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            let batch = batch?;
            let column = |name: &str| {
                batch
                    .column_by_name(name)
                    .with_context(|| format!("no column {name}"))
            };
            let entities =
                arrow::compute::cast(column("entity")?, &arrow::datatypes::DataType::Utf8)?;
            let entities = entities.as_string::<i32>();
            let times = column("bin_ms")?.as_primitive::<TimestampMillisecondType>();
            let counts = column("count")?.as_primitive::<UInt32Type>();
            let means: &Float32Array = column("cpu_user_pct")?.as_primitive::<Float32Type>();
            for row in 0..batch.num_rows() {
                let key = (entities.value(row).to_owned(), times.value(row));
                let count = counts.value(row);
                bins.insert(key, (count, f64::from(means.value(row)) * f64::from(count)));
            }
        }
    }
    Ok(bins)
}

fn find_parts(folder: &Path, parts: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("no history in {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            find_parts(&path, parts)?;
        } else if path.extension().is_some_and(|end| end == "parquet") {
            parts.push(path);
        }
    }
    Ok(())
}

/// Fails unless history holds exactly what it has to; bins that nothing was expected in are left out of the comparison
/// only if they belong to none of the workload's servers' times.
///
/// # Errors
/// Names the first bins that differ.
pub fn compare(expected: &Bins, stored: &Bins) -> anyhow::Result<()> {
    let documents = |bins: &Bins| {
        bins.values()
            .map(|(count, _)| u64::from(*count))
            .sum::<u64>()
    };
    let last_ms = expected
        .keys()
        .map(|(_, bin_ms)| *bin_ms)
        .max()
        .unwrap_or(i64::MAX);
    let of_ours: Bins = stored
        .iter()
        .filter(|((_, bin_ms), _)| *bin_ms <= last_ms)
        .map(|(key, bin)| (key.clone(), *bin))
        .collect();
    ensure!(
        documents(expected) == documents(&of_ours),
        "{} documents were written and bins count {}",
        documents(expected),
        documents(&of_ours)
    );
    let is_same = |(count, sum): &(u32, f64), other: &(u32, f64)| {
        // Means are stored in single precision.
        *count == other.0 && (sum - other.1).abs() <= 1e-5 * sum.abs().max(1.0)
    };
    for (key, bin) in expected {
        let found = of_ours.get(key);
        ensure!(
            found.is_some_and(|found| is_same(bin, found)),
            "bin {key:?} holds {found:?}, and {bin:?} was written (count, sum)"
        );
    }
    Ok(())
}

/// How many documents a test writes: `ARGUS_TEST_DOCUMENTS`, else a number that takes seconds.
pub fn count() -> u32 {
    let wanted = env::var("ARGUS_TEST_DOCUMENTS").ok();
    wanted
        .and_then(|count| count.parse().ok())
        .unwrap_or(20_000)
}
