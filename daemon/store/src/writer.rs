//! The one thread that changes anything: takes jobs from the queue, logs them in groups, applies them, makes
//! checkpoints.
//!
//! A group is what waits in the queue when the writer comes round, up to [`GROUP_RECORDS`]; under load groups grow by
//! themselves while an fsync runs. Records are checked against the windows and the group's own earlier records, logged,
//! synced, and only then applied: a failed write leaves memory as it was.

mod checkpoint;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_schema::{EntityName, Record};
use tokio::sync::oneshot;

use crate::codec::frame::{self, Header, Kind};
use crate::codec::group::{self, Operation};
use crate::cursor::Cursor;
use crate::disk::DiskGuard;
use crate::engine::{Engine, EngineError};
use crate::errors::{AppendError, Refusal};
use crate::history::{Day, Part};
use crate::queue::{Ending, Job, Verdicts};
use crate::shared::Shared;
use crate::window::{Staged, Window};

/// Records of a group, unless a single append has more.
const GROUP_RECORDS: usize = 16_384;
/// How often the writer looks at the clock while nothing arrives.
const TICK: Duration = Duration::from_secs(1);
/// Rows on their way into history that memory holds at most, give or take a group; some 50 MB of a server's rows.
const WAITING_ROWS: usize = 200_000;
/// Wait after a failed checkpoint.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(10);
/// Entities that one tick retires at most.
const RETIRED_AT_ONCE: usize = 1_000;

/// State of the writer's thread.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Engine,
    pub(crate) disk: DiskGuard,
    /// Newest sequence number in use.
    pub(crate) sequence: u64,
    pub(crate) log_bytes: u64,
    pub(crate) next_checkpoint: Instant,
    /// Whether the last checkpoint that was due failed.
    pub(crate) retries: bool,
    /// Parts of a failed checkpoint, until it is known whether its commit is on disk after all.
    pub(crate) undecided: Vec<(Day, Part)>,
    /// Tells the maintenance thread that a checkpoint was made.
    pub(crate) maintenance: std::sync::mpsc::SyncSender<()>,
}

impl Writer {
    /// Runs until the store closes.
    pub(crate) fn run(mut self) {
        loop {
            let taken = self.shared.queue.take(GROUP_RECORDS, Instant::now() + TICK);
            if !taken.jobs.is_empty() {
                self.work(taken.jobs);
            }
            match taken.ending {
                None => self.tick(),
                Some(Ending::Abrupt | Ending::Panicked) => return,
                Some(Ending::Orderly) => break,
            }
        }
        if let Err(problem) = self.checkpoint() {
            tracing::warn!(%problem, "no checkpoint at closing; the log is replayed at the next start");
        }
        if let Err(problem) = self.engine.close() {
            tracing::warn!(%problem, "the log was not closed in good order; it is checked at the next start");
        }
    }

    fn work(&mut self, jobs: Vec<Job>) {
        let mut appends = Vec::new();
        for job in jobs {
            match job {
                Job::Append {
                    records,
                    cursor,
                    answer,
                } => appends.push(Batch {
                    records,
                    cursor,
                    answer,
                }),
                Job::Retire { name, answer } => {
                    let _ = answer.send(self.retire(name));
                }
                Job::Checkpoint { answer } => {
                    let made = self.checkpoint();
                    if let Err(problem) = &made {
                        tracing::warn!(%problem, "the checkpoint that was asked for failed");
                    }
                    let _ = answer.send(made.is_ok());
                }
            }
        }
        if !appends.is_empty() {
            self.append(appends);
        }
    }

