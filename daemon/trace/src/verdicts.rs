//! Risk and alerts as Parquet: one row per forecast, one row per alert that fired.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};

use crate::TraceError;
use crate::output::{Columns, ParquetOutput, Rows, text, time};

fn number(name: &str) -> Field {
    Field::new(name, DataType::Float64, false)
}

/// Writes `server_name, origin, risk_score, risk_30m, risk_unclamped`.
pub struct RiskWriter(Rows<RiskColumns>);

#[derive(Default)]
struct RiskColumns {
    server_name: StringBuilder,
    origin: TimestampMillisecondBuilder,
    scores: [Float64Builder; 3],
}

impl RiskWriter {
    /// Starts a file; it appears under its name with [`Self::finish`].
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, TraceError> {
        let fields = vec![
            text("server_name"),
            time("origin"),
            number("risk_score"),
            number("risk_30m"),
            number("risk_unclamped"),
        ];
        Rows::create(path, fields).map(Self)
    }

    /// Adds one forecast's risk: `[risk_score, risk_30m, risk_unclamped]`, each 0 to 100.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(
        &mut self,
        server: &str,
        origin_ms: i64,
        scores: [f64; 3],
    ) -> Result<(), TraceError> {
        let columns = &mut self.0.columns;
        columns.server_name.append_value(server);
        columns.origin.append_value(origin_ms);
        for (builder, score) in columns.scores.iter_mut().zip(scores) {
            builder.append_value(score);
        }
        self.0.added(1)
    }

    /// Completes the file and makes it visible.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> Result<(), TraceError> {
        self.0.finish()
    }
}

impl Columns for RiskColumns {
    fn take(&mut self) -> Vec<ArrayRef> {
        let [score, soon, unclamped] = &mut self.scores;
        vec![
            Arc::new(self.server_name.finish()),
            Arc::new(self.origin.finish().with_timezone("UTC")),
            Arc::new(score.finish()),
            Arc::new(soon.finish()),
            Arc::new(unclamped.finish()),
        ]
    }
}

/// An alert at the moment it fired.
#[derive(Debug, Clone, PartialEq)]
pub struct FiredAlert {
    /// The server.
    pub server: String,
    /// When it fired: ms since the epoch; only data up to then was used.
    pub at_ms: i64,
    /// The metric that is expected to pass its threshold.
    pub metric: String,
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// Calibrated probability of that, 0 to 1.
    pub probability: f64,
    /// Risk score of the server, 0 to 100.
    pub risk_score: f64,
}

/// Writes `server_name, timestamp, metric, severity, probability, risk_score`, in the order given.
///
/// # Errors
/// When the file cannot be written.
pub fn write_alerts(path: &Path, alerts: &[FiredAlert]) -> Result<(), TraceError> {
    let fields = vec![
        text("server_name"),
        time("timestamp"),
        text("metric"),
        text("severity"),
        number("probability"),
        number("risk_score"),
    ];
    let mut output = ParquetOutput::create(path, ArrowSchema::new(fields))?;
    let texts = |of: fn(&FiredAlert) -> &str| {
        let mut builder = StringBuilder::new();
        alerts
            .iter()
            .for_each(|alert| builder.append_value(of(alert)));
        Arc::new(builder.finish())
    };
    let numbers = |of: fn(&FiredAlert) -> f64| {
        let mut builder = Float64Builder::new();
        alerts
            .iter()
            .for_each(|alert| builder.append_value(of(alert)));
        Arc::new(builder.finish())
    };
    let mut times = TimestampMillisecondBuilder::new();
    alerts
        .iter()
        .for_each(|alert| times.append_value(alert.at_ms));
    output.write(vec![
        texts(|alert| &alert.server),
        Arc::new(times.finish().with_timezone("UTC")),
        texts(|alert| &alert.metric),
        texts(|alert| alert.severity),
        numbers(|alert| alert.probability),
        numbers(|alert| alert.risk_score),
    ])?;
    output.finish()
}
