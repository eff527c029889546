//! A trace as single rows of all servers in order of time.

use std::path::Path;
use std::sync::Arc;

use argus_schema::Schema;

use crate::{TraceError, TraceReader};

/// One observation of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// Milliseconds since the Unix epoch, UTC.
    pub time_ms: i64,
    /// The server.
    pub server: Arc<str>,
    /// One value per metric in the schema's order and units, NaN where missing.
    pub values: Box<[f32]>,
    /// Status code of the schema, 0 where missing.
    pub status: u8,
    /// Profile code of the schema, if known.
    pub profile: Option<u8>,
    /// Processor cores, if told.
    pub cores: Option<f32>,
}

/// The rows of a trace in order of time; rows of one time are in order of server name.
#[derive(Debug)]
pub struct MergedRows {
    times_ms: Vec<i64>,
    servers: Vec<Arc<str>>,
    /// `[metric][row]`; a metric that the file lacks takes no memory.
    values: Vec<Option<Vec<f32>>>,
    statuses: Vec<u8>,
    profiles: Vec<Option<u8>>,
    cores: Vec<f32>,
    order: std::vec::IntoIter<u32>,
}

/// Loads a trace and sorts it. Files lie in any order (mostly server by server), so the columns are held in memory:
/// about 36 bytes and 4 for each metric of the file per row, 64 MB for a million rows of 7 metrics.
///
/// # Errors
/// As [`TraceReader::open`], or when a cell is not usable or there are more than 2³² rows.
pub fn read_merged(path: &Path, schema: &Schema) -> Result<MergedRows, TraceError> {
    let reader = TraceReader::open(path, schema)?;
    let present = reader.metrics_present();
    let mut merged = MergedRows {
        times_ms: Vec::new(),
        servers: Vec::new(),
        values: present
            .iter()
            .map(|present| present.then(Vec::new))
            .collect(),
        statuses: Vec::new(),
        profiles: Vec::new(),
        cores: Vec::new(),
        order: Vec::new().into_iter(),
    };
    for rows in reader {
        let mut rows = rows?;
        for (column, values) in merged.values.iter_mut().zip(&rows.values) {
            if let Some(column) = column {
                column.extend_from_slice(values);
            }
        }
        merged.times_ms.append(&mut rows.times_ms);
        merged.servers.append(&mut rows.servers);
        merged.statuses.append(&mut rows.statuses);
        merged.profiles.append(&mut rows.profiles);
        merged.cores.append(&mut rows.cores);
    }
    let count = u32::try_from(merged.times_ms.len()).map_err(|_| TraceError::Cell {
        path: path.to_owned(),
        row: u32::MAX as usize,
        column: "timestamp",
        problem: "is one row too many to be sorted in memory; split the file".to_owned(),
    })?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by(|left, right| {
        let (left, right) = (*left as usize, *right as usize);
        (merged.times_ms[left], &merged.servers[left])
            .cmp(&(merged.times_ms[right], &merged.servers[right]))
    });
    merged.order = order.into_iter();
    Ok(merged)
}

impl Iterator for MergedRows {
    type Item = TraceRow;

    fn next(&mut self) -> Option<TraceRow> {
        let row = self.order.next()? as usize;
        Some(TraceRow {
            time_ms: self.times_ms[row],
            server: Arc::clone(&self.servers[row]),
            values: (self.values.iter())
                .map(|column| column.as_ref().map_or(f32::NAN, |column| column[row]))
                .collect(),
            status: self.statuses[row],
            profile: self.profiles[row],
            cores: Some(self.cores[row]).filter(|cores| !cores.is_nan()),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.order.size_hint()
    }
}

impl ExactSizeIterator for MergedRows {}