    /// What is due by time.
    fn tick(&mut self) {
        let config = &self.shared.config;
        let (log_limit, forget_after_days) =
            (config.checkpoint_log_bytes, config.forget_after_days);
        let now = Instant::now();
        let is_large = self.log_bytes >= log_limit
            || self.shared.entities.read().waiting_rows() >= WAITING_ROWS;
        // After a failure only time counts, or a full disk would be tried at every turn.
        let due = now >= self.next_checkpoint || is_large && !self.retries;
        if !due || self.disk.is_full() {
            return;
        }
        if forget_after_days > 0 {
            self.forget(i64::from(forget_after_days));
        }
        let retry = match self.checkpoint() {
            Ok(()) => {
                self.retries = false;
                return;
            }
            Err(problem) => {
                tracing::warn!(%problem, "checkpoint failed; it is tried again in {} s", CHECKPOINT_RETRY.as_secs());
                CHECKPOINT_RETRY
            }
        };
        self.next_checkpoint = now + retry;
        self.retries = true;
    }

    fn append(&mut self, appends: Vec<Batch>) {
        if self.disk.is_full() {
            let error = AppendError::DiskFull {
                min_free_bytes: self.shared.config.min_free_bytes,
            };
            return self.refuse_all(appends.into_iter().map(|batch| batch.answer), &error);
        }
        let now_ms = self.shared.clock.now_ms();
        let mut operations =
            Vec::with_capacity(appends.iter().map(|batch| batch.records.len() + 1).sum());
        let mut answers = Vec::with_capacity(appends.len());
        {
            let entities = self.shared.entities.read();
            let mut check = Check::new(&self.shared, &entities, now_ms);
            for Batch {
                records,
                cursor,
                answer,
            } in appends
            {
                let mut verdicts = Vec::with_capacity(records.len());
                for record in records {
                    let verdict = check.record(&record);
                    if verdict.is_ok() {
                        operations.push(Operation::Record(record));
                    }
                    verdicts.push(verdict);
                }
                operations.extend(cursor.map(Operation::Cursor));
                answers.push((verdicts, answer));
            }
        }
        if let Err(error) = self.log_and_apply(&operations, now_ms) {
            return self.refuse_all(answers.into_iter().map(|(_, answer)| answer), &error);
        }
        let mut counters = self.shared.counters.lock();
        for refusal in answers
            .iter()
            .flat_map(|(verdicts, _)| verdicts)
            .filter_map(|verdict| verdict.as_ref().err())
        {
            *counters.refused.entry(refusal.code()).or_insert(0) += 1;
        }
        drop(counters);
        for (verdicts, answer) in answers {
            // Nobody may be waiting any more; the records are stored all the same.
            let _ = answer.send(Ok(verdicts));
        }
    }

    fn refuse_all(
        &mut self,
        answers: impl ExactSizeIterator<Item = oneshot::Sender<Verdicts>>,
        error: &AppendError,
    ) {
        let mut counters = self.shared.counters.lock();
        let refused = answers.len() as u64;
        counters.disk_is_full = matches!(error, AppendError::DiskFull { .. });
        match error {
            AppendError::DiskFull { .. } => counters.disk_full += refused,
            _ => counters.write_errors += refused,
        }
        counters.free_bytes = self.disk.last_seen();
        drop(counters);
        for answer in answers {
            let _ = answer.send(Err(error.clone()));
        }
    }

    fn retire(&mut self, name: EntityName) -> Result<bool, AppendError> {
        if self.shared.entities.read().get(&name).is_none() {
            return Ok(false);
        }
        self.log_and_apply(&[Operation::Retire(name)], self.shared.clock.now_ms())?;
        Ok(true)
    }

    /// Retires entities that were silent for too long by the wall clock.
    fn forget(&mut self, days: i64) {
        let now_ms = self.shared.clock.now_ms();
        let mut silent = self
            .shared
            .entities
            .read()
            .silent_since(now_ms - days * 86_400_000);
        silent.truncate(RETIRED_AT_ONCE);
        if silent.is_empty() {
            return;
        }
        tracing::info!(
            entities = silent.len(),
            days,
            "entities without a record for long are retired"
        );
        let operations: Vec<_> = silent.into_iter().map(Operation::Retire).collect();
        if let Err(problem) = self.log_and_apply(&operations, now_ms) {
            tracing::warn!(%problem, "entities are not retired; it is tried again after the next checkpoint");
        }
    }

