//! `training.json`: what a model was made of and how.

use argus_tft::train::Trained;
use serde_json::{Value, json};

use crate::data::{SourceFacts, rfc3339};
use crate::judge::Judged;
use crate::{TrainRequest, TrainingError};

/// The record of a run. `from` is the checksum of the weights that it went on from.
pub(crate) fn record(
    request: &TrainRequest,
    facts: &[&SourceFacts],
    from: Option<&str>,
    created_ms: i64,
    trained: &Trained,
    judged: &Judged,
) -> Result<Value, TrainingError> {
    let mut options = serde_json::to_value(&request.train)?;
    options["watched_share"] = request.watched_share.into();
    Ok(json!({
        "format_version": 1,
        "created": rfc3339(created_ms),
        "versions": { "argus": env!("CARGO_PKG_VERSION"), "network": "tft" },
        "seed": request.train.seed,
        "from_sha256": from,
        "device": request.device.to_string(),
        "data": serde_json::to_value(facts)?,
        "options": options,
        "run": serde_json::to_value(&trained.report)?,
        "scores": serde_json::to_value(&judged.scores)?,
        "risk": serde_json::to_value(&judged.risk)?,
    }))
}
