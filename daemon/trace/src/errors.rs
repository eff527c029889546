//! What can be wrong with a trace file. Every error names the file; a cell's names row and column too.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

/// Why a trace could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be opened, created or renamed.
    #[error("`{}`: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no Parquet file, is cut short, or a page is damaged.
    #[error("`{}` is not a readable Parquet file: {source}", path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// What the decoder said.
        source: ParquetError,
    },
    /// The decoder gave up in a way it should not; the file is damaged.
    #[error("`{}` is damaged: its pages contradict each other", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A column's pages do not decode to what its type promises.
    #[error("`{}`: {source}", path.display())]
    Arrow {
        /// Which file.
        path: PathBuf,
        /// What the decoder said.
        source: ArrowError,
    },
    /// A column that must be there is not.
    #[error("`{}` has no column `{column}`; its columns are: {present}", path.display())]
    MissingColumn {
        /// Which file.
        path: PathBuf,
        /// The column that is needed.
        column: &'static str,
        /// The columns it has, separated by commas.
        present: String,
    },
    /// None of the schema's metrics is a column.
    #[error("`{}` has none of the metrics of schema `{schema}`; its columns are: {present}", path.display())]
    NoMetrics {
        /// Which file.
        path: PathBuf,
        /// The schema's id.
        schema: String,
        /// The columns it has, separated by commas.
        present: String,
    },
    /// A column's type cannot be what it is named after.
    #[error("`{}`: column `{column}` is of type {found}; {expected} is needed", path.display())]
    ColumnType {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// Its Arrow type.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// One cell is not usable.
    #[error("`{}`: row {row}, column `{column}`: {problem}", path.display())]
    Cell {
        /// Which file.
        path: PathBuf,
        /// Row in the file, counted from 0.
        row: usize,
        /// Which column.
        column: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A folder holds no Parquet file, or a file no row.
    #[error("`{}` {problem}", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What it lacks.
        problem: &'static str,
    },
    /// Nothing could be encoded or written.
    #[error("failed to write `{}`: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the encoder said.
        source: ParquetError,
    },
}
