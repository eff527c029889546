//! The delivery worker: from the outbox to the sinks.
//!
//! One task per sink, so that a stuck one holds up nobody else. It claims due rows from the outbox, hands them to the
//! sink (at most `max_in_flight` at once, one per fingerprint) and writes down the answers, several in one transaction.
//! A row leaves the outbox only after its answer is on disk: after a crash it is delivered again, with the same
//! idempotency key, if and only if its answer was not written. Failures are retried with exponential back-off and
//! jitter; `retry_after` pauses the whole sink. A refusal for good, or a next attempt past the deadline, makes a dead
//! letter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alert::Fingerprint;
use crate::config::DeliveryConfig;
use crate::engine::Alerts;
use crate::errors::AlertError;
use crate::outbox::{Claimed, Outcome, Settlement};
use crate::sink::{DeliveryError, Receipt, Sink};

/// The clock: ms since the epoch.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Longest pause a sink can ask for: one that says "next year" must not silence itself.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Pause after a failure of our own database.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);
/// Longest sleep without a look at the outbox.
const IDLE_SLEEP_MS: i64 = 30_000;
/// Most answers written in one transaction.
const SETTLE_BATCH: usize = 256;

/// The running workers.
pub struct Delivery {
    tasks: JoinSet<()>,
}

impl Delivery {
    /// Tells `alerts` its sinks and starts one worker per sink and the upkeep, on the current tokio runtime.
    ///
    /// They end when `shutdown` is cancelled, running deliveries within `drain_secs`; see [`Delivery::join`].
    pub fn spawn(
        alerts: Arc<Alerts>,
        sinks: Vec<Arc<dyn Sink>>,
        config: DeliveryConfig,
        now: Now,
        shutdown: CancellationToken,
    ) -> Self {
        alerts.set_sinks(sinks.iter().map(|sink| sink.route()).collect());
        let mut tasks = JoinSet::new();
        for (position, sink) in (0_u64..).zip(sinks) {
            let jitter = config.seed.map_or_else(StdRng::from_os_rng, |seed| {
                StdRng::seed_from_u64(seed.wrapping_add(position))
            });
            let worker = Worker {
                name: sink.name().to_owned(),
                sink,
                alerts: Arc::clone(&alerts),
                config: config.clone(),
                now: Arc::clone(&now),
                jitter,
                running: JoinSet::new(),
                in_flight: HashMap::new(),
                unsettled: Vec::new(),
                paused_until_ms: i64::MIN,
            };
            tasks.spawn(worker.run(shutdown.clone()));
        }
        let every = Duration::from_millis(config.upkeep_ms.max(1));
        tasks.spawn(upkeep(alerts, every, now, shutdown));
        Self { tasks }
    }

    /// Waits for the workers to end.
    pub async fn join(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a delivery worker ended unexpectedly");
            }
        }
    }
}

async fn upkeep(alerts: Arc<Alerts>, every: Duration, now: Now, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(sleep(every)).await.is_some() {
        let (alerts, now_ms) = (Arc::clone(&alerts), now());
        if let Err(error) = blocking(move || alerts.upkeep(now_ms)).await {
            tracing::error!(%error, "alert upkeep failed; it is tried again");
        }
    }
}

