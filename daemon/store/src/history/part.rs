//! One Parquet file: rows sorted by entity, then bin.
//!
//! Columns: `entity`, `bin_ms` (start of the bin), `count`, `status` (name, null for missing), then per metric its mean
//! under the metric's name and its maximum under `<metric>_max`, null for missing.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use argus_schema::{EntityName, Schema};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float32Builder, RecordBatch, StringArray,
    StringBuilder, TimestampMillisecondBuilder, UInt32Builder,
};
use arrow::datatypes::{
    DataType, Field, Float32Type, Schema as ArrowSchema, TimeUnit, TimestampMillisecondType,
    UInt32Type,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;

use super::source::Source;
use super::{Part, part_name, sync_folder};
use crate::errors::HistoryError;
use crate::window::Row;

/// Rows that go through memory at once.
const BATCH_ROWS: usize = 8_192;
/// Rows of a row group, about a hundred entities' days: a query for one entity reads one group's keys, and a day of a
/// thousand entities has few enough groups that their descriptions cost nothing.
const GROUP_ROWS: usize = 32_768;
/// Rows of a page: what a query for one entity decodes at least.
const PAGE_ROWS: usize = 1_024;

/// The columns of a schema's history.
#[derive(Debug)]
pub(super) struct Columns {
    arrow: Arc<ArrowSchema>,
    metrics: Vec<String>,
    statuses: Vec<String>,
}

impl Columns {
    pub(super) fn new(schema: &Schema) -> Self {
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let mut fields = vec![
            Field::new("entity", DataType::Utf8, false),
            Field::new("bin_ms", time, false),
            Field::new("count", DataType::UInt32, false),
            Field::new("status", DataType::Utf8, true),
        ];
        fields.extend(
            schema
                .metrics
                .iter()
                .map(|metric| Field::new(&metric.name, DataType::Float32, true)),
        );
        let maxima = schema
            .metrics
            .iter()
            .map(|metric| format!("{}_max", metric.name));
        fields.extend(maxima.map(|name| Field::new(name, DataType::Float32, true)));
        Self {
            arrow: Arc::new(ArrowSchema::new(fields)),
            metrics: schema
                .metrics
                .iter()
                .map(|metric| metric.name.clone())
                .collect(),
            statuses: schema.statuses.clone(),
        }
    }

    fn status_name(&self, code: u8) -> Option<&str> {
        self.statuses
            .get(usize::from(code).checked_sub(1)?)
            .map(String::as_str)
    }

    fn status_code(&self, name: &str) -> u8 {
        self.statuses
            .iter()
            .position(|s| s == name)
            .and_then(|at| u8::try_from(at + 1).ok())
            .unwrap_or(0)
    }
}

/// Writes a part: to a temporary file until [`PartWriter::finish`].
pub(super) struct PartWriter<'a> {
    columns: &'a Columns,
    folder: PathBuf,
    temporary: PathBuf,
    first: u64,
    last: u64,
    step_ms: i64,
    writer: Option<ArrowWriter<File>>,
    /// Whether the temporary file is no more.
    renamed: bool,
    entity: StringBuilder,
    bin_ms: TimestampMillisecondBuilder,
    count: UInt32Builder,
    status: StringBuilder,
    values: Vec<Float32Builder>,
    rows: usize,
}

impl<'a> PartWriter<'a> {
    pub(super) fn create(
        columns: &'a Columns,
        folder: &Path,
        first: u64,
        last: u64,
        step_ms: i64,
    ) -> Result<Self, HistoryError> {
        let temporary = folder.join(format!("{}.tmp", part_name(first, last)));
        let failed = |error: &dyn std::fmt::Display| HistoryError::write(&temporary, error);
        let file = File::create(&temporary).map_err(|error| failed(&error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_write_batch_size(PAGE_ROWS)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&columns.arrow), Some(properties))
            .map_err(|error| {
                let _ = fs::remove_file(&temporary);
                failed(&error)
            })?;
        Ok(Self {
            columns,
            folder: folder.to_owned(),
            first,
            last,
            step_ms,
            writer: Some(writer),
            renamed: false,
            entity: StringBuilder::new(),
            bin_ms: TimestampMillisecondBuilder::new().with_timezone("UTC"),
            count: UInt32Builder::new(),
            status: StringBuilder::new(),
            values: (0..columns.metrics.len() * 2)
                .map(|_| Float32Builder::new())
                .collect(),
            rows: 0,
            temporary,
        })
    }

