//! The store's handle.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use argus_schema::{EntityName, Record, Schema};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use crate::cursor::Cursor;
use crate::disk::{self, DiskGuard, FreeBytes};
use crate::engine::{self, Opener};
use crate::errors::{AppendError, HistoryError, OpenError, Refusal};
use crate::history::{History, Limits};
use crate::queue::{Ending, Job, Queue, Verdicts};
use crate::recovery::{Recovered, Recovery};
use crate::shared::Shared;
use crate::view::{Context, EntityView, HistoryQuery, HistoryRow, RecoveryReport, StoreStats};
use crate::writer::Writer;
use crate::{Clock, StoreConfig};

/// How often history is tidied up while no checkpoint asks for it.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(600);

/// Windows, log and history of one data directory.
///
/// Readers get copies and never wait for the disk. All writing goes through one thread; [`Store::append`] waits for it
/// without blocking the runtime.
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held as long as the store is open: one process per data directory.
    lock: Mutex<Option<File>>,
}

/// The disk, as far as tests replace it.
pub(crate) struct Environment {
    pub(crate) opener: Box<dyn Fn() -> Opener>,
    pub(crate) free_bytes: FreeBytes,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            opener: Box::new(engine::file_opener),
            free_bytes: disk::file_system(),
        }
    }
}

impl Store {
    /// Opens or creates a data directory and recovers what it holds. Blocking.
    ///
    /// # Errors
    /// When the directory is in use, belongs to a newer Argus or to other settings, cannot be read or written, or a
    /// setting is impossible. Damage is no error: it is repaired as far as possible and told in the report.
    pub fn open(
        config: StoreConfig,
        schema: Arc<Schema>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        Self::open_in(config, schema, clock, Environment::default())
    }

    pub(crate) fn open_in(
        config: StoreConfig,
        schema: Arc<Schema>,
        clock: Arc<dyn Clock>,
        environment: Environment,
    ) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        let started = Instant::now();
        config.check(&schema)?;
        fs::create_dir_all(&config.dir).map_err(|error| io_error("create", &config.dir, error))?;
        let lock = lock_dir(&config.dir)?;
        let mut report = RecoveryReport::default();
        let now_ms = clock.now_ms();
        let recovered = Recovery {
            config: &config,
            schema: &schema,
            now_ms,
            report: &mut report,
        }
        .run(&environment.opener)?;
        let Recovered {
            engine,
            entities,
            sequence,
            checkpoint,
            log_bytes,
            repaired,
            aside,
        } = recovered;
        report.entities = entities.len() as u64;

        let limits = Limits {
            retention_days: config.history_retention_days,
            max_bytes: config.history_max_bytes,
        };
        let (history, inventory) = History::open(
            &config.dir,
            &schema,
            config.step_ms(),
            limits,
            Arc::clone(&clock),
            checkpoint,
        )
        .map_err(|error| io_error("open history in", &config.dir, error))?;
        report.removed_parts = inventory.removed;
        report.damaged_parts = inventory.damaged.len() as u64;
        for path in &inventory.damaged {
            let message = format!("history part {} is damaged and left out", path.display());
            tracing::error!("{message}");
            report.messages.push(message);
        }
        let disk = DiskGuard::new(
            config.dir.clone(),
            environment.free_bytes,
            config.min_free_bytes,
        );
        let next_checkpoint = Instant::now() + Duration::from_secs(config.checkpoint_secs);
        // History that was put there from elsewhere may be ahead.
        let sequence = sequence.max(history.newest_sequence());
        let counters = StoreStats {
            entities: report.entities,
            log_bytes,
            log_sequence: sequence,
            checkpoint_sequence: checkpoint.unwrap_or(0),
            database_bytes: engine.file_bytes(),
            ..StoreStats::default()
        };
        let queue = Queue::new(config.queue_records);
        let shared = Arc::new(Shared {
            config,
            schema,
            clock,
            entities: RwLock::new(entities),
            history,
            queue,
            counters: Mutex::new(counters),
            changed: watch::Sender::new(0),
        });

