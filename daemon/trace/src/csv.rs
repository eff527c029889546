//! Small CSV tables with a header line (RFC 4180).

use std::path::{Path, PathBuf};

use crate::TraceError;
use crate::columns::parse_time_ms;

/// Largest file that is read: labels are small.
const MAX_BYTES: u64 = 256 << 20;

/// A table in memory. Rows count from 0, after the header.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn read(path: &Path) -> Result<Self, TraceError> {
        let failed = |source| TraceError::File {
            path: path.to_owned(),
            source,
        };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > MAX_BYTES {
            let source = std::io::Error::other(format!("has {bytes} bytes, at most {MAX_BYTES}"));
            return Err(failed(source));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mut lines = records(&text).into_iter();
        let header = lines.next().unwrap_or_default();
        let rows = lines
            .filter(|row| row.iter().any(|field| !field.is_empty()))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            header,
            rows,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn optional(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    pub(crate) fn column(&self, name: &'static str) -> Result<Column, TraceError> {
        let place = self
            .optional(name)
            .ok_or_else(|| TraceError::MissingColumn {
                path: self.path.clone(),
                column: name,
                present: self.header.join(", "),
            })?;
        Ok(Column { name, place })
    }

    /// A field; empty where the row is too short.
    pub(crate) fn text(&self, row: usize, column: impl Into<usize>) -> &str {
        self.rows[row].get(column.into()).map_or("", String::as_str)
    }

    pub(crate) fn time_ms(&self, row: usize, column: Column) -> Result<i64, TraceError> {
        let text = self.text(row, column);
        parse_time_ms(text).ok_or_else(|| TraceError::Cell {
            path: self.path.clone(),
            row,
            column: column.name,
            problem: format!("`{text}` is no RFC 3339 time"),
        })
    }

    /// Two times of which the second is not before the first.
    pub(crate) fn span_ms(
        &self,
        row: usize,
        from: Column,
        to: Column,
    ) -> Result<(i64, i64), TraceError> {
        let span = (self.time_ms(row, from)?, self.time_ms(row, to)?);
        if span.1 < span.0 {
            return Err(TraceError::Cell {
                path: self.path.clone(),
                row,
                column: to.name,
                problem: format!(
                    "`{}` is before `{}`, where it begins",
                    self.text(row, to),
                    self.text(row, from)
                ),
            });
        }
        Ok(span)
    }
}

/// A column that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    place: usize,
}

impl From<Column> for usize {
    fn from(column: Column) -> Self {
        column.place
    }
}

/// Fields of each record; a quoted field may hold commas, doubled quotes and line breaks.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let (mut record, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn quotes_and_line_ends_are_those_of_rfc_4180() {
        let cases = [
            ("a,b\r\n1,2\r\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            (
                "a\n\"x, \"\"y\"\"\nz\"",
                vec![vec!["a"], vec!["x, \"y\"\nz"]],
            ),
            ("a,b,\n,,", vec![vec!["a", "b", ""], vec!["", "", ""]]),
            ("", vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(records(text), expected, "{text:?}");
        }
    }
}
