//! What a network looked at, as Parquet: one row per weight.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Builder, Int32Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field};

use crate::TraceError;
use crate::output::{Columns, Rows, text, time};

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
pub struct AttentionWriter(Rows<WeightColumns>);

#[derive(Default)]
struct WeightColumns {
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
        let fields = vec![
            text("server_name"),
            time("origin"),
            text("part"),
            Field::new("step", DataType::Int32, true),
            Field::new("at", DataType::Int32, true),
            Field::new("variable", DataType::Utf8, true),
            Field::new("weight", DataType::Float32, false),
        ];
        Rows::create(path, fields).map(Self)
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
        let columns = &mut self.0.columns;
        let mut rows = 0;
        for weight in weights {
            columns.server_name.append_value(server);
            columns.origin.append_value(origin_ms);
            columns.part.append_value(weight.part);
            columns.step.append_option(weight.step);
            columns.at.append_option(weight.at);
            columns.variable.append_option(weight.variable);
            columns.weight.append_value(weight.weight);
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

impl Columns for WeightColumns {
    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.server_name.finish()),
            Arc::new(self.origin.finish().with_timezone("UTC")),
            Arc::new(self.part.finish()),
            Arc::new(self.step.finish()),
            Arc::new(self.at.finish()),
            Arc::new(self.variable.finish()),
            Arc::new(self.weight.finish()),
        ]
    }
}
