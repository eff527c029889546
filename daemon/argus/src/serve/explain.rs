//! `GET /explain/{server}`: the explainers' answers about the newest forecast, each worked out once.
//!
//! An answer is kept as long as its forecast is the newest and its plugin the same file; who asks for it while it is
//! being worked out waits for that one. An error is never kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use argus_api::control::{
    DriverReport, ExplainAsk, ExplainError, Explained, ExplainerAnswer, ExplainerError,
    ExplanationReport,
};
use argus_explain::{Engine, Source};
use argus_fleet::{EntityForecast, EntityState, Fleet, ForecastState};
use argus_forecast::ModelSlot;
use argus_plugin_host::{Explanation, Plugin, PluginKind, Subject};
use argus_schema::{EntityName, Schema};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::plugin_set::PluginSet;

/// Answers kept, about 100 kB each at most.
const MAX_KEPT: usize = 512;

/// The loaded explainers, and what they answered.
pub struct Explainers {
    /// Configured plugins.
    pub plugins: Arc<PluginSet>,
    /// What lends them the model.
    pub engine: Engine,
    /// The published forecasts.
    pub fleet: Arc<ArcSwap<Fleet>>,
    /// Why there is no model, if there is none.
    pub models: Arc<ModelSlot>,
    /// Names of profiles.
    pub schema: Arc<Schema>,
    /// Answers about the newest forecasts.
    pub kept: Mutex<Kept>,
}

type Outcome = Result<Arc<ExplanationReport>, ExplainerError>;

impl Explainers {
    /// Answers of one explainer, or of all that are configured.
    ///
    /// # Errors
    /// When there is nothing to explain, or nobody who could. What a single explainer could not do is in the answer.
    pub async fn explain(&self, ask: ExplainAsk) -> Result<Explained, ExplainError> {
        let (state, forecast) = self.subject(&ask.entity)?;
        let wanted: Vec<(&str, &Arc<Plugin>)> = self
            .plugins
            .of_kind(PluginKind::Explainer)
            .filter(|(name, _)| {
                ask.explainer
                    .as_deref()
                    .is_none_or(|wanted| wanted == *name)
            })
            .collect();
        if wanted.is_empty() {
            return Err(ExplainError::NoExplainer(
                self.nobody(ask.explainer.as_deref()),
            ));
        }
        let mut answers = Vec::with_capacity(wanted.len());
        for (name, plugin) in wanted {
            answers.push(ExplainerAnswer {
                explainer: name.to_owned(),
                outcome: self.answer(name, plugin, &state, &forecast, &ask).await,
            });
        }
        let background = match self.engine.background(state.profile).await {
            Ok(Source::Profile) => "profile",
            Ok(Source::Fleet) => "fleet",
            Ok(Source::FewEntities) => "few_entities",
            Err(_) => "unknown",
        };
        Ok(Explained {
            background,
            answers,
            forecast,
            state,
        })
    }

    /// What drives the risk of an entity, by that explainer; none where it is not there or cannot tell.
    pub async fn drivers(&self, entity: &EntityName, explainer: &str) -> Option<Vec<DriverReport>> {
        let ask = ExplainAsk::risk(entity.clone());
        let (state, forecast) = self.subject(entity).ok()?;
        let mut explainers = self.plugins.of_kind(PluginKind::Explainer);
        let (name, plugin) = explainers.find(|(name, _)| *name == explainer)?;
        match self.answer(name, plugin, &state, &forecast, &ask).await {
            Ok(report) => Some(report.drivers.clone()),
            Err(error) => {
                tracing::warn!(%entity, code = error.code, "no drivers for an alert: {}", error.message);
                None
            }
        }
    }

    fn subject(
        &self,
        entity: &EntityName,
    ) -> Result<(Arc<EntityState>, Arc<EntityForecast>), ExplainError> {
        let fleet = self.fleet.load_full();
        if let Err(reason) = self.models.current() {
            return Err(ExplainError::NoModel(reason));
        }
        let state = fleet
            .entities
            .get(entity)
            .ok_or(ExplainError::UnknownEntity)?;
        match (&state.forecast, state.state) {
            (Some(forecast), _) => Ok((Arc::clone(state), Arc::clone(forecast))),
            (None, ForecastState::WarmingUp) => Err(ExplainError::WarmingUp(format!(
                "`{entity}` has {} closed bins, too few for a forecast that could be explained",
                state.closed_bins
            ))),
            (None, _) => Err(ExplainError::Pending(format!(
                "the first forecast of `{entity}` is still to come"
            ))),
        }
    }

