//! One task per source.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use argus_schema::RecordParser;
use argus_store::{AppendError, Clock, Cursor, Store};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::intake::{code_of, decode};
use crate::schedule::{Chance, Schedule};
use crate::source::{Batch, PollError, Source};
use crate::status::{SourceState, SourceStatus};

/// Where records go.
#[derive(Clone)]
pub struct Intake {
    /// Keeps records and checkpoints.
    pub store: Arc<Store>,
    /// Reads and judges records.
    pub parser: Arc<RecordParser>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// All sources, each polled by a task of its own.
#[derive(Debug)]
pub struct Sources {
    statuses: Vec<Arc<Mutex<SourceStatus>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The store is asked again this long after it refused a batch.
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl Sources {
    /// Starts polling, until `stop`. Must be called on a runtime. `seed` decides the jitter.
    pub fn spawn(
        sources: Vec<(Arc<dyn Source>, Schedule)>,
        intake: &Intake,
        seed: u64,
        stop: &CancellationToken,
    ) -> Self {
        let mut all = Self {
            statuses: Vec::new(),
            tasks: Mutex::default(),
        };
        tracing::debug!(seed, sources = sources.len(), "jitter of sources");
        for (place, (source, schedule)) in sources.into_iter().enumerate() {
            let status = Arc::new(Mutex::new(SourceStatus {
                name: source.name().to_owned(),
                ..SourceStatus::default()
            }));
            let mut worker = Worker {
                source,
                schedule,
                intake: intake.clone(),
                status: Arc::clone(&status),
                chance: Chance(seed ^ (place as u64) << 32),
                empty_in_row: 0,
                ahead: None,
                stop: stop.clone(),
            };
            all.statuses.push(status);
            let task = tokio::spawn(async move { worker.run().await });
            all.tasks.get_mut().push(task);
        }
        all
    }

    /// State and counts of each.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        self.statuses
            .iter()
            .map(|status| status.lock().clone())
            .collect()
    }

    /// Waits until all have stopped; a batch that is being stored is stored.
    pub fn join(&self) -> impl Future<Output = ()> + use<> {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        async move {
            for task in tasks {
                // If it panicked, that is in the log; there is nothing left to wait for.
                let _ = task.await;
            }
        }
    }
}

struct Worker {
    source: Arc<dyn Source>,
    schedule: Schedule,
    intake: Intake,
    status: Arc<Mutex<SourceStatus>>,
    chance: Chance,
    /// Batches without a record that said that there is more.
    empty_in_row: u32,
    /// Fetched while the batch before was stored.
    ahead: Option<Polled>,
    stop: CancellationToken,
}

/// What a poll came to.
struct Polled {
    from: Option<Vec<u8>>,
    began: Instant,
    result: Result<Batch, PollError>,
}

/// The daemon is stopping.
struct Stopping;

impl Worker {
    async fn run(&mut self) {
        while let Ok(pause) = self.poll_once().await {
            if self.pause(pause).await.is_err() {
                break;
            }
        }
        self.status.lock().state = SourceState::Stopped;
    }

    /// Polls and stores; tells how long to wait then.
    async fn poll_once(&mut self) -> Result<Duration, Stopping> {
        let checkpoint = self.intake.store.cursor(self.source.name());
        let checkpoint = checkpoint.map(|cursor| cursor.position().to_vec());
        // What was fetched ahead counts only if it goes on from what is stored.
        let ahead = self.ahead.take();
        let polled = match ahead.filter(|ahead| ahead.from == checkpoint) {
            Some(ahead) => ahead,
            None => {
                self.begin(SourceState::Polling);
                self.poll(checkpoint).await?
            }
        };
        let began = polled.began;
        let stored = match polled.result {
            Ok(batch) => self.take(batch, polled.from.as_deref()).await?,
            Err(error) => Err(error),
        };
        Ok(match stored {
            Ok(more) => {
                self.succeeded(more);
                if more {
                    self.schedule
                        .after_empty(self.empty_in_row, self.chance.next())
                } else {
                    self.schedule
                        .after_success(began.elapsed(), self.chance.next())
                }
            }
            Err(error) => self.failed(&error),
        })
    }

    async fn poll(&self, from: Option<Vec<u8>>) -> Result<Polled, Stopping> {
        let began = Instant::now();
        self.status.lock().polls += 1;
        let result = tokio::select! {
            () = self.stop.cancelled() => return Err(Stopping),
            result = self.source.poll(from.clone(), self.schedule.max_records) => result,
        };
        Ok(Polled {
            from,
            began,
            result,
        })
    }

    /// Stores a batch, and fetches the next one meanwhile; whether there is more to fetch.
    async fn take(
        &mut self,
        batch: Batch,
        checkpoint: Option<&[u8]>,
    ) -> Result<Result<bool, PollError>, Stopping> {
        self.begin(SourceState::Storing);
        let moved = checkpoint != Some(batch.checkpoint.as_slice());
        let is_empty = batch.items.iter().all(u8::is_ascii_whitespace);
        if batch.more && is_empty && !moved {
            let message = "says that there is more, but fetched nothing and stays where it is";
            return Ok(Err(self.unusable("no_progress", message)));
        }
        let more = batch.more;
        self.empty_in_row = if more && is_empty {
            self.empty_in_row.saturating_add(1)
        } else {
            0
        };
        self.status.lock().skipped += u64::from(batch.skipped);
        if is_empty && !moved {
            return Ok(Ok(more));
        }
        let batch = Arc::new(batch);
        let next = async {
            let from = (more && moved && !is_empty).then(|| batch.checkpoint.clone());
            match from {
                Some(from) => self.poll(Some(from)).await.ok(),
                None => None,
            }
        };
        let (stored, ahead) = tokio::join!(self.store_at_last(&batch), next);
        self.ahead = ahead;
        Ok(stored?.map(|()| more))
    }

