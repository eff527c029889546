//! A connector that was loaded and opened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use argus_connector_abi::{CLOSE_CURSOR, NEXT, Next, Settings};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::cursor::{Cursor, Page};
use crate::errors::{ConnectorError, Failure};
use crate::library::{self, Library};
use crate::pending::{Answer, Answered, Pending};
use crate::spec::{ConnectorSpec, Limits};
use crate::status::ConnectorStatus;
use crate::worker::{self, Command, InCall};

/// After a request's time the connector gets this long to say so itself: its words are better.
const GRACE: Duration = Duration::from_millis(250);
/// Completions that may be owed before no further request is made.
const MAX_OWED: usize = 256;
/// Commands that wait for the thread; only one that is stuck lets it come to this.
const MAX_COMMANDS: usize = 1024;
/// How long a cursor's end may take until nobody cares any more.
const CLOSING: Duration = Duration::from_secs(10);

/// A connector that was loaded and opened. It is closed when the last reference is gone.
#[derive(Debug)]
pub struct Connector {
    spec: ConnectorSpec,
    library: Library,
    pending: Arc<Pending>,
    commands: SyncSender<Command>,
    in_call: InCall,
    slots: Semaphore,
    counters: Counters,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    documents: AtomicU64,
    bytes: AtomicU64,
    cursors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Connector {
    /// Loads a library and opens an instance of it.
    ///
    /// # Errors
    /// When the file is not the pinned one, no connector, one of another version, or refuses its settings.
    pub async fn open(spec: ConnectorSpec) -> Result<Arc<Self>, ConnectorError> {
        let error = |library: Option<&Library>, failure| ConnectorError {
            connector: spec.name.clone(),
            library: library.map(|library| library.identity.clone()),
            failure,
        };
        let (path, pinned) = (spec.path.clone(), spec.sha256.clone());
        // Reading, hashing and linking tens of megabytes takes a while.
        let loading = tokio::task::spawn_blocking(move || library::load(&path, pinned.as_deref()));
        let library = loading
            .await
            .unwrap_or_else(|panic| Err(Failure::Load(panic.to_string())))
            .map_err(|failure| error(None, failure))?;
        let opened = Self::open_instance(&spec, &library).await;
        let (pending, commands, in_call) =
            opened.map_err(|failure| error(Some(&library), failure))?;
        tracing::info!(
            target: "argus::connector", connector = spec.name, library = library.identity, sha256 = library.sha256,
            "connector opened"
        );
        Ok(Arc::new(Self {
            slots: Semaphore::new(spec.limits.concurrent_requests.max(1)),
            counters: Counters::default(),
            closed: AtomicBool::new(false),
            library,
            pending,
            commands,
            in_call,
            spec,
        }))
    }

    async fn open_instance(
        spec: &ConnectorSpec,
        library: &Library,
    ) -> Result<(Arc<Pending>, SyncSender<Command>, InCall), Failure> {
        let settings = Settings {
            name: spec.name.clone(),
            config: spec.config.clone(),
            secrets: spec.secrets.clone(),
        };
        let settings =
            serde_json::to_vec(&settings).map_err(|error| Failure::Load(error.to_string()))?;
        let pending = Pending::register(&spec.name)?;
        let (commands, orders) = sync_channel(MAX_COMMANDS);
        let in_call = InCall::default();
        let opening = worker::start(
            library,
            settings,
            Arc::clone(&pending),
            orders,
            Arc::clone(&in_call),
        )?;
        let patience = spec.limits.open_timeout;
        match tokio::time::timeout(patience, opening).await {
            Ok(opened) => opened.unwrap_or(Err(Failure::Closed))?,
            Err(_) => return Err(Failure::OpenTimedOut(patience)),
        }
        Ok((pending, commands, in_call))
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What it may take.
    pub fn limits(&self) -> Limits {
        self.spec.limits
    }

    /// Begins an answer. `patience` is capped by the connector's limit.
    ///
    /// # Errors
    /// The connector's own, or what it did instead of answering.
    pub async fn query(
        self: &Arc<Self>,
        operation: &str,
        options: &[(String, String)],
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Cursor, ConnectorError> {
        if operation.is_empty() || operation.starts_with('@') {
            let failure = Failure::Reported(argus_connector_abi::Error::new(
                "unknown_operation",
                format_args!("{operation:?} is no operation"),
            ));
            return Err(self.error(failure));
        }
        let options = match options {
            [] => Vec::new(),
            some => serde_json::to_vec(some).unwrap_or_default(),
        };
        let patience = patience.min(self.spec.limits.query_timeout);
        let opens = Arc::downgrade(self);
        let answered = self
            .request(operation, options, body, patience, opens)
            .await?;
        self.counters.cursors.fetch_add(1, Ordering::Relaxed);
        Ok(Cursor::new(Arc::clone(self), answered.cursor))
    }

    /// State and counts.
    pub fn status(&self) -> ConnectorStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stuck = self.in_call.lock().map(|since| since.elapsed());
        let stuck = stuck.filter(|time| *time > Duration::from_secs(1));
        ConnectorStatus {
            name: self.spec.name.clone(),
            library: self.library.identity.clone(),
            path: self.spec.path.display().to_string(),
            sha256: self.library.sha256.clone(),
            requests: count(&self.counters.requests),
            errors: count(&self.counters.errors),
            documents: count(&self.counters.documents),
            bytes: count(&self.counters.bytes),
            waiting: self.pending.waiting(),
            owed: self.pending.owed(),
            cursors: count(&self.counters.cursors),
            stuck_ms: stuck.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            misbehaviour: self.pending.misbehaviour(),
            last_error: self.counters.last_error.lock().clone(),
            closed: self.closed.load(Ordering::Relaxed),
        }
    }

    /// Refuses what comes, ends what runs, and closes the instance; whether it closed within `patience`.
    pub async fn close(&self, patience: Duration) -> bool {
        self.closed.store(true, Ordering::Relaxed);
        let (closed, closing) = oneshot::channel();
        match self.commands.try_send(Command::Close { closed }) {
            // The sender is dropped when the instance is closed, which ends the waiting too.
            Ok(()) => tokio::time::timeout(patience, closing).await.is_ok(),
            Err(TrySendError::Disconnected(_)) => true,
            Err(TrySendError::Full(_)) => false,
        }
    }

    pub(crate) async fn next(&self, next: Next) -> Result<Page, ConnectorError> {
        let patience = Duration::from_millis(next.wait_ms.into());
        let answered = self
            .request(
                NEXT,
                Vec::new(),
                next.to_bytes().to_vec(),
                patience,
                Weak::new(),
            )
            .await?;
        let (bytes, limit) = (answered.body.len(), self.spec.limits.page_bytes);
        if bytes > limit {
            return Err(self.error(Failure::PageTooLarge { bytes, limit }));
        }
        let count = &self.counters;
        count
            .documents
            .fetch_add(answered.documents.into(), Ordering::Relaxed);
        count.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(Page {
            documents: answered.body,
            count: answered.documents,
            last: answered.cursor == 0,
        })
    }

    /// Ends a cursor without waiting for that; 0 is none.
    pub(crate) fn end_cursor(&self, cursor: u64) {
        if cursor == 0 {
            return;
        }
        let due = Instant::now() + CLOSING;
        let ctx = self.pending.begin_unheard(due);
        let command = Command::Submit {
            ctx,
            operation: CLOSE_CURSOR.to_owned(),
            options: Vec::new(),
            body: cursor.to_le_bytes().to_vec(),
            deadline: due,
        };
        if self.commands.try_send(command).is_err() {
            self.pending.withdraw(ctx);
        }
    }

    /// A cursor is gone.
    pub(crate) fn count_cursor_out(&self) {
        self.counters.cursors.fetch_sub(1, Ordering::Relaxed);
    }

    async fn request(
        &self,
        operation: &str,
        options: Vec<u8>,
        body: Vec<u8>,
        patience: Duration,
        opens: Weak<Self>,
    ) -> Result<Answered, ConnectorError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.ask(operation, options, body, patience, opens).await;
        answer.map_err(|failure| {
            self.counters.errors.fetch_add(1, Ordering::Relaxed);
            self.error(failure)
        })
    }

    async fn ask(
        &self,
        operation: &str,
        options: Vec<u8>,
        body: Vec<u8>,
        patience: Duration,
        opens: Weak<Self>,
    ) -> Answer {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Failure::Closed);
        }
        let owed = self.pending.owed();
        if owed >= MAX_OWED {
            return Err(Failure::Silent(owed));
        }
        let deadline = Instant::now() + patience;
        let slot = tokio::time::timeout(patience + GRACE, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else {
            return Err(Failure::Busy(self.spec.limits.concurrent_requests));
        };
        let (ctx, answered) = self.pending.begin();
        let mut waiting = Waiting {
            connector: self,
            ctx,
            answered,
            opens,
        };
        let command = Command::Submit {
            ctx,
            operation: operation.to_owned(),
            options,
            body,
            deadline,
        };
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => Failure::Busy(MAX_COMMANDS),
                TrySendError::Disconnected(_) => Failure::Closed,
            })?;
        let patience = deadline.saturating_duration_since(Instant::now()) + GRACE;
        match tokio::time::timeout(patience, &mut waiting.answered).await {
            Ok(answer) => answer.unwrap_or(Err(Failure::Closed)),
            Err(_) => Err(Failure::TimedOut(patience)),
        }
    }

    fn error(&self, failure: Failure) -> ConnectorError {
        let error = ConnectorError {
            connector: self.spec.name.clone(),
            library: Some(self.library.identity.clone()),
            failure,
        };
        *self.counters.last_error.lock() = Some(error.to_string());
        error
    }
}

/// Somebody waits for a request. When that ends before its answer, in whatever way, the connector is told.
struct Waiting<'a> {
    connector: &'a Connector,
    ctx: u64,
    answered: oneshot::Receiver<Answer>,
    /// The connector, where the request begins an answer; nothing, where it goes on with one.
    opens: Weak<Connector>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let opens = std::mem::take(&mut self.opens);
        let is_opening = opens.strong_count() > 0;
        if self.connector.pending.give_up(self.ctx, opens) {
            // A connector that is stuck has more commands than it can do; this one is only a courtesy.
            let _ = self
                .connector
                .commands
                .try_send(Command::Cancel { ctx: self.ctx });
        } else if is_opening && let Ok(Ok(unread)) = self.answered.try_recv() {
            // It arrived between the asker's last look and now.
            self.connector.end_cursor(unread.cursor);
        }
    }
}
