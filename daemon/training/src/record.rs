//! `training.json`: what a model was made of and how.

use std::collections::BTreeMap;

use argus_tft::train::Trained;
use serde_json::{Value, json};

use crate::data::{SourceFacts, rfc3339};
use crate::{Scores, TrainRequest, TrainingError};

/// The record of a run. `from` is the checksum of the weights that it went on from.
pub(crate) fn record(
    request: &TrainRequest,
    facts: &[&SourceFacts],
    from: Option<String>,
    created_ms: i64,
    trained: &Trained,
    scores: &BTreeMap<String, Scores>,
) -> Result<Value, TrainingError> {
    let options = &request.train;
    Ok(json!({
        "format_version": 1,
        "created": rfc3339(created_ms),
        "versions": { "argus": env!("CARGO_PKG_VERSION"), "network": "tft" },
        "seed": options.seed,
        "from_sha256": from,
        "device": request.device.to_string(),
        "data": serde_json::to_value(facts)?,
        "options": serde_json::to_value(options)?,
        "run": serde_json::to_value(&trained.report)?,
        "scores": serde_json::to_value(scores)?,
    }))
}
