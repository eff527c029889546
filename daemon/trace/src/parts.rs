//! A trace as some servers at a time: memory is bounded by the servers asked for, not by the files.
//!
//! A trace may be one file or a folder of them, such as the daemon's own history (`store/history`), whose columns
//! `entity` and `bin_ms` are read like `server_name` and `timestamp`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_schema::Schema;

use crate::series::{append, sort_by_time};
use crate::{Series, TraceError, TraceReader, TraceRows};

/// What a server has in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerRows {
    /// Rows.
    pub rows: u64,
    /// Its earliest time, ms since the epoch.
    pub first_ms: i64,
    /// Its latest time, ms since the epoch.
    pub last_ms: i64,
}

/// The Parquet files of a trace: the file itself, or all `.parquet` files below a folder.
///
/// Files are given the last by name first: of several rows with one (server, timestamp) the first read counts, and the
/// parts of a history are named so that a later one supersedes an earlier.
///
/// # Errors
/// When there is no such file or folder, or the folder cannot be read or holds no Parquet file.
pub fn trace_files(path: &Path) -> Result<Vec<PathBuf>, TraceError> {
    let found = fs::metadata(path).map_err(|source| TraceError::File {
        path: path.to_owned(),
        source,
    })?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| TraceError::File {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|e| e == "parquet") {
                files.push(entry.path());
            }
        }
    }
    if files.is_empty() {
        return Err(TraceError::Empty {
            path: path.to_owned(),
            problem: "holds no .parquet file",
        });
    }
    files.sort_by(|a, b| b.file_name().cmp(&a.file_name()).then(b.cmp(a)));
    Ok(files)
}

/// Which servers the files hold, and how much of each. Decodes names and times only.
///
/// # Errors
/// As [`TraceReader::open`], or when a cell is not usable.
pub fn count_servers(
    files: &[PathBuf],
    schema: &Schema,
) -> Result<BTreeMap<String, ServerRows>, TraceError> {
    let mut counts: BTreeMap<Arc<str>, ServerRows> = BTreeMap::new();
    for file in files {
        for rows in TraceReader::open_keys(file, schema)? {
            let rows = rows?;
            for (server, time_ms) in rows.servers.iter().zip(&rows.times_ms) {
                let count = counts.entry(Arc::clone(server)).or_insert(ServerRows {
                    rows: 0,
                    first_ms: *time_ms,
                    last_ms: *time_ms,
                });
                count.rows += 1;
                count.first_ms = count.first_ms.min(*time_ms);
                count.last_ms = count.last_ms.max(*time_ms);
            }
        }
    }
    Ok(counts
        .into_iter()
        .map(|(name, count)| (name.as_ref().to_owned(), count))
        .collect())
}

/// The series of some servers, sorted by name; see [`crate::read_series`].
///
/// # Errors
/// As [`TraceReader::open`], or when a cell is not usable.
pub fn read_servers(
    files: &[PathBuf],
    schema: &Schema,
    wanted: &BTreeSet<String>,
) -> Result<Vec<Series>, TraceError> {
    let mut by_server: BTreeMap<Arc<str>, Series> = BTreeMap::new();
    for file in files {
        for rows in TraceReader::open(file, schema)? {
            if let Some(part) = only_wanted(rows?, wanted) {
                append(&mut by_server, &part, schema);
            }
        }
    }
    let mut all: Vec<Series> = by_server.into_values().collect();
    all.iter_mut().for_each(sort_by_time);
    Ok(all)
}

/// The rows of wanted servers; the batch itself where that is all of it, nothing where there is none.
fn only_wanted(rows: TraceRows, wanted: &BTreeSet<String>) -> Option<TraceRows> {
    let is_wanted = run_by_run(&rows.servers, |name| wanted.contains(name));
    if is_wanted.iter().all(|wanted| *wanted) {
        return Some(rows);
    }
    if !is_wanted.contains(&true) {
        return None;
    }
    Some(rows.retain(&is_wanted))
}

/// Asks once per run of equal names, which usually lie together.
fn run_by_run(servers: &[Arc<str>], test: impl Fn(&str) -> bool) -> Vec<bool> {
    let mut answers = Vec::with_capacity(servers.len());
    for run in servers.chunk_by(Arc::ptr_eq) {
        answers.extend(std::iter::repeat_n(test(&run[0]), run.len()));
    }
    answers
}