    /// Stores a batch, however long the store refuses.
    async fn store_at_last(&self, batch: &Arc<Batch>) -> Result<Result<(), PollError>, Stopping> {
        loop {
            match self.store(batch).await {
                Ok(Ok(())) => return Ok(Ok(())),
                Ok(Err(unusable)) => return Ok(Err(self.unusable("invalid_batch", &unusable))),
                Err(AppendError::Closed) => return Err(Stopping),
                Err(error) => {
                    self.note_error(&format!("source {}: {error}", self.source.name()));
                    tracing::warn!(source = self.source.name(), %error, "a batch waits for the store");
                }
            }
            self.pause_for_store().await?;
        }
    }

    /// The outer error is the store's and passes; the inner one is the batch's.
    async fn store(&self, batch: &Arc<Batch>) -> Result<Result<(), String>, AppendError> {
        let cursor = match Cursor::new(self.source.name(), batch.checkpoint.as_slice()) {
            Ok(cursor) => cursor,
            Err(error) => return Ok(Err(format!("its checkpoint is unusable: {error}"))),
        };
        let decoding = {
            let (batch, parser) = (Arc::clone(batch), Arc::clone(&self.intake.parser));
            let (limit, now_ms) = (
                self.schedule.max_records as usize,
                self.intake.clock.now_ms(),
            );
            move || decode(&batch.content, &batch.items, &parser, limit, now_ms)
        };
        let decoded = match tokio::task::spawn_blocking(decoding).await {
            Ok(Ok(decoded)) => decoded,
            Ok(Err(unusable)) => return Ok(Err(unusable)),
            Err(panic) => return Ok(Err(format!("its batch could not be read: {panic}"))),
        };
        let rejected = decoded.rejected;
        let records: Vec<_> = decoded
            .records
            .into_iter()
            .map(|(_, record)| record)
            .collect();
        let about: Vec<_> = records
            .iter()
            .map(|record| (record.entity.clone(), record.time_ms))
            .collect();
        let outcomes = self.intake.store.append_from(records, cursor).await?;

        let mut status = self.status.lock();
        let mut first_bad = rejected.first().map(ToString::to_string);
        for bad in &rejected {
            *status.rejected.entry(bad.code.as_str()).or_default() += 1;
        }
        let mut bad = rejected.len();
        for (outcome, (entity, time_ms)) in outcomes.into_iter().zip(about) {
            match outcome {
                Ok(()) => {
                    status.accepted += 1;
                    status.newest_record_ms = status.newest_record_ms.max(Some(time_ms));
                }
                Err(argus_store::Refusal::Duplicate { identical: true }) => status.duplicates += 1,
                Err(refusal) => {
                    *status.rejected.entry(code_of(&refusal)).or_default() += 1;
                    first_bad.get_or_insert_with(|| format!("record of `{entity}`: {refusal}"));
                    bad += 1;
                }
            }
        }
        drop(status);
        if let Some(first) = first_bad {
            tracing::warn!(source = self.source.name(), refused = bad, %first, "records were refused");
        }
        Ok(Ok(()))
    }

    fn unusable(&self, code: &str, message: &str) -> PollError {
        PollError {
            code: code.to_owned(),
            message: format!("source {}: {message}", self.source.name()),
            retryable: false,
            retry_after: None,
        }
    }

    fn succeeded(&self, more: bool) {
        let mut status = self.status.lock();
        if status.failures_in_row > 0 {
            let failures = status.failures_in_row;
            tracing::info!(source = status.name, failures, "source is well again");
        }
        status.failures_in_row = 0;
        status.catching_up = more;
        status.last_success_ms = Some(self.intake.clock.now_ms());
        status.state = SourceState::Waiting;
    }

    fn failed(&mut self, error: &PollError) -> Duration {
        let chance = self.chance.next();
        let failures = {
            let mut status = self.status.lock();
            status.failures_in_row = status.failures_in_row.saturating_add(1);
            status.state = SourceState::BackingOff;
            status.catching_up = false;
            status.failures_in_row
        };
        self.note_error(&error.message);
        let pause = self
            .schedule
            .after_failure(failures, error.retry_after, chance);
        // A server that is down for a day must not fill the log.
        if failures.is_power_of_two() {
            let (source, code) = (self.source.name(), error.code.as_str());
            if error.retryable {
                tracing::warn!(source, code, failures, again_in = ?pause, "{error}");
            } else {
                tracing::error!(source, code, failures, again_in = ?pause, "{error}");
            }
        }
        pause
    }

    fn note_error(&self, message: &str) {
        let mut status = self.status.lock();
        status.errors += 1;
        status.last_error = Some(message.to_owned());
        status.last_error_ms = Some(self.intake.clock.now_ms());
    }

    fn begin(&self, state: SourceState) {
        let mut status = self.status.lock();
        status.state = state;
        status.next_poll_ms = None;
    }

    async fn pause(&self, pause: Duration) -> Result<(), Stopping> {
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.intake.clock.now_ms();
        self.status.lock().next_poll_ms = Some(now_ms.saturating_add(pause_ms));
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopping),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    async fn pause_for_store(&self) -> Result<(), Stopping> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopping),
            () = tokio::time::sleep(STORE_PAUSE) => Ok(()),
        }
    }
}
