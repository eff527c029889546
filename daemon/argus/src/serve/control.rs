//! The daemon as the API sees it: models, forecasts on demand, plugins, readiness.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_api::control::{
    BoxFuture, Control, ForecastNowError, ModelEntry, ModelInfo, ModelList, PluginError,
    PluginReport, Readiness, ReloadError, Reloaded, SinkTestError,
};
use argus_fleet::{EntityForecast, ModelId, Risk};
use argus_forecast::lookup::{self, ModelListing};
use argus_forecast::{
    CONTEXT_STEPS, ForecastError, ForecastHandle, LoadedModel, Lookup, ModelSlot,
};
use argus_plugin_host::{Plugin, PluginState, SinkNotification};
use argus_schema::EntityName;
use argus_store::{Clock, RecoveryReport, Store};
use serde_json::Value;

/// A configured plugin: loaded, or the reason why it is not.
pub struct PluginEntry {
    /// As configured.
    pub config: argus_config::Plugin,
    /// The loaded plugin, or why there is none.
    pub loaded: Result<Arc<Plugin>, String>,
}

/// Everything the trait needs.
pub struct DaemonControl {
    /// The serving model.
    pub models: Arc<ModelSlot>,
    /// Where models come from.
    pub lookup: Lookup,
    /// Its writer's life decides readiness.
    pub store: Arc<Store>,
    /// File that names the activated model.
    pub active_pointer: PathBuf,
    /// The forecast loop.
    pub forecasts: ForecastHandle,
    /// Configured plugins by name.
    pub plugins: BTreeMap<String, PluginEntry>,
    /// What recovery did.
    pub recovery: Arc<RecoveryReport>,
    /// Set when the daemon drains.
    pub stopping: Arc<AtomicBool>,
    /// Wall clock of test notifications.
    pub clock: Arc<dyn Clock>,
}

