//! The delivery worker against sinks that fail, hang, panic and ask for patience; restarts in the middle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use argus_alerts::{
    AlertConfig, Alerts, Delivery, DeliveryConfig, DeliveryError, Event, Notification, Now,
    Receipt, Sink, SinkRoute, SinkStats,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::forecasts::{self, MEM, STEP_MS, name, risk};

/// What a sink answers.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Ok,
    Fail,
    Refuse,
    Busy { pause_ms: u64 },
    Slow { ms: u64 },
    Hang,
    Panic,
}

#[derive(Debug, Clone)]
struct Call {
    event: Event,
    entity: String,
    key: String,
    at: Instant,
    ends_at_ms: i64,
}

/// Answers by entity from a script, then always the same.
struct Scripted {
    name: String,
    scripts: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    afterwards: Reply,
    calls: Mutex<Vec<Call>>,
}

impl Scripted {
    fn new(name: &str, afterwards: Reply) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            scripts: Mutex::default(),
            afterwards,
            calls: Mutex::default(),
        })
    }

    fn script(self: Arc<Self>, entity: &str, replies: &[Reply]) -> Arc<Self> {
        self.scripts
            .lock()
            .insert(entity.to_owned(), replies.iter().copied().collect());
        self
    }

    fn events(&self, entity: &str) -> Vec<Event> {
        self.calls
            .lock()
            .iter()
            .filter(|c| c.entity == entity)
            .map(|c| c.event)
            .collect()
    }
}

impl Sink for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
        idempotency_key: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Receipt, DeliveryError>> + Send + 'a>> {
        Box::pin(async move {
            self.calls.lock().push(Call {
                event: notification.event,
                entity: notification.entity.clone(),
                key: idempotency_key.to_owned(),
                at: Instant::now(),
                ends_at_ms: notification.ends_at_ms,
            });
            let scripted = self
                .scripts
                .lock()
                .get_mut(&notification.entity)
                .and_then(VecDeque::pop_front);
            match scripted.unwrap_or(self.afterwards) {
                Reply::Ok => Ok(Receipt::default()),
                Reply::Fail => Err(DeliveryError::retryable("unavailable", "come back later")),
                Reply::Refuse => Err(DeliveryError::permanent("bad_request", "never")),
                Reply::Busy { pause_ms } => Err(DeliveryError {
                    retry_after: Some(Duration::from_millis(pause_ms)),
                    ..DeliveryError::retryable("rate_limited", "slow down")
                }),
                Reply::Slow { ms } => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    Ok(Receipt::default())
                }
                Reply::Hang => std::future::pending().await,
                Reply::Panic => panic!("a sink's bug"),
            }
        })
    }
}

/// A worker on an alert database, with a clock that starts after the forecasts of the tests.
struct Bench {
    alerts: Arc<Alerts>,
    clock_ms: Arc<AtomicI64>,
    shutdown: CancellationToken,
    delivery: Delivery,
}

const START_MS: i64 = 100 * STEP_MS;

fn quick() -> DeliveryConfig {
    DeliveryConfig {
        attempt_timeout_secs: 1,
        backoff_base_ms: 5,
        backoff_max_ms: 20,
        upkeep_ms: 60_000,
        drain_secs: 1,
        seed: Some(7),
        ..DeliveryConfig::default()
    }
}

impl Bench {
    fn start(alerts: Arc<Alerts>, sinks: &[Arc<Scripted>], config: DeliveryConfig) -> Self {
        let (started, clock_ms) = (Instant::now(), Arc::new(AtomicI64::new(START_MS)));
        let offset = Arc::clone(&clock_ms);
        let elapsed_ms = move || i64::try_from(started.elapsed().as_millis()).unwrap_or(0);
        let now: Now = Arc::new(move || offset.load(Ordering::Relaxed) + elapsed_ms());
        let sinks = sinks
            .iter()
            .map(|s| Arc::clone(s) as Arc<dyn Sink>)
            .collect();
        let shutdown = CancellationToken::new();
        let delivery = Delivery::spawn(Arc::clone(&alerts), sinks, config, now, shutdown.clone());
        Self {
            alerts,
            clock_ms,
            shutdown,
            delivery,
        }
    }

    fn in_memory(sinks: &[Arc<Scripted>]) -> Self {
        Self::start(
            Alerts::in_memory(AlertConfig::default()).expect("opens"),
            sinks,
            quick(),
        )
    }

    fn sink(&self, name: &str) -> SinkStats {
        self.alerts
            .stats()
            .sinks
            .into_iter()
            .find(|s| s.name == name)
            .expect("a sink")
    }

