//! What history may keep.

use std::fs;
use std::sync::atomic::Ordering;

use super::{DAY_MS, Day, History, sync_folder};

impl History {
    /// Deletes days that are too old, then the oldest while all together are too large. Blocking; for the maintenance
    /// thread.
    ///
    /// A day is too old when both it and its last write are: a trace of last year that is replayed today stays for as
    /// long as anything that came today.
    pub(crate) fn enforce_limits(&self) {
        for day in self.days_to_delete() {
            self.delete_day(day);
        }
    }

    fn days_to_delete(&self) -> Vec<Day> {
        let catalogue = self.catalogue.read();
        let mut doomed = Vec::new();
        let mut bytes: u64 = catalogue.values().flatten().map(|part| part.bytes).sum();
        let oldest_ms = self.clock.now_ms() - i64::from(self.limits.retention_days) * DAY_MS;
        let newest_day = catalogue.keys().next_back().copied();
        for (&day, parts) in catalogue.iter() {
            let written_ms = parts.iter().map(|part| part.written_ms).max().unwrap_or(0);
            let too_old = self.limits.retention_days > 0
                && (day + 1) * DAY_MS < oldest_ms
                && written_ms < oldest_ms;
            // The newest day stays whatever its size: it is what people look at.
            let too_much = bytes > self.limits.max_bytes && Some(day) != newest_day;
            if too_old || too_much {
                bytes -= parts.iter().map(|part| part.bytes).sum::<u64>();
                doomed.push(day);
            }
        }
        doomed
    }

    fn delete_day(&self, day: Day) {
        let parts = self.catalogue.write().remove(&day).unwrap_or_default();
        for part in &parts {
            let path = self.part_path(day, part);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "history part past its retention cannot be deleted");
            }
        }
        // Refused while a part of a running checkpoint is in it; then the folder stays.
        let _ = fs::remove_dir(self.day_folder(day));
        let _ = sync_folder(&self.root);
        self.days_deleted.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            day = super::format_day(day),
            parts = parts.len(),
            "history past its retention is deleted"
        );
    }
}
