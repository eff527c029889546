//! A trace as batches of rows, in the order of the file and in bounded memory.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_schema::Schema;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::TraceError;
use crate::columns::{self, Cells};

/// Rows decoded at a time: a few hundred kilobytes, whatever the file's row groups are.
const BATCH_ROWS: usize = 8_192;

/// Names and times; the daemon's own history calls them `entity` and `bin_ms`.
const KEYS: [&str; 4] = ["timestamp", "server_name", "bin_ms", "entity"];

/// Rows of a trace as columns; all vectors have the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRows {
    /// Milliseconds since the Unix epoch, UTC.
    pub times_ms: Vec<i64>,
    /// Server names; equal names share one allocation.
    pub servers: Vec<Arc<str>>,
    /// `[metric][row]` in the schema's order and units, NaN where missing.
    pub values: Vec<Vec<f32>>,
    /// Status codes of the schema, 0 where missing or unknown.
    pub statuses: Vec<u8>,
    /// Profile codes of the schema, `None` where missing or unknown.
    pub profiles: Vec<Option<u8>>,
    /// Processor cores, NaN where missing.
    pub cores: Vec<f32>,
}

impl TraceRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times_ms.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.times_ms.is_empty()
    }

    /// Only the rows that `keep` says, one flag per row.
    pub(crate) fn retain(self, keep: &[bool]) -> Self {
        fn kept<T>(values: Vec<T>, keep: &[bool]) -> Vec<T> {
            let flagged = values.into_iter().zip(keep);
            flagged.filter(|(_, keep)| **keep).map(|(v, _)| v).collect()
        }
        let columns = self.values.into_iter();
        Self {
            times_ms: kept(self.times_ms, keep),
            servers: kept(self.servers, keep),
            values: columns.map(|values| kept(values, keep)).collect(),
            statuses: kept(self.statuses, keep),
            profiles: kept(self.profiles, keep),
            cores: kept(self.cores, keep),
        }
    }
}

/// Reads a trace batch by batch. Only the columns that matter are decoded.
#[derive(Debug)]
pub struct TraceReader {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    places: Places,
    statuses: HashMap<String, u8>,
    profiles: HashMap<String, u8>,
    names: HashSet<Arc<str>>,
    rows_total: u64,
    next_row: usize,
    unknown_statuses: u64,
    failed: bool,
}

/// Where each wanted column lies in the projected batches.
#[derive(Debug)]
struct Places {
    timestamp: usize,
    server_name: usize,
    metrics: Vec<Option<usize>>,
    status: Option<usize>,
    profile: Option<usize>,
    cores: Option<usize>,
}

impl TraceReader {
    /// Opens a trace and checks its columns.
    ///
    /// # Errors
    /// When the file is no Parquet file, `timestamp`, `server_name` or all metrics are missing, or a column that is
    /// there has a type that cannot hold its values.
    pub fn open(path: &Path, schema: &Schema) -> Result<Self, TraceError> {
        Self::open_columns(path, schema, false)
    }

    /// The same for names and times only: everything else is missing in its rows.
    ///
    /// # Errors
    /// As [`TraceReader::open`].
    pub(crate) fn open_keys(path: &Path, schema: &Schema) -> Result<Self, TraceError> {
        Self::open_columns(path, schema, true)
    }

    fn open_columns(path: &Path, schema: &Schema, keys_only: bool) -> Result<Self, TraceError> {
        let builder = open_parquet(path)?;
        let rows_total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let wanted: Vec<usize> = (builder.schema().fields().iter().enumerate())
            .filter(|(_, field)| {
                let name = field.name().as_str();
                KEYS.contains(&name)
                    || !keys_only
                        && (["status", "profile", "cores"].contains(&name)
                            || schema.metric_index(name).is_some())
            })
            .map(|(index, _)| index)
            .collect();
        let places = Places::find(path, builder.schema(), &wanted, schema, keys_only)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let batches = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|source| TraceError::Parquet {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            batches,
            places,
            statuses: codes(schema.statuses.iter().map(String::as_str), 1),
            profiles: codes(schema.profiles.iter().map(|profile| profile.id.as_str()), 0),
            names: HashSet::new(),
            rows_total,
            next_row: 0,
            unknown_statuses: 0,
            failed: false,
        })
    }

    /// Rows in the file, as its footer says.
    pub fn rows_total(&self) -> u64 {
        self.rows_total
    }

    /// Which metrics of the schema are columns of the file.
    pub fn metrics_present(&self) -> Vec<bool> {
        self.places.metrics.iter().map(Option::is_some).collect()
    }

    /// Rows so far whose status is not one of the schema's; it counts as missing.
    pub fn unknown_statuses(&self) -> u64 {
        self.unknown_statuses
    }

    fn decode(&mut self, batch: &RecordBatch) -> Result<TraceRows, TraceError> {
        let rows = batch.num_rows();
        let path = self.path.as_path();
        let cells = |column| Cells {
            path,
            column,
            first_row: self.next_row,
        };
        let times_ms = columns::times_ms(batch.column(self.places.timestamp), cells("timestamp"))?;

        let mut servers: Vec<Arc<str>> = Vec::with_capacity(rows);
        columns::for_each_text(batch.column(self.places.server_name), path, |row, name| {
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                let problem = "is empty; every row needs a server".to_owned();
                return Err(TraceError::Cell {
                    path: path.to_owned(),
                    row: self.next_row + row,
                    column: "server_name",
                    problem,
                });
            };
            // Rows of one server usually lie together.
            if let Some(last) = servers.last().filter(|last| last.as_ref() == name) {
                servers.push(Arc::clone(last));
                return Ok(());
            }
            let shared = match self.names.get(name) {
                Some(shared) => Arc::clone(shared),
                None => {
                    let shared: Arc<str> = name.into();
                    self.names.insert(Arc::clone(&shared));
                    shared
                }
            };
            servers.push(shared);
            Ok(())
        })?;

        let number = |place: Option<usize>| match place {
            Some(column) => columns::numbers(batch.column(column), path),
            None => Ok(vec![f32::NAN; rows]),
        };
        let values = self
            .places
            .metrics
            .iter()
            .map(|place| number(*place))
            .collect::<Result<_, _>>()?;
        let cores = number(self.places.cores)?;

        let mut statuses = vec![0; rows];
        if let Some(column) = self.places.status {
            columns::for_each_text(batch.column(column), path, |row, text| {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    match self.statuses.get(text) {
                        Some(code) => statuses[row] = *code,
                        None => self.unknown_statuses += 1,
                    }
                }
                Ok(())
            })?;
        }
        let mut profiles = vec![None; rows];
        if let Some(column) = self.places.profile {
            columns::for_each_text(batch.column(column), path, |row, text| {
                profiles[row] = text.and_then(|text| self.profiles.get(text).copied());
                Ok(())
            })?;
        }
        self.next_row += rows;
        Ok(TraceRows {
            times_ms,
            servers,
            values,
            statuses,
            profiles,
            cores,
        })
    }
}