    pub(super) fn push(&mut self, entity: &EntityName, row: &Row) -> Result<(), HistoryError> {
        self.entity.append_value(entity.as_str());
        self.bin_ms
            .append_value(row.bin.saturating_mul(self.step_ms));
        self.count.append_value(row.records);
        self.status
            .append_option(self.columns.status_name(row.status));
        for (builder, &value) in self.values.iter_mut().zip(row.mean.iter().chain(&row.max)) {
            builder.append_option((!value.is_nan()).then_some(value));
        }
        self.rows += 1;
        if self.rows == BATCH_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), HistoryError> {
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.entity.finish()),
            Arc::new(self.bin_ms.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.status.finish()),
        ];
        arrays.extend(
            self.values
                .iter_mut()
                .map(|builder| Arc::new(builder.finish()) as ArrayRef),
        );
        self.rows = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.columns.arrow), arrays);
        let written = match (batch, &mut self.writer) {
            (Ok(batch), Some(writer)) => writer.write(&batch).map_err(|error| error.to_string()),
            (Err(error), _) => Err(error.to_string()),
            (Ok(_), None) => Ok(()),
        };
        written.map_err(|problem| HistoryError::write(&self.temporary, &problem))
    }

    /// Makes the part durable under its name.
    pub(super) fn finish(mut self, now_ms: i64) -> Result<Part, HistoryError> {
        if self.rows > 0 {
            self.flush()?;
        }
        let temporary = self.temporary.clone();
        let failed = |error: &dyn std::fmt::Display| HistoryError::write(&temporary, error);
        let Some(writer) = self.writer.take() else {
            return Err(failed(&"part is finished already"));
        };
        let file = writer.into_inner().map_err(|error| failed(&error))?;
        let written_at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
        // Retention goes by this time; without it the file's own is as good.
        let _ = file.set_times(FileTimes::new().set_modified(written_at));
        file.sync_all().map_err(|error| failed(&error))?;
        let bytes = file.metadata().map_err(|error| failed(&error))?.len();
        let path = self.folder.join(part_name(self.first, self.last));
        fs::rename(&temporary, &path).map_err(|error| failed(&error))?;
        self.renamed = true;
        sync_folder(&self.folder).map_err(|error| {
            // Nobody is told of this part, so nobody else would delete it.
            let _ = fs::remove_file(&path);
            failed(&error)
        })?;
        Ok(Part {
            first: self.first,
            last: self.last,
            bytes,
            written_ms: now_ms,
        })
    }
}

impl Drop for PartWriter<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Rows wanted of one entity.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) entity: EntityName,
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// Reads the rows of a part in order.
pub(super) struct PartReader<'a> {
    columns: &'a Columns,
    path: PathBuf,
    source: Source,
    step_ms: i64,
    batches: ParquetRecordBatchReader,
    current: Option<Batch>,
    name: Option<EntityName>,
}

impl<'a> PartReader<'a> {
    /// Reads all rows, or those of a selection.
    pub(super) fn open(
        columns: &'a Columns,
        path: PathBuf,
        file: File,
        step_ms: i64,
        selection: Option<&Selection>,
    ) -> Result<Self, HistoryError> {
        let source = Source::new(file);
        let failed = |error: &dyn std::fmt::Display| reading_failed(&source, &path, error);
        // With the offset index pages without wanted rows are not even read.
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let mut builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(source.clone(), options)
                .map_err(|error| failed(&error))?;
        if let Some(selection) = selection {
            let groups = builder.metadata().row_groups().iter().enumerate();
            let wanted = groups
                .filter(|(_, group)| may_hold(group, selection))
                .map(|(at, _)| at)
                .collect();
            let leaves = ProjectionMask::leaves(builder.parquet_schema(), [0, 1]);
            let selection = selection.clone();
            let predicate =
                ArrowPredicateFn::new(leaves, move |batch| Ok(matching(&batch, &selection)));
            builder = builder
                .with_row_groups(wanted)
                .with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        }
        let batches = builder
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self {
            columns,
            path,
            source,
            step_ms,
            batches,
            current: None,
            name: None,
        })
    }

    fn next_row(&mut self) -> Result<Option<(EntityName, Row)>, HistoryError> {
        loop {
            if let Some(batch) = &mut self.current
                && let Some((name, row)) = batch.next(self.columns, self.step_ms)
            {
                let known = self.name.as_ref().filter(|known| known.as_str() == name);
                let name = match known {
                    Some(known) => known.clone(),
                    None => EntityName::new(name)
                        .map_err(|error| HistoryError::damaged(&self.path, &error))?,
                };
                self.name = Some(name.clone());
                return Ok(Some((name, row)));
            }
            let Some(batch) = self.batches.next() else {
                return Ok(None);
            };
            let batch = batch.map_err(|error| reading_failed(&self.source, &self.path, &error))?;
            self.current = Some(
                Batch::new(&batch, self.columns)
                    .map_err(|problem| HistoryError::damaged(&self.path, &problem))?,
            );
        }
    }
}

