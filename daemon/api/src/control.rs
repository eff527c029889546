//! What the API asks of the daemon around it: models, forecasts on demand, plugins, readiness.
//!
//! The trait keeps libtorch and wasmtime out of this crate; the binary implements it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use argus_fleet::{EntityForecast, EntityState, ModelId, Risk};
use argus_schema::EntityName;
pub use argus_sources::SourceStatus;
use argus_store::RecoveryReport;
use serde::Serialize;
use serde_json::Value;

/// A future behind a pointer, so that the trait can be an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A forecast made on demand with its risk, or why there is none.
pub type ForecastNow = Result<(Arc<EntityForecast>, Arc<Risk>), ForecastNowError>;

/// The daemon as the API sees it.
pub trait Control: Send + Sync {
    /// Model directories that could serve, newest first. Reads the disk.
    fn models(&self) -> BoxFuture<'_, ModelList>;

    /// The serving model, or why there is none. Called for each `/status`; must not block.
    fn model_info(&self) -> Result<ModelInfo, String>;

    /// Loads a model directory and lets it serve; without a path the one that a restart would take. The running model
    /// stays when that fails.
    fn reload_model(&self, path: Option<String>) -> BoxFuture<'_, Result<Reloaded, ReloadError>>;

    /// Lets the model serve that was active before the active one. The running model stays when that fails.
    fn roll_back_model(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>>;

    /// A forecast made now; it is published and never counts as a strike.
    fn forecast_now(&self, entity: EntityName) -> BoxFuture<'_, ForecastNow>;

    /// Explanations of an entity's newest forecast, kept per forecast.
    fn explain(&self, ask: ExplainAsk) -> BoxFuture<'_, Result<Explained, ExplainError>>;

    /// What drives an entity's newest alert, largest first, as far as that is known by now. Called for each alert of
    /// `/alerts/active`; must not block.
    fn drivers(&self, entity: &EntityName) -> Option<Arc<[DriverReport]>>;

    /// All configured plugins. Called for each `/plugins` and `/metrics`; must not block.
    fn plugins(&self) -> Vec<PluginReport>;

    /// All sources that are polled. Called for each `/status`, `/sources` and `/metrics`; must not
    /// block.
    fn sources(&self) -> Vec<SourceStatus> {
        Vec::new()
    }

    /// All configured connectors. Called for each `/status`, `/sources` and `/metrics`; must
    /// not block.
    fn connectors(&self) -> Vec<ConnectorReport> {
        Vec::new()
    }

    /// Makes a plugin's file ready again, asks the new version's check and puts it to use. The running one stays when
    /// that fails.
    fn reload_plugin(
        &self,
        name: String,
    ) -> BoxFuture<'_, Result<PluginReloaded, PluginReloadError>>;

    /// Sends a test notification through a sink and waits for its answer.
    fn test_sink(&self, name: String) -> BoxFuture<'_, Result<String, SinkTestError>>;

    /// What the demo feed plays; `None` where there is no such feed. Must not block.
    fn scenario(&self) -> Option<ScenarioReport> {
        None
    }

    /// Lets the demo feed play another scenario, for so many hours or until the next one; gives the name of the one
    /// before. Must not block.
    ///
    /// # Errors
    /// When there is no demo feed, or no such scenario.
    fn set_scenario(
        &self,
        _name: &str,
        _hours: Option<f64>,
    ) -> Result<(&'static str, ScenarioReport), ScenarioError> {
        Err(ScenarioError::Off)
    }

    /// Whether records are accepted, and what recovery did. Called for each `/-/ready`; must not block.
    fn readiness(&self) -> Readiness;
}

/// What the demo feed plays.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioReport {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// The servers that it concerns.
    pub affected: Vec<EntityName>,
    /// Servers of the feed.
    pub fleet_size: usize,
    /// Steps that the feed has played.
    pub ticks: u64,
    /// Hours until it is `healthy` again by itself.
    pub hours_left: Option<f64>,
    /// All scenarios there are.
    pub known: Vec<&'static str>,
}

/// Why a scenario does not play.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// There is no demo feed.
    #[error("there is no demo feed; `enabled = true` in `[demo]` of the configuration starts one")]
    Off,
    /// No scenario of that name; a sentence that lists those there are.
    #[error("{0}")]
    Unknown(String),
}

/// Where the daemon is between start and stop.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// Not yet; a sentence says what it does.
    Starting(String),
    /// Records are accepted.
    Ready(Arc<RecoveryReport>),
    /// Running requests end, new records are refused.
    Stopping,
}

/// Model directories.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelList {
    /// Where they lie, if there is such a directory.
    pub models_dir: Option<String>,
    /// Newest first.
    pub models: Vec<ModelEntry>,
}

