//! Several parts as one stream of rows: of each bin the newest state.

use std::iter::Peekable;

use argus_schema::EntityName;

use super::part::PartReader;
use crate::errors::HistoryError;
use crate::window::Row;

/// Takes a newer row of the same bin into an older one.
pub(super) fn supersede(older: &mut Row, newer: Row) {
    for (max, kept) in newer.max.iter().zip(&mut older.max) {
        *kept = kept.max(*max);
    }
    (older.records, older.status, older.mean) = (newer.records, newer.status, newer.mean);
}

/// Merges readers, given oldest part first, each sorted by entity and bin.
pub(super) struct Merge<'a> {
    readers: Vec<Peekable<PartReader<'a>>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(oldest_first: Vec<PartReader<'a>>) -> Self {
        Self {
            readers: oldest_first.into_iter().map(Iterator::peekable).collect(),
        }
    }

    fn least_key(&mut self) -> Option<(EntityName, i64)> {
        let keys = self
            .readers
            .iter_mut()
            .filter_map(|reader| match reader.peek() {
                Some(Ok((name, row))) => Some((name, row.bin)),
                _ => None,
            });
        keys.min().map(|(name, bin)| (name.clone(), bin))
    }

    fn next_merged(&mut self) -> Result<Option<(EntityName, Row)>, HistoryError> {
        // A failed reader ends the whole merge: half a day is no day.
        for reader in &mut self.readers {
            if let Some(failed) = reader.next_if(Result::is_err) {
                return failed.map(Some);
            }
        }
        let Some((name, bin)) = self.least_key() else {
            return Ok(None);
        };
        let mut merged: Option<Row> = None;
        for reader in &mut self.readers {
            let same = |item: &Result<(EntityName, Row), HistoryError>| matches!(item, Ok((other, row)) if row.bin == bin && *other == name);
            while let Some(Ok((_, row))) = reader.next_if(same) {
                match &mut merged {
                    Some(older) => supersede(older, row),
                    None => merged = Some(row),
                }
            }
        }
        Ok(merged.map(|row| (name, row)))
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<(EntityName, Row), HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_merged().transpose()
    }
}
