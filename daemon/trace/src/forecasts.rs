//! Forecasts as Parquet: one row per forecast value.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Builder, Int32Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field};

use crate::TraceError;
use crate::output::{Columns, Rows, text, time};

/// Writes `server_name, origin, step, metric, p10, p50, p90`; step k is the bin k steps after the origin's.
pub struct ForecastWriter(Rows<ForecastColumns>);

#[derive(Default)]
struct ForecastColumns {
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
        let fields = vec![
            text("server_name"),
            time("origin"),
            Field::new("step", DataType::Int32, false),
            text("metric"),
            Field::new("p10", DataType::Float32, false),
            Field::new("p50", DataType::Float32, false),
            Field::new("p90", DataType::Float32, false),
        ];
        Rows::create(path, fields).map(Self)
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
        let columns = &mut self.0.columns;
        let mut rows = 0;
        for (step, quantiles) in (1..).zip(steps) {
            columns.server_name.append_value(server);
            columns.origin.append_value(origin_ms);
            columns.step.append_value(step);
            columns.metric.append_value(metric);
            for (builder, value) in columns.quantiles.iter_mut().zip(quantiles) {
                builder.append_value(value);
            }
            rows += 1;
        }
        self.0.added(rows)
    }

    /// Completes the file and makes it visible.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> Result<(), TraceError> {
        self.0.finish()
    }
}

impl Columns for ForecastColumns {
    fn take(&mut self) -> Vec<ArrayRef> {
        let [p10, p50, p90] = &mut self.quantiles;
        vec![
            Arc::new(self.server_name.finish()),
            Arc::new(self.origin.finish().with_timezone("UTC")),
            Arc::new(self.step.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(p10.finish()),
            Arc::new(p50.finish()),
            Arc::new(p90.finish()),
        ]
    }
}