    fn nobody(&self, wanted: Option<&str>) -> String {
        let explainers = self.plugins.of_kind(PluginKind::Explainer);
        let names: Vec<&str> = explainers.map(|(name, _)| name).collect();
        match (wanted, names.is_empty()) {
            (_, true) => "no explainer is configured; `[plugins.shap]` with kind = \"explainer\" and path = \"shap.wasm\" adds one".to_owned(),
            (Some(name), false) => {
                let name: String = name.chars().take(40).collect();
                format!("there is no explainer `{name}`; there are {}", names.join(", "))
            }
            (None, false) => "no explainer is loaded".to_owned(),
        }
    }

    async fn answer(
        &self,
        name: &str,
        plugin: &Arc<Plugin>,
        state: &EntityState,
        forecast: &Arc<EntityForecast>,
        ask: &ExplainAsk,
    ) -> Outcome {
        let key = Key {
            entity: ask.entity.clone(),
            explainer: name.to_owned(),
            version: plugin.status().sha256,
            target: ask.target.clone(),
            step: ask.step,
            options: ask.options.clone(),
        };
        let cell = self.kept.lock().cell(key, forecast);
        let profile = self.schema.profiles.get(usize::from(state.profile));
        let subject = Subject {
            entity: ask.entity.to_string(),
            profile: profile.map_or_else(String::new, |profile| profile.id.clone()),
            target: ask.target.clone(),
            step: ask.step,
            options: ask.options.clone(),
        };
        let made = cell.get_or_try_init(|| async {
            let explained = plugin.explain(subject).await;
            // The plugin opens the newest window, which may be a newer one than was looked up.
            let newest = self.fleet.load_full();
            let same = newest
                .entities
                .get(&ask.entity)
                .and_then(|s| s.forecast.as_ref());
            if same.is_some_and(|newest| !Arc::ptr_eq(newest, forecast)) {
                return Err(ExplainerError {
                    code: "model_busy".to_owned(),
                    message: "a newer forecast came in between; ask again".to_owned(),
                    retryable: true,
                });
            }
            explained
                .map(|e| Arc::new(report(e)))
                .map_err(|error| ExplainerError {
                    code: error.code().to_owned(),
                    message: error.to_string(),
                    retryable: error.retryable(),
                })
        });
        made.await.cloned()
    }
}

fn report(explanation: Explanation) -> ExplanationReport {
    let drivers = explanation.drivers.into_iter().map(|driver| DriverReport {
        name: driver.name,
        impact: driver.impact,
        standard_error: driver.standard_error,
        text: driver.text,
    });
    ExplanationReport {
        summary: explanation.summary,
        drivers: drivers.collect(),
        details: explanation.details,
    }
}

/// What an answer depends on, beside the forecast.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    entity: EntityName,
    explainer: String,
    version: String,
    target: String,
    step: u32,
    options: Vec<(String, String)>,
}

/// An answer, or the place of one that is being worked out.
type Cell = Arc<OnceCell<Arc<ExplanationReport>>>;

/// Kept answers, each with the forecast that it explains.
#[derive(Debug, Default)]
pub struct Kept {
    cells: BTreeMap<Key, (u64, Arc<EntityForecast>, Cell)>,
    /// Counts up; the smallest stamp was asked for longest ago.
    stamp: u64,
}

impl Kept {
    /// The place of the answer about this forecast.
    fn cell(&mut self, key: Key, forecast: &Arc<EntityForecast>) -> Cell {
        self.stamp += 1;
        if let Some((stamp, of, cell)) = self.cells.get_mut(&key)
            && Arc::ptr_eq(of, forecast)
        {
            *stamp = self.stamp;
            return Arc::clone(cell);
        }
        if self.cells.len() >= MAX_KEPT {
            let oldest = self.cells.iter().min_by_key(|(_, (stamp, ..))| *stamp);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.cells.remove(&oldest);
            }
        }
        let cell = Cell::default();
        let entry = (self.stamp, Arc::clone(forecast), Arc::clone(&cell));
        self.cells.insert(key, entry);
        cell
    }
}
