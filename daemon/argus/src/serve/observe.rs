//! From new forecasts to alerts, on the forecast loop's thread: evaluated by the daemon, never because somebody polled.

use std::sync::Arc;

use argus_alerts::{Alerts, Evaluation};
use argus_fleet::Fleet;
use argus_forecast::{ForecastObserver, Made};
use argus_schema::Schema;
use argus_store::{Clock, Store};

use super::drivers::Drivers;

/// Forecasts that wait for a failing alert database, at most; the oldest give way.
const MAX_WAITING: usize = 100_000;

/// Hands each new forecast's risk to the alert engine.
pub struct AlertObserver {
    alerts: Arc<Alerts>,
    store: Arc<Store>,
    schema: Arc<Schema>,
    clock: Arc<dyn Clock>,
    drivers: Drivers,
    /// Forecasts that could not be judged yet; a strike must not be lost to a busy disk. The engine ignores an origin
    /// that it has counted already.
    waiting: Vec<Made>,
}

impl AlertObserver {
    /// An observer that has seen nothing.
    pub fn new(
        alerts: Arc<Alerts>,
        store: Arc<Store>,
        schema: Arc<Schema>,
        clock: Arc<dyn Clock>,
        drivers: Drivers,
    ) -> Self {
        Self {
            alerts,
            store,
            schema,
            clock,
            drivers,
            waiting: Vec::new(),
        }
    }
}

impl ForecastObserver for AlertObserver {
    fn published(&mut self, _fleet: &Fleet, made: &[Made]) {
        self.waiting.extend_from_slice(made);
        // An entity that was retired while its forecast was made must not get an alert that nobody would resolve.
        self.waiting
            .retain(|made| self.store.entity(&made.state.name).is_some());
        let now_ms = self.clock.now_ms();
        let profile_id = |code: u8| {
            self.schema
                .profiles
                .get(usize::from(code))
                .map_or("", |p| p.id.as_str())
        };
        let evaluations: Vec<Evaluation<'_>> = self
            .waiting
            .iter()
            .filter_map(|made| {
                let (forecast, risk) = (made.state.forecast.as_ref()?, made.state.risk.as_ref()?);
                Some(Evaluation {
                    now_ms,
                    entity: &made.state.name,
                    origin_ms: forecast.origin_ms,
                    step_secs: forecast.step_secs,
                    scheduled: made.scheduled,
                    profile: profile_id(made.state.profile),
                    risk,
                })
            })
            .collect();
        if evaluations.is_empty() {
            return;
        }
        match self.alerts.evaluate(&evaluations) {
            Ok(transitions) => {
                for transition in transitions {
                    self.drivers.want(&transition);
                    tracing::info!(
                        entity = %transition.entity, metric = %transition.metric, kind = transition.kind.as_str(),
                        probability = transition.probability, why = %transition.why, "alert"
                    );
                }
                self.waiting.clear();
            }
            Err(error) => {
                tracing::error!(%error, waiting = self.waiting.len(), "alerts could not be evaluated; tried again");
                let surplus = self.waiting.len().saturating_sub(MAX_WAITING);
                self.waiting.drain(..surplus);
            }
        }
    }
}
