//! The daemon as the API sees it: models, forecasts on demand, plugins, readiness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_api::control::{
    BoxFuture, Control, ForecastNowError, ModelInfo, ModelList, PluginError, PluginReport,
    Readiness, ReloadError, Reloaded, SinkTestError,
};
use argus_fleet::{EntityForecast, Risk};
use argus_forecast::lookup;
use argus_forecast::{CONTEXT_STEPS, ForecastError, ForecastHandle, LoadedModel};
use argus_plugin_host::{Plugin, PluginState, SinkNotification};
use argus_schema::EntityName;
use argus_store::{Clock, RecoveryReport, Store};

use super::models::Models;

/// A configured plugin: loaded, or the reason why it is not.
pub struct PluginEntry {
    /// As configured.
    pub config: argus_config::Plugin,
    /// The loaded plugin, or why there is none.
    pub loaded: Result<Arc<Plugin>, String>,
}

/// Everything the trait needs.
pub struct DaemonControl {
    /// The serving model, and those that could serve.
    pub models: Arc<Models>,
    /// Its writer's life decides readiness.
    pub store: Arc<Store>,
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
        let models = Arc::clone(&self.models);
        Box::pin(async move {
            let listed = tokio::task::spawn_blocking(move || models.list());
            listed.await.unwrap_or_default()
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
        self.change_model(move |models| models.activate(path))
    }

    fn roll_back_model(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        self.change_model(Models::roll_back)
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
    /// Loads a model where blocking is allowed.
    fn change_model(
        &self,
        change: impl FnOnce(&Models) -> Result<Reloaded, ReloadError> + Send + 'static,
    ) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        let models = Arc::clone(&self.models);
        Box::pin(async move {
            let changed = tokio::task::spawn_blocking(move || change(&models)).await;
            changed.map_err(|error| ReloadError::Unavailable(error.to_string()))?
        })
    }
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