impl Iterator for TraceReader {
    type Item = Result<TraceRows, TraceError>;

    /// The next rows; after an error there are none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let outcome = match next_batch(&mut self.batches, &self.path)? {
            Ok(batch) => self.decode(&batch),
            Err(error) => Err(error),
        };
        self.failed = outcome.is_err();
        Some(outcome)
    }
}

impl Places {
    fn find(
        path: &Path,
        file: &SchemaRef,
        wanted: &[usize],
        schema: &Schema,
        keys_only: bool,
    ) -> Result<Self, TraceError> {
        let present = || {
            file.fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let place = |name: &str| {
            let position = wanted
                .iter()
                .position(|index| file.field(*index).name() == name)?;
            Some((position, file.field(wanted[position]).data_type()))
        };
        let required = |name: &'static str, in_history: &str| {
            let found = place(name).or_else(|| place(in_history));
            found.ok_or_else(|| TraceError::MissingColumn {
                path: path.to_owned(),
                column: name,
                present: present(),
            })
        };
        let (timestamp, found) = required("timestamp", "bin_ms")?;
        columns::check_time_type(path, "timestamp", found)?;
        let (server_name, found) = required("server_name", "entity")?;
        columns::check_text_type(path, "server_name", found)?;

        let number = |name: &str| match place(name) {
            Some((position, found)) => {
                columns::check_number_type(path, name, found).map(|()| Some(position))
            }
            None => Ok(None),
        };
        let text = |name: &str| match place(name) {
            // A column of nothing but empty cells has the null type.
            Some((_, found)) if found.is_null() => Ok(None),
            Some((position, found)) => {
                columns::check_text_type(path, name, found).map(|()| Some(position))
            }
            None => Ok(None),
        };
        let metrics = schema
            .metrics
            .iter()
            .map(|metric| number(&metric.name))
            .collect::<Result<Vec<_>, _>>()?;
        if !keys_only && metrics.iter().all(Option::is_none) {
            return Err(TraceError::NoMetrics {
                path: path.to_owned(),
                schema: schema.id.clone(),
                present: present(),
            });
        }
        Ok(Self {
            timestamp,
            server_name,
            metrics,
            status: text("status")?,
            profile: text("profile")?,
            cores: number("cores")?,
        })
    }
}

/// Rows of a file, as its footer says.
///
/// # Errors
/// When it is no Parquet file.
pub fn count_rows(path: &Path) -> Result<u64, TraceError> {
    let rows = open_parquet(path)?.metadata().file_metadata().num_rows();
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// Opens a Parquet file by its own types: the Arrow schema that writers embed may say anything.
pub(crate) fn open_parquet(
    path: &Path,
) -> Result<ParquetRecordBatchReaderBuilder<File>, TraceError> {
    let file = File::open(path).map_err(|source| TraceError::File {
        path: path.to_owned(),
        source,
    })?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    catch_unwind(AssertUnwindSafe(|| {
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
    }))
    .map_err(|_| TraceError::Damaged {
        path: path.to_owned(),
    })?
    .map_err(|source| TraceError::Parquet {
        path: path.to_owned(),
        source,
    })
}

/// Decodes the next batch. Damaged pages can make the decoder panic; a file must not take the process down.
pub(crate) fn next_batch(
    batches: &mut ParquetRecordBatchReader,
    path: &Path,
) -> Option<Result<RecordBatch, TraceError>> {
    match catch_unwind(AssertUnwindSafe(|| batches.next())) {
        Ok(batch) => Some(batch?.map_err(|source| columns::arrow_error(path, source))),
        Err(_) => Some(Err(TraceError::Damaged {
            path: path.to_owned(),
        })),
    }
}

fn codes<'a>(names: impl Iterator<Item = &'a str>, first: u8) -> HashMap<String, u8> {
    names.map(str::to_owned).zip(first..).collect()
}
