//! The daemon as the API sees it: models, forecasts on demand, plugins, readiness.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_api::control::{
    BoxFuture, ConnectorReport, Control, ForecastNowError, ModelEntry, ModelInfo, ModelList, PluginReloadError,
    PluginReloaded, PluginReport, Readiness, ReloadError, Reloaded, SinkTestError, SourceStatus,
};
use argus_fleet::{EntityForecast, ModelId, Risk};
use argus_forecast::lookup::{self, ModelListing};
use argus_forecast::{
    CONTEXT_STEPS, ForecastError, ForecastHandle, LoadedModel, Lookup, ModelSlot,
};
use argus_plugin_host::services::connectors::Connectors;
use argus_schema::EntityName;
use argus_sources::Sources;
use argus_store::{Clock, RecoveryReport, Store};
use serde_json::Value;

use super::plugin_set::PluginSet;

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
    /// Configured plugins.
    pub plugins: Arc<PluginSet>,
    /// Sources that are polled.
    pub sources: Arc<Sources>,
    /// Configured connectors.
    pub connectors: Connectors,
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
        self.plugins.reports()
    }

    fn sources(&self) -> Vec<SourceStatus> {
        self.sources.statuses()
    }

    fn connectors(&self) -> Vec<ConnectorReport> {
        super::connectors::reports(&self.connectors)
    }

    fn reload_plugin(
        &self,
        name: String,
    ) -> BoxFuture<'_, Result<PluginReloaded, PluginReloadError>> {
        Box::pin(async move { self.plugins.reload(&name).await })
    }

    fn test_sink(&self, name: String) -> BoxFuture<'_, Result<String, SinkTestError>> {
        Box::pin(async move { self.plugins.test_sink(&name, self.clock.now_ms()).await })
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
