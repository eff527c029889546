//! Output files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::TraceError;

/// A file being written beside its final name; dropped before [`Pending::publish`] it leaves nothing behind.
pub(crate) struct Pending {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Pending {
    /// A link to a file is followed; what is there and no file is refused, as it would be replaced by one.
    pub(crate) fn create(target: &Path) -> Result<(Self, File), TraceError> {
        let refused = |source| TraceError::File {
            path: target.to_owned(),
            source,
        };
        let real = match fs::canonicalize(target) {
            Ok(real) if !real.is_file() => {
                let what = "is there and is no file; name another output";
                return Err(refused(io::Error::other(what)));
            }
            Ok(real) => real,
            Err(_) => target.to_owned(),
        };
        let mut name = OsString::from(".");
        name.push(real.file_name().unwrap_or_default());
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = real.with_file_name(name);
        // Left by a process that was killed and had our id.
        let _ = fs::remove_file(&temporary);
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(refused)?;
        let pending = Self {
            temporary,
            target: real,
            published: false,
        };
        Ok((pending, file))
    }

    /// Makes the contents durable, then visible.
    pub(crate) fn publish(mut self, file: &File) -> Result<(), TraceError> {
        let outcome = file
            .sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.target));
        self.published = outcome.is_ok();
        outcome.map_err(|source| TraceError::File {
            path: self.target.clone(),
            source,
        })
    }
}

/// Says at once whether a file can be written that is written much later.
///
/// # Errors
/// When it cannot.
pub fn check_writable(path: &Path) -> Result<(), TraceError> {
    Pending::create(path).map(drop)
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.published {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Rows gathered before they are encoded.
const BATCH_ROWS: usize = 65_536;

/// Column builders of rows that are still to be encoded.
pub(crate) trait Columns {
    /// What was gathered, in the order of the schema; nothing is left.
    fn take(&mut self) -> Vec<ArrayRef>;
}

/// A Parquet file that rows are added to one by one.
pub(crate) struct Rows<C> {
    output: ParquetOutput,
    /// Where the next row goes; who appends says so by [`Rows::added`].
    pub columns: C,
    gathered: usize,
}

impl<C: Columns + Default> Rows<C> {
    pub(crate) fn create(path: &Path, fields: Vec<Field>) -> Result<Self, TraceError> {
        Ok(Self {
            output: ParquetOutput::create(path, ArrowSchema::new(fields))?,
            columns: C::default(),
            gathered: 0,
        })
    }

    /// Encodes what was gathered if it is enough.
    pub(crate) fn added(&mut self, rows: usize) -> Result<(), TraceError> {
        self.gathered += rows;
        if self.gathered < BATCH_ROWS {
            return Ok(());
        }
        self.gathered = 0;
        self.output.write(self.columns.take())
    }

    /// Completes the file and makes it visible.
    pub(crate) fn finish(mut self) -> Result<(), TraceError> {
        self.output.write(self.columns.take())?;
        self.output.finish()
    }
}

/// A moment, ms since the epoch.
pub(crate) fn time(name: &str) -> Field {
    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Field::new(name, utc, false)
}

pub(crate) fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

/// A Parquet file being written, zstd-compressed.
pub(crate) struct ParquetOutput {
    writer: ArrowWriter<File>,
    schema: Arc<ArrowSchema>,
    pending: Pending,
}

impl ParquetOutput {
    pub(crate) fn create(path: &Path, schema: ArrowSchema) -> Result<Self, TraceError> {
        let (pending, file) = Pending::create(path)?;
        let schema = Arc::new(schema);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(
            |source| TraceError::Write {
                path: path.to_owned(),
                source,
            },
        )?;
        Ok(Self {
            writer,
            schema,
            pending,
        })
    }

    /// Appends rows; `columns` are in the order of the schema.
    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), TraceError> {
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(parquet::errors::ParquetError::from)
            .and_then(|batch| self.writer.write(&batch))
            .map_err(|source| TraceError::Write {
                path: self.pending.target.clone(),
                source,
            })
    }

    pub(crate) fn finish(mut self) -> Result<(), TraceError> {
        self.writer.finish().map_err(|source| TraceError::Write {
            path: self.pending.target.clone(),
            source,
        })?;
        self.pending.publish(self.writer.inner())
    }
}
