//! One entity's bins, without I/O: used by the store, and offline by whoever bins a trace.
//!
//! # Shape
//! Bin `b` covers `[b * step_ms, (b + 1) * step_ms)`. The window is counted back from the entity's newest bin with
//! data, never from the wall clock:
//!
//! ```text
//!        newest - window_steps          newest - exact_bins              newest
//!  too old │ folded: mean and count, 64 bins to a block │ open: sums, maxima, │ future bins move
//!  refused │ a late record merges into its mean         │ accepted timestamps │ everything to the left
//! ```
//!
//! - **Open bins** (the newest `exact_bins`) hold `f64` sums, counts and maxima per metric, and each accepted timestamp
//!   with a hash of its record's content, so that a duplicate is recognised and told from a conflicting record.
//! - **Folded bins** hold one `f32` mean per metric that the block has ever seen, one record count, and one status. A
//!   metric that some of a bin's records lack needs a count of its own; such counts are kept per metric and block, and
//!   only where they differ, so merging a late record is exact without doubling the memory of all others.
//! - A bin that leaves the open range, or changes after it did, leaves a [`Row`] for the history.
//!
//! # Invariants
//! - Open bins and blocks are sorted; no bin is in both.
//! - The sum of [`Window::records_in`] over all bins equals the records applied that are still within the window.
//! - The state depends on the accepted records only, up to the rounding of sums, as long as none is late; replaying
//!   them in the order of acceptance gives the same state.

mod block;
mod encode;
mod open;
mod read;
mod rows;
mod staging;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use argus_schema::Record;

use crate::errors::Refusal;
pub(crate) use block::Block;
pub(crate) use encode::BlockRef;
use open::OpenBin;
pub use rows::Row;
pub use staging::Staged;

/// Bins per block of folded bins. With 14 metrics a full block fills one page of the database.
pub(crate) const BLOCK_BINS: usize = 64;

/// Dimensions of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowConfig {
    /// Metrics of the schema, at most 64.
    pub metrics: usize,
    /// Length of a bin in milliseconds, at most one day.
    pub step_ms: i64,
    /// Bins kept, counted back from the newest.
    pub window_steps: u32,
    /// Newest bins in which duplicates are exact.
    pub exact_bins: u32,
    /// Cap on records in one bin.
    pub max_records_per_bin: u32,
    /// Whether bins that left the open range are kept as rows until [`Window::clear_rows`]; off where nobody asks.
    pub keeps_rows: bool,
}

impl WindowConfig {
    /// The bin that a time lies in.
    pub fn bin_of(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.step_ms)
    }
}

/// What applying a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Whether it was older than the open range and merged into its bin.
    pub late: bool,
}

/// Newest raw values.
#[derive(Debug, Clone, PartialEq)]
struct Latest {
    time_ms: i64,
    status: u8,
    /// Per metric: when, and what; NaN before the first value.
    values: Box<[(i64, f32)]>,
    profile: Option<(i64, u8)>,
    cores: Option<(i64, f32)>,
}

/// One entity's bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    config: WindowConfig,
    newest_bin: Option<i64>,
    /// First bin of the open range. It only moves forward, also where `exact_bins` grew over a restart: what is folded
    /// stays folded.
    open_from: i64,
    open: VecDeque<OpenBin>,
    blocks: VecDeque<Block>,
    /// Blocks that left the window since the last checkpoint and may still be on disk.
    expired_blocks: Vec<i64>,
    rows: BTreeMap<i64, Row>,
    latest: Latest,
    records: u64,
    /// Value of `records` when a bin before the newest last changed.
    changed_before_newest: u64,
}

