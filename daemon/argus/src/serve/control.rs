//! The daemon as the API sees it: models, forecasts on demand, plugins, readiness.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_api::control::{
    BoxFuture, ConnectorReport, Control, DriverReport, ExplainAsk, ExplainError, Explained,
    ForecastNowError, ModelInfo, ModelList, PluginReloadError, PluginReloaded, PluginReport,
    Readiness, ReloadError, Reloaded, ScenarioError, ScenarioReport, SinkTestError, SourceStatus,
};
use argus_fleet::{EntityForecast, Risk};
use argus_forecast::lookup;
use argus_forecast::{CONTEXT_STEPS, ForecastError, ForecastHandle, LoadedModel};
use argus_plugin_host::services::connectors::Connectors;
use argus_schema::EntityName;
use argus_sources::Sources;
use argus_store::{Clock, RecoveryReport, Store};

use super::demo::Demo;
use super::drivers::Drivers;
use super::explain::Explainers;
use super::models::Models;
use super::plugin_set::PluginSet;

/// Everything the trait needs.
pub struct DaemonControl {
    /// The serving model, and those that could serve.
    pub models: Arc<Models>,
    /// Its writer's life decides readiness.
    pub store: Arc<Store>,
    /// The forecast loop.
    pub forecasts: ForecastHandle,
    /// Configured plugins.
    pub plugins: Arc<PluginSet>,
    /// Sources that are polled.
    pub sources: Arc<Sources>,
    /// Configured connectors.
    pub connectors: Connectors,
    /// The synthetic fleet, if there is one.
    pub demo: Option<Arc<Demo>>,
    /// Configured explainers.
    pub explainers: Arc<Explainers>,
    /// What they said of alerts.
    pub drivers: Drivers,
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
            quantile_levels: model.quantile_levels().to_vec(),
            schema_id: model.config().schema.id.clone(),
            schema_version: model.config().schema.version,
            parameters: model.parameters(),
            calibration: loaded.calibration.kind().to_owned(),
        })
    }

    fn scenario(&self) -> Option<ScenarioReport> {
        self.demo.as_ref().map(|demo| demo.report())
    }

    fn set_scenario(
        &self,
        name: &str,
        hours: Option<f64>,
    ) -> Result<(&'static str, ScenarioReport), ScenarioError> {
        let demo = self.demo.as_ref().ok_or(ScenarioError::Off)?;
        demo.set(name, hours)
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

    fn explain(&self, ask: ExplainAsk) -> BoxFuture<'_, Result<Explained, ExplainError>> {
        Box::pin(self.explainers.explain(ask))
    }

    fn drivers(&self, entity: &EntityName) -> Option<Arc<[DriverReport]>> {
        self.drivers.of(entity)
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

fn timestamp(loaded: &LoadedModel) -> Option<String> {
    Some(lookup::timestamp_of(&loaded.id.name)).filter(|t| !t.is_empty())
}
