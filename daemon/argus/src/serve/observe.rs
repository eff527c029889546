//! From new forecasts to alerts, on the forecast loop's thread: evaluated by the daemon, never because somebody polled.

use std::sync::Arc;

use argus_alerts::{Alerts, Evaluation};
use argus_fleet::Fleet;
use argus_forecast::{ForecastObserver, Made};
use argus_schema::Schema;
use argus_store::Clock;

/// Hands each new forecast's risk to the alert engine.
pub struct AlertObserver {
    /// The engine.
    pub alerts: Arc<Alerts>,
    /// For profile ids.
    pub schema: Arc<Schema>,
    /// Wall clock of the transitions.
    pub clock: Arc<dyn Clock>,
}

impl ForecastObserver for AlertObserver {
    fn published(&mut self, _fleet: &Fleet, made: &[Made]) {
        let profile_id = |code: u8| {
            self.schema
                .profiles
                .get(usize::from(code))
                .map_or("", |p| p.id.as_str())
        };
        let now_ms = self.clock.now_ms();
        let evaluations: Vec<Evaluation<'_>> = made
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
                    tracing::info!(?transition, "alert");
                }
            }
            Err(error) => {
                tracing::error!(%error, "alerts could not be evaluated; the next forecast tries again")
            }
        }
    }
}
