//! The spool: all rows of a run as bins on disk, where any stretch of any server can be read at once.
//!
//! Training wants windows in random order; Parquet gives rows in file order. So each run goes over its inputs once and
//! writes what it needs of them, and from then on reads single windows by position.
//!
//! ```text
//! rows of all files ── scatter ──► groups of servers ── gather ──► bins, one track after the other
//!                     (in memory while they fit, else on disk)      + index
//! ```
//!
//! - *Scatter* reads the files batch by batch and sorts the rows by group of servers.
//! - *Gather* takes one group at a time, sorts it by server and time, drops doubles (the first row read counts), and
//!   puts the rows into bins: means over the bin, the newest status. A group that is larger than memory is scattered
//!   again, in the end by time. So files may be of any size and their rows in any order.
//! - A stretch of more than a day's worth of bins without any row ends a track, so that silence costs no space.
//!
//! # On disk
//! `bins` holds one record per bin: the metrics as little-endian f32 (NaN missing) and the status code. `index.json`
//! is written last, by rename; a folder without it is an unfinished spool and is written anew. The index holds a
//! SHA-256 over all bins that does not depend on how the rows were cut up, and tells which files (path, size, time of
//! change) it was made of.

mod gather;
mod index;
mod scatter;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use argus_generate::FleetSpec;
use argus_schema::{ProfileRules, Schema};
use argus_tft::train::Track;
use argus_trace::{TraceReader, trace_files};

pub(crate) use self::index::{Index, SourceIndex, TrackIndex};
use self::scatter::Scatter;
use self::writer::SpoolWriter;
use crate::TrainingError;

/// Most bins without a row inside a track. A context that reaches across more would see nothing; what is usual is not read
/// across either, which serving does.
const LONGEST_GAP_BINS: i64 = 288;
/// The bins.
const BINS_FILE: &str = "bins";
/// The index.
const INDEX_FILE: &str = "index.json";

/// Where a source's rows come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RowsFrom<'a> {
    /// A Parquet file, or a folder of them.
    Files(&'a Path),
    /// A synthetic fleet.
    Fleet(&'a FleetSpec),
}

/// What a spool is made with.
pub(crate) struct Making<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) profiles: &'a ProfileRules,
    pub(crate) step_secs: u32,
    /// Most bytes of rows in memory.
    pub(crate) memory_bytes: usize,
}

/// All rows of a run, as bins.
#[derive(Debug)]
pub struct Spool {
    index: Index,
    bins: File,
    path: PathBuf,
}