impl Iterator for PartReader<'_> {
    type Item = Result<(EntityName, Row), HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

/// Tells a part that cannot be decoded from one that the system did not give.
fn reading_failed(source: &Source, path: &Path, error: &dyn std::fmt::Display) -> HistoryError {
    if source.has_failed() {
        HistoryError::read(path, error)
    } else {
        HistoryError::damaged(path, error)
    }
}

/// Typed columns of a batch and a position in it.
struct Batch {
    entity: StringArray,
    bin_ms: Vec<i64>,
    count: Vec<u32>,
    status: StringArray,
    /// Means, then maxima; `None` for a column that the file lacks.
    values: Vec<Option<Float32Array>>,
    at: usize,
}

impl Batch {
    fn new(batch: &RecordBatch, columns: &Columns) -> Result<Self, String> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| format!("column `{name}` is missing"))
        };
        let text = |name: &str| -> Result<StringArray, String> {
            column(name)?
                .as_string_opt::<i32>()
                .cloned()
                .ok_or_else(|| format!("column `{name}` is no text"))
        };
        let bins = column("bin_ms")?.as_primitive_opt::<TimestampMillisecondType>();
        let counts = column("count")?.as_primitive_opt::<UInt32Type>();
        let (Some(bins), Some(counts)) = (bins, counts) else {
            return Err("a column has another type".to_owned());
        };
        let value = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|c| c.as_primitive_opt::<Float32Type>())
                .cloned()
        };
        let means = columns.metrics.iter().map(|name| value(name));
        let maxima = columns
            .metrics
            .iter()
            .map(|name| value(&format!("{name}_max")));
        Ok(Self {
            entity: text("entity")?,
            bin_ms: bins.values().to_vec(),
            count: counts.values().to_vec(),
            status: text("status")?,
            values: means.chain(maxima).collect(),
            at: 0,
        })
    }

    fn next(&mut self, columns: &Columns, step_ms: i64) -> Option<(&str, Row)> {
        let at = self.at;
        let (&bin_ms, &records) = (self.bin_ms.get(at)?, self.count.get(at)?);
        self.at += 1;
        let value = |column: &Option<Float32Array>| match column {
            Some(array) if array.is_valid(at) => array.value(at),
            _ => f32::NAN,
        };
        let (means, maxima) = self.values.split_at(columns.metrics.len());
        let status = if self.status.is_valid(at) {
            columns.status_code(self.status.value(at))
        } else {
            0
        };
        let row = Row {
            bin: bin_ms.div_euclid(step_ms),
            records,
            status,
            mean: means.iter().map(value).collect(),
            max: maxima.iter().map(value).collect(),
        };
        Some((self.entity.value(at), row))
    }
}

/// Whether a row group's statistics leave room for wanted rows.
fn may_hold(group: &RowGroupMetaData, selection: &Selection) -> bool {
    let entities = match group.column(0).statistics() {
        Some(Statistics::ByteArray(bounds)) => bounds.min_opt().zip(bounds.max_opt()),
        _ => None,
    };
    let name = selection.entity.as_str().as_bytes();
    // Bounds of long names may be cut; a cut one still bounds.
    if entities.is_some_and(|(min, max)| name < min.data() || name > max.data()) {
        return false;
    }
    let bins = match group.column(1).statistics() {
        Some(Statistics::Int64(bounds)) => bounds.min_opt().zip(bounds.max_opt()),
        _ => None,
    };
    bins.is_none_or(|(&min, &max)| max >= selection.from_ms && min < selection.to_ms)
}

fn matching(batch: &RecordBatch, selection: &Selection) -> BooleanArray {
    let entity = batch.column(0).as_string_opt::<i32>();
    let bin_ms = batch
        .column(1)
        .as_primitive_opt::<TimestampMillisecondType>();
    let wanted = |at: usize| {
        entity.is_some_and(|column| column.value(at) == selection.entity.as_str())
            && bin_ms.is_some_and(|column| {
                (selection.from_ms..selection.to_ms).contains(&column.value(at))
            })
    };
    (0..batch.num_rows()).map(|at| Some(wanted(at))).collect()
}
