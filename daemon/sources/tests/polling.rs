//! Sources against a real store: what is stored, when they are polled, and what happens when things go wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use argus_schema::{EntityName, Limits, Mapping, RecordParser, Schema};
use argus_sources::{
    Batch, Intake, PollError, PollFuture, Schedule, Source, SourceState, SourceStatus, Sources,
};
use argus_store::{Clock, HistoryQuery, Store, StoreConfig};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

const START_MS: i64 = 1_800_000_000_000;

/// A wall clock that the test's pauses do not move.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> i64 {
        START_MS + 3_600_000
    }
}

type Poll = Box<dyn FnMut(Option<Vec<u8>>, u32) -> Result<Batch, PollError> + Send>;

/// A source whose polls are functions, one after the other; the last one is repeated.
struct Scripted {
    polls: Mutex<VecDeque<Poll>>,
    /// When each poll began, and with which checkpoint.
    seen: Mutex<Vec<(tokio::time::Instant, Option<Vec<u8>>)>>,
}

impl Scripted {
    fn new(polls: Vec<Poll>) -> Arc<Self> {
        Arc::new(Self {
            polls: Mutex::new(polls.into()),
            seen: Mutex::default(),
        })
    }

    fn checkpoints(&self) -> Vec<Option<String>> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        self.seen
            .lock()
            .iter()
            .map(|(_, c)| c.as_ref().map(text))
            .collect()
    }

    fn gaps_ms(&self) -> Vec<u128> {
        let seen = self.seen.lock();
        seen.windows(2)
            .map(|w| (w[1].0 - w[0].0).as_millis())
            .collect()
    }
}

impl Source for Scripted {
    fn name(&self) -> &str {
        "db"
    }

    fn poll(&self, checkpoint: Option<Vec<u8>>, max_records: u32) -> PollFuture<'_> {
        self.seen
            .lock()
            .push((tokio::time::Instant::now(), checkpoint.clone()));
        let mut polls = self.polls.lock();
        let result = if polls.len() > 1 {
            polls.pop_front().unwrap()(checkpoint, max_records)
        } else {
            polls[0](checkpoint, max_records)
        };
        Box::pin(async move { result })
    }
}

fn line(server: &str, second: i64) -> String {
    let at = START_MS / 1000 + second;
    format!("{{\"server_name\":\"{server}\",\"timestamp\":{at},\"mem_used_pct\":50}}\n")
}

fn batch(items: &str, checkpoint: &str, more: bool) -> Batch {
    Batch {
        content: "records".to_owned(),
        items: items.as_bytes().to_vec(),
        checkpoint: checkpoint.as_bytes().to_vec(),
        more,
        skipped: 0,
    }
}

fn poll(batch: Batch) -> Poll {
    Box::new(move |_, _| Ok(batch.clone()))
}

fn fail() -> Poll {
    Box::new(|_, _| {
        Err(PollError {
            code: "connect_failed".to_owned(),
            message: "plugin db 1.0.0: the server is down".to_owned(),
            retryable: true,
            retry_after: None,
        })
    })
}

struct Running {
    source: Arc<Scripted>,
    sources: Sources,
    stop: CancellationToken,
    store: Arc<Store>,
}

const SCHEDULE: Schedule = Schedule {
    interval: Duration::from_secs(10),
    first_backoff: Duration::from_secs(1),
    max_backoff: Duration::from_secs(8),
    max_records: 100,
};

fn open(dir: &Path) -> Arc<Store> {
    let (store, _) = Store::open(
        StoreConfig::new(dir.join("store")),
        Schema::server(),
        Arc::new(Standing),
    )
    .unwrap();
    store
}

fn start(dir: &Path, polls: Vec<Poll>) -> Running {
    let (source, stop, store) = (Scripted::new(polls), CancellationToken::new(), open(dir));
    let intake = Intake {
        store: Arc::clone(&store),
        parser: Arc::new(RecordParser::new(
            Schema::server(),
            Mapping::default(),
            Limits::default(),
        )),
        clock: Arc::new(Standing),
    };
    let all = vec![(Arc::clone(&source) as Arc<dyn Source>, SCHEDULE)];
    let sources = Sources::spawn(all, &intake, 7, &stop);
    Running {
        source,
        sources,
        stop,
        store,
    }
}

impl Running {
    fn status(&self) -> SourceStatus {
        self.sources.statuses().remove(0)
    }

