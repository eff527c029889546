//! History: closed bins as Parquet, partitioned by day.
//!
//! ```text
//! history/kind=server/day=2026-03-01/part-000000000042-000000000042.parquet
//!                                         first and last checkpoint in it
//! ```
//!
//! # Operations
//! - A checkpoint writes one part per day it touches: to `….tmp`, fsync, rename, fsync of the folder, and only then
//!   commits. Parts become visible to queries after the commit, and memory forgets their rows after that. Parts whose
//!   commit fails are deleted.
//! - A bin whose records change after it was written (late ones) gets another row in a later part. Of several rows the
//!   one in the newest part has count, mean and status; the maximum is the greatest over all.
//! - [`compaction`] merges the parts of a day into one named after the whole range, then deletes them.
//! - [`retention`] deletes whole days, by age and by disk budget.
//!
//! # Recovery
//! Parts that begin beyond the checkpoint are deleted: the log still has their records, and they are written again.
//! Parts whose range lies within another's are left-overs of a compaction and deleted, and so is every `.tmp`. A part
//! without a Parquet trailer is renamed to `….damaged` and reported, and so is one that later turns out not to decode. One
//! that the system fails to read stays where it is.

mod compaction;
mod merge;
mod part;
mod query;
mod retention;
mod source;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argus_schema::{EntityName, Schema};
use jiff::civil::Date;
use parking_lot::RwLock;

use crate::clock::Clock;
use crate::errors::HistoryError;
use crate::window::Row;
use part::{Columns, PartWriter};

const DAY_MS: i64 = 86_400_000;

/// A day of history: days since the Unix epoch, UTC.
pub(crate) type Day = i64;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// First checkpoint in it.
    pub(crate) first: u64,
    /// Last checkpoint in it.
    pub(crate) last: u64,
    pub(crate) bytes: u64,
    /// When it was written, ms since the epoch.
    pub(crate) written_ms: i64,
}

/// Bounds of history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) retention_days: u32,
    pub(crate) max_bytes: u64,
}

/// What opening found.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Parts beyond the checkpoint or superseded.
    pub(crate) removed: u64,
    pub(crate) damaged: Vec<PathBuf>,
}

/// History of one kind of entity.
pub(crate) struct History {
    root: PathBuf,
    columns: Columns,
    step_ms: i64,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// Committed parts by day, oldest first.
    catalogue: RwLock<BTreeMap<Day, Vec<Part>>>,
    days_deleted: AtomicU64,
}

impl History {
    /// Opens the folder and brings it in line with the checkpoint. `checkpoint` is `None` where the database is new and
    /// every part stays.
    pub(crate) fn open(
        dir: &Path,
        schema: &Schema,
        step_ms: i64,
        limits: Limits,
        clock: Arc<dyn Clock>,
        checkpoint: Option<u64>,
    ) -> io::Result<(Self, Inventory)> {
        let root = root(dir, schema);
        fs::create_dir_all(&root)?;
        let mut inventory = Inventory::default();
        let mut catalogue = BTreeMap::new();
        for entry in fs::read_dir(&root)? {
            let path = entry?.path();
            let Some(day) = file_name(&path).and_then(parse_day) else {
                continue;
            };
            let parts = recover_day(&path, checkpoint, &mut inventory)?;
            if !parts.is_empty() {
                catalogue.insert(day, parts);
            }
        }
        let columns = Columns::new(schema);
        let history = Self {
            root,
            columns,
            step_ms,
            limits,
            clock,
            catalogue: RwLock::new(catalogue),
            days_deleted: AtomicU64::new(0),
        };
        Ok((history, inventory))
    }

    /// Newest checkpoint that any part belongs to.
    pub(crate) fn newest_sequence(&self) -> u64 {
        self.catalogue
            .read()
            .values()
            .flatten()
            .map(|part| part.last)
            .max()
            .unwrap_or(0)
    }

