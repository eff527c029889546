//! From complete scrapes to the store.
//!
//! Samples are acknowledged when they are received and become a record later, when nobody is left to be told that the
//! store refuses it. So one task alone takes records out of the receiver, and keeps them until the store has them;
//! while it cannot get rid of them, further samples are refused, and their senders keep them and come back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use argus_ingest::BodyError;
use argus_ingest::remote_write::{Accepted, RemoteWrite};
use argus_schema::Record;
use argus_store::{AppendError, Store};
use parking_lot::RwLock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::Shared;
use crate::feed::code_of;
use crate::metrics::Metrics;

/// How long senders wait when they are refused; Prometheus waits no longer by itself either.
pub(crate) const RETRY_AFTER_SECS: u64 = 5;

/// How often complete scrapes are looked for, and refused records are tried again.
const PERIOD: Duration = Duration::from_millis(250);

/// After a refusal, parts of scrapes are on their way again; until they are here, scrapes only look complete.
const RESEND: Duration = Duration::from_secs(RETRY_AFTER_SECS + 1);

/// How long the last records may wait for a place in the store's queue when the daemon stops.
const LAST_TRY: Duration = Duration::from_secs(5);

/// Records in one append. The configuration allows no smaller queue, so a batch fits whatever was collected.
const BATCH_RECORDS: usize = 1000;

/// The receiver, and whether it may receive.
pub(crate) struct Intake {
    receiver: Arc<RemoteWrite>,
    refusal: RwLock<Option<AppendError>>,
}

/// Why a body was not taken; nothing of it was kept.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It cannot be read.
    Body(BodyError),
    /// The store does not take the records that are there already.
    Store(AppendError),
}

impl Intake {
    pub fn new(receiver: Arc<RemoteWrite>) -> Self {
        Self {
            receiver,
            refusal: RwLock::new(None),
        }
    }

    /// Takes the body of one request. Blocking.
    pub fn accept(&self, body: &[u8], now_ms: i64) -> Result<Accepted, Refused> {
        // Held while samples are taken, so that none slip in behind `close`.
        let refusal = self.refusal.read();
        match &*refusal {
            Some(error) => Err(Refused::Store(error.clone())),
            None => self.receiver.accept(body, now_ms).map_err(Refused::Body),
        }
    }

    /// Takes nothing more, and hands out what there is. Blocking.
    fn close(&self) -> Vec<Record> {
        *self.refusal.write() = Some(AppendError::Closed);
        self.receiver.flush()
    }
}

/// The task that stores scrapes.
pub(crate) struct Delivery {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Delivery {
    pub fn spawn(api: &Shared) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(api.clone(), stop.clone()));
        Self { stop, task }
    }

    /// Takes no further samples and stores every scrape that has begun to arrive; returns after at most a few seconds.
    pub async fn finish(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "storing scrapes ended badly");
        }
    }
}

async fn run(api: Shared, stop: CancellationToken) {
    let (store, metrics) = (&api.context.store, &api.metrics);
    let mut outgoing = Outgoing::new(Arc::clone(&api.intake));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(PERIOD) => {}
        }
        outgoing.collect(api.now_ms()).await;
        outgoing.deliver(store, metrics).await;
    }
    outgoing.finish(store, metrics).await;
}

/// Records between the receiver and the store.
struct Outgoing {
    intake: Arc<Intake>,
    /// Oldest first; they stay until the store has answered for each of them.
    waiting: VecDeque<Record>,
    refusing: bool,
    /// Nothing is taken out of the receiver before this.
    collect_at: Instant,
}

impl Outgoing {
    fn new(intake: Arc<Intake>) -> Self {
        Self {
            intake,
            waiting: VecDeque::new(),
            refusing: false,
            collect_at: Instant::now(),
        }
    }

    /// Takes complete scrapes out of the receiver, unless some wait already.
    async fn collect(&mut self, now_ms: i64) {
        if self.waiting.is_empty() && Instant::now() >= self.collect_at {
            let drained = self.blocking(move |intake| intake.receiver.drain(now_ms));
            self.waiting.extend(drained.await);
        }
    }

