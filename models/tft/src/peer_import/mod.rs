//! pytorch-forecasting's models into model directories of ours.
//!
//! The state dict goes in as it is ([`crate::Network`] shares its names); what this module adds is how each input column
//! is computed, from the description that was exported beside it: `variables`, `categories`, `scalers` and
//! `target_normalisers`. A column that nobody here can compute (a holiday, say) makes the import fail with its name,
//! rather than feed the network something else.
//!
//! Two defects of the original are not taken over: each entity is scaled by its own entry of the table, not by its
//! predecessor's, and an entity that the table does not have by its own context ([`crate::UnknownEntity`]). Scales that
//! softplus has blown up on counts are part of what the network was trained with, and stay.

mod columns;
mod normalisers;

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::architecture::Architecture;
use crate::device::Device;
use crate::entity_table::UnknownEntity;
use crate::errors::{ArchitectureError, SaveError, WeightsError};
use crate::model_config::{FORMAT_VERSION, ModelConfig};
use crate::model_dir;
use crate::network::Network;
use crate::peer_config::parse_python_json;
use crate::schema_ref::SchemaRef;

/// Largest file that is read.
const MAX_BYTES: u64 = 2 << 30;
/// Fewest closed bins a forecast is made from, however many the original was trained with: an LSTM and an attention
/// take any length.
const MIN_CONTEXT_STEPS: u32 = 12;

/// What the description of a model does not tell.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The schema that it is to serve.
    pub schema: SchemaRef,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// What an entity gets that the tables do not have.
    pub unknown: UnknownEntity,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Metrics that the model forecasts, in the order of its outputs.
    pub targets: Vec<String>,
    /// Entities that have a scale of their own in the tables.
    pub entities: usize,
    /// Number of parameters, shared ones counted once.
    pub parameters: usize,
}

/// Why a model could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file could not be read.
    #[error("{path} could not be read: {problem}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The description lacks something, or says something that cannot be done.
    #[error("config: {0}")]
    Description(String),
    /// It describes no network.
    #[error("config: {0}")]
    Architecture(#[from] ArchitectureError),
    /// The weights do not fit it.
    #[error("weights: {0}")]
    Weights(#[from] WeightsError),
    /// The model directory could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// Makes the model directory `output` from an exported `config` and `weights`.
///
/// # Errors
/// When a file is unreadable or truncated, the weights do not fit, an input column cannot be computed, a target or
/// input is no metric of the schema, or `output` exists.
pub fn import(
    config: &Path,
    weights: &Path,
    options: &ImportOptions,
    output: &Path,
) -> Result<Imported, ImportError> {
    let text = read(config)?;
    let description = parse_python_json(&text).map_err(|error| ImportError::File {
        path: config.to_owned(),
        problem: format!("not JSON: {error}"),
    })?;
    if description.get("format_version").is_some() {
        let told = "it is the configuration of an Argus model, which needs no import".to_owned();
        return Err(ImportError::Description(told));
    }
    let architecture = Architecture::from_peer_config(&description)?;
    let levels = levels(&architecture)?;
    let built =
        columns::build(&description, &architecture, options).map_err(ImportError::Description)?;
    let bytes = read(weights)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| WeightsError::Unreadable(error.to_string()))?;
    let network = Network::load_from(&architecture, &file, None, Device::Cpu)?;
    let longest = u32::try_from(architecture.max_encoder_length).unwrap_or(u32::MAX);
    let imported = Imported {
        targets: architecture
            .targets
            .iter()
            .map(|t| t.name.clone())
            .collect(),
        entities: built.entities,
        parameters: network.parameters().numel(),
    };
    let config = ModelConfig {
        format_version: FORMAT_VERSION,
        schema: options.schema.clone(),
        step_secs: options.step_secs,
        min_context_steps: MIN_CONTEXT_STEPS.min(longest),
        quantile_levels: levels,
        variables: built.variables,
        normaliser: built.normaliser,
        architecture,
        direct: None,
        widening: Vec::new(),
    };
    config.check().map_err(ImportError::Description)?;
    let training = json!({
        "imported_from": description.get("peer").cloned().unwrap_or(Value::Null),
        "targets": imported.targets,
    });
    let calibration = json!({"kind": "identity", "note": "imported; not fitted"});
    model_dir::write(
        output,
        &config,
        &network,
        &built.state,
        &training,
        &calibration,
    )?;
    Ok(imported)
}

fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let failed = |problem: String| ImportError::File {
        path: path.to_owned(),
        problem,
    };
    let bytes = fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if bytes > MAX_BYTES {
        return Err(failed(format!("it has {bytes} bytes, at most {MAX_BYTES}")));
    }
    fs::read(path).map_err(|error| failed(error.to_string()))
}

/// The quantile levels, which all targets share.
fn levels(architecture: &Architecture) -> Result<Vec<f64>, ImportError> {
    let mut lists = architecture.targets.iter().map(|target| &target.quantiles);
    let first = lists.next().cloned().unwrap_or_default();
    let told = |problem: &str| {
        Err(ImportError::Description(format!(
            "hyper_parameters.quantiles {problem}"
        )))
    };
    if first.is_empty() || !first.is_sorted_by(|a, b| a < b) {
        return told("must be a list of ascending levels: only quantile losses can be imported");
    }
    if lists.any(|list| *list != first) {
        return told("differ between targets; all must have the same levels");
    }
    for wanted in [0.1, 0.5, 0.9] {
        if !first.iter().any(|level| (level - wanted).abs() < 1e-6) {
            return told(&format!("lack {wanted}, which every forecast shows"));
        }
    }
    Ok(first)
}
