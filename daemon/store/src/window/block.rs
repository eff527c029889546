//! Folded bins, 64 to a block: columns of means, one count and one status per bin.

use argus_schema::Record;

use super::BLOCK_BINS;
use super::open::OpenBin;

/// Consecutive folded bins.
///
/// Columns exist only for metrics that the block has seen: `present` has their bits, and `means` their values, 64 per
/// column in the order of the bits. A metric whose count differs from the bin's record count somewhere in the block has
/// a bit in `counted` and a column in `counts`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub(super) index: i64,
    pub(super) occupied: u64,
    pub(super) records: Box<[u32; BLOCK_BINS]>,
    pub(super) status: Box<[u8; BLOCK_BINS]>,
    pub(super) present: u64,
    pub(super) means: Vec<f32>,
    pub(super) counted: u64,
    pub(super) counts: Vec<u32>,
    /// Sequence number of the checkpoint that wrote it; `None` while disk has an older state.
    pub(super) saved_at: Option<u64>,
}

impl Block {
    pub(super) fn new(index: i64) -> Self {
        Self {
            index,
            occupied: 0,
            records: Box::new([0; BLOCK_BINS]),
            status: Box::new([0; BLOCK_BINS]),
            present: 0,
            means: Vec::new(),
            counted: 0,
            counts: Vec::new(),
            saved_at: None,
        }
    }

    /// The block of a bin.
    pub(super) fn index_of(bin: i64) -> i64 {
        bin.div_euclid(BLOCK_BINS as i64)
    }

    pub(crate) fn index(&self) -> i64 {
        self.index
    }

    /// The same block, to be written by the next checkpoint.
    pub(crate) fn unsaved(self) -> Self {
        Self {
            saved_at: None,
            ..self
        }
    }

    fn first_bin(&self) -> i64 {
        self.index * BLOCK_BINS as i64
    }

    pub(super) fn last_bin(&self) -> i64 {
        self.first_bin() + BLOCK_BINS as i64 - 1
    }

    fn slot(bin: i64) -> usize {
        usize::try_from(bin.rem_euclid(BLOCK_BINS as i64)).unwrap_or(0)
    }

    pub(super) fn records(&self, bin: i64) -> u32 {
        self.records[Self::slot(bin)]
    }

    pub(super) fn status(&self, bin: i64) -> u8 {
        self.status[Self::slot(bin)]
    }

    pub(super) fn mean(&self, bin: i64, metric: usize) -> f32 {
        column_of(self.present, metric).map_or(f32::NAN, |column| {
            self.means[column * BLOCK_BINS + Self::slot(bin)]
        })
    }

    /// Records of a bin that have the metric.
    fn count(&self, bin: i64, metric: usize) -> u32 {
        let slot = Self::slot(bin);
        match column_of(self.counted, metric) {
            Some(column) => self.counts[column * BLOCK_BINS + slot],
            None if self.mean(bin, metric).is_nan() => 0,
            None => self.records[slot],
        }
    }

    /// Takes over a bin that left the open range; it has not been here before.
    pub(super) fn fold(&mut self, open: &OpenBin) {
        let slot = Self::slot(open.bin());
        debug_assert_eq!(self.records[slot], 0, "a bin is folded once");
        self.saved_at = None;
        self.occupied |= 1 << slot;
        self.records[slot] = open.records();
        self.status[slot] = open.status();
        for metric in 0..open.cells.len() {
            let count = open.count(metric);
            if count > 0 {
                self.set(slot, metric, open.mean(metric), count);
            }
        }
    }