    /// Writes rows as parts of the checkpoint `sequence`, durable but not yet visible.
    pub(crate) fn write<'a>(
        &self,
        sequence: u64,
        rows: impl Iterator<Item = (&'a EntityName, std::borrow::Cow<'a, Row>)>,
    ) -> Result<Vec<(Day, Part)>, HistoryError> {
        let mut by_day: BTreeMap<Day, Vec<_>> = BTreeMap::new();
        for (name, row) in rows {
            by_day
                .entry(self.day_of_bin(row.bin))
                .or_default()
                .push((name, row));
        }
        let mut parts = Vec::with_capacity(by_day.len());
        for (day, mut rows) in by_day {
            // Stable: of two rows of one bin (the entity was retired and came back) the newer one stays behind.
            rows.sort_by(|(name, row), (other, of)| (name, row.bin).cmp(&(other, of.bin)));
            match self.write_day(day, sequence, &rows) {
                Ok(part) => parts.push((day, part)),
                Err(problem) => {
                    self.discard(&parts);
                    return Err(problem);
                }
            }
        }
        Ok(parts)
    }

    fn write_day(
        &self,
        day: Day,
        sequence: u64,
        rows: &[(&EntityName, std::borrow::Cow<'_, Row>)],
    ) -> Result<Part, HistoryError> {
        let mut writer = self.part_writer(day, sequence, sequence)?;
        for (name, row) in rows {
            writer.push(name, row)?;
        }
        writer.finish(self.clock.now_ms())
    }

    /// Deletes the parts of a checkpoint that was not made. Only for parts that were not published.
    pub(crate) fn discard(&self, parts: &[(Day, Part)]) {
        for (day, part) in parts {
            let path = self.part_path(*day, part);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "history part of a failed checkpoint cannot be deleted");
            }
            // Refused where the day has other parts.
            let _ = fs::remove_dir(self.day_folder(*day));
        }
    }

    /// Shows parts to queries, after their checkpoint is committed.
    pub(crate) fn publish(&self, parts: Vec<(Day, Part)>) {
        let mut catalogue = self.catalogue.write();
        for (day, part) in parts {
            catalogue.entry(day).or_default().push(part);
        }
    }

    /// Keeps parts from being published as long as the answer lives.
    #[cfg(test)]
    pub(crate) fn hold_for_tests(&self) -> impl Sized + '_ {
        self.catalogue.read()
    }

    /// Bytes, parts and days.
    pub(crate) fn size(&self) -> (u64, u64, u64) {
        let catalogue = self.catalogue.read();
        let (mut bytes, mut parts) = (0, 0);
        for part in catalogue.values().flatten() {
            bytes += part.bytes;
            parts += 1;
        }
        (bytes, parts, catalogue.len() as u64)
    }

    /// Days that retention deleted since start.
    pub(crate) fn days_deleted(&self) -> u64 {
        self.days_deleted.load(Ordering::Relaxed)
    }

    fn part_writer(&self, day: Day, first: u64, last: u64) -> Result<PartWriter<'_>, HistoryError> {
        let folder = self.day_folder(day);
        if !folder.exists() {
            fs::create_dir_all(&folder)
                .and_then(|()| sync_folder(&self.root))
                .map_err(|error| HistoryError::write(&folder, &error))?;
        }
        PartWriter::create(&self.columns, &folder, first, last, self.step_ms)
    }

    /// Takes a part that cannot be read out of the way, so that the others of its day stay readable.
    fn set_aside(&self, day: Day, part: &Part, problem: &HistoryError) {
        let path = self.part_path(day, part);
        tracing::error!(path = %path.display(), %problem, "history part is damaged; it is renamed and left out from now on");
        if let Some(parts) = self.catalogue.write().get_mut(&day) {
            parts.retain(|kept| kept != part);
        }
        let _ = fs::rename(&path, path.with_extension("parquet.damaged"));
    }

    fn day_of_bin(&self, bin: i64) -> Day {
        bin.saturating_mul(self.step_ms).div_euclid(DAY_MS)
    }

    fn day_folder(&self, day: Day) -> PathBuf {
        self.root.join(format_day(day))
    }

    fn part_path(&self, day: Day, part: &Part) -> PathBuf {
        self.day_folder(day).join(part_name(part.first, part.last))
    }
}

