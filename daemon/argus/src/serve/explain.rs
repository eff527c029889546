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
use serde_json::Value;
use tokio::sync::OnceCell;

use super::plugin_set::PluginSet;

/// Answers kept, and the memory they take together: about 100 kB each for the shipped explainers.
const MAX_KEPT: usize = 512;
const MAX_KEPT_BYTES: usize = 64 << 20;

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

type Outcome = Result<Arc<Made>, ExplainerError>;

/// An answer that was worked out.
#[derive(Debug)]
struct Made {
    report: Arc<ExplanationReport>,
    /// Whom the background was made of that it compares with.
    background: &'static str,
    /// Memory it takes, about.
    bytes: usize,
}

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
        let mut background = "unknown";
        for (name, plugin) in wanted {
            let made = self.answer(name, plugin, &state, &forecast, &ask).await;
            if let Ok(made) = &made {
                background = made.background;
            }
            answers.push(ExplainerAnswer {
                explainer: name.to_owned(),
                outcome: made.map(|made| Arc::clone(&made.report)),
            });
        }
        Ok(Explained {
            background,
            answers,
            forecast,
            state,
        })
    }

    /// What drives the risk of an entity in the forecast from that origin, by that explainer; none where it is not there
    /// or cannot tell, or a newer forecast is.
    pub async fn drivers(
        &self,
        entity: &EntityName,
        origin_ms: i64,
        explainer: &str,
    ) -> Option<Vec<DriverReport>> {
        let ask = ExplainAsk::risk(entity.clone());
        let (state, forecast) = self.subject(entity).ok()?;
        if forecast.origin_ms != origin_ms {
            tracing::debug!(%entity, "no drivers for an alert: a newer forecast came first");
            return None;
        }
        let mut explainers = self.plugins.of_kind(PluginKind::Explainer);
        let (name, plugin) = explainers.find(|(name, _)| *name == explainer)?;
        match self.answer(name, plugin, &state, &forecast, &ask).await {
            Ok(made) => Some(made.report.drivers.clone()),
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
            let explained = explained.map_err(|error| ExplainerError {
                code: error.code().to_owned(),
                message: error.to_string(),
                retryable: error.retryable(),
            })?;
            let background = match self.engine.background(state.profile).await {
                Ok(Source::Profile) => "profile",
                Ok(Source::Fleet) => "fleet",
                Ok(Source::FewEntities) => "few_entities",
                Err(_) => "unknown",
            };
            Ok(Arc::new(Made {
                bytes: size(&explained.details),
                report: Arc::new(report(explained)),
                background,
            }))
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

/// Memory that a JSON value takes, about.
fn size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(size).sum(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| size_of::<String>() + name.len() + size(value))
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
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
type Cell = Arc<OnceCell<Arc<Made>>>;

/// Kept answers, each with the forecast that it explains.
#[derive(Debug, Default)]
pub struct Kept {
    cells: BTreeMap<Key, (u64, Arc<EntityForecast>, Cell)>,
    /// Counts up; the smallest stamp was asked for longest ago.
    stamp: u64,
}

impl Kept {
    fn bytes(&self) -> usize {
        let made = self.cells.values().filter_map(|(_, _, cell)| cell.get());
        made.map(|made| made.bytes).sum()
    }

    /// The place of the answer about this forecast.
    fn cell(&mut self, key: Key, forecast: &Arc<EntityForecast>) -> Cell {
        self.stamp += 1;
        if let Some((stamp, of, cell)) = self.cells.get_mut(&key)
            && Arc::ptr_eq(of, forecast)
        {
            *stamp = self.stamp;
            return Arc::clone(cell);
        }
        while self.cells.len() >= MAX_KEPT || self.bytes() > MAX_KEPT_BYTES {
            let oldest = self.cells.iter().min_by_key(|(_, (stamp, ..))| *stamp);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.cells.remove(&oldest);
        }
        let cell = Cell::default();
        let entry = (self.stamp, Arc::clone(forecast), Arc::clone(&cell));
        self.cells.insert(key, entry);
        cell
    }
}

#[cfg(test)]
mod tests {
    use argus_fleet::ModelId;
    use serde_json::json;

    use super::*;

    fn forecast() -> Arc<EntityForecast> {
        Arc::new(EntityForecast {
            entity: EntityName::new("web-1").expect("a name"),
            origin_ms: 0,
            step_secs: 300,
            context_steps: 288,
            quantile_levels: [0.5].into(),
            metrics: Box::new([]),
            model: Arc::new(ModelId {
                name: String::new(),
                path: String::new(),
                weights_sha256: String::new(),
                device: "cpu".to_owned(),
            }),
            made_ms: 0,
            context_hash: 0,
        })
    }

    fn key(explainer: usize) -> Key {
        Key {
            entity: EntityName::new("web-1").expect("a name"),
            explainer: explainer.to_string(),
            version: String::new(),
            target: "risk".to_owned(),
            step: 0,
            options: Vec::new(),
        }
    }

    /// Asks and has it worked out; true where it was there already.
    fn ask(
        kept: &mut Kept,
        explainer: usize,
        forecast: &Arc<EntityForecast>,
        bytes: usize,
    ) -> bool {
        let made = Made {
            report: Arc::new(ExplanationReport {
                summary: String::new(),
                drivers: Vec::new(),
                details: Value::Null,
            }),
            background: "fleet",
            bytes,
        };
        kept.cell(key(explainer), forecast)
            .set(Arc::new(made))
            .is_err()
    }

    #[test]
    fn answers_are_kept_for_one_forecast_and_within_bounds() {
        let (mut kept, first) = (Kept::default(), forecast());
        assert!(!ask(&mut kept, 0, &first, 1));
        assert!(ask(&mut kept, 0, &first, 1));
        assert!(!ask(&mut kept, 0, &forecast(), 1), "another forecast");
        for other in 1..2 * MAX_KEPT {
            ask(&mut kept, other, &first, 1);
        }
        assert_eq!(kept.cells.len(), MAX_KEPT);
        // What was asked for longest ago gives way to what takes much memory, and that to the next.
        assert!(!ask(&mut kept, 0, &first, MAX_KEPT_BYTES));
        assert!(!ask(&mut kept, 1, &first, 1));
        assert_eq!(kept.cells.len(), 2);
    }

    #[test]
    fn size_counts_every_value() {
        let numbers = size(&json!([1, 2, 3]));
        assert_eq!(numbers, 4 * size_of::<Value>());
        assert!(size(&json!({"name": "text", "list": [1, 2, 3]})) > numbers + 12);
    }
}
