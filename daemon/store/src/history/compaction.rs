//! Many parts of a day into one.

use std::fs::{self, File};

use super::merge::Merge;
use super::part::PartReader;
use super::{Day, History, Part, sync_folder};
use crate::errors::HistoryError;

/// A day with this many parts is merged at once.
const MANY_PARTS: usize = 16;
/// A day that was not written to for this long is merged down to one part.
const QUIET_MS: i64 = 3_600_000;

impl History {
    /// Merges the days that have too many parts. Blocking; for the maintenance thread.
    pub(crate) fn compact(&self) {
        let now_ms = self.clock.now_ms();
        let due: Vec<Day> = {
            let catalogue = self.catalogue.read();
            let is_due = |parts: &Vec<Part>| {
                let quiet = parts.iter().all(|part| part.written_ms < now_ms - QUIET_MS);
                parts.len() >= MANY_PARTS || quiet && parts.len() > 1
            };
            catalogue
                .iter()
                .filter(|(_, parts)| is_due(parts))
                .map(|(&day, _)| day)
                .collect()
        };
        for day in due {
            if let Err(problem) = self.compact_day(day) {
                tracing::warn!(%problem, "history is not compacted; it is tried again after the next checkpoint");
            }
        }
    }

    fn compact_day(&self, day: Day) -> Result<(), HistoryError> {
        let parts = self.catalogue.read().get(&day).cloned().unwrap_or_default();
        if parts.is_empty() {
            return Ok(());
        }
        let merged = match self.merge(day, &parts) {
            Err(HistoryError::Damaged { path, problem }) => {
                // The others are merged by the next run.
                if let Some(part) = parts.iter().find(|part| self.part_path(day, part) == path) {
                    self.set_aside(day, part, &HistoryError::Damaged { path, problem });
                }
                return Ok(());
            }
            merged => merged?,
        };
        self.swap(day, &parts, merged);
        for part in &parts {
            // Those left over are deleted by the next start.
            let _ = fs::remove_file(self.part_path(day, part));
        }
        let _ = sync_folder(&self.day_folder(day));
        Ok(())
    }

    /// Writes the rows of all parts, given oldest first, as one.
    fn merge(&self, day: Day, parts: &[Part]) -> Result<Part, HistoryError> {
        let mut readers = Vec::with_capacity(parts.len());
        for part in parts {
            let path = self.part_path(day, part);
            let file = File::open(&path).map_err(|error| HistoryError::read(&path, &error))?;
            let reader = PartReader::open(&self.columns, path, file, self.step_ms, None)?;
            readers.push(reader);
        }
        let first = parts.first().map_or(0, |part| part.first);
        let last = parts.last().map_or(0, |part| part.last);
        let mut writer = self.part_writer(day, first, last)?;
        for row in Merge::new(readers) {
            let (name, row) = row?;
            writer.push(&name, &row)?;
        }
        // The time of the newest row, not of the compaction: retention goes by it.
        let written_ms = parts.iter().map(|part| part.written_ms).max().unwrap_or(0);
        writer.finish(written_ms)
    }

    /// Puts the merged part in place of those it came from; parts that came meanwhile stay after it.
    fn swap(&self, day: Day, merged_from: &[Part], merged: Part) {
        let mut catalogue = self.catalogue.write();
        let parts = catalogue.entry(day).or_default();
        parts.retain(|part| !merged_from.contains(part));
        parts.insert(0, merged);
    }
}