    /// Makes operations durable as one group, then true in memory.
    fn log_and_apply(&mut self, operations: &[Operation], now_ms: i64) -> Result<(), AppendError> {
        if operations.is_empty() {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        let header = Header {
            kind: Kind::Log,
            key: 0,
            block: 0,
            sequence,
        };
        let bytes = frame::seal(header, |out| group::encode(out, now_ms, operations));
        self.engine
            .append(sequence, &bytes)
            .map_err(|error| self.failure(&error))?;
        self.sequence = sequence;
        self.log_bytes += bytes.len() as u64;

        let retired = operations
            .iter()
            .filter(|operation| matches!(operation, Operation::Retire(_)))
            .count() as u64;
        let (mut accepted, mut late) = (0, 0);
        let mut entities = self.shared.entities.write();
        for operation in operations {
            if let Some(applied) = entities.apply(operation, sequence, now_ms) {
                accepted += 1;
                late += u64::from(applied.late);
            }
        }
        let known = entities.len() as u64;
        drop(entities);
        let mut counters = self.shared.counters.lock();
        counters.entities = known;
        counters.accepted += accepted;
        counters.late_merged += late;
        counters.retired += retired;
        counters.groups += 1;
        counters.log_bytes = self.log_bytes;
        counters.log_sequence = sequence;
        counters.disk_is_full = false;
        counters.free_bytes = self.disk.last_seen();
        drop(counters);
        self.shared.changed.send_modify(|version| *version += 1);
        Ok(())
    }

    fn failure(&mut self, error: &EngineError) -> AppendError {
        tracing::error!(%error, "records cannot be logged and are refused");
        if error.is_full() {
            self.disk.note_full();
            AppendError::DiskFull {
                min_free_bytes: self.shared.config.min_free_bytes,
            }
        } else {
            AppendError::Io(error.to_string())
        }
    }
}

/// One append on its way into a group.
struct Batch {
    records: Vec<Record>,
    cursor: Option<Cursor>,
    answer: oneshot::Sender<Verdicts>,
}

/// Checks records against the windows and those accepted earlier in the same group.
struct Check<'a> {
    shared: &'a Shared,
    entities: &'a crate::entities::Entities,
    staged: HashMap<EntityName, Staged>,
    /// Stands in for the window of an entity that is not known yet.
    blank: Window,
    new_entities: usize,
    now_ms: i64,
}

impl<'a> Check<'a> {
    fn new(shared: &'a Shared, entities: &'a crate::entities::Entities, now_ms: i64) -> Self {
        let blank = Window::new(*entities.config());
        Self {
            shared,
            entities,
            staged: HashMap::new(),
            blank,
            new_entities: 0,
            now_ms,
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), Refusal> {
        let config = &self.shared.config;
        let limit_ms = i64::from(config.max_future_secs) * 1000;
        if record.time_ms > self.now_ms.saturating_add(limit_ms) {
            let ahead_ms = record.time_ms.saturating_sub(self.now_ms);
            return Err(Refusal::InFuture {
                time_ms: record.time_ms,
                ahead_ms,
                limit_ms,
            });
        }
        let known = self.entities.get(&record.entity);
        let window = known.map_or(&self.blank, |entity| &entity.window);
        match self.staged.get_mut(&record.entity) {
            Some(staged) => {
                window.check(staged, record)?;
                staged.add(self.entities.config(), record);
            }
            None => {
                let is_new = known.is_none();
                if is_new && self.entities.len() + self.new_entities >= config.max_entities {
                    return Err(Refusal::TooManyEntities {
                        limit: config.max_entities,
                    });
                }
                let mut staged = Staged::default();
                window.check(&staged, record)?;
                staged.add(self.entities.config(), record);
                self.new_entities += usize::from(is_new);
                self.staged.insert(record.entity.clone(), staged);
            }
        }
        Ok(())
    }
}
