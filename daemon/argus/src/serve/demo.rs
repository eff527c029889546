//! The demo feed: a synthetic fleet that reports like any other, and plays scenarios.

use std::sync::Arc;
use std::time::Duration;

use argus_api::control::{ScenarioError, ScenarioReport};
use argus_config::Demo as DemoConfig;
use argus_generate::{FleetSpec, LiveFleet, Scenario, ScenarioStatus, SpecError};
use argus_schema::{Record, Schema};
use argus_store::{Clock, Store};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Records that are stored at once while the past is made up for.
const HISTORY_BATCH: usize = 2_000;

/// A synthetic fleet in the running daemon.
pub struct Demo {
    config: DemoConfig,
    fleet: Mutex<LiveFleet>,
}

impl Demo {
    /// The configured fleet before its first step; `None` where there is to be none.
    pub fn new(config: &DemoConfig, schema: &Arc<Schema>) -> Result<Option<Arc<Self>>, SpecError> {
        if !config.enabled {
            return Ok(None);
        }
        let spec = FleetSpec {
            servers: config.servers,
            seed: config.seed,
            step_secs: config.interval_secs,
            ..FleetSpec::default()
        };
        Ok(Some(Arc::new(Self {
            config: config.clone(),
            fleet: Mutex::new(LiveFleet::new(&spec, Arc::clone(schema))?),
        })))
    }

    /// What it plays, and on whom.
    pub fn report(&self) -> ScenarioReport {
        self.told(self.fleet.lock().status())
    }

    /// Plays another scenario; gives the name of the one before.
    pub fn set(
        &self,
        name: &str,
        hours: Option<f64>,
    ) -> Result<(&'static str, ScenarioReport), ScenarioError> {
        let scenario: Scenario = name
            .parse()
            .map_err(|error| ScenarioError::Unknown(format!("{error}")))?;
        let steps = hours.map(|hours| (hours * self.steps_per_hour()).ceil() as u64);
        let mut fleet = self.fleet.lock();
        let before = fleet.set(scenario, steps);
        tracing::info!(
            scenario = scenario.name(),
            "the demo feed plays another scenario"
        );
        Ok((before.name(), self.told(fleet.status())))
    }

    fn steps_per_hour(&self) -> f64 {
        3_600.0 / f64::from(self.config.interval_secs)
    }

    fn told(&self, status: ScenarioStatus) -> ScenarioReport {
        ScenarioReport {
            scenario: status.scenario.name(),
            affected: status.affected,
            fleet_size: status.fleet_size,
            ticks: status.steps,
            hours_left: status
                .steps_left
                .map(|steps| steps as f64 / self.steps_per_hour()),
            known: Scenario::ALL.map(Scenario::name).to_vec(),
        }
    }

    /// Makes up a past, then reports until `stop`.
    pub async fn run(
        self: Arc<Self>,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) {
        let interval_ms = i64::from(self.config.interval_secs) * 1_000;
        let history = i64::from(self.config.history_hours) * 3_600_000 / interval_ms;
        // Steps lie on a grid, so that a daemon that starts again meets its own records as duplicates.
        let began_ms = clock.now_ms();
        let mut step = began_ms.div_euclid(interval_ms) - history;
        tracing::info!(
            servers = self.config.servers,
            "demo feed is on: these servers are made up"
        );
        let mut batch = Vec::new();
        loop {
            let due_ms = (step + 1) * interval_ms;
            let wait_ms = due_ms - clock.now_ms();
            if wait_ms > 0 {
                append(&store, std::mem::take(&mut batch)).await;
                let wait = Duration::from_millis(wait_ms.unsigned_abs());
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            } else if stop.is_cancelled() {
                return;
            }
            step += 1;
            batch.extend(match due_ms <= began_ms {
                true => self.fleet.lock().step_past(step * interval_ms),
                false => self.fleet.lock().step(step * interval_ms),
            });
            if batch.len() >= HISTORY_BATCH {
                append(&store, std::mem::take(&mut batch)).await;
            }
        }
    }
}

async fn append(store: &Store, records: Vec<Record>) {
    if records.is_empty() {
        return;
    }
    // Made-up records are not worth keeping: what is refused, or known from before a restart, is let go.
    if let Err(error) = store.append(records).await {
        tracing::warn!(%error, "records of the demo feed were not stored");
    }
}