    /// Waits in the test's time; the store works in real time, for which it is given some.
    async fn until(&self, what: &str, holds: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        for _ in 0..2_000 {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{what} did not happen: {:?}", self.status());
    }

    async fn end(self) -> Arc<Store> {
        self.stop.cancel();
        self.sources.join().await;
        assert_eq!(self.status().state, SourceState::Stopped);
        self.store
    }
}

fn bins(store: &Store, server: &str) -> u64 {
    let query = HistoryQuery {
        entity: EntityName::new(server).unwrap(),
        from_ms: 0,
        to_ms: i64::MAX / 2,
        max_rows: 1000,
    };
    store
        .history(&query)
        .unwrap()
        .iter()
        .map(|row| u64::from(row.count))
        .sum()
}

#[tokio::test(start_paused = true)]
async fn catches_up_without_pauses_and_then_keeps_to_its_interval() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(
        dir.path(),
        vec![
            poll(batch(&line("a", 1), "1", true)),
            poll(batch(&line("a", 2), "2", true)),
            poll(batch(&line("a", 3), "3", false)),
            poll(batch("", "3", false)),
        ],
    );
    let status = running.until("six polls", |s| s.polls >= 6).await;
    assert_eq!(
        (status.accepted, status.errors, status.catching_up),
        (3, 0, false)
    );
    let checkpoints: Vec<_> = running.source.checkpoints().into_iter().take(5).collect();
    let three = Some("3".to_owned());
    assert_eq!(
        checkpoints,
        [
            None,
            Some("1".into()),
            Some("2".into()),
            three.clone(),
            three
        ]
    );
    let gaps = running.source.gaps_ms();
    // The store's own time passes in steps of the test's waiting.
    assert!(
        gaps[0] < 2_000 && gaps[1] < 2_000,
        "catching up has no pauses: {gaps:?}"
    );
    for gap in &gaps[2..] {
        assert!((9_000..=11_100).contains(gap), "{gaps:?}");
    }
    assert!(
        gaps[2..].windows(2).any(|w| w[0] != w[1]),
        "jitter: {gaps:?}"
    );
    let store = running.end().await;
    assert_eq!(bins(&store, "a"), 3);
    store.close();
}

#[tokio::test(start_paused = true)]
async fn promising_more_and_bringing_nothing_is_not_polled_in_a_loop() {
    let dir = tempfile::tempdir().unwrap();
    let mut polls: Vec<Poll> = (0..9)
        .map(|i| poll(batch("", &i.to_string(), true)))
        .collect();
    polls.push(poll(batch(&line("a", 1), "a", true)));
    polls.push(poll(batch("", "b", false)));
    let running = start(dir.path(), polls);
    running.until("eleven polls", |s| s.polls >= 11).await;
    let gaps = running.source.gaps_ms();
    for (gap, least) in gaps[3..9].iter().zip([90, 180, 360, 720, 1_440, 2_880]) {
        // On a busy machine the store's own time is added.
        assert!(*gap >= least, "{gaps:?}");
    }
    assert!(gaps[9] < 5_000, "a record ends the pauses: {gaps:?}");
    running.end().await.close();
}

#[tokio::test(start_paused = true)]
async fn failures_pause_longer_and_longer_and_a_success_forgives() {
    let dir = tempfile::tempdir().unwrap();
    let mut polls: Vec<Poll> = (0..5).map(|_| fail()).collect();
    polls.push(poll(batch(&line("a", 1), "1", false)));
    let running = start(dir.path(), polls);
    let status = running
        .until("five failures", |s| s.failures_in_row == 5)
        .await;
    assert_eq!(status.state, SourceState::BackingOff);
    assert_eq!(
        status.last_error.as_deref(),
        Some("plugin db 1.0.0: the server is down")
    );
    let status = running.until("a success", |s| s.accepted == 1).await;
    assert_eq!((status.failures_in_row, status.errors), (0, 5));
    let gaps = running.source.gaps_ms();
    for (gap, expected) in gaps.iter().zip([1_000, 2_000, 4_000, 8_000, 8_000]) {
        let range = expected * 9 / 10..=expected * 11 / 10 + 100;
        assert!(range.contains(gap), "{gaps:?}");
    }
    assert!(
        running.source.checkpoints()[..6]
            .iter()
            .all(Option::is_none)
    );
    running.end().await.close();
}

