//! Rows by group of servers, in memory while they fit and else on disk.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_trace::TraceRows;

use super::Making;
use crate::TrainingError;

/// Most groups, and so most files.
const MOST_GROUPS: u64 = 256;

/// Bytes of a stored row: server, time, status, values.
pub(super) fn row_bytes(metrics: usize) -> usize {
    4 + 8 + 1 + 4 * metrics
}

/// Server and time of a stored row.
pub(super) fn key(row: &[u8]) -> (u32, i64) {
    let number = |from: usize, to: usize| {
        let mut bytes = [0; 8];
        bytes[..to - from].copy_from_slice(&row[from..to]);
        u64::from_le_bytes(bytes)
    };
    (number(0, 4) as u32, number(4, 12) as i64)
}

/// A stored row; `values` is where its values go.
pub(super) fn decode(row: &[u8], values: &mut [f32]) -> u8 {
    for (value, bytes) in values.iter_mut().zip(row[13..].as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    row[12]
}

/// A server of a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Server {
    pub(super) name: Arc<str>,
    /// Profile code of the newest row that names one.
    pub(super) profile: Option<u8>,
    profile_time_ms: i64,
}

/// The rows of some servers: what is in memory comes after what is in the file.
#[derive(Debug, Default)]
pub(super) struct Group {
    file: Option<PathBuf>,
    file_bytes: u64,
    memory: Vec<u8>,
}

/// Sorts rows into groups.
pub(super) struct Scatter<'a> {
    dir: PathBuf,
    making: &'a Making<'a>,
    pub(super) groups: Vec<Group>,
    pub(super) servers: Vec<Server>,
    by_name: HashMap<Arc<str>, u32>,
    buffered: usize,
}

impl<'a> Scatter<'a> {
    /// For about so many rows; files go into `dir`.
    pub(super) fn new(dir: &Path, making: &'a Making<'a>, rows: u64) -> Self {
        let bytes = rows * row_bytes(making.schema.metrics.len()) as u64;
        let groups = bytes
            .div_ceil(making.memory_bytes as u64 / 4)
            .clamp(1, MOST_GROUPS);
        Self {
            dir: dir.to_owned(),
            making,
            groups: (0..groups).map(|_| Group::default()).collect(),
            servers: Vec::new(),
            by_name: HashMap::new(),
            buffered: 0,
        }
    }

    /// Adds a batch of rows.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn add(&mut self, rows: &TraceRows) -> Result<(), TrainingError> {
        let metrics = &self.making.schema.metrics;
        let mut last: Option<(Arc<str>, u32)> = None;
        for row in 0..rows.len() {
            let name = &rows.servers[row];
            let server = match &last {
                Some((known, server)) if Arc::ptr_eq(known, name) => *server,
                _ => self.server(name),
            };
            last = Some((Arc::clone(name), server));
            let (time_ms, place) = (rows.times_ms[row], server as usize);
            if rows.profiles[row].is_some() && time_ms >= self.servers[place].profile_time_ms {
                self.servers[place].profile = rows.profiles[row];
                self.servers[place].profile_time_ms = time_ms;
            }
            let group = place % self.groups.len();
            let memory = &mut self.groups[group].memory;
            memory.extend_from_slice(&server.to_le_bytes());
            memory.extend_from_slice(&time_ms.to_le_bytes());
            memory.push(rows.statuses[row]);
            for (metric, values) in metrics.iter().zip(&rows.values) {
                let legal = metric.stored(f64::from(values[row])).unwrap_or(f32::NAN);
                memory.extend_from_slice(&legal.to_le_bytes());
            }
        }
        self.buffered += rows.len() * row_bytes(metrics.len());
        if self.buffered > self.making.memory_bytes / 2 {
            self.buffered = 0;
            for (number, group) in self.groups.iter_mut().enumerate() {
                group.spill(&self.dir.join(format!("rows-{number}")))?;
            }
        }
        Ok(())
    }

    fn server(&mut self, name: &Arc<str>) -> u32 {
        if let Some(server) = self.by_name.get(name) {
            return *server;
        }
        let server = self.servers.len() as u32;
        self.by_name.insert(Arc::clone(name), server);
        self.servers.push(Server {
            name: Arc::clone(name),
            profile: None,
            profile_time_ms: i64::MIN,
        });
        server
    }
}

impl Group {
    /// Bytes of its rows.
    pub(super) fn bytes(&self) -> u64 {
        self.file_bytes + self.memory.len() as u64
    }

    /// Adds a stored row.
    pub(super) fn push(&mut self, row: &[u8]) {
        self.memory.extend_from_slice(row);
    }

    /// Bytes of its rows that are in memory.
    pub(super) fn buffered(&self) -> usize {
        self.memory.len()
    }

    /// Moves what is in memory to the end of its file.
    pub(super) fn spill(&mut self, path: &Path) -> Result<(), TrainingError> {
        if self.memory.is_empty() {
            return Ok(());
        }
        let path = self.file.get_or_insert_with(|| path.to_owned());
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&*path)
            .and_then(|mut file| file.write_all(&self.memory))
            .map_err(TrainingError::io(path))?;
        self.file_bytes += self.memory.len() as u64;
        self.memory = Vec::new();
        Ok(())
    }

    /// All rows, in the order in which they came; the file is gone afterwards.
    pub(super) fn into_rows(mut self) -> Result<Vec<u8>, TrainingError> {
        let memory = std::mem::take(&mut self.memory);
        let Some(path) = &self.file else {
            return Ok(memory);
        };
        let mut rows = Vec::with_capacity(self.file_bytes as usize + memory.len());
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut rows))
            .and_then(|_| fs::remove_file(path))
            .map_err(TrainingError::io(path))?;
        rows.extend_from_slice(&memory);
        Ok(rows)
    }

    /// Calls `visit` with each row in the order in which they came.
    pub(super) fn each(
        &self,
        row_bytes: usize,
        mut visit: impl FnMut(&[u8]) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        if let Some(path) = &self.file {
            let mut file = BufReader::with_capacity(
                1 << 16,
                File::open(path).map_err(TrainingError::io(path))?,
            );
            let mut row = vec![0; row_bytes];
            for _ in 0..self.file_bytes / row_bytes as u64 {
                file.read_exact(&mut row).map_err(TrainingError::io(path))?;
                visit(&row)?;
            }
        }
        self.memory.chunks_exact(row_bytes).try_for_each(visit)
    }

    /// Removes its file.
    pub(super) fn remove(self) -> Result<(), TrainingError> {
        match &self.file {
            Some(path) => fs::remove_file(path).map_err(TrainingError::io(path)),
            None => Ok(()),
        }
    }
}