        let (maintenance, signals) = sync_channel(1);
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            engine,
            disk,
            sequence,
            log_bytes,
            next_checkpoint,
            retries: false,
            undecided: Vec::new(),
            maintenance,
        };
        if repaired {
            // Also where no entity is left: what was brought back may be a source's position alone.
            let made = writer.checkpoint_always();
            made.map_err(|error| {
                io_error(
                    "checkpoint the repaired store in",
                    &shared.config.dir,
                    std::io::Error::other(error),
                )
            })?;
        }
        if let Some((from, to)) = aside {
            let moved = fs::create_dir_all(&to)
                .and_then(|()| fs::rename(&from, to.join(crate::recovery::DATABASE)));
            moved.map_err(|error| io_error("move aside", &from, error))?;
        }
        let (tidy, end_queue) = (Arc::clone(&shared), EndQueue(Arc::clone(&shared)));
        let threads = vec![
            spawn("store-writer", &shared.config.dir, move || {
                let _end_queue = end_queue;
                writer.run();
            })?,
            spawn("store-history", &shared.config.dir, move || {
                while !matches!(
                    signals.recv_timeout(MAINTENANCE_EVERY),
                    Err(RecvTimeoutError::Disconnected)
                ) {
                    tidy.history.compact();
                    tidy.history.enforce_limits();
                }
            })?,
        ];
        report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let store = Self {
            shared,
            threads: Mutex::new(threads),
            lock: Mutex::new(Some(lock)),
        };
        Ok((Arc::new(store), report))
    }

    /// Stores records; answers in their order once those accepted are on disk. Never blocks the runtime. Dropping the
    /// future does not take the records back.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing of the batch was stored.
    pub async fn append(
        &self,
        records: Vec<Record>,
    ) -> Result<Vec<Result<(), Refusal>>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.send(records, None).await
    }

    /// Like [`Store::append`], and makes the source's position durable together with the records: both or neither.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing of the batch was stored, and the position is the old one.
    pub async fn append_from(
        &self,
        records: Vec<Record>,
        cursor: Cursor,
    ) -> Result<Vec<Result<(), Refusal>>, AppendError> {
        self.send(records, Some(cursor)).await
    }

    /// The newest durable position of a source.
    pub fn cursor(&self, source: &str) -> Option<Cursor> {
        let source = EntityName::new(source).ok()?;
        self.shared.entities.read().cursor(&source).cloned()
    }

    async fn send(&self, records: Vec<Record>, cursor: Option<Cursor>) -> Verdicts {
        let (answer, answered) = oneshot::channel();
        let job = Job::Append {
            records,
            cursor,
            answer,
        };
        self.shared.queue.push(job).inspect_err(|error| {
            if matches!(error, AppendError::QueueFull { .. }) {
                self.shared.counters.lock().queue_full += 1;
            }
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(self.shared.queue.why_unanswered()))
    }

    /// Forgets an entity's window, durably (its history stays); whether it was known.
    ///
    /// # Errors
    /// See [`AppendError`]; then it is still known.
    pub async fn retire(&self, name: &EntityName) -> Result<bool, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.shared.queue.push(Job::Retire {
            name: name.clone(),
            answer,
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(self.shared.queue.why_unanswered()))
    }

    /// Makes a checkpoint now instead of when it is due; whether that worked (the reason is logged).
    ///
    /// # Errors
    /// When the store is closed, or its writer's thread is gone.
    pub async fn checkpoint(&self) -> Result<bool, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.shared.queue.push(Job::Checkpoint { answer })?;
        answered
            .await
            .map_err(|_| self.shared.queue.why_unanswered())
    }

    /// Whether the store takes records: not after [`Store::close`], and not after its writer's thread panicked, which only
    /// a restart mends. A full disk is no matter here. Cheap.
    pub fn is_alive(&self) -> bool {
        self.shared.queue.is_open()
    }

    /// All entities, by name.
    pub fn entities(&self) -> Vec<EntityView> {
        let now_ms = self.shared.clock.now_ms();
        let entities = self.shared.entities.read();
        let (steps, grace_ms) = self.view_settings();
        entities
            .iter()
            .map(|(name, entity)| entity.view(name, steps, now_ms, grace_ms))
            .collect()
    }

    /// How many entities are known. Cheap.
    pub fn entity_count(&self) -> usize {
        self.shared.entities.read().len()
    }

    /// One entity.
    pub fn entity(&self, name: &EntityName) -> Option<EntityView> {
        let now_ms = self.shared.clock.now_ms();
        let entities = self.shared.entities.read();
        let (steps, grace_ms) = self.view_settings();
        Some(entities.get(name)?.view(name, steps, now_ms, grace_ms))
    }

    /// Bin means of the `steps` bins that end at `last_bin`; `None` for an unknown entity or a range without data.
    pub fn context(&self, name: &EntityName, last_bin: i64, steps: u32) -> Option<Context> {
        self.shared
            .entities
            .read()
            .get(name)?
            .window
            .context(last_bin, steps)
    }

    /// A counter that grows after each applied batch.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Rows of history in time order, newest state of each bin, those still in memory included. Blocking: call it from
    /// a blocking thread.
    ///
    /// # Errors
    /// When a part cannot be read right now, or the range holds more rows than asked for.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, HistoryError> {
        let step_ms = self.shared.config.step_ms();
        // The first bin that starts at or after `from`, the last one that starts before `to`.
        let first = query.from_ms.saturating_sub(1).div_euclid(step_ms) + 1;
        let last = query.to_ms.saturating_sub(1).div_euclid(step_ms);
        // Memory before files: a checkpoint in between then shows its bins twice, never not at all.
        let resident = self
            .shared
            .entities
            .read()
            .rows_in(&query.entity, first, last);
        self.shared.history.query(query, resident)
    }

    /// Counters and gauges.
    pub fn stats(&self) -> StoreStats {
        let window_bytes = self.shared.entities.read().heap_bytes() as u64;
        let (history_bytes, history_parts, history_days) = self.shared.history.size();
        StoreStats {
            queued_records: self.shared.queue.records() as u64,
            history_bytes,
            history_parts,
            history_days,
            history_days_deleted: self.shared.history.days_deleted(),
            window_bytes,
            ..self.shared.counters.lock().clone()
        }
    }

    /// Writes out what waits, makes a checkpoint, and refuses everything after. Blocking; a second call does nothing.
    pub fn close(&self) {
        self.end(Ending::Orderly);
    }

    fn end(&self, ending: Ending) {
        self.shared.queue.end(ending);
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(
                    "a thread of the store panicked; what it had acknowledged is in the log"
                );
            }
        }
        // Dropping the file releases the lock.
        self.lock.lock().take();
    }

    #[cfg(test)]
    pub(crate) fn shared_for_tests(&self) -> &Shared {
        &self.shared
    }

    fn view_settings(&self) -> (u32, i64) {
        (
            self.shared.config.context_steps,
            i64::from(self.shared.config.grace_secs) * 1000,
        )
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.end(Ending::Abrupt);
    }
}

fn lock_dir(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| io_error("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path, error)),
    }
}

/// Ends the queue when the writer's thread ends, however it comes: callers get an answer instead of waiting for ever.
struct EndQueue(Arc<Shared>);

impl Drop for EndQueue {
    fn drop(&mut self) {
        let ending = if thread::panicking() {
            tracing::error!(
                "the store's writer panicked; records are refused until the daemon is restarted"
            );
            Ending::Panicked
        } else {
            Ending::Abrupt
        };
        self.0.queue.end(ending);
        let abandoned = self.0.queue.take(usize::MAX, Instant::now());
        debug_assert!(abandoned.jobs.is_empty(), "an abrupt end answers nobody");
    }
}

fn spawn(
    name: &str,
    dir: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| io_error("start a thread for", dir, error))
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