/// Runs database work off the async workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AlertError> + Send + 'static,
) -> Result<T, AlertError> {
    match task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

type Answer = Result<Receipt, DeliveryError>;

struct Worker {
    name: String,
    sink: Arc<dyn Sink>,
    alerts: Arc<Alerts>,
    config: DeliveryConfig,
    now: Now,
    jitter: StdRng,
    running: JoinSet<Answer>,
    in_flight: HashMap<task::Id, Claimed>,
    /// Answers that are not on disk yet. Nothing is claimed before they are, so nothing is delivered twice.
    unsettled: Vec<Settlement>,
    paused_until_ms: i64,
}

impl Worker {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut queued = self.alerts.queued();
        loop {
            queued.mark_unchanged();
            let wait = match self.turn().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(sink = %self.name, %error, "delivery cannot use its outbox; it is tried again");
                    DATABASE_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = self.running.join_next_with_id() => self.take(ended),
                _ = queued.changed() => {}
                () = sleep(wait) => {}
            }
        }
        self.drain().await;
    }

    /// Writes down answers and starts what is due; how long there is nothing to do.
    async fn turn(&mut self) -> Result<Duration, AlertError> {
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.take(ended);
        }
        self.settle().await?;
        let now_ms = (self.now)();
        if self.paused_until_ms > now_ms {
            return Ok(pause_ms(self.paused_until_ms - now_ms));
        }
        let free = self
            .config
            .max_in_flight
            .max(1)
            .saturating_sub(self.in_flight.len());
        if free == 0 {
            return Ok(pause_ms(IDLE_SLEEP_MS));
        }
        let (alerts, name) = (Arc::clone(&self.alerts), self.name.clone());
        let busy: Vec<Fingerprint> = self
            .in_flight
            .values()
            .map(|c| c.notification.fingerprint.clone())
            .collect();
        let (claimed, next_due_ms) =
            blocking(move || alerts.claim(&name, &busy, free, now_ms)).await?;
        for row in claimed {
            self.start(row);
        }
        Ok(pause_ms(next_due_ms.map_or(IDLE_SLEEP_MS, |due| {
            due.saturating_sub((self.now)())
        })))
    }

    fn start(&mut self, row: Claimed) {
        let (sink, limit) = (
            Arc::clone(&self.sink),
            Duration::from_secs(self.config.attempt_timeout_secs.max(1)),
        );
        let (notification, key) = (row.notification.clone(), row.key.clone());
        let handle = self.running.spawn(async move {
            let attempt = timeout(limit, sink.deliver(&notification, &key)).await;
            attempt.unwrap_or_else(|_| {
                Err(DeliveryError::retryable(
                    "timeout",
                    format!("no answer within {} s", limit.as_secs()),
                ))
            })
        });
        self.in_flight.insert(handle.id(), row);
    }

    /// Turns an ended attempt into a settlement.
    fn take(&mut self, ended: Result<(task::Id, Answer), JoinError>) {
        let (id, answer) = match ended {
            Ok(ended) => ended,
            Err(error) => (
                error.id(),
                Err(DeliveryError::retryable("panic", "the sink panicked")),
            ),
        };
        let Some(row) = self.in_flight.remove(&id) else {
            return;
        };
        let at_ms = (self.now)();
        let outcome = match answer {
            Ok(_) => Outcome::Delivered,
            Err(error) => self.judge_failure(&row, &error, at_ms),
        };
        let settlement = Settlement {
            row: row.row,
            event: row.notification.event,
            outcome,
            at_ms,
        };
        self.unsettled.push(settlement);
    }

    fn judge_failure(&mut self, row: &Claimed, failure: &DeliveryError, at_ms: i64) -> Outcome {
        let error = failure.to_string();
        if !failure.retryable {
            tracing::warn!(sink = %self.name, entity = %row.notification.entity, error, "sink refused a notification for good");
            return Outcome::GiveUp { error };
        }
        let asked_ms = failure
            .retry_after
            .map_or(0, |pause| as_ms(pause.min(MAX_RETRY_AFTER)));
        if asked_ms > 0 {
            self.paused_until_ms = self.paused_until_ms.max(at_ms.saturating_add(asked_ms));
        }
        let pause_ms = self.backoff_ms(row.attempts).max(asked_ms);
        let next_attempt_ms = at_ms.saturating_add(pause_ms);
        if next_attempt_ms >= row.deadline_ms {
            tracing::warn!(sink = %self.name, entity = %row.notification.entity, error, "notification given up at its deadline");
            return Outcome::GiveUp {
                error: format!("deadline: {error}"),
            };
        }
        tracing::debug!(sink = %self.name, entity = %row.notification.entity, error, pause_ms, "delivery failed; it is tried again");
        Outcome::Retry {
            next_attempt_ms,
            error,
        }
    }

    /// Half to all of `base × 2^attempts`, so that many rows that failed together do not come back together.
    fn backoff_ms(&mut self, attempts: u32) -> i64 {
        let doubled = self
            .config
            .backoff_base_ms
            .max(1)
            .saturating_mul(1_u64 << attempts.min(32));
        let longest = doubled.min(self.config.backoff_max_ms.max(1));
        let pause = self.jitter.random_range(longest.div_ceil(2)..=longest);
        i64::try_from(pause).unwrap_or(i64::MAX)
    }

    async fn settle(&mut self) -> Result<(), AlertError> {
        while !self.unsettled.is_empty() {
            let batch: Vec<Settlement> =
                self.unsettled.iter().take(SETTLE_BATCH).cloned().collect();
            let (alerts, name, count) = (Arc::clone(&self.alerts), self.name.clone(), batch.len());
            blocking(move || alerts.settle(&name, &batch)).await?;
            self.unsettled.drain(..count);
        }
        Ok(())
    }

    /// Lets running deliveries end; those that do not are delivered again by the next process.
    async fn drain(mut self) {
        let drained = timeout(Duration::from_secs(self.config.drain_secs), async {
            while let Some(ended) = self.running.join_next_with_id().await {
                self.take(ended);
            }
        })
        .await;
        if drained.is_err() {
            tracing::warn!(sink = %self.name, running = self.in_flight.len(), "deliveries did not end in time; they stay in the outbox");
            self.running.abort_all();
        }
        if let Err(error) = self.settle().await {
            tracing::error!(sink = %self.name, %error, "answers of the last deliveries could not be written; they will be delivered again");
        }
    }
}

fn as_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn pause_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms.clamp(1, IDLE_SLEEP_MS)).unwrap_or(1))
}
