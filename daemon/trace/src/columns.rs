//! Arrow arrays → plain vectors: times, texts and metric values of whatever type people stored them as.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};

use crate::TraceError;

/// Epoch numbers from here on are milliseconds, smaller ones seconds: 10¹¹ s would be the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// What `timestamp` and `origin` columns may be, for messages.
const TIME_TYPES: &str =
    "a timestamp, RFC 3339 text or a whole number (epoch seconds or milliseconds)";

/// Where an array comes from, for error messages.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) path: &'a Path,
    pub(crate) column: &'static str,
    /// Row in the file of the array's first cell.
    pub(crate) first_row: usize,
}

impl Cells<'_> {
    fn cell(&self, offset: usize, problem: String) -> TraceError {
        TraceError::Cell {
            path: self.path.to_owned(),
            row: self.first_row + offset,
            column: self.column,
            problem,
        }
    }
}

/// Whether a type can hold times.
pub(crate) fn check_time_type(
    path: &Path,
    column: &str,
    found: &DataType,
) -> Result<(), TraceError> {
    let usable = matches!(found, DataType::Timestamp(..)) || found.is_integer() || is_text(found);
    usable
        .then_some(())
        .ok_or_else(|| wrong_type(path, column, found, TIME_TYPES))
}

/// Whether a type can hold names.
pub(crate) fn check_text_type(
    path: &Path,
    column: &str,
    found: &DataType,
) -> Result<(), TraceError> {
    is_text(found)
        .then_some(())
        .ok_or_else(|| wrong_type(path, column, found, "text"))
}

/// Whether a type can hold metric values. A column without any value has the null type.
pub(crate) fn check_number_type(
    path: &Path,
    column: &str,
    found: &DataType,
) -> Result<(), TraceError> {
    let usable = found.is_integer() || found.is_floating() || *found == DataType::Null;
    usable
        .then_some(())
        .ok_or_else(|| wrong_type(path, column, found, "a floating-point or whole number"))
}

fn wrong_type(path: &Path, column: &str, found: &DataType, expected: &'static str) -> TraceError {
    TraceError::ColumnType {
        path: path.to_owned(),
        column: column.to_owned(),
        found: found.to_string(),
        expected,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Milliseconds since the epoch, UTC. Times without a zone count as UTC; a missing time is an error.
pub(crate) fn times_ms(array: &ArrayRef, cells: Cells<'_>) -> Result<Vec<i64>, TraceError> {
    let convert: Box<dyn Fn(usize) -> Option<i64>> = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            let values = array.as_primitive::<TimestampSecondType>();
            Box::new(|row| values.value(row).checked_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let values = array.as_primitive::<TimestampMillisecondType>();
            Box::new(|row| Some(values.value(row)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            Box::new(|row| Some(values.value(row).div_euclid(1_000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let values = array.as_primitive::<TimestampNanosecondType>();
            Box::new(|row| Some(values.value(row).div_euclid(1_000_000)))
        }
        found if found.is_integer() => return epoch_numbers(array, cells),
        found if is_text(found) => return time_texts(array, cells),
        found => return Err(wrong_type(cells.path, cells.column, found, TIME_TYPES)),
    };
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                return Err(cells.cell(row, "is empty; every row needs a time".to_owned()));
            }
            convert(row)
                .ok_or_else(|| cells.cell(row, "lies outside the range of times".to_owned()))
        })
        .collect()
}

fn epoch_numbers(array: &ArrayRef, cells: Cells<'_>) -> Result<Vec<i64>, TraceError> {
    let numbers =
        cast(array, &DataType::Int64).map_err(|source| arrow_error(cells.path, source))?;
    let numbers = numbers.as_primitive::<Int64Type>();
    (0..numbers.len())
        .map(|row| {
            if numbers.is_null(row) {
                return Err(cells.cell(row, "is empty; every row needs a time".to_owned()));
            }
            let number = numbers.value(row);
            Ok(
                if number.unsigned_abs() >= MILLISECONDS_FROM.unsigned_abs() {
                    number
                } else {
                    number * 1_000
                },
            )
        })
        .collect()
}

fn time_texts(array: &ArrayRef, cells: Cells<'_>) -> Result<Vec<i64>, TraceError> {
    let texts = cast(array, &DataType::Utf8).map_err(|source| arrow_error(cells.path, source))?;
    let texts = texts.as_string::<i32>();
    (0..texts.len())
        .map(|row| {
            if texts.is_null(row) {
                return Err(cells.cell(row, "is empty; every row needs a time".to_owned()));
            }
            let text = texts.value(row);
            parse_time_ms(text).ok_or_else(|| {
                let shown: String = text.chars().take(60).collect();
                cells.cell(
                    row,
                    format!("`{}` is not an RFC 3339 time", shown.escape_debug()),
                )
            })
        })
        .collect()
}

/// RFC 3339; a text without zone is UTC.
pub(crate) fn parse_time_ms(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp().as_millisecond())
}

/// Calls `visit(row, text)` for each cell, `None` for an empty one.
pub(crate) fn for_each_text(
    array: &ArrayRef,
    path: &Path,
    mut visit: impl FnMut(usize, Option<&str>) -> Result<(), TraceError>,
) -> Result<(), TraceError> {
    let texts = cast(array, &DataType::Utf8).map_err(|source| arrow_error(path, source))?;
    let texts = texts.as_string::<i32>();
    (0..texts.len()).try_for_each(|row| visit(row, texts.is_valid(row).then(|| texts.value(row))))
}

/// Numbers as `f32`; empty cells, NaN and infinities become NaN, which is how a missing value is held.
pub(crate) fn numbers(array: &ArrayRef, path: &Path) -> Result<Vec<f32>, TraceError> {
    let numbers = cast(array, &DataType::Float32).map_err(|source| arrow_error(path, source))?;
    let numbers: &Float32Array = numbers.as_primitive::<Float32Type>();
    Ok((0..numbers.len())
        .map(|row| {
            let value = numbers.value(row);
            if numbers.is_valid(row) && value.is_finite() {
                value
            } else {
                f32::NAN
            }
        })
        .collect())
}

pub(crate) fn arrow_error(path: &Path, source: arrow::error::ArrowError) -> TraceError {
    TraceError::Arrow {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_text_count_as_utc_without_a_zone() {
        let check =
            |text: &str, expected: Option<i64>| assert_eq!(parse_time_ms(text), expected, "{text}");
        check("1970-01-01T00:00:01Z", Some(1_000));
        check("1970-01-01T01:00:01+01:00", Some(1_000));
        check("1970-01-01T00:00:01.250", Some(1_250));
        check("1970-01-01 00:00:01", Some(1_000));
        check("yesterday", None);
        check("", None);
        check("2020-13-01T00:00:00Z", None);
    }
}
