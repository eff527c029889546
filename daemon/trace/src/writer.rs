//! Traces as Parquet.

use std::path::Path;
use std::sync::Arc;

use argus_schema::Schema;
use arrow::array::{ArrayRef, Float32Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};

use crate::output::ParquetOutput;
use crate::{Series, TraceError};

/// Writes `timestamp, server_name, status, profile, cores` and one column per metric; missing values are null.
pub struct TraceWriter {
    output: ParquetOutput,
    statuses: Vec<String>,
    metrics: usize,
}

impl TraceWriter {
    /// Starts a file; it appears under its name with [`Self::finish`].
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, schema: &Schema) -> Result<Self, TraceError> {
        let mut fields = vec![
            Field::new(
                "timestamp",
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                false,
            ),
            Field::new("server_name", DataType::Utf8, false),
            Field::new("status", DataType::Utf8, true),
            Field::new("profile", DataType::Utf8, true),
            Field::new("cores", DataType::Float32, true),
        ];
        fields.extend(
            schema
                .metrics
                .iter()
                .map(|metric| Field::new(&metric.name, DataType::Float32, true)),
        );
        Ok(Self {
            output: ParquetOutput::create(path, ArrowSchema::new(fields))?,
            statuses: schema.statuses.clone(),
            metrics: schema.metrics.len(),
        })
    }

    /// Appends all observations of a server.
    ///
    /// # Errors
    /// When the columns of the series differ in length or number from the schema's, or the disk refuses.
    pub fn write(&mut self, series: &Series) -> Result<(), TraceError> {
        debug_assert_eq!(
            series.values.len(),
            self.metrics,
            "a series has a column per metric of the schema"
        );
        let rows = series.times_ms.len();
        let status = |code: &u8| {
            usize::from(*code)
                .checked_sub(1)
                .and_then(|index| self.statuses.get(index))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(series.times_ms.clone()).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![series.name.as_str(); rows])),
            Arc::new(series.status.iter().map(status).collect::<StringArray>()),
            Arc::new(StringArray::from(vec![series.profile.as_deref(); rows])),
            Arc::new(Float32Array::from(vec![series.cores; rows])),
        ];
        for values in &series.values {
            let observed = values
                .iter()
                .map(|value| Some(*value).filter(|value| !value.is_nan()));
            columns.push(Arc::new(observed.collect::<Float32Array>()));
        }
        self.output.write(columns)
    }

    /// Completes the file and makes it visible.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> Result<(), TraceError> {
        self.output.finish()
    }
}
