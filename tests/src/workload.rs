//! Documents for a database, in an order that hurts, and what has to become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use argus_schema::{EntityName, Schema};
use argus_store::{HistoryQuery, Store, StoreConfig, SystemClock};
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

/// What a data directory holds of these bins' servers up to the last of these bins; no daemon may have it open.
///
/// # Errors
/// When it cannot be read.
pub fn stored(data_dir: &Path, expected: &Bins) -> anyhow::Result<Bins> {
    let schema = Schema::server();
    let metric = schema.metric_index("cpu_user_pct").context("a metric")?;
    let config = StoreConfig::new(data_dir.join("store"));
    let (store, _) = Store::open(config, schema, Arc::new(SystemClock))?;
    let servers: BTreeSet<&String> = expected.keys().map(|(server, _)| server).collect();
    let times = expected.keys().map(|(_, bin_ms)| *bin_ms);
    let (from_ms, last_ms) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
    let mut bins = Bins::new();
    for server in servers {
        let rows = store.history(&HistoryQuery {
            entity: EntityName::new(server)?,
            from_ms: from_ms - BIN_MS,
            to_ms: last_ms + BIN_MS,
            max_rows: 1_000_000,
        })?;
        for row in rows.into_iter().filter(|row| row.bin_ms <= last_ms) {
            let sum = f64::from(row.mean[metric]) * f64::from(row.count);
            bins.insert((server.clone(), row.bin_ms), (row.count, sum));
        }
    }
    Ok(bins)
}

/// Fails unless bins hold exactly what they have to.
///
/// # Errors
/// Names the first bin that differs.
pub fn compare(expected: &Bins, stored: &Bins) -> anyhow::Result<()> {
    let documents = |bins: &Bins| {
        bins.values()
            .map(|(count, _)| u64::from(*count))
            .sum::<u64>()
    };
    for key in expected.keys().chain(stored.keys()) {
        let (wanted, found) = (expected.get(key), stored.get(key));
        // Means are stored in single precision.
        let is_same = wanted.zip(found).is_some_and(|(wanted, found)| {
            wanted.0 == found.0 && (wanted.1 - found.1).abs() <= 1e-5 * wanted.1.abs().max(1.0)
        });
        ensure!(
            is_same,
            "bin {key:?} holds {found:?}, and {wanted:?} was written (count, sum); of {} documents bins count {}",
            documents(expected),
            documents(stored)
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
