//! Times, meaningful in a release build only: `cargo test --release -p argus-alerts -- --ignored`.

use std::time::{Duration, Instant};

use argus_alerts::{AlertConfig, Alerts, Evaluation, SinkRoute};
use argus_schema::EntityName;

use crate::forecasts::{DISK, MEM, STEP_MS, name, risk};

/// A fleet of 1,000 servers, a tenth of it in trouble, judged once: one transaction on disk.
#[test]
#[ignore = "a time"]
fn a_thousand_entities_are_judged_in_less_than_100_ms() {
    let dir = tempfile::tempdir().expect("a directory");
    let alerts =
        Alerts::open(&dir.path().join("alerts.sqlite"), AlertConfig::default()).expect("opens");
    alerts.set_sinks(vec![SinkRoute::all("one"), SinkRoute::all("two")]);
    let names: Vec<EntityName> = (0..1000).map(|n| name(&format!("host-{n}"))).collect();
    let (hot, cold) = (
        risk(&[(MEM, 'h'), (DISK, 'c')]),
        risk(&[(MEM, 'c'), (DISK, 'c')]),
    );
    let mut slowest = Duration::ZERO;
    for step in 0..6 {
        let evaluations: Vec<Evaluation<'_>> = (0..)
            .zip(&names)
            .map(|(n, entity)| Evaluation {
                now_ms: step * STEP_MS,
                entity,
                profile: "database",
                origin_ms: step * STEP_MS,
                step_secs: 300,
                scheduled: true,
                risk: if n % 10 == 0 && step > 0 { &hot } else { &cold },
            })
            .collect();
        let started = Instant::now();
        alerts.evaluate(&evaluations).expect("written");
        slowest = slowest.max(started.elapsed());
    }
    assert_eq!(alerts.stats().firing, 100);
    assert!(slowest < Duration::from_millis(100), "took {slowest:?}");
}

/// The alert chain of a backtest: 30 servers at every step of 30 days.
#[test]
#[ignore = "a time"]
fn a_backtest_spends_less_than_10_s_on_alerts() {
    let alerts = Alerts::in_memory(AlertConfig::default()).expect("opens");
    let names: Vec<EntityName> = (0..30).map(|n| name(&format!("host-{n}"))).collect();
    let (hot, cold) = (risk(&[(MEM, 'h')]), risk(&[(MEM, 'c')]));
    let started = Instant::now();
    for step in 0..30 * 288 {
        for (n, entity) in (0..).zip(&names) {
            let risk = if (step + n * 7) % 50 < 6 { &hot } else { &cold };
            let (now_ms, profile) = (step * STEP_MS, "database");
            let evaluation = Evaluation {
                now_ms,
                entity,
                profile,
                origin_ms: now_ms,
                step_secs: 300,
                scheduled: true,
                risk,
            };
            alerts.evaluate(&[evaluation]).expect("written");
        }
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "took {:?}",
        started.elapsed()
    );
}
