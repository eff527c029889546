//! Lists of forecast origins.

use std::path::Path;

use crate::TraceError;
use crate::columns::{self, Cells};
use crate::reader::{next_batch, open_parquet};

/// From where a server is to be forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The server.
    pub server: String,
    /// Start of the last bin that the forecaster may see: milliseconds since the Unix epoch, UTC.
    pub origin_ms: i64,
}

/// Reads a Parquet file with the columns `server_name` and `origin`, in the order of the file.
///
/// # Errors
/// When the file is no Parquet file, a column is missing or of another type, or a cell is empty.
pub fn read_origins(path: &Path) -> Result<Vec<Origin>, TraceError> {
    let builder = open_parquet(path)?;
    let file = builder.schema().clone();
    let column = |name: &'static str| {
        file.index_of(name).map_err(|_| TraceError::MissingColumn {
            path: path.to_owned(),
            column: name,
            present: file
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
    };
    let (server_name, origin) = (column("server_name")?, column("origin")?);
    columns::check_text_type(path, "server_name", file.field(server_name).data_type())?;
    columns::check_time_type(path, "origin", file.field(origin).data_type())?;
    let mut batches = builder.build().map_err(|source| TraceError::Parquet {
        path: path.to_owned(),
        source,
    })?;

    let mut origins = Vec::new();
    while let Some(batch) = next_batch(&mut batches, path) {
        let batch = batch?;
        let first_row = origins.len();
        let times = columns::times_ms(
            batch.column(origin),
            Cells {
                path,
                column: "origin",
                first_row,
            },
        )?;
        columns::for_each_text(batch.column(server_name), path, |row, name| {
            let server = name
                .filter(|name| !name.is_empty())
                .ok_or_else(|| TraceError::Cell {
                    path: path.to_owned(),
                    row: first_row + row,
                    column: "server_name",
                    problem: "is empty; every row needs a server".to_owned(),
                })?;
            origins.push(Origin {
                server: server.to_owned(),
                origin_ms: times[row],
            });
            Ok(())
        })?;
    }
    Ok(origins)
}