    /// Merges one record into the mean of its bin, which may be empty so far.
    pub(super) fn merge(&mut self, bin: i64, record: &Record) {
        let slot = Self::slot(bin);
        let before: Vec<(f32, u32)> = (0..record.values.len())
            .map(|metric| (self.mean(bin, metric), self.count(bin, metric)))
            .collect();
        self.saved_at = None;
        self.occupied |= 1 << slot;
        self.records[slot] = self.records[slot].saturating_add(1);
        if self.status[slot] == 0 {
            self.status[slot] = record.status;
        }
        for (metric, (&value, (mean, count))) in record.values.iter().zip(before).enumerate() {
            if value.is_nan() {
                // Its count now lags behind the bin's.
                if count > 0 {
                    self.set(slot, metric, mean, count);
                }
                continue;
            }
            let merged = if count == 0 {
                value
            } else {
                let sum = f64::from(mean) * f64::from(count) + f64::from(value);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "windows hold single precision"
                )]
                let merged = (sum / (f64::from(count) + 1.0)) as f32;
                merged
            };
            self.set(slot, metric, merged, count + 1);
        }
    }

    /// Writes mean and count of one metric; `records[slot]` is already up to date.
    fn set(&mut self, slot: usize, metric: usize, mean: f32, count: u32) {
        if column_of(self.present, metric).is_none() {
            let column = insert_column(&mut self.present, metric);
            let nothing = std::iter::repeat_n(f32::NAN, BLOCK_BINS);
            self.means
                .splice(column * BLOCK_BINS..column * BLOCK_BINS, nothing);
            self.means.shrink_to_fit();
        }
        if let Some(column) = column_of(self.present, metric) {
            self.means[column * BLOCK_BINS + slot] = mean;
        }
        if column_of(self.counted, metric).is_none() && count != self.records[slot] {
            // From now on this metric is counted on its own; so far its counts were those of the bins that have it.
            let so_far: Vec<u32> = (0..BLOCK_BINS)
                .map(|s| self.count_without_column(s, metric))
                .collect();
            let column = insert_column(&mut self.counted, metric);
            self.counts
                .splice(column * BLOCK_BINS..column * BLOCK_BINS, so_far);
            self.counts.shrink_to_fit();
        }
        if let Some(column) = column_of(self.counted, metric) {
            self.counts[column * BLOCK_BINS + slot] = count;
        }
    }

    fn count_without_column(&self, slot: usize, metric: usize) -> u32 {
        let missing = column_of(self.present, metric)
            .is_none_or(|column| self.means[column * BLOCK_BINS + slot].is_nan());
        if missing { 0 } else { self.records[slot] }
    }

    /// Bits of the slots in `first..=last`.
    fn mask(&self, first: i64, last: i64) -> u64 {
        let from = first.max(self.first_bin());
        let to = last.min(self.last_bin());
        if from > to {
            return 0;
        }
        let width = u32::try_from(to - from + 1).unwrap_or(0);
        (u64::MAX >> (64 - width)) << Self::slot(from)
    }

    pub(super) fn count_bins(&self, first: i64, last: i64) -> u32 {
        (self.occupied & self.mask(first, last)).count_ones()
    }

    pub(super) fn first_bin_in(&self, first: i64, last: i64) -> Option<i64> {
        let bits = self.occupied & self.mask(first, last);
        (bits != 0).then(|| self.first_bin() + i64::from(bits.trailing_zeros()))
    }

    pub(super) fn last_bin_in(&self, first: i64, last: i64) -> Option<i64> {
        let bits = self.occupied & self.mask(first, last);
        (bits != 0).then(|| self.first_bin() + i64::from(63 - bits.leading_zeros()))
    }

    /// Copies means and statuses of the bins in `first..=last` to their places in series that start at `first`.
    pub(super) fn copy_into(
        &self,
        first: i64,
        last: i64,
        values: &mut [Box<[f32]>],
        status: &mut [u8],
    ) {
        let from = first.max(self.first_bin());
        let to = last.min(self.last_bin());
        let (Ok(at), Ok(length)) = (
            usize::try_from(from - first),
            usize::try_from(to - from + 1),
        ) else {
            return;
        };
        if length == 0 {
            return;
        }
        let slot = Self::slot(from);
        status[at..at + length].copy_from_slice(&self.status[slot..slot + length]);
        for (metric, series) in values.iter_mut().enumerate() {
            if let Some(column) = column_of(self.present, metric) {
                let start = column * BLOCK_BINS + slot;
                series[at..at + length].copy_from_slice(&self.means[start..start + length]);
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let columns =
            self.means.capacity() * size_of::<f32>() + self.counts.capacity() * size_of::<u32>();
        size_of::<Self>() + columns + BLOCK_BINS * (size_of::<u32>() + size_of::<u8>())
    }
}

/// Position of a metric among the set bits.
pub(super) fn column_of(bits: u64, metric: usize) -> Option<usize> {
    let bit = 1u64.checked_shl(u32::try_from(metric).ok()?)?;
    (bits & bit != 0).then(|| (bits & (bit - 1)).count_ones() as usize)
}

/// Sets a metric's bit; the position of its column.
fn insert_column(bits: &mut u64, metric: usize) -> usize {
    let bit = 1u64 << metric;
    *bits |= bit;
    (*bits & (bit - 1)).count_ones() as usize
}
