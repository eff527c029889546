//! Records that are accepted but not yet on disk, as far as checking the next one needs them.

use std::collections::HashMap;

use argus_schema::Record;

use super::{WindowConfig, open};

/// Records of one entity that the window has not taken yet.
///
/// A group of records is checked record by record, written to the log, and only then applied; without this, two equal
/// records of one group would both pass.
#[derive(Debug, Clone, Default)]
pub struct Staged {
    newest_bin: Option<i64>,
    hashes: HashMap<i64, u32>,
    records: HashMap<i64, u32>,
}

impl Staged {
    /// Adds a record that [`super::Window::check`] let pass.
    pub fn add(&mut self, config: &WindowConfig, record: &Record) {
        let bin = config.bin_of(record.time_ms);
        self.newest_bin = self.newest_bin.max(Some(bin));
        self.hashes
            .insert(record.time_ms, open::content_hash(record));
        *self.records.entry(bin).or_insert(0) += 1;
    }

    pub(super) fn newest_bin(&self) -> Option<i64> {
        self.newest_bin
    }

    pub(super) fn hash_at(&self, time_ms: i64) -> Option<u32> {
        self.hashes.get(&time_ms).copied()
    }

    pub(super) fn records_in(&self, bin: i64) -> u32 {
        self.records.get(&bin).copied().unwrap_or(0)
    }
}
