//! What drives the alerts: asked of an explainer when one begins, told with its notifications.
//!
//! An alert waits for nobody. When it fires its entity is put in a short queue, on the forecast loop's thread and without
//! blocking; a task of its own asks the explainer. A notification that is about to be delivered waits for that until it
//! is [`PATIENCE`] old, all sinks and retries together, and then goes without: an explainer that is absent, slow, broken
//! or overrun costs the drivers and nothing else. Nothing is ever told that the explainer did not say of the forecast
//! that the alert is about.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use argus_alerts::{
    DeliveryError, Event, Notification, Receipt, Sink, SinkRoute, Transition, TransitionKind,
};
use argus_api::control::DriverReport;
use argus_schema::EntityName;
use argus_store::Clock;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::explain::Explainers;

/// The explainer that is asked, by its name in the configuration.
pub const EXPLAINER: &str = "shap";
/// How old a notification may get for want of its drivers.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long after the transition its drivers are still told, with a refresh.
const FRESH_MS: i64 = 15 * 60 * 1000;
/// Entities that may wait; in a cascade the rest goes without.
const MAX_WAITING: usize = 64;
/// Entities remembered.
const MAX_KNOWN: usize = 4096;
/// Drivers told.
const TOLD: usize = 3;
/// Less than this is no driver, in points of risk.
const LEAST_IMPACT: f32 = 0.05;

/// Answers by entity; clones share them.
#[derive(Clone)]
pub struct Drivers {
    known: Arc<Mutex<BTreeMap<EntityName, Known>>>,
    queue: mpsc::Sender<Job>,
    clock: Arc<dyn Clock>,
}

/// `None` until the explainer has answered; then what it said, if it could.
type Answer = Option<Option<Arc<[DriverReport]>>>;

#[derive(Clone)]
struct Known {
    at_ms: i64,
    answer: watch::Receiver<Answer>,
}

struct Job {
    entity: EntityName,
    /// The forecast that the alert is about.
    origin_ms: i64,
    answer: watch::Sender<Answer>,
}

impl Drivers {
    /// Starts the task that asks; it ends with `stop`.
    pub fn spawn(
        explainers: Arc<Explainers>,
        clock: Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Self {
        let (queue, mut jobs) = mpsc::channel::<Job>(MAX_WAITING);
        let stop = stop.clone();
        tokio::spawn(async move {
            while let Some(Some(job)) = stop.run_until_cancelled(jobs.recv()).await {
                let said = explainers
                    .drivers(&job.entity, job.origin_ms, EXPLAINER)
                    .await;
                let told = said.map(|drivers| {
                    let matter = drivers
                        .into_iter()
                        .filter(|d| d.impact.abs() >= LEAST_IMPACT);
                    matter.take(TOLD).collect()
                });
                job.answer.send_replace(Some(told));
            }
        });
        Self {
            known: Arc::default(),
            queue,
            clock,
        }
    }

    /// Asks for the drivers of what has just begun or changed. Never blocks.
    pub fn want(&self, transition: &Transition) {
        if !matches!(
            transition.kind,
            TransitionKind::Firing | TransitionKind::SeverityChanged
        ) {
            return;
        }
        let entity = &transition.entity;
        let mut known = self.known.lock();
        if known
            .get(entity)
            .is_some_and(|k| k.at_ms == transition.at_ms)
        {
            return;
        }
        let (sender, answer) = watch::channel(None);
        let job = Job {
            entity: entity.clone(),
            origin_ms: transition.origin_ms,
            answer: sender,
        };
        if self.queue.try_send(job).is_err() {
            tracing::warn!(%entity, "too many alerts at once; this one is told without its drivers");
            known.remove(entity);
            return;
        }
        if known.len() >= MAX_KNOWN {
            let oldest = known.iter().min_by_key(|(_, k)| k.at_ms);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                known.remove(&oldest);
            }
        }
        let at_ms = transition.at_ms;
        known.insert(entity.clone(), Known { at_ms, answer });
    }

    /// What is known by now of an entity's newest alert.
    pub fn of(&self, entity: &EntityName) -> Option<Arc<[DriverReport]>> {
        let known = self.known.lock().get(entity).cloned()?;
        let answer = known.answer.borrow().clone();
        answer?
    }

    /// The drivers that belong to a notification, if they are there before it is too old to wait.
    async fn belonging_to(&self, notification: &Notification) -> Option<Arc<[DriverReport]>> {
        let entity = EntityName::new(&notification.entity).ok()?;
        let Known { at_ms, mut answer } = self.known.lock().get(&entity).cloned()?;
        let age_ms = notification.updated_at_ms - at_ms;
        if !(0..=FRESH_MS).contains(&age_ms) {
            return None;
        }
        let waited_ms = self
            .clock
            .now_ms()
            .saturating_sub(notification.updated_at_ms);
        let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or(0));
        let patience = PATIENCE.saturating_sub(waited);
        let answered = answer.wait_for(Option::is_some);
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(answer)) => answer.clone()?,
            // Too slow, or the daemon is stopping.
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// The sinks, told of drivers.
pub fn driven(sinks: Vec<Arc<dyn Sink>>, drivers: &Drivers) -> Vec<Arc<dyn Sink>> {
    let with = |sink| -> Arc<dyn Sink> {
        Arc::new(Driven {
            sink,
            drivers: drivers.clone(),
        })
    };
    sinks.into_iter().map(with).collect()
}

struct Driven {
    sink: Arc<dyn Sink>,
    drivers: Drivers,
}

impl Sink for Driven {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
        idempotency_key: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Receipt, DeliveryError>> + Send + 'a>> {
        Box::pin(async move {
            let drivers = match notification.event {
                Event::Resolved => None,
                _ => self.drivers.belonging_to(notification).await,
            };
            match drivers.filter(|drivers| !drivers.is_empty()) {
                None => self.sink.deliver(notification, idempotency_key).await,
                Some(drivers) => {
                    let mut told = notification.clone();
                    told.annotations
                        .insert("drivers".to_owned(), line(&drivers));
                    self.sink.deliver(&told, idempotency_key).await
                }
            }
        })
    }

    fn route(&self) -> SinkRoute {
        self.sink.route()
    }
}

/// `mem_used_pct +23.4, cpu_iowait_pct +3.1`: points of risk.
fn line(drivers: &[DriverReport]) -> String {
    let each = drivers
        .iter()
        .map(|driver| format!("{} {:+.1}", driver.name, driver.impact));
    each.collect::<Vec<_>>().join(", ")
}
