//! Bins on their way into history.

use std::borrow::Cow;

use super::Window;
use super::open::OpenBin;

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

impl Window {
    /// Rows that history lacks: bins that left the open range, and open ones that end before `written_before_ms`.
    pub fn unwritten_rows(&self, written_before_ms: i64) -> impl Iterator<Item = Cow<'_, Row>> {
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

    /// Rows of bins that left the open range, waiting for [`Window::clear_rows`].
    pub(crate) fn folded_rows(&self) -> usize {
        self.rows.len()
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

    pub(super) fn is_due(&self, open: &OpenBin, written_before_ms: i64) -> bool {
        self.config.keeps_rows
            && !open.is_written()
            && open.end_ms(self.config.step_ms) < written_before_ms
    }
}