impl Window {
    /// A window without bins.
    pub fn new(config: WindowConfig) -> Self {
        debug_assert!(config.metrics <= 64 && config.step_ms > 0 && config.exact_bins > 0);
        let latest = Latest {
            time_ms: i64::MIN,
            status: 0,
            values: vec![(i64::MIN, f32::NAN); config.metrics].into(),
            profile: None,
            cores: None,
        };
        Self {
            config,
            newest_bin: None,
            open_from: i64::MIN,
            open: VecDeque::new(),
            blocks: VecDeque::new(),
            expired_blocks: Vec::new(),
            rows: BTreeMap::new(),
            latest,
            records: 0,
            changed_before_newest: 0,
        }
    }

    /// Checks a record against the window and, if nothing speaks against it, applies it.
    ///
    /// # Errors
    /// See [`Window::check`].
    pub fn push(&mut self, record: &Record) -> Result<Applied, Refusal> {
        self.check(&Staged::default(), record)?;
        Ok(self.apply(record))
    }

    /// Whether the window, once it has taken the staged records, would take this one.
    ///
    /// # Errors
    /// Wrong number of values, older than the window, a duplicate within the open range, or one too many in its bin.
    pub fn check(&self, staged: &Staged, record: &Record) -> Result<(), Refusal> {
        if record.values.len() != self.config.metrics {
            return Err(Refusal::WrongShape {
                found: record.values.len(),
                expected: self.config.metrics,
            });
        }
        let bin = self.config.bin_of(record.time_ms);
        let newest = self.newest_bin.max(staged.newest_bin()).unwrap_or(bin);
        let oldest = self.oldest_bin(newest).max(0);
        if record.time_ms < 0 || bin < oldest {
            let oldest_ms = oldest.saturating_mul(self.config.step_ms);
            return Err(Refusal::TooOld {
                time_ms: record.time_ms,
                oldest_ms,
            });
        }
        if bin >= self.open_from_at(newest) {
            let offset = open::offset_in_bin(&self.config, record.time_ms);
            let stored = self.open_bin(bin).and_then(|open| open.hash_at(offset));
            if let Some(hash) = stored.or_else(|| staged.hash_at(record.time_ms)) {
                return Err(Refusal::Duplicate {
                    identical: hash == open::content_hash(record),
                });
            }
        }
        let limit = self.config.max_records_per_bin;
        if self.records_in(bin).saturating_add(staged.records_in(bin)) >= limit {
            return Err(Refusal::TooManyInBin { limit });
        }
        Ok(())
    }

    /// Applies a record that [`Window::check`] let pass.
    pub fn apply(&mut self, record: &Record) -> Applied {
        debug_assert_eq!(record.values.len(), self.config.metrics);
        let bin = self.config.bin_of(record.time_ms);
        self.records += 1;
        match self.newest_bin {
            Some(newest) if bin <= newest => {
                if bin < newest {
                    self.changed_before_newest = self.records;
                }
            }
            _ => {
                self.advance(bin);
                self.changed_before_newest = self.records;
            }
        }
        let newest = self.newest_bin.unwrap_or(bin);
        self.remember_latest(record);
        let late = bin < self.open_from;
        if !late {
            let config = self.config;
            self.open_bin_mut(bin).add(&config, record);
        } else if bin >= self.oldest_bin(newest) {
            self.merge_late(bin, record);
        }
        Applied { late }
    }

    /// Estimate of the heap bytes in use.
    pub fn heap_bytes(&self) -> usize {
        let rows =
            self.rows.len() * (size_of::<Row>() + self.config.metrics * 2 * size_of::<f32>());
        let blocks: usize = self.blocks.iter().map(Block::heap_bytes).sum();
        let open: usize = self.open.iter().map(OpenBin::heap_bytes).sum();
        rows + blocks + open + self.config.metrics * size_of::<(i64, f32)>()
    }

    fn oldest_bin(&self, newest: i64) -> i64 {
        newest - i64::from(self.config.window_steps) + 1
    }

    /// First bin of the open range once `newest` is the newest bin.
    fn open_from_at(&self, newest: i64) -> i64 {
        self.open_from
            .max(newest - i64::from(self.config.exact_bins) + 1)
    }