impl Control for DaemonControl {
    fn models(&self) -> BoxFuture<'_, ModelList> {
        Box::pin(async move {
            let Some(dir) = self.lookup.models_dir() else {
                return ModelList::default();
            };
            let shown = dir.display().to_string();
            let entries = tokio::task::spawn_blocking(move || {
                lookup::list(&dir).into_iter().map(entry).collect()
            });
            ModelList {
                models_dir: Some(shown),
                models: entries.await.unwrap_or_default(),
            }
        })
    }

    fn model_info(&self) -> Result<ModelInfo, String> {
        let loaded = self.models.current()?;
        let model = &loaded.model;
        Ok(ModelInfo {
            id: Arc::clone(&loaded.id),
            timestamp: timestamp(&loaded),
            horizon_steps: u32::try_from(model.horizon()).unwrap_or(u32::MAX),
            context_steps: CONTEXT_STEPS,
            quantile_levels: quantile_levels(model),
            schema_id: model.config().schema.id.clone(),
            schema_version: model.config().schema.version,
            parameters: model.parameters(),
            calibration: loaded.calibration.kind().to_owned(),
        })
    }

    fn reload_model(&self, path: Option<String>) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        Box::pin(async move {
            let chosen = path.is_some();
            let candidates = self.reload_targets(path)?;
            let previous = self
                .models
                .current()
                .ok()
                .map(|loaded| loaded.id.name.clone());
            let (models, pointer) = (Arc::clone(&self.models), self.active_pointer.clone());
            let load = tokio::task::spawn_blocking(move || {
                let current = load_first(&models, &candidates)?;
                if chosen && let Err(error) = write_pointer(&pointer, &current.path) {
                    tracing::error!(%error, pointer = %pointer.display(), "the model serves, but not after a restart");
                }
                Ok(current)
            });
            let current = load
                .await
                .map_err(|error| ReloadError::Unavailable(error.to_string()))?
                .map_err(ReloadError::Refused)?;
            let timestamp = self
                .models
                .current()
                .ok()
                .and_then(|loaded| timestamp(&loaded));
            Ok(Reloaded {
                previous,
                current,
                timestamp,
            })
        })
    }

    fn forecast_now(
        &self,
        entity: EntityName,
    ) -> BoxFuture<'_, Result<(Arc<EntityForecast>, Arc<Risk>), ForecastNowError>> {
        Box::pin(async move {
            self.forecasts.forecast_now(entity).await.map_err(|error| {
                let said = error.to_string();
                match error {
                    ForecastError::NoModel(_) => ForecastNowError::NoModel(said),
                    ForecastError::UnknownEntity(_) => ForecastNowError::UnknownEntity(said),
                    ForecastError::WarmingUp { .. } | ForecastError::NotJudged(_) => {
                        ForecastNowError::WarmingUp(said)
                    }
                    ForecastError::Model(_) => ForecastNowError::Failed(said),
                    ForecastError::Stopped => ForecastNowError::Stopping(said),
                }
            })
        })
    }

    fn plugins(&self) -> Vec<PluginReport> {
        self.plugins
            .iter()
            .map(|(name, entry)| report(name, entry))
            .collect()
    }

    fn test_sink(&self, name: String) -> BoxFuture<'_, Result<String, SinkTestError>> {
        Box::pin(async move {
            let entry = self.plugins.get(&name).ok_or_else(|| {
                let known: Vec<&str> = self.plugins.keys().map(String::as_str).collect();
                SinkTestError::Unknown(format!(
                    "no sink `{name}` is configured; there are: {}",
                    known.join(", ")
                ))
            })?;
            let plugin = entry
                .loaded
                .as_ref()
                .map_err(|reason| SinkTestError::Failed(reason.clone()))?;
            let now_ms = self.clock.now_ms();
            let notification = SinkNotification::test(now_ms);
            let receipt = plugin
                .deliver(&notification, &format!("test-{now_ms}"))
                .await;
            let receipt = receipt.map_err(|error| SinkTestError::Failed(error.to_string()))?;
            Ok(receipt
                .message
                .or(receipt.remote_id)
                .unwrap_or_else(|| "delivered".to_owned()))
        })
    }

    fn readiness(&self) -> Readiness {
        if self.stopping.load(Ordering::Relaxed) {
            Readiness::Stopping
        } else if !self.store.is_alive() {
            Readiness::Starting(
                "the store's writer has ended; the log says why, and a restart recovers".to_owned(),
            )
        } else {
            Readiness::Ready(Arc::clone(&self.recovery))
        }
    }
}

impl DaemonControl {
    /// Directories to try: the named one, which must be one of those that are listed, or those that a restart would.
    fn reload_targets(&self, path: Option<String>) -> Result<Vec<PathBuf>, ReloadError> {
        let Some(path) = path else {
            let choice = self.lookup.choose();
            if choice.candidates.is_empty() {
                return Err(ReloadError::NotFound(format!(
                    "no model found ({})",
                    choice.because
                )));
            }
            return Ok(choice.candidates);
        };
        let dir = self.lookup.models_dir().ok_or_else(|| {
            ReloadError::NotFound(
                "there is no models directory; start with --models-dir DIR".to_owned(),
            )
        })?;
        let listed = lookup::list(&dir);
        let wanted = Path::new(&path);
        let found = listed
            .iter()
            .find(|m| m.name == path || m.path == wanted || same_place(&m.path, wanted));
        match found {
            Some(model) => Ok(vec![model.path.clone()]),
            None if wanted
                .parent()
                .is_some_and(|parent| same_place(parent, &dir)) =>
            {
                Err(ReloadError::Refused(format!(
                    "`{path}` is no model directory: it holds no config.json"
                )))
            }
            None if wanted.is_absolute() && wanted.exists() => {
                Err(ReloadError::NotAllowed(format!(
                    "`{path}` does not lie in the models directory {}; only models there may be loaded",
                    dir.display()
                )))
            }
            None => Err(ReloadError::NotFound(format!(
                "no model `{path}` in {}",
                dir.display()
            ))),
        }
    }
}

