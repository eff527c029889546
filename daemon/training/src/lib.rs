//! Trains the model on Parquet traces and a synthetic fleet: what `argus train` runs.
//!
//! Each trace is cut in time: rows before its validation start are trained on (the newest part of them is held out to
//! watch the run), the rest is what the finished model is scored on. The synthetic fleet teaches what the traces
//! lack; it is never part of a score. The result is a model directory whose `training.json` tells data, options,
//! losses and scores, and whose `calibration.json` makes risks what came true on the scored part.

mod calibrate;
mod corpus;
mod data;
mod errors;
mod forecast;
mod judge;
mod record;
mod request;
mod score;
mod speed;
mod spool;
mod widen;
mod workplace;

pub use errors::TrainingError;
pub use judge::RiskBeforeAndAfter;
pub use request::{Observer, Outcome, Stage, SyntheticInput, TraceInput, TrainRequest, train};
pub use score::{MetricScore, Scores};
pub use speed::{TrainingSpeed, measure_speed};

use argus_schema::Schema;
use argus_tft::{MetricRef, SchemaRef};

/// A schema as models refer to it.
pub fn schema_ref(schema: &Schema) -> SchemaRef {
    let metric = |metric: &argus_schema::Metric| MetricRef {
        name: metric.name.clone(),
        min: metric.min,
        max: metric.max,
    };
    SchemaRef {
        id: schema.id.clone(),
        version: schema.version,
        metrics: schema.metrics.iter().map(metric).collect(),
        statuses: schema.statuses.clone(),
        profiles: schema
            .profiles
            .iter()
            .map(|profile| profile.id.clone())
            .collect(),
    }
}
