//! The store as a whole: real files, and a disk in memory that fails and crashes on command.

mod append;
mod crash;
mod damage;
mod disk;
mod disk_full;
mod failed_checkpoint;
mod history;
mod lost_database;
mod restart;
mod unreadable;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use argus_schema::{EntityName, Record, Schema};

use crate::{Clock, HistoryQuery, HistoryRow, RecoveryReport, Refusal, Store, StoreConfig};

/// 2026-03-01T00:00:00Z.
const MARCH: i64 = 1_772_323_200_000;
const STEP_MS: i64 = 300_000;

/// A clock that stands still until moved.
#[derive(Debug)]
struct TestClock(AtomicI64);

impl TestClock {
    fn at(now_ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now_ms)))
    }

    fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Far enough from everything tests write that nothing is in the future and no bin is open by the clock.
fn late_clock() -> Arc<TestClock> {
    TestClock::at(MARCH + 40 * 86_400_000)
}

fn config(dir: &Path) -> StoreConfig {
    StoreConfig {
        min_free_bytes: 0,
        checkpoint_secs: 3_600,
        history_retention_days: 0,
        ..StoreConfig::new(dir)
    }
}

fn open(dir: &Path) -> (Arc<Store>, RecoveryReport) {
    open_with(config(dir), late_clock())
}

fn open_with(config: StoreConfig, clock: Arc<TestClock>) -> (Arc<Store>, RecoveryReport) {
    Store::open(config, Schema::server(), clock).expect("opens")
}

fn name(text: &str) -> EntityName {
    EntityName::new(text).expect("legal")
}

/// A record of `bin` steps and `ms` after the start of March; metrics 0 and 5 have the value, the others nothing.
fn record(entity: &str, bin: i64, ms: i64, value: f32) -> Record {
    let mut values = vec![f32::NAN; Schema::server().metrics.len()];
    (values[0], values[5]) = (value, value);
    let time_ms = MARCH + bin * STEP_MS + ms;
    Record {
        entity: name(entity),
        time_ms,
        status: 0,
        profile: None,
        cores: None,
        values: values.into(),
    }
}

/// Bin `bin` of [`record`] as a bin index.
fn bin_index(bin: i64) -> i64 {
    MARCH / STEP_MS + bin
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

fn append(store: &Store, records: Vec<Record>) -> Vec<Result<(), Refusal>> {
    wait(store.append(records)).expect("stored")
}

/// Appends records that must all be accepted.
fn accept(store: &Store, records: Vec<Record>) {
    for (at, verdict) in append(store, records).into_iter().enumerate() {
        assert_eq!(verdict, Ok(()), "record {at}");
    }
}

fn codes(verdicts: &[Result<(), Refusal>]) -> Vec<&'static str> {
    verdicts
        .iter()
        .map(|verdict| verdict.as_ref().map_or_else(Refusal::code, |()| "ok"))
        .collect()
}

/// Means of metric 0 by bin of [`record`].
fn means(store: &Store, entity: &str) -> BTreeMap<i64, f32> {
    let Some(view) = store.entity(&name(entity)) else {
        return BTreeMap::new();
    };
    let context = store
        .context(&view.name, view.newest_bin, 2_880)
        .expect("has data");
    let series = context.values[0]
        .iter()
        .zip(context.first_bin - MARCH / STEP_MS..);
    series
        .filter(|(value, _)| !value.is_nan())
        .map(|(&value, bin)| (bin, value))
        .collect()
}

/// Files of history as `day=…/part-…`.
fn parts(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for day in std::fs::read_dir(dir.join("history/kind=server"))
        .into_iter()
        .flatten()
        .flatten()
    {
        for part in std::fs::read_dir(day.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            found.push(format!(
                "{}/{}",
                day.file_name().to_string_lossy(),
                part.file_name().to_string_lossy()
            ));
        }
    }
    found.sort();
    found
}

fn all_history(store: &Store, entity: &str) -> Vec<HistoryRow> {
    let query = HistoryQuery {
        entity: name(entity),
        from_ms: 0,
        to_ms: i64::MAX,
        max_rows: 100_000,
    };
    store.history(&query).expect("readable")
}

/// History as (bin of [`record`], count, mean and maximum of metric 0).
fn history_of(store: &Store, entity: &str) -> Vec<(i64, u32, f32, f32)> {
    let rows = all_history(store, entity).into_iter();
    rows.map(|row| {
        (
            (row.bin_ms - MARCH) / STEP_MS,
            row.count,
            row.mean[0],
            row.max[0],
        )
    })
    .collect()
}

fn checkpoint(store: &Store) {
    assert_eq!(wait(store.checkpoint()), Ok(true));
}

/// Copies a data directory as a crash would leave it.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
