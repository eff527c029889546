//! Rows of one entity over a range of time.

use std::collections::BTreeMap;
use std::fs::File;

use super::merge::supersede;
use super::part::{PartReader, Selection};
use super::{DAY_MS, Day, History, Part};
use crate::errors::HistoryError;
use crate::view::{HistoryQuery, HistoryRow};
use crate::window::Row;

impl History {
    /// Rows in time order. `resident` are rows that no part has yet, or has in an older state.
    pub(crate) fn query(
        &self,
        query: &HistoryQuery,
        resident: Vec<Row>,
    ) -> Result<Vec<HistoryRow>, HistoryError> {
        let mut bins: BTreeMap<i64, Row> = BTreeMap::new();
        let selection = Selection {
            entity: query.entity.clone(),
            from_ms: query.from_ms,
            to_ms: query.to_ms,
        };
        let check = |bins: &BTreeMap<i64, Row>| match bins.len() > query.max_rows {
            true => Err(HistoryError::TooManyRows {
                limit: query.max_rows,
            }),
            false => Ok(()),
        };
        for (day, part, file) in self.open_parts(query)? {
            match self.read_part(day, &part, file, &selection) {
                Ok(rows) => rows.into_iter().for_each(|row| put(&mut bins, row)),
                Err(problem @ HistoryError::Damaged { .. }) => {
                    self.set_aside(day, &part, &problem);
                }
                // The part may be fine: neither is it given up, nor are rows left out without a word.
                Err(problem) => return Err(problem),
            }
            check(&bins)?;
        }
        resident.into_iter().for_each(|row| put(&mut bins, row));
        check(&bins)?;
        let row = |row: Row| HistoryRow {
            entity: query.entity.clone(),
            bin_ms: row.bin * self.step_ms,
            count: row.records,
            mean: row.mean,
            max: row.max,
            status: row.status,
        };
        Ok(bins.into_values().map(row).collect())
    }

    /// Opens the parts of all days in the range, oldest first. A file stays readable once it is open, also when
    /// compaction or retention deletes it.
    fn open_parts(&self, query: &HistoryQuery) -> Result<Vec<(Day, Part, File)>, HistoryError> {
        if query.from_ms >= query.to_ms {
            return Ok(Vec::new());
        }
        // A bin that starts late on one day lies in that day's parts, whenever it ends.
        let days = query.from_ms.div_euclid(DAY_MS)..=query.to_ms.div_euclid(DAY_MS);
        let catalogue = self.catalogue.read();
        let mut opened = Vec::new();
        for (&day, parts) in catalogue.range(days) {
            for part in parts {
                let path = self.part_path(day, part);
                let file = File::open(&path).map_err(|error| HistoryError::read(&path, &error))?;
                opened.push((day, part.clone(), file));
            }
        }
        Ok(opened)
    }

    fn read_part(
        &self,
        day: Day,
        part: &Part,
        file: File,
        selection: &Selection,
    ) -> Result<Vec<Row>, HistoryError> {
        let path = self.part_path(day, part);
        let reader = PartReader::open(&self.columns, path, file, self.step_ms, Some(selection))?;
        reader.map(|row| row.map(|(_, row)| row)).collect()
    }
}

fn put(bins: &mut BTreeMap<i64, Row>, row: Row) {
    match bins.get_mut(&row.bin) {
        Some(older) => supersede(older, row),
        None => {
            bins.insert(row.bin, row);
        }
    }
}
