//! A trace as one series per server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use argus_schema::Schema;

use crate::{TraceError, TraceReader, TraceRows};

/// All observations of one server, sorted by time, each time once.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The server.
    pub name: String,
    /// Id of the last profile that its rows name, if any.
    pub profile: Option<String>,
    /// Processor cores as last told, if ever.
    pub cores: Option<f32>,
    /// Milliseconds since the Unix epoch, UTC, ascending.
    pub times_ms: Vec<i64>,
    /// `[metric][observation]` in the schema's order and units, NaN where missing.
    pub values: Vec<Vec<f32>>,
    /// Status codes of the schema, 0 where missing.
    pub status: Vec<u8>,
}

/// Reads a whole trace into series, sorted by server name. Of several rows with one (server, timestamp) the first
/// counts, as it does in the feed.
///
/// # Errors
/// As [`TraceReader::open`], or when a cell is not usable.
pub fn read_series(path: &Path, schema: &Schema) -> Result<Vec<Series>, TraceError> {
    let mut by_server: BTreeMap<Arc<str>, Series> = BTreeMap::new();
    for rows in TraceReader::open(path, schema)? {
        append(&mut by_server, &rows?, schema);
    }
    let mut all: Vec<Series> = by_server.into_values().collect();
    all.iter_mut().for_each(sort_by_time);
    Ok(all)
}

pub(crate) fn append(
    by_server: &mut BTreeMap<Arc<str>, Series>,
    rows: &TraceRows,
    schema: &Schema,
) {
    for run in rows.servers.chunk_by(Arc::ptr_eq).scan(0, |start, run| {
        let first = *start;
        *start += run.len();
        Some(first..*start)
    }) {
        let name = &rows.servers[run.start];
        let series = by_server.entry(Arc::clone(name)).or_insert_with(|| Series {
            name: name.as_ref().to_owned(),
            profile: None,
            cores: None,
            times_ms: Vec::new(),
            values: vec![Vec::new(); schema.metrics.len()],
            status: Vec::new(),
        });
        series
            .times_ms
            .extend_from_slice(&rows.times_ms[run.clone()]);
        series.status.extend_from_slice(&rows.statuses[run.clone()]);
        for (column, values) in series.values.iter_mut().zip(&rows.values) {
            column.extend_from_slice(&values[run.clone()]);
        }
        if let Some(code) = rows.profiles[run.clone()]
            .iter()
            .rev()
            .find_map(|code| *code)
        {
            series.profile = schema
                .profiles
                .get(usize::from(code))
                .map(|profile| profile.id.clone());
        }
        if let Some(cores) = rows.cores[run].iter().rev().find(|cores| !cores.is_nan()) {
            series.cores = Some(*cores);
        }
    }
}

pub(crate) fn sort_by_time(series: &mut Series) {
    if series
        .times_ms
        .is_sorted_by(|earlier, later| earlier < later)
    {
        return;
    }
    let mut order: Vec<usize> = (0..series.times_ms.len()).collect();
    order.sort_by_key(|row| series.times_ms[*row]);
    order.dedup_by_key(|row| series.times_ms[*row]);
    series.times_ms = order.iter().map(|row| series.times_ms[*row]).collect();
    series.status = order.iter().map(|row| series.status[*row]).collect();
    for column in &mut series.values {
        *column = order.iter().map(|row| column[*row]).collect();
    }
}
