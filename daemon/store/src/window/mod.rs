//! One entity's bins, without I/O: used by the store, and offline by whoever bins a trace.
//!
//! # Shape
//! Bin `b` covers `[b * step_ms, (b + 1) * step_ms)`. The window is counted back from the entity's newest bin with
//! data, never from the wall clock:
//!
//! ```text
//!        newest - window_steps          newest - exact_bins              newest
//!  too old │ folded: mean and count, 96 bins to a block │ open: sums, maxima, │ future bins move
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
mod staging;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use argus_schema::Record;

use crate::errors::Refusal;
use crate::view::Context;
pub(crate) use block::Block;
pub(crate) use encode::BlockRef;
use open::OpenBin;
pub use staging::Staged;

/// Bins per block of folded bins; 8 hours at the default step.
pub(crate) const BLOCK_BINS: usize = 96;

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

/// One bin on its way into history.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The bin.
    pub bin: i64,
    /// Records in it.
    pub records: u32,
    /// Its status category, 0 for missing.
    pub status: u8,
    /// Mean per metric, NaN where no record has it.
    pub mean: Box<[f32]>,
    /// Maximum per metric over the records that this row is about (for a late record: of that record alone), NaN where
    /// none has it. The maximum of a bin is the greatest over all its rows.
    pub max: Box<[f32]>,
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

    /// Newest bin with data.
    pub fn newest_bin(&self) -> Option<i64> {
        self.newest_bin
    }

    /// Records applied since the window began.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records in one bin of the window.
    pub fn records_in(&self, bin: i64) -> u32 {
        match self.open_bin(bin) {
            Some(open) => open.records(),
            None => self
                .visible_block(bin)
                .map_or(0, |block| block.records(bin)),
        }
    }

    /// Mean of one metric in one bin so far; NaN where there is none.
    pub fn mean(&self, bin: i64, metric: usize) -> f32 {
        match self.open_bin(bin) {
            Some(open) => open.mean(metric),
            None => self
                .visible_block(bin)
                .map_or(f32::NAN, |block| block.mean(bin, metric)),
        }
    }

    /// Status category of one bin: that of its newest record that carries one, 0 for missing. A record that comes after
    /// the bin left the open range fills a missing status but replaces none.
    pub fn status(&self, bin: i64) -> u8 {
        match self.open_bin(bin) {
            Some(open) => open.status(),
            None => self.visible_block(bin).map_or(0, |block| block.status(bin)),
        }
    }

    /// Newest closed bin with data: a later bin has data, or the wall clock passed its end plus the grace.
    pub fn closed_bin(&self, now_ms: i64, grace_ms: i64) -> Option<i64> {
        let newest = self.newest_bin?;
        if self.is_past(newest, now_ms, grace_ms) {
            Some(newest)
        } else {
            self.last_bin_before(newest)
        }
    }

    /// A number that changes whenever a bin up to [`Window::closed_bin`] changes, or that bin itself.
    pub fn closed_revision(&self, now_ms: i64, grace_ms: i64) -> u64 {
        // Even while the newest bin is open, odd once the clock closed it: the two counters never give the same number.
        match self.newest_bin {
            Some(newest) if self.is_past(newest, now_ms, grace_ms) => self.records * 2 + 1,
            _ => self.changed_before_newest * 2,
        }
    }

    /// Bins with data in `first..=last`.
    pub fn count_bins(&self, first: i64, last: i64) -> u32 {
        let Some(newest) = self.newest_bin else {
            return 0;
        };
        let first = first.max(self.oldest_bin(newest));
        let open = self
            .open
            .iter()
            .filter(|open| (first..=last).contains(&open.bin()))
            .count();
        let folded: u32 = self
            .blocks
            .iter()
            .map(|block| block.count_bins(first, last))
            .sum();
        u32::try_from(open)
            .unwrap_or(u32::MAX)
            .saturating_add(folded)
    }

    /// Means of the `steps` bins that end at `last_bin`, from the first one with data; `None` if there is none.
    pub fn context(&self, last_bin: i64, steps: u32) -> Option<Context> {
        let oldest = self.oldest_bin(self.newest_bin?);
        let from = last_bin
            .saturating_sub(i64::from(steps))
            .saturating_add(1)
            .max(oldest);
        let first_bin = self.first_bin_in(from, last_bin)?;
        let length = usize::try_from(last_bin - first_bin + 1).ok()?;
        let mut values = vec![vec![f32::NAN; length].into_boxed_slice(); self.config.metrics];
        let mut status = vec![0; length].into_boxed_slice();
        for block in &self.blocks {
            block.copy_into(first_bin, last_bin, &mut values, &mut status);
        }
        for open in self
            .open
            .iter()
            .filter(|open| (first_bin..=last_bin).contains(&open.bin()))
        {
            let Ok(at) = usize::try_from(open.bin() - first_bin) else {
                continue;
            };
            for (metric, series) in values.iter_mut().enumerate() {
                series[at] = open.mean(metric);
            }
            status[at] = open.status();
        }
        Some(Context {
            last_bin,
            first_bin,
            values,
            status,
        })
    }

    /// Time of the newest record, ms since the epoch; `None` before the first.
    pub fn latest_ms(&self) -> Option<i64> {
        self.newest_bin.map(|_| self.latest.time_ms)
    }

    /// Status of the newest record, 0 for missing.
    pub fn latest_status(&self) -> u8 {
        self.latest.status
    }

    /// Newest raw value per metric whose bin is among the newest `steps`; NaN elsewhere.
    pub fn latest_values(&self, steps: u32) -> Box<[f32]> {
        let oldest = self.newest_bin.unwrap_or(0) - i64::from(steps) + 1;
        let fresh = |&(time_ms, value): &(i64, f32)| match value.is_nan()
            || self.config.bin_of(time_ms) < oldest
        {
            true => f32::NAN,
            false => value,
        };
        self.latest.values.iter().map(fresh).collect()
    }

    /// Profile that the newest record with one named.
    pub fn profile(&self) -> Option<u8> {
        self.latest.profile.map(|(_, profile)| profile)
    }

    /// Number of cores that the newest record with one told.
    pub fn cores(&self) -> Option<f32> {
        self.latest.cores.map(|(_, cores)| cores)
    }

    /// Rows that history lacks: bins that left the open range, and open ones that end before `written_before_ms`.
    pub fn unwritten_rows(
        &self,
        written_before_ms: i64,
    ) -> impl Iterator<Item = std::borrow::Cow<'_, Row>> {
        use std::borrow::Cow;
        let folded = self.rows.values().map(Cow::Borrowed);
        let waiting = self
            .open
            .iter()
            .filter(move |open| self.is_due(open, written_before_ms));
        folded.chain(waiting.map(|open| Cow::Owned(open.row())))
    }

    /// Rows of all bins from `first` to `last` that history may lack or have in an older state.
    pub fn rows_in(&self, first: i64, last: i64) -> Vec<Row> {
        let folded = if first <= last {
            Some(self.rows.range(first..=last))
        } else {
            None
        };
        let open = self
            .open
            .iter()
            .filter(|open| (first..=last).contains(&open.bin()));
        folded
            .into_iter()
            .flatten()
            .map(|(_, row)| row.clone())
            .chain(open.map(OpenBin::row))
            .collect()
    }

    /// Forgets the rows that [`Window::unwritten_rows`] gave, now that history has them.
    pub fn clear_rows(&mut self, written_before_ms: i64) {
        self.rows.clear();
        let step_ms = self.config.step_ms;
        for open in &mut self.open {
            if open.end_ms(step_ms) < written_before_ms {
                open.mark_written();
            }
        }
    }

    /// Estimate of the heap bytes in use.
    pub fn heap_bytes(&self) -> usize {
        let rows =
            self.rows.len() * (size_of::<Row>() + self.config.metrics * 2 * size_of::<f32>());
        let blocks: usize = self.blocks.iter().map(Block::heap_bytes).sum();
        let open: usize = self.open.iter().map(OpenBin::heap_bytes).sum();
        rows + blocks + open + self.config.metrics * size_of::<(i64, f32)>()
    }

    fn is_due(&self, open: &OpenBin, written_before_ms: i64) -> bool {
        self.config.keeps_rows
            && !open.is_written()
            && open.end_ms(self.config.step_ms) < written_before_ms
    }

    fn is_past(&self, bin: i64, now_ms: i64, grace_ms: i64) -> bool {
        now_ms
            > (bin + 1)
                .saturating_mul(self.config.step_ms)
                .saturating_add(grace_ms)
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

    fn first_bin_in(&self, first: i64, last: i64) -> Option<i64> {
        let folded = self
            .blocks
            .iter()
            .find_map(|block| block.first_bin_in(first, last));
        let open = self
            .open
            .iter()
            .map(OpenBin::bin)
            .find(|bin| (first..=last).contains(bin));
        [folded, open].into_iter().flatten().min()
    }

    fn last_bin_before(&self, bin: i64) -> Option<i64> {
        let oldest = self.oldest_bin(self.newest_bin?);
        let open = self.open.iter().rev().map(OpenBin::bin).find(|&b| b < bin);
        let folded = || {
            self.blocks
                .iter()
                .rev()
                .find_map(|block| block.last_bin_in(oldest, bin - 1))
        };
        open.or_else(folded)
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
