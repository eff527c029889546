//! Forecasts as Parquet: one row per forecast value.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float32Builder, Int32Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};

use crate::TraceError;
use crate::output::ParquetOutput;

/// Rows gathered before they are encoded.
const BATCH_ROWS: usize = 65_536;

/// Writes `server_name, origin, step, metric, p10, p50, p90`; step k is the bin k steps after the origin's.
pub struct ForecastWriter {
    output: ParquetOutput,
    rows: usize,
    server_name: StringBuilder,
    origin: TimestampMillisecondBuilder,
    step: Int32Builder,
    metric: StringBuilder,
    quantiles: [Float32Builder; 3],
}

impl ForecastWriter {
    /// Starts a file; it appears under its name with [`Self::finish`].
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, TraceError> {
        let schema = ArrowSchema::new(vec![
            Field::new("server_name", DataType::Utf8, false),
            Field::new(
                "origin",
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                false,
            ),
            Field::new("step", DataType::Int32, false),
            Field::new("metric", DataType::Utf8, false),
            Field::new("p10", DataType::Float32, false),
            Field::new("p50", DataType::Float32, false),
            Field::new("p90", DataType::Float32, false),
        ]);
        Ok(Self {
            output: ParquetOutput::create(path, schema)?,
            rows: 0,
            server_name: StringBuilder::new(),
            origin: TimestampMillisecondBuilder::new(),
            step: Int32Builder::new(),
            metric: StringBuilder::new(),
            quantiles: [
                Float32Builder::new(),
                Float32Builder::new(),
                Float32Builder::new(),
            ],
        })
    }

    /// Adds the forecast of one metric: `[p10, p50, p90]` of steps 1, 2, … in the metric's unit.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(
        &mut self,
        server: &str,
        origin_ms: i64,
        metric: &str,
        steps: impl IntoIterator<Item = [f32; 3]>,
    ) -> Result<(), TraceError> {
        for (step, quantiles) in (1..).zip(steps) {
            self.server_name.append_value(server);
            self.origin.append_value(origin_ms);
            self.step.append_value(step);
            self.metric.append_value(metric);
            for (builder, value) in self.quantiles.iter_mut().zip(quantiles) {
                builder.append_value(value);
            }
            self.rows += 1;
        }
        if self.rows >= BATCH_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Completes the file and makes it visible.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<(), TraceError> {
        self.flush()?;
        self.output.finish()
    }

    fn flush(&mut self) -> Result<(), TraceError> {
        self.rows = 0;
        let [p10, p50, p90] = &mut self.quantiles;
        self.output.write(vec![
            Arc::new(self.server_name.finish()),
            Arc::new(self.origin.finish().with_timezone("UTC")),
            Arc::new(self.step.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(p10.finish()),
            Arc::new(p50.finish()),
            Arc::new(p90.finish()),
        ])
    }
}
