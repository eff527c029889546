//! What a window tells its readers.

use super::Window;
use super::open::OpenBin;
use crate::view::Context;

impl Window {
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

    fn is_past(&self, bin: i64, now_ms: i64, grace_ms: i64) -> bool {
        now_ms
            > (bin + 1)
                .saturating_mul(self.config.step_ms)
                .saturating_add(grace_ms)
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
}