/// One model directory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEntry {
    /// Where it is.
    pub path: String,
    /// Its last component.
    pub name: String,
    /// `YYYYMMDD_HHMMSS` from its name.
    pub timestamp: Option<String>,
    /// Size of its files.
    pub size_bytes: u64,
    /// Newest change of a file, ms since the epoch.
    pub modified_ms: i64,
    /// What its `training.json` says, in its own words; null where there is none.
    pub training: Value,
}

/// The serving model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Name, path, weights, device.
    pub id: Arc<ModelId>,
    /// `YYYYMMDD_HHMMSS` from its name.
    pub timestamp: Option<String>,
    /// Steps it forecasts.
    pub horizon_steps: u32,
    /// Most steps of context it looks at.
    pub context_steps: u32,
    /// Quantile levels, ascending.
    pub quantile_levels: Vec<f64>,
    /// Schema it was trained for, e.g. `server`.
    pub schema_id: String,
    /// Version of that schema.
    pub schema_version: u32,
    /// Number of its weights.
    pub parameters: u64,
    /// How its risk is calibrated: `identity` or `isotonic`.
    pub calibration: String,
}

/// A model that serves now.
#[derive(Debug, Clone, PartialEq)]
pub struct Reloaded {
    /// Name of the one before, if there was one.
    pub previous: Option<String>,
    /// The one that serves now.
    pub current: Arc<ModelId>,
    /// `YYYYMMDD_HHMMSS` from its name.
    pub timestamp: Option<String>,
}

/// Why another model does not serve; the old one still does.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReloadError {
    /// There is no such directory, or none at all.
    #[error("{0}")]
    NotFound(String),
    /// It is not one that may be loaded through the API.
    #[error("{0}")]
    NotAllowed(String),
    /// It is broken or foreign.
    #[error("{0}")]
    Refused(String),
    /// The daemon is stopping, or loading failed for another reason.
    #[error("{0}")]
    Unavailable(String),
}

/// Why there is no forecast now.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ForecastNowError {
    /// No model is loaded; a sentence that says why.
    #[error("{0}")]
    NoModel(String),
    /// No such entity.
    #[error("{0}")]
    UnknownEntity(String),
    /// Too little context yet.
    #[error("{0}")]
    WarmingUp(String),
    /// The model failed.
    #[error("{0}")]
    Failed(String),
    /// The daemon is stopping.
    #[error("{0}")]
    Stopping(String),
}

/// What to explain, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainAsk {
    /// Whose newest forecast.
    pub entity: EntityName,
    /// One explainer's name in the configuration; none for all.
    pub explainer: Option<String>,
    /// `risk`, a metric's name (its median at `step`), or `breach:METRIC` (its odds within `step` steps).
    pub target: String,
    /// Steps ahead; 0 for `risk`.
    pub step: u32,
    /// Wishes that explainers document.
    pub options: Vec<(String, String)>,
}

impl ExplainAsk {
    /// The risk, by everybody.
    pub fn risk(entity: EntityName) -> Self {
        Self {
            entity,
            explainer: None,
            target: "risk".to_owned(),
            step: 0,
            options: Vec::new(),
        }
    }
}

/// Explanations of one forecast.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The entity as it is.
    pub state: Arc<EntityState>,
    /// The forecast that was explained.
    pub forecast: Arc<EntityForecast>,
    /// Whom its background was made of: `profile`, `fleet`, `few_entities` or `unknown`.
    pub background: &'static str,
    /// At least one, by name.
    pub answers: Vec<ExplainerAnswer>,
}

/// What one explainer said.
#[derive(Debug, Clone)]
pub struct ExplainerAnswer {
    /// Its name in the configuration.
    pub explainer: String,
    /// Its explanation, or why there is none.
    pub outcome: Result<Arc<ExplanationReport>, ExplainerError>,
}

/// An explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplanationReport {
    /// One line for people.
    pub summary: String,
    /// What matters most, first.
    pub drivers: Vec<DriverReport>,
    /// The explainer's own object.
    pub details: Value,
}

/// One cause and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DriverReport {
    /// A metric's name, or another short name.
    pub name: String,
    /// What it adds to the target, in the target's unit; for a risk, points.
    pub impact: f32,
    /// How uncertain that is; 0 where it is exact.
    pub standard_error: f32,
    /// One line for people.
    pub text: String,
}

/// Why an explainer said nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainerError {
    /// A stable word.
    pub code: String,
    /// A sentence that names plugin and version.
    pub message: String,
    /// Whether asking again may help.
    pub retryable: bool,
}