    /// Stores what waits; refuses samples from when that fails until it succeeds.
    async fn deliver(&mut self, store: &Store, metrics: &Metrics) {
        match self.store_all(store, metrics).await {
            Ok(()) if self.refusing => {
                self.set_refusal(None).await;
                self.collect_at = Instant::now() + RESEND;
                tracing::info!("scrapes are stored again");
            }
            Err(error) if !self.refusing => {
                let waiting = self.waiting.len();
                tracing::warn!(%error, waiting, "scrapes are not stored; remote write is refused until they are");
                self.set_refusal(Some(error)).await;
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Stores all that is left.
    async fn finish(&mut self, store: &Store, metrics: &Metrics) {
        let rest = self.blocking(Intake::close).await;
        self.waiting.extend(rest);
        let stored = timeout(LAST_TRY, async {
            loop {
                match self.store_all(store, metrics).await {
                    Err(AppendError::QueueFull { .. }) => sleep(PERIOD).await,
                    done => return done,
                }
            }
        })
        .await;
        if !matches!(stored, Ok(Ok(()))) {
            tracing::error!(
                records = self.waiting.len(),
                ?stored,
                "the last scrapes of remote write are lost: the store did not take them"
            );
        }
    }

    async fn store_all(&mut self, store: &Store, metrics: &Metrics) -> Result<(), AppendError> {
        while !self.waiting.is_empty() {
            let batch: Vec<Record> = self.waiting.iter().take(BATCH_RECORDS).cloned().collect();
            let outcomes = store.append(batch).await?;
            self.waiting.drain(..outcomes.len());
            for outcome in outcomes {
                match outcome {
                    Ok(()) => metrics.accepted(1),
                    Err(refusal) => metrics.rejected(code_of(&refusal)),
                }
            }
        }
        Ok(())
    }

    async fn set_refusal(&mut self, refusal: Option<AppendError>) {
        self.refusing = refusal.is_some();
        self.blocking(move |intake| *intake.refusal.write() = refusal)
            .await;
    }

    /// Runs `work` where blocking is allowed: the receiver's lock may be held while a large body is taken in.
    async fn blocking<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&Intake) -> T + Send + 'static,
    ) -> T {
        let intake = Arc::clone(&self.intake);
        let worked = tokio::task::spawn_blocking(move || work(&intake)).await;
        worked.unwrap_or_else(|error| {
            tracing::error!(%error, "the remote write receiver failed");
            T::default()
        })
    }
}

#[cfg(test)]
#[path = "../../tests/common/write_request.rs"]
mod write_request;

#[cfg(test)]
mod tests {
    use argus_ingest::remote_write::RemoteWriteConfig;
    use argus_schema::Schema;
    use argus_store::{Clock, StoreConfig};

    use super::write_request::load_of;
    use super::*;

    /// 2026-03-01T12:00:00Z.
    const NOW_MS: i64 = 1_772_366_400_000;
    const SETTLED_MS: i64 = NOW_MS + 6_000;

    struct FixedClock;

    impl Clock for FixedClock {
        fn now_ms(&self) -> i64 {
            SETTLED_MS
        }
    }

    fn store(dir: &tempfile::TempDir, min_free_bytes: u64) -> Arc<Store> {
        let config = StoreConfig {
            min_free_bytes,
            ..StoreConfig::new(dir.path())
        };
        let (store, _) = Store::open(config, Schema::server(), Arc::new(FixedClock)).expect("open");
        store
    }

    fn outgoing() -> Outgoing {
        let receiver = RemoteWrite::new(Schema::server(), RemoteWriteConfig::default());
        Outgoing::new(Arc::new(Intake::new(Arc::new(receiver))))
    }

    fn names(store: &Store) -> Vec<String> {
        let entities = store.entities();
        entities.iter().map(|view| view.name.to_string()).collect()
    }

    #[tokio::test]
    async fn refused_records_stay_until_they_are_stored() {
        let dirs = [tempfile::tempdir(), tempfile::tempdir()].map(|dir| dir.expect("a directory"));
        let (full, good) = (store(&dirs[0], u64::MAX), store(&dirs[1], 0));
        let metrics = Metrics::new();
        let mut outgoing = outgoing();
        let intake = Arc::clone(&outgoing.intake);
        intake.accept(&load_of("a", NOW_MS), NOW_MS).expect("taken");

        for _ in 0..3 {
            outgoing.collect(SETTLED_MS).await;
            outgoing.deliver(&full, &metrics).await;
            assert_eq!(outgoing.waiting.len(), 1);
            let refused = intake.accept(&load_of("b", NOW_MS), NOW_MS);
            assert!(
                matches!(refused, Err(Refused::Store(AppendError::DiskFull { .. }))),
                "{refused:?}"
            );
        }

        outgoing.deliver(&good, &metrics).await;
        assert_eq!(names(&good), ["a"]);
        // What was sent again meanwhile belongs to scrapes that began before; they wait for it.
        intake.accept(&load_of("b", NOW_MS), NOW_MS).expect("taken");
        outgoing.collect(SETTLED_MS).await;
        assert!(outgoing.waiting.is_empty());
        outgoing.collect_at = Instant::now();
        outgoing.collect(SETTLED_MS).await;
        outgoing.deliver(&good, &metrics).await;
        assert_eq!(names(&good), ["a", "b"]);
    }

    #[tokio::test]
    async fn more_records_than_fit_one_append() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir, 0);
        let mut outgoing = outgoing();
        for server in 0..BATCH_RECORDS + 1 {
            let body = load_of(&format!("server-{server}"), NOW_MS);
            outgoing.intake.accept(&body, NOW_MS).expect("taken");
        }
        outgoing.collect(SETTLED_MS).await;
        outgoing.deliver(&store, &Metrics::new()).await;
        assert_eq!(store.entity_count(), BATCH_RECORDS + 1);
    }

    #[tokio::test]
    async fn the_end_stores_what_has_begun_and_takes_nothing_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir, 0);
        let mut outgoing = outgoing();
        let intake = Arc::clone(&outgoing.intake);
        intake.accept(&load_of("a", NOW_MS), NOW_MS).expect("taken");
        outgoing.finish(&store, &Metrics::new()).await;
        assert_eq!(names(&store), ["a"]);
        let refused = intake.accept(&load_of("a", NOW_MS), NOW_MS);
        assert!(matches!(refused, Err(Refused::Store(AppendError::Closed))));
    }
}