#[tokio::test(start_paused = true)]
async fn bad_records_are_counted_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let items = [
        line("a", 1),
        "{\"server_name\":\"a\",\"timestamp\":1800000002,\"mem_used_pct\":170}\n".to_owned(),
        "{\"server_name\":\"a\",\"mem_used_pct\":1}\n".to_owned(),
        "{torn\n".to_owned(),
        line("a", 1),
        line("b", -40 * 86_400),
        line("b", 4),
    ]
    .concat();
    let mut first = batch(&items, "1", false);
    first.skipped = 4;
    let running = start(dir.path(), vec![poll(first), poll(batch("", "1", false))]);
    let status = running
        .until("the batch", |s| s.last_success_ms.is_some())
        .await;
    assert_eq!(
        (status.duplicates, status.skipped, status.errors),
        (1, 4, 0)
    );
    let rejected: Vec<_> = status
        .rejected
        .iter()
        .map(|(code, n)| (*code, *n))
        .collect();
    let mut expected = vec![
        ("malformed", 1),
        ("missing_timestamp", 1),
        ("out_of_range", 1),
    ];
    // The old record of `b` is older than its window only if the newer one came first; both orders are legal.
    if status.rejected.contains_key("too_old") {
        expected.push(("too_old", 1));
    }
    assert_eq!(rejected, expected);
    assert_eq!(status.newest_record_ms, Some(START_MS + 4_000));
    let checkpoint = running.store.cursor("db").unwrap();
    assert_eq!(checkpoint.position(), b"1", "it moved on");
    running.end().await.close();
}

#[tokio::test(start_paused = true)]
async fn unusable_batches_move_nothing() {
    let foreign = Batch {
        content: "events".to_owned(),
        ..batch(&line("a", 1), "1", false)
    };
    let too_many: String = (0..101).map(|i| line("a", i)).collect();
    let stuck = batch("", "", true);
    let endless = Batch {
        checkpoint: vec![0; 70_000],
        ..batch(&line("a", 1), "", false)
    };
    for (bad, fragment) in [
        (foreign, "only \"records\" are understood"),
        (batch(&too_many, "1", false), "more than 100 records"),
        (endless, "position is 70000 bytes long"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let running = start(dir.path(), vec![poll(bad)]);
        let status = running
            .until("two failures", |s| s.failures_in_row == 2)
            .await;
        let error = status.last_error.unwrap();
        assert!(
            error.starts_with("source db: ") && error.contains(fragment),
            "{error}"
        );
        assert_eq!((status.accepted, running.store.cursor("db")), (0, None));
        running.end().await.close();
    }
    let dir = tempfile::tempdir().unwrap();
    let first = poll(batch(&line("a", 1), "", false));
    let running = start(dir.path(), vec![first, poll(stuck)]);
    let status = running.until("a failure", |s| s.failures_in_row >= 1).await;
    assert!(status.last_error.unwrap().contains("stays where it is"));
    running.end().await.close();
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), vec![poll(batch(&line("a", 1), "one", false))]);
    running.until("a record", |s| s.accepted == 1).await;
    running.end().await.close();
    let running = start(dir.path(), vec![poll(batch("", "one", false))]);
    running
        .until("a poll", |s| s.last_success_ms.is_some())
        .await;
    assert_eq!(running.source.checkpoints()[0].as_deref(), Some("one"));
    running.end().await.close();
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_hangs_does_not_hold_the_daemon() {
    struct Hanging;
    impl Source for Hanging {
        fn name(&self) -> &str {
            "hanging"
        }
        fn poll(&self, _: Option<Vec<u8>>, _: u32) -> PollFuture<'_> {
            Box::pin(std::future::pending())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (store, stop) = (open(dir.path()), CancellationToken::new());
    let intake = Intake {
        store: Arc::clone(&store),
        parser: Arc::new(RecordParser::new(
            Schema::server(),
            Mapping::default(),
            Limits::default(),
        )),
        clock: Arc::new(Standing),
    };
    let all: Vec<(Arc<dyn Source>, Schedule)> = vec![(Arc::new(Hanging), SCHEDULE)];
    let sources = Sources::spawn(all, &intake, 7, &stop);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sources.statuses()[0].state, SourceState::Polling);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(1), sources.join())
        .await
        .unwrap();
    store.close();
}