/// Loads the first of `candidates` that can be loaded; else says why the last could not.
fn load_first(models: &ModelSlot, candidates: &[PathBuf]) -> Result<Arc<ModelId>, String> {
    let mut refusal = "no model directory".to_owned();
    for dir in candidates {
        match models.load(dir) {
            Ok(id) => return Ok(id),
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

/// Remembers the activated model for the next start; written beside and renamed.
fn write_pointer(pointer: &Path, model: &str) -> std::io::Result<()> {
    let beside = pointer.with_extension("new");
    std::fs::write(&beside, format!("{model}\n"))?;
    std::fs::File::open(&beside)?.sync_all()?;
    std::fs::rename(&beside, pointer)
}

fn same_place(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "quantile levels have two digits"
)]
fn quantile_levels(model: &argus_tft::Model) -> Vec<f32> {
    model
        .quantile_levels()
        .iter()
        .map(|level| *level as f32)
        .collect()
}

fn timestamp(loaded: &LoadedModel) -> Option<String> {
    Some(lookup::timestamp_of(&loaded.id.name)).filter(|t| !t.is_empty())
}

fn entry(listing: ModelListing) -> ModelEntry {
    let files: Vec<_> = std::fs::read_dir(&listing.path)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|e| e.metadata().ok())
                .collect()
        })
        .unwrap_or_default();
    let modified = files.iter().filter_map(|m| m.modified().ok()).max();
    let modified_ms = modified
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_millis());
    let training = std::fs::read(listing.path.join("training.json")).ok();
    ModelEntry {
        path: listing.path.display().to_string(),
        name: listing.name,
        timestamp: Some(listing.timestamp).filter(|t| !t.is_empty()),
        size_bytes: files.iter().map(std::fs::Metadata::len).sum(),
        modified_ms: i64::try_from(modified_ms).unwrap_or(i64::MAX),
        training: training
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or(Value::Null),
    }
}

fn report(name: &str, entry: &PluginEntry) -> PluginReport {
    let plugin = match &entry.loaded {
        Ok(plugin) => plugin.status(),
        Err(reason) => return not_loaded(name, entry, reason),
    };
    let (state, state_reason) = match &plugin.health {
        PluginState::Ready => ("ready", None),
        PluginState::BackingOff { faults, .. } => {
            ("backing_off", Some(format!("{faults} faults in a row")))
        }
        PluginState::Quarantined { faults, .. } => (
            "quarantined",
            Some(format!(
                "{faults} faults in a row; a trial call or a restart ends it"
            )),
        ),
    };
    PluginReport {
        name: name.to_owned(),
        kind: plugin.kind.to_string(),
        version: Some(plugin.version),
        state: state.to_owned(),
        state_reason,
        path: plugin.path,
        sha256: Some(plugin.sha256),
        limits: serde_json::to_value(plugin.limits).unwrap_or_default(),
        loaded_ms: Some(plugin.loaded_ms),
        calls: plugin.calls,
        errors: plugin.errors,
        faults: plugin.faults,
        refused: plugin.refused,
        running: plugin.running,
        mean_ms: plugin.mean_ms,
        max_ms: plugin.max_ms,
        memory_high_water_bytes: plugin.memory_high_water_bytes,
        http_requests: plugin.http_requests,
        http_bytes: plugin.http_bytes,
        last_error: plugin.last_error.map(|e| PluginError {
            at_ms: e.at_ms,
            code: e.code,
            message: e.message,
        }),
    }
}

fn not_loaded(name: &str, entry: &PluginEntry, reason: &str) -> PluginReport {
    let state = if entry.config.enabled {
        "failed"
    } else {
        "disabled"
    };
    PluginReport {
        name: name.to_owned(),
        kind: "sink".to_owned(),
        version: None,
        state: state.to_owned(),
        state_reason: Some(reason.to_owned()),
        path: entry.config.path.display().to_string(),
        sha256: None,
        limits: serde_json::to_value(&entry.config.limits).unwrap_or_default(),
        loaded_ms: None,
        calls: 0,
        errors: 0,
        faults: 0,
        refused: 0,
        running: 0,
        mean_ms: 0.0,
        max_ms: 0.0,
        memory_high_water_bytes: 0,
        http_requests: 0,
        http_bytes: 0,
        last_error: None,
    }
}
