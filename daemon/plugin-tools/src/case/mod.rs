//! `argus plugin test`: a component in the real host, a far side that plays along, and what is expected of it.
//!
//! A case is a JSON file: settings, targets with their answers, the call, and expectations. What is expected must be
//! contained in what happened: objects may have more members than the case names, lists may not.

mod expect;
pub(crate) mod input;
mod model;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::errors::ToolError;

pub use run::{Outcome, Workbench};
pub(crate) use run::{error_json, plugin_name, services};

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is about; the file's name where it says nothing.
    #[serde(default)]
    pub name: String,
    /// The plugin's settings, as `[plugins.NAME.config]` would have them.
    #[serde(default)]
    pub config: Value,
    /// The targets, by name.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
    /// Which function is called: `check`, or the kind's own; `deliver`, `poll`, `explain`, … where it says nothing.
    #[serde(default)]
    pub call: Option<String>,
    /// What the function is given; missing fields are those of a sample.
    #[serde(default)]
    pub input: Value,
    /// A window and a model for explainers.
    #[serde(default)]
    pub window: Option<Window>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// A target and the far side behind it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Methods that are allowed; POST where none is named.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Headers that the host sets; values may hold `{{secret:NAME}}`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Secrets by name. They are for this case only: never put a real one here.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// The answers in their order; the last one is given again and again. 200 without a body where none is named.
    #[serde(default)]
    pub answers: Vec<Answer>,
}

/// One answer of the far side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Its status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body: a text as it is, anything else as JSON.
    #[serde(default)]
    pub body: Value,
}

fn ok() -> u16 {
    200
}

/// A window for explainers. Its model is a weighted sum: the risk is the sum over all metrics of the newest value times
/// the metric's weight (missing values count nothing), the same at every step and quantile.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The metrics, in the schema's order.
    pub metrics: Vec<WindowMetric>,
    /// Steps ahead.
    #[serde(default = "horizon")]
    pub horizon_steps: usize,
}

fn horizon() -> usize {
    96
}

/// One metric of a window.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowMetric {
    /// Its name.
    pub name: String,
    /// What its newest value counts.
    pub weight: f32,
    /// The context, oldest first; null for missing.
    pub values: Vec<Option<f32>>,
    /// The typical value for the subject's profile.
    pub typical: f32,
}

/// What must come of a case.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The requests that were sent, all of them and in their order.
    #[serde(default)]
    pub requests: Option<Vec<Request>>,
    /// What a good answer must contain.
    #[serde(default)]
    pub ok: Option<Value>,
    /// What the error must contain: `code`, `message`, `retryable`.
    #[serde(default)]
    pub error: Option<Value>,
}

/// A request that is expected; what is left out may be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The target's name.
    pub target: String,
    /// The method.
    #[serde(default)]
    pub method: Option<String>,
    /// Path and query below the target's URL.
    #[serde(default)]
    pub path: Option<String>,
    /// Headers that must be there with these values; names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the body, which must be JSON, must contain.
    #[serde(default)]
    pub json: Option<Value>,
    /// The body as it is.
    #[serde(default)]
    pub body: Option<String>,
}

impl Case {
    /// Reads a case from a file.
    ///
    /// # Errors
    /// Which part of the file is wrong.
    pub fn read(file: &Path) -> Result<Self, ToolError> {
        let text = fs::read_to_string(file).map_err(ToolError::file("read", file))?;
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let mut case: Self = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| ToolError::content(file, error.to_string()))?;
        if case.expect.ok.is_some() && case.expect.error.is_some() {
            let reason = "expect: a call ends well or with an error, not both";
            return Err(ToolError::content(file, reason));
        }
        if case.name.is_empty() {
            let stem = file.file_stem().unwrap_or_default();
            case.name = stem.to_string_lossy().replace('-', " ");
        }
        Ok(case)
    }
}