    fn open_bin(&self, bin: i64) -> Option<&OpenBin> {
        let at = self.open.binary_search_by_key(&bin, OpenBin::bin).ok()?;
        self.open.get(at)
    }

    fn open_bin_mut(&mut self, bin: i64) -> &mut OpenBin {
        let at = match self.open.binary_search_by_key(&bin, OpenBin::bin) {
            Ok(at) => at,
            Err(at) => {
                self.open.insert(at, OpenBin::new(bin, self.config.metrics));
                at
            }
        };
        &mut self.open[at]
    }

    /// The block of a bin that is still within the window.
    fn visible_block(&self, bin: i64) -> Option<&Block> {
        if bin < self.oldest_bin(self.newest_bin?) {
            return None;
        }
        let at = self
            .blocks
            .binary_search_by_key(&Block::index_of(bin), Block::index)
            .ok()?;
        self.blocks.get(at)
    }

    fn block_mut(&mut self, bin: i64) -> &mut Block {
        let index = Block::index_of(bin);
        let at = match self.blocks.binary_search_by_key(&index, Block::index) {
            Ok(at) => at,
            Err(at) => {
                self.blocks.insert(at, Block::new(index));
                at
            }
        };
        &mut self.blocks[at]
    }

    /// Moves the window forward: folds what leaves the open range, drops what leaves the window.
    fn advance(&mut self, newest: i64) {
        self.newest_bin = Some(newest);
        self.fold_open_bins();
        let oldest = self.oldest_bin(newest);
        while let Some(block) = self.blocks.front()
            && block.last_bin() < oldest
        {
            self.expired_blocks.push(block.index());
            self.blocks.pop_front();
        }
    }

    fn fold_open_bins(&mut self) {
        let Some(newest) = self.newest_bin else {
            return;
        };
        self.open_from = self.open_from_at(newest);
        while self
            .open
            .front()
            .is_some_and(|open| open.bin() < self.open_from)
        {
            let Some(open) = self.open.pop_front() else {
                break;
            };
            if self.config.keeps_rows && !open.is_written() {
                self.rows.insert(open.bin(), open.row());
            }
            if open.bin() >= self.oldest_bin(newest) {
                self.block_mut(open.bin()).fold(&open);
            }
        }
    }

    fn merge_late(&mut self, bin: i64, record: &Record) {
        let keeps_rows = self.config.keeps_rows;
        let block = self.block_mut(bin);
        block.merge(bin, record);
        if !keeps_rows {
            return;
        }
        let mean = (0..record.values.len())
            .map(|metric| block.mean(bin, metric))
            .collect();
        let (records, status) = (block.records(bin), block.status(bin));
        let nothing = || vec![f32::NAN; record.values.len()].into_boxed_slice();
        let row = self.rows.entry(bin).or_insert_with(|| Row {
            bin,
            records: 0,
            status: 0,
            mean: nothing(),
            max: nothing(),
        });
        (row.records, row.status, row.mean) = (records, status, mean);
        for (max, &value) in row.max.iter_mut().zip(&record.values) {
            // `f32::max` ignores a NaN on either side.
            *max = max.max(value);
        }
    }

    fn remember_latest(&mut self, record: &Record) {
        let latest = &mut self.latest;
        if record.time_ms >= latest.time_ms {
            (latest.time_ms, latest.status) = (record.time_ms, record.status);
        }
        for (kept, &value) in latest.values.iter_mut().zip(&record.values) {
            if !value.is_nan() && record.time_ms >= kept.0 {
                *kept = (record.time_ms, value);
            }
        }
        if let Some(profile) = record.profile
            && latest
                .profile
                .is_none_or(|(time_ms, _)| record.time_ms >= time_ms)
        {
            latest.profile = Some((record.time_ms, profile));
        }
        if let Some(cores) = record.cores
            && latest
                .cores
                .is_none_or(|(time_ms, _)| record.time_ms >= time_ms)
        {
            latest.cores = Some((record.time_ms, cores));
        }
    }
}
