//! What a network looked at, as Parquet: one row per weight.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float32Builder, Int32Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};

use crate::TraceError;
use crate::output::ParquetOutput;

/// Rows gathered before they are encoded.
const BATCH_ROWS: usize = 65_536;

/// One weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight<'a> {
    /// `attention`, or the variable selection: `static`, `context`, `horizon`.
    pub part: &'a str,
    /// The step ahead that looks; attention only.
    pub step: Option<i32>,
    /// What is looked at, or whose variables are weighted: steps after the origin's bin, 0 and less in the context.
    /// None for static variables.
    pub at: Option<i32>,
    /// The variable; selections only.
    pub variable: Option<&'a str>,
    /// Its share.
    pub weight: f32,
}

/// Writes `server_name, origin, part, step, at, variable, weight`.
pub struct AttentionWriter {
    output: ParquetOutput,
    rows: usize,
    server_name: StringBuilder,
    origin: TimestampMillisecondBuilder,
    part: StringBuilder,
    step: Int32Builder,
    at: Int32Builder,
    variable: StringBuilder,
    weight: Float32Builder,
}

impl AttentionWriter {
    /// Starts a file; it appears under its name with [`Self::finish`].
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, TraceError> {
        let origin = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let schema = ArrowSchema::new(vec![
            Field::new("server_name", DataType::Utf8, false),
            Field::new("origin", origin, false),
            Field::new("part", DataType::Utf8, false),
            Field::new("step", DataType::Int32, true),
            Field::new("at", DataType::Int32, true),
            Field::new("variable", DataType::Utf8, true),
            Field::new("weight", DataType::Float32, false),
        ]);
        Ok(Self {
            output: ParquetOutput::create(path, schema)?,
            rows: 0,
            server_name: StringBuilder::new(),
            origin: TimestampMillisecondBuilder::new(),
            part: StringBuilder::new(),
            step: Int32Builder::new(),
            at: Int32Builder::new(),
            variable: StringBuilder::new(),
            weight: Float32Builder::new(),
        })
    }

    /// Adds the weights of one forecast.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write<'a>(
        &mut self,
        server: &str,
        origin_ms: i64,
        weights: impl IntoIterator<Item = Weight<'a>>,
    ) -> Result<(), TraceError> {
        for weight in weights {
            self.server_name.append_value(server);
            self.origin.append_value(origin_ms);
            self.part.append_value(weight.part);
            self.step.append_option(weight.step);
            self.at.append_option(weight.at);
            self.variable.append_option(weight.variable);
            self.weight.append_value(weight.weight);
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
        self.output.write(vec![
            Arc::new(self.server_name.finish()),
            Arc::new(self.origin.finish().with_timezone("UTC")),
            Arc::new(self.part.finish()),
            Arc::new(self.step.finish()),
            Arc::new(self.at.finish()),
            Arc::new(self.variable.finish()),
            Arc::new(self.weight.finish()),
        ])
    }
}