/// Newest checkpoint that any part in a data directory belongs to, by the names alone; 0 for no parts.
pub(crate) fn newest_sequence(dir: &Path, schema: &Schema) -> io::Result<u64> {
    let days = match fs::read_dir(root(dir, schema)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        days => days?,
    };
    let mut newest = 0;
    for day in days {
        let folder = day?.path();
        if file_name(&folder).and_then(parse_day).is_none() {
            continue;
        }
        for part in fs::read_dir(folder)? {
            let path = part?.path();
            let range = file_name(&path).and_then(parse_part);
            newest = range.map_or(newest, |(_, last)| newest.max(last));
        }
    }
    Ok(newest)
}

fn root(dir: &Path, schema: &Schema) -> PathBuf {
    dir.join("history").join(format!("kind={}", schema.id))
}

/// Lists the parts of a day, after deleting what no checkpoint or compaction needs.
fn recover_day(
    folder: &Path,
    checkpoint: Option<u64>,
    inventory: &mut Inventory,
) -> io::Result<Vec<Part>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = file_name(&path) else {
            continue;
        };
        if name.ends_with(".tmp") {
            fs::remove_file(&path)?;
            continue;
        }
        let Some((first, last)) = parse_part(name) else {
            continue;
        };
        if checkpoint.is_some_and(|checkpoint| first > checkpoint) {
            fs::remove_file(&path)?;
            inventory.removed += 1;
        } else if has_trailer(&path)? {
            let metadata = fs::metadata(&path)?;
            let written_ms = metadata.modified().map_or(0, crate::clock::epoch_ms);
            found.push(Part {
                first,
                last,
                bytes: metadata.len(),
                written_ms,
            });
        } else {
            fs::rename(&path, path.with_extension("parquet.damaged"))?;
            inventory.damaged.push(path);
        }
    }
    found.sort_by_key(|part| (part.first, std::cmp::Reverse(part.last)));
    let mut parts: Vec<Part> = Vec::with_capacity(found.len());
    for part in found {
        // Sorted, so the wider range of two that begin alike comes first.
        if parts.last().is_some_and(|kept| part.last <= kept.last) {
            fs::remove_file(folder.join(part_name(part.first, part.last)))?;
            inventory.removed += 1;
        } else {
            parts.push(part);
        }
    }
    sync_folder(folder)?;
    Ok(parts)
}

/// Whether a file ends like Parquet does; a torn one does not.
fn has_trailer(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < 12 {
        return Ok(false);
    }
    let mut trailer = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut trailer)?;
    Ok(&trailer == b"PAR1")
}

/// Makes renames and deletions in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn part_name(first: u64, last: u64) -> String {
    format!("part-{first:012}-{last:012}.parquet")
}

fn parse_part(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name
        .strip_prefix("part-")?
        .strip_suffix(".parquet")?
        .split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn format_day(day: Day) -> String {
    let date = i32::try_from(day)
        .ok()
        .and_then(|days| EPOCH.checked_add(jiff::Span::new().days(days)).ok());
    format!("day={}", date.unwrap_or(Date::MAX))
}

fn parse_day(name: &str) -> Option<Day> {
    let date: Date = name.strip_prefix("day=")?.parse().ok()?;
    Some(i64::from(date.since(EPOCH).ok()?.get_days()))
}

const EPOCH: Date = Date::constant(1970, 1, 1);

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(format_day(20_513), "day=2026-03-01");
        assert_eq!(parse_day("day=2026-03-01"), Some(20_513));
        assert_eq!(parse_day("day=2026-03-32"), None);
        assert_eq!(part_name(3, 17), "part-000000000003-000000000017.parquet");
        assert_eq!(
            parse_part("part-000000000003-000000000017.parquet"),
            Some((3, 17))
        );
        assert_eq!(parse_part("part-3.parquet"), None);
    }
}