/// Why nothing can be explained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExplainError {
    /// No model is loaded; a sentence that says why.
    #[error("{0}")]
    NoModel(String),
    /// No such entity.
    #[error("no such entity")]
    UnknownEntity,
    /// No such explainer, or none at all.
    #[error("{0}")]
    NoExplainer(String),
    /// Too little context yet.
    #[error("{0}")]
    WarmingUp(String),
    /// Its first forecast is still to come.
    #[error("{0}")]
    Pending(String),
}

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginVersion {
    /// The version it says it has.
    pub version: Option<String>,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
}

/// What runs after a reload, and what ran before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginReloaded {
    /// What ran before, if anything did.
    pub previous: Option<PluginVersion>,
    /// What runs now.
    pub current: PluginVersion,
}

/// Why a plugin was not reloaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PluginReloadError {
    /// No plugin of that name, or a disabled one.
    #[error("{0}")]
    Unknown(String),
    /// The file, its settings or its check; the version that ran runs on.
    #[error("{0}")]
    Refused(String),
}

/// One native connector as operators see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ConnectorReport {
    /// Its name in the configuration.
    pub name: String,
    /// `open`, `stuck` (inside a call that should return at once), `failed` (not opened) or `disabled`.
    pub state: String,
    /// Name and version that the library gives itself; null while it is not loaded.
    pub library: Option<String>,
    /// SHA-256 of the library, hexadecimal.
    pub sha256: Option<String>,
    /// Requests, pages included.
    pub requests: u64,
    /// Requests that ended in an error.
    pub errors: u64,
    /// Documents that came.
    pub documents: u64,
    /// Bytes of documents that came.
    pub bytes: u64,
    /// Requests under way.
    pub waiting: u64,
    /// Answers that it owes: the requests were given up.
    pub owed: u64,
    /// Cursors that are open.
    pub cursors: u64,
    /// What it did against its contract, by kind.
    pub misbehaviour: BTreeMap<&'static str, u64>,
    /// The newest error, or why it is not open; names the connector.
    pub last_error: Option<String>,
}

/// Why a test notification was not delivered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SinkTestError {
    /// No sink of that name.
    #[error("{0}")]
    Unknown(String),
    /// The sink's own words.
    #[error("{0}")]
    Failed(String),
}

/// One plugin as operators see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PluginReport {
    /// Its name in the configuration.
    pub name: String,
    /// What it does, e.g. `sink`.
    pub kind: String,
    /// The version it says it has; null while it is not loaded.
    pub version: Option<String>,
    /// `ready`, `backing_off`, `quarantined`, `failed` (could not be loaded) or `disabled`.
    pub state: String,
    /// What it may do, in one line of plain words.
    pub may: String,
    /// One sentence on the state, where it is not `ready`.
    pub state_reason: Option<String>,
    /// The component's file.
    pub path: String,
    /// SHA-256 of the component, hexadecimal.
    pub sha256: Option<String>,
    /// What a call may cost.
    #[schema(value_type = Object)]
    pub limits: Value,
    /// When this version was put to use, ms since the epoch.
    pub loaded_ms: Option<i64>,
    /// Why the newest file is not what runs.
    pub load_error: Option<PluginError>,
    /// Versions that were put to use after the first.
    pub reloads: u64,
    /// Calls that were started.
    pub calls: u64,
    /// Calls that ended in an error, faults included.
    pub errors: u64,
    /// Errors by their code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// Calls that trapped or exceeded a limit.
    pub faults: u64,
    /// Calls refused because of back-off, quarantine or lack of a free slot.
    pub refused: u64,
    /// Calls running now.
    pub running: u64,
    /// Mean time of a finished call in milliseconds.
    pub mean_ms: f64,
    /// Longest call in milliseconds.
    pub max_ms: f64,
    /// How long calls took.
    pub call_seconds: SecondsHistogram,
    /// Most linear memory any call used.
    pub memory_high_water_bytes: u64,
    /// Bytes copied between plugin and host, both ways.
    pub copied_bytes: u64,
    /// HTTP requests sent.
    pub http_requests: u64,
    /// Bytes of HTTP bodies, both ways.
    pub http_bytes: u64,
    /// The newest failure.
    pub last_error: Option<PluginError>,
}

/// How many things took how long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SecondsHistogram {
    /// Upper bound of each bucket, ascending; what took longer than all is in `count` only.
    pub bounds: Vec<f64>,
    /// How many fell into each bucket and into none before it.
    pub buckets: Vec<u64>,
    /// How many there were.
    pub count: u64,
    /// How long they took together, in seconds.
    pub sum: f64,
}

/// A plugin's failure and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PluginError {
    /// When, ms since the epoch.
    pub at_ms: i64,
    /// A stable word for the kind of failure.
    pub code: String,
    /// A sentence that names plugin and version.
    pub message: String,
}