impl Spool {
    /// Opens the spool in `dir`, or makes it if there is none of these sources. `tell` gets the rows read and their
    /// total, as far as it is known.
    ///
    /// # Errors
    /// When a file cannot be read or the folder not be written.
    pub(crate) fn open_or_make(
        dir: &Path,
        sources: &[(&str, RowsFrom<'_>)],
        making: &Making<'_>,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, TrainingError> {
        let made_of = index::made_of(sources, making)?;
        if let Some(index) = Index::read(&dir.join(INDEX_FILE))
            && index.made_of == made_of
            && let Ok(spool) = Self::open(dir, index)
        {
            return Ok(spool);
        }
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(TrainingError::io(dir))?;
        }
        fs::create_dir_all(dir).map_err(TrainingError::io(dir))?;
        let mut writer = SpoolWriter::create(&dir.join(BINS_FILE), making)?;
        let mut reading = Reading::new(sources, tell)?;
        for (name, origin) in sources {
            match origin {
                RowsFrom::Files(path) => add_files(&mut writer, dir, path, making, &mut reading)?,
                RowsFrom::Fleet(spec) => add_fleet(&mut writer, dir, spec, making)?,
            }
            writer.end_source(name)?;
        }
        let index = writer.finish(made_of)?;
        index.write(&dir.join(INDEX_FILE))?;
        Self::open(dir, index)
    }

    fn open(dir: &Path, index: Index) -> Result<Self, TrainingError> {
        let path = dir.join(BINS_FILE);
        let bins = File::open(&path).map_err(TrainingError::io(&path))?;
        let length = bins.metadata().map_err(TrainingError::io(&path))?.len();
        if length != index.bins * record_bytes(index.metrics) as u64 {
            return Err(TrainingError::Spool { path });
        }
        Ok(Self { index, bins, path })
    }

    /// Its sources.
    pub(crate) fn sources(&self) -> &[SourceIndex] {
        &self.index.sources
    }

    /// Length of a bin.
    pub(crate) fn step_secs(&self) -> u32 {
        self.index.step_secs
    }

    /// SHA-256 over all bins, servers and profiles, hexadecimal.
    pub(crate) fn digest(&self) -> &str {
        &self.index.digest
    }

    /// Some bins of a track, counted from its first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn read(
        &self,
        source: usize,
        track: usize,
        bins: Range<usize>,
    ) -> Result<Track, TrainingError> {
        let source = &self.index.sources[source];
        let track = &source.tracks[track];
        let (metrics, record) = (self.index.metrics, record_bytes(self.index.metrics));
        let mut bytes = vec![0; bins.len() * record];
        let offset = (track.start + bins.start as u64) * record as u64;
        self.bins
            .read_exact_at(&mut bytes, offset)
            .map_err(TrainingError::io(&self.path))?;
        let mut values: Vec<Vec<f32>> = (0..metrics)
            .map(|_| Vec::with_capacity(bins.len()))
            .collect();
        let mut status = Vec::with_capacity(bins.len());
        for record in bytes.chunks_exact(record) {
            let (floats, rest) = record.as_chunks::<4>();
            for (column, float) in values.iter_mut().zip(floats) {
                column.push(f32::from_le_bytes(*float));
            }
            status.extend_from_slice(rest);
        }
        let first_bin = track.first_bin + bins.start as i64;
        Ok(Track {
            profile: source.servers[track.server].profile.clone(),
            first_bin_ms: first_bin * i64::from(self.index.step_secs) * 1_000,
            values,
            status,
        })
    }
}

/// Bytes of one bin.
fn record_bytes(metrics: usize) -> usize {
    metrics * size_of::<f32>() + 1
}

/// How far the files are read.
struct Reading<'a> {
    rows: u64,
    total: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Reading<'a> {
    fn new(
        sources: &[(&str, RowsFrom<'_>)],
        tell: &'a mut dyn FnMut(u64, u64),
    ) -> Result<Self, TrainingError> {
        let mut total = 0;
        for (_, origin) in sources {
            if let RowsFrom::Files(path) = origin {
                for file in trace_files(path)? {
                    total += argus_trace::count_rows(&file)?;
                }
            }
        }
        let rows = 0;
        Ok(Self { rows, total, tell })
    }

    fn add(&mut self, rows: usize) {
        self.rows += rows as u64;
        (self.tell)(self.rows, self.total);
    }
}

fn add_files(
    writer: &mut SpoolWriter<'_>,
    dir: &Path,
    path: &Path,
    making: &Making<'_>,
    reading: &mut Reading<'_>,
) -> Result<(), TrainingError> {
    let files = trace_files(path)?;
    let mut rows_total = 0;
    for file in &files {
        rows_total += argus_trace::count_rows(file)?;
    }
    let mut scatter = Scatter::new(dir, making, rows_total);
    for file in &files {
        for rows in TraceReader::open(file, making.schema)? {
            let rows = rows?;
            scatter.add(&rows)?;
            reading.add(rows.len());
        }
    }
    gather::gather(scatter, writer, making)
}

fn add_fleet(
    writer: &mut SpoolWriter<'_>,
    dir: &Path,
    spec: &FleetSpec,
    making: &Making<'_>,
) -> Result<(), TrainingError> {
    // One server at a time: the generator makes them whole, in order of time.
    for server in argus_generate::generate(spec)? {
        let series = server.series;
        let profile = series
            .profile
            .as_deref()
            .and_then(|id| making.schema.profile_code(id));
        let rows = argus_trace::TraceRows {
            servers: vec![series.name.as_str().into(); series.times_ms.len()],
            profiles: vec![profile; series.times_ms.len()],
            cores: vec![series.cores.unwrap_or(f32::NAN); series.times_ms.len()],
            times_ms: series.times_ms,
            values: series.values,
            statuses: series.status,
        };
        let mut scatter = Scatter::new(dir, making, rows.len() as u64);
        scatter.add(&rows)?;
        gather::gather(scatter, writer, making)?;
    }
    Ok(())
}