    async fn until_queued(&self, sink: &str, queued: u64) {
        until(|| self.sink(sink).queued == queued).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.delivery.join().await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it never came to that"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Three forecasts of these entities, from step `from` on.
fn forecast(alerts: &Alerts, entities: &[&str], letter: char, from: i64) {
    for step in from..from + 3 {
        for entity in entities {
            let risk = risk(&[(MEM, letter)]);
            forecasts::evaluate(alerts, &name(entity), step * STEP_MS, START_MS, true, &risk);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_sink_gets_everything_in_order_in_the_end() {
    let sink = Scripted::new("s", Reply::Ok)
        .script("a", &[Reply::Fail, Reply::Panic, Reply::Fail, Reply::Hang]);
    let bench = Bench::in_memory(&[Arc::clone(&sink)]);
    forecast(&bench.alerts, &["a"], 'h', 0);
    forecast(&bench.alerts, &["a"], 'c', 3);
    bench.until_queued("s", 0).await;
    use Event::{Firing, Resolved};
    assert_eq!(
        sink.events("a"),
        [Firing, Firing, Firing, Firing, Firing, Resolved]
    );
    let keys: Vec<String> = sink.calls.lock().iter().map(|c| c.key.clone()).collect();
    assert!(keys[..5].iter().all(|k| *k == keys[0]) && keys[5] != keys[0]);
    let stats = bench.sink("s");
    assert_eq!(
        (
            stats.delivered,
            stats.failed_attempts,
            stats.dead,
            stats.last_error
        ),
        (2, 4, 0, None)
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_stuck_sink_or_a_failing_alert() {
    let stuck = Scripted::new("stuck", Reply::Hang);
    let picky = Scripted::new("picky", Reply::Ok).script("a", &[Reply::Fail; 1000]);
    let bench = Bench::in_memory(&[Arc::clone(&stuck), Arc::clone(&picky)]);
    forecast(&bench.alerts, &["a", "b", "c"], 'h', 0);
    forecast(&bench.alerts, &["a", "b", "c"], 'c', 3);
    bench.until_queued("picky", 2).await;
    assert_eq!(picky.events("b"), [Event::Firing, Event::Resolved]);
    assert!(
        picky.events("a").iter().all(|e| *e == Event::Firing),
        "a resolution never overtakes its alert"
    );
    assert_eq!(bench.sink("stuck").queued, 6);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_dead_letter_at_once_and_later_ones_go_on() {
    let sink = Scripted::new("s", Reply::Ok).script("a", &[Reply::Refuse]);
    let bench = Bench::in_memory(&[Arc::clone(&sink)]);
    forecast(&bench.alerts, &["a"], 'h', 0);
    forecast(&bench.alerts, &["a"], 'c', 3);
    bench.until_queued("s", 0).await;
    assert_eq!(sink.events("a"), [Event::Firing, Event::Resolved]);
    let dead = bench.alerts.dead_letters(10).expect("read");
    assert_eq!(
        (dead.len(), dead[0].attempts, dead[0].error.as_str()),
        (1, 1, "bad_request: never")
    );
    assert_eq!(
        (bench.sink("s").dead, bench.sink("s").dead_lettered),
        (1, 1)
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_all_attempts() {
    let sink = Scripted::new("s", Reply::Fail);
    let config = AlertConfig {
        deadline_secs: 1,
        ..AlertConfig::default()
    };
    let bench = Bench::start(
        Alerts::in_memory(config).expect("opens"),
        &[Arc::clone(&sink)],
        quick(),
    );
    forecast(&bench.alerts, &["a"], 'h', 0);
    until(|| sink.calls.lock().len() > 2).await;
    bench.until_queued("s", 0).await;
    let dead = bench.alerts.dead_letters(10).expect("read");
    assert_eq!(
        (dead.len(), dead[0].error.as_str()),
        (1, "deadline: unavailable: come back later")
    );
    assert!(dead[0].attempts > 2);
    bench.stop().await;
    // A sink that nobody serves any more.
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    alerts.set_sinks(vec![SinkRoute {
        refresh: false,
        ..SinkRoute::all("gone")
    }]);
    forecast(&alerts, &["a"], 'h', 0);
    alerts.upkeep(START_MS + 5 * 3_600_000).expect("written");
    let stats = alerts.stats().sinks.remove(0);
    assert_eq!((stats.queued, stats.dead, stats.dead_lettered), (0, 1, 1));
    assert_eq!(
        alerts.dead_letters(10).expect("read")[0].error,
        "deadline: never tried"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_pauses_the_whole_sink() {
    let sink = Scripted::new("s", Reply::Ok).script("a", &[Reply::Busy { pause_ms: 400 }]);
    let bench = Bench::in_memory(&[Arc::clone(&sink)]);
    forecast(&bench.alerts, &["a"], 'h', 0);
    until(|| sink.calls.lock().len() == 1 && bench.sink("s").failed_attempts == 1).await;
    forecast(&bench.alerts, &["b"], 'h', 0);
    bench.until_queued("s", 0).await;
    let calls = sink.calls.lock().clone();
    assert_eq!(calls.len(), 3);
    assert!(
        calls[1..]
            .iter()
            .all(|c| c.at.duration_since(calls[0].at) >= Duration::from_millis(400))
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_move_the_end_on_and_are_never_dead_letters() {
    let sink = Scripted::new("s", Reply::Ok).script("a", &[Reply::Ok, Reply::Ok, Reply::Refuse]);
    let bench = Bench::in_memory(&[Arc::clone(&sink)]);
    forecast(&bench.alerts, &["a"], 'h', 0);
    for refresh in 1..=2 {
        bench.until_queued("s", 0).await;
        bench.clock_ms.fetch_add(300_000, Ordering::Relaxed);
        bench
            .alerts
            .upkeep(START_MS + refresh * 300_000)
            .expect("written");
    }
    bench.until_queued("s", 0).await;
    assert_eq!(
        sink.events("a"),
        [Event::Firing, Event::Refresh, Event::Refresh]
    );
    let ends: Vec<i64> = sink.calls.lock().iter().map(|c| c.ends_at_ms).collect();
    assert!(
        ends.is_sorted_by(|a, b| a < b) && ends[0] > START_MS,
        "{ends:?}"
    );
    let stats = bench.sink("s");
    assert_eq!((stats.dead, stats.refreshes_dropped), (0, 1));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_running_deliveries_end() {
    let sink = Scripted::new("s", Reply::Slow { ms: 200 });
    let bench = Bench::in_memory(&[Arc::clone(&sink)]);
    forecast(&bench.alerts, &["a", "b"], 'h', 0);
    until(|| sink.calls.lock().len() == 2).await;
    let alerts = Arc::clone(&bench.alerts);
    bench.stop().await;
    assert_eq!(
        (
            alerts.stats().sinks[0].delivered,
            alerts.stats().sinks[0].queued
        ),
        (2, 0)
    );
}

#[test]
fn after_crashes_everything_arrives_and_answered_rows_do_not_come_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alerts.sqlite");
    let entities: Vec<String> = (0..40).map(|n| format!("host-{n}")).collect();
    let entities: Vec<&str> = entities.iter().map(String::as_str).collect();
    let open = || Alerts::open(&path, AlertConfig::default()).expect("opens");
    let slow_sink = || Scripted::new("s", Reply::Slow { ms: 10 });
    {
        let alerts = open();
        alerts.set_sinks(vec![SinkRoute::all("s")]);
        forecast(&alerts, &entities, 'h', 0);
        forecast(&alerts, &entities, 'c', 3);
    }
    let mut calls: Vec<Call> = Vec::new();
    let (mut answered, mut crashes) = (0, 0);
    for lifetime_ms in [5, 60, 150, 250, u64::MAX] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (sink, alerts) = (slow_sink(), open());
        let bench = runtime
            .block_on(async { Bench::start(Arc::clone(&alerts), &[Arc::clone(&sink)], quick()) });
        let left = || alerts.stats().sinks[0].queued;
        runtime.block_on(async {
            let life = Duration::from_millis(lifetime_ms.min(60_000));
            let _ = tokio::time::timeout(life, until(|| left() == 0)).await;
        });
        drop(bench);
        // Running deliveries are cut off, as by a crash: their answers are never seen. A write that runs ends.
        runtime.shutdown_timeout(Duration::from_secs(5));
        answered += alerts.stats().sinks[0].delivered;
        crashes += u64::from(left() > 0);
        calls.extend(sink.calls.lock().drain(..));
    }
    let keys: BTreeSet<&str> = calls.iter().map(|c| c.key.as_str()).collect();
    assert_eq!(keys.len(), 80, "every notification arrived under one key");
    assert_eq!(answered, 80, "and was answered once");
    let repeated = calls.len() - 80;
    assert!(
        crashes > 0 && repeated as u64 <= 4 * crashes,
        "{repeated} repeated after {crashes} crashes"
    );
    for entity in entities {
        let mut events: Vec<Event> = calls
            .iter()
            .filter(|c| c.entity == entity)
            .map(|c| c.event)
            .collect();
        events.dedup();
        assert_eq!(events, [Event::Firing, Event::Resolved], "{entity}");
    }
}
