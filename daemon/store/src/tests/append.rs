//! What is accepted, what is refused, and what readers see of it.

use super::*;
use crate::AppendError;

#[test]
fn each_refusal_has_its_code_and_its_neighbours_are_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = TestClock::at(MARCH + 3_000 * STEP_MS);
    let limits = StoreConfig {
        max_entities: 2,
        max_records_per_bin: 3,
        ..config(dir.path())
    };
    let (store, _) = open_with(limits, clock);
    let verdicts = append(
        &store,
        vec![
            record("a", 2_999, 0, 1.0),
            record("a", 2_999, 0, 1.0),
            record("a", 2_999, 0, 2.0),
            record("a", 119, 0, 1.0),
            record("a", 120, 0, 1.0),
            record("a", 3_001, 1, 1.0),
            record("a", 3_001, 0, 1.0),
            record("b", 1, 0, 1.0),
            record("c", 1, 0, 1.0),
            record("b", 1, 1, 1.0),
            record("b", 1, 2, 1.0),
            record("b", 1, 3, 1.0),
            Record {
                values: Box::new([]),
                ..record("b", 1, 4, 1.0)
            },
            Record {
                time_ms: -1,
                ..record("b", 1, 4, 1.0)
            },
        ],
    );
    let expected = [
        "ok",
        "duplicate",
        "conflicting_duplicate",
        "too_old",
        "ok",
        "in_future",
        "ok",
        "ok",
        "too_many_entities",
        "ok",
        "ok",
        "too_many_in_bin",
        "wrong_shape",
        "too_old",
    ];
    assert_eq!(codes(&verdicts), expected);
    assert_eq!(
        codes(&append(&store, vec![record("a", 2_999, 0, 1.0)])),
        ["duplicate"]
    );
    let stats = store.stats();
    assert_eq!(
        (stats.accepted, stats.late_merged, stats.entities),
        (6, 1, 2)
    );
    assert_eq!(stats.refused.values().sum::<u64>(), 9);
    assert_eq!(stats.refused["too_old"], 2);
}

#[test]
fn refusals_say_what_is_allowed() {
    let texts: Vec<String> = [
        Refusal::Duplicate { identical: true },
        Refusal::Duplicate { identical: false },
        Refusal::TooOld {
            time_ms: 1,
            oldest_ms: 300_000,
        },
        Refusal::InFuture {
            time_ms: 9,
            ahead_ms: 700_000,
            limit_ms: 300_000,
        },
        Refusal::TooManyEntities { limit: 5 },
        Refusal::TooManyInBin { limit: 5 },
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    assert_eq!(
        texts,
        [
            "is stored already (identical)",
            "timestamp is stored already with other content",
            "timestamp 1970-01-01T00:00:00.001Z lies before the entity's window, which starts at 1970-01-01T00:05:00Z",
            "timestamp 1970-01-01T00:00:00.009Z is 700 s ahead of this machine's clock; at most 300 s are allowed",
            "5 entities are known already; raise `max_entities` or retire some",
            "its bin holds 5 records already; send less often or raise `max_records_per_bin`",
        ]
    );
}

#[test]
fn a_view_tells_what_is_closed_and_what_is_newest() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = TestClock::at(MARCH + 10 * STEP_MS + 1_000);
    let (store, _) = open_with(config(dir.path()), Arc::clone(&clock));
    let first = Record {
        profile: Some(1),
        cores: Some(8.0),
        status: 2,
        ..record("a", 8, 0, 1.0)
    };
    accept(
        &store,
        vec![first, record("a", 10, 500, 3.0), record("a", 10, 100, 2.0)],
    );
    let view = store.entity(&name("a")).expect("known");
    assert_eq!(
        (view.profile, view.cores, view.latest_status),
        (Some(1), Some(8.0), 0)
    );
    assert_eq!(
        (view.latest[0], view.latest_ms),
        (3.0, MARCH + 10 * STEP_MS + 500)
    );
    assert!(view.latest[1].is_nan());
    assert_eq!(
        (view.newest_bin, view.closed_bin, view.closed_bins),
        (bin_index(10), Some(bin_index(8)), 1)
    );
    // The grace is 30 seconds.
    clock.set(MARCH + 11 * STEP_MS + 30_000);
    assert_eq!(
        store.entity(&name("a")).expect("known").closed_bin,
        Some(bin_index(8))
    );
    clock.set(MARCH + 11 * STEP_MS + 30_001);
    let closed = store.entity(&name("a")).expect("known");
    assert_eq!(
        (closed.closed_bin, closed.closed_bins),
        (Some(bin_index(10)), 2)
    );
    assert_ne!(closed.closed_revision, view.closed_revision);
    let context = store
        .context(&name("a"), bin_index(10), 288)
        .expect("has data");
    assert_eq!(
        (context.first_bin, context.values[0].len()),
        (bin_index(8), 3)
    );
    assert_eq!((context.values[0][0], context.values[0][2]), (1.0, 2.5));
    assert!(context.values[0][1].is_nan());
    assert_eq!(*context.status, [2, 0, 0]);
    assert_eq!(store.entities().len(), 1);
    assert_eq!(store.context(&name("b"), bin_index(10), 288), None);
}

#[test]
fn readers_are_told_of_each_batch() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    let mut changed = store.changed();
    assert!(!changed.has_changed().expect("open"));
    accept(&store, vec![record("a", 1, 0, 1.0)]);
    assert!(changed.has_changed().expect("open"));
    changed.mark_unchanged();
    append(&store, vec![record("a", 1, 0, 1.0)]);
    assert!(
        !changed.has_changed().expect("open"),
        "a duplicate changes nothing"
    );
}

#[test]
fn a_full_queue_refuses_and_stores_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open_with(
        StoreConfig {
            queue_records: 2,
            ..config(dir.path())
        },
        late_clock(),
    );
    let records = (0..3).map(|ms| record("a", 1, ms, 1.0)).collect();
    assert_eq!(
        wait(store.append(records)),
        Err(AppendError::QueueFull {
            waiting: 0,
            limit: 2
        })
    );
    assert_eq!((store.stats().queue_full, store.entities().len()), (1, 0));
    accept(&store, vec![record("a", 1, 0, 1.0)]);
}

#[test]
fn many_senders_at_once_share_groups_and_each_gets_its_own_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let senders: Vec<_> = (0..64)
            .map(|sender| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let records = (0..10)
                        .map(|bin| record(&format!("srv-{}", sender % 32), bin, 0, 1.0))
                        .collect();
                    store
                        .append(records)
                        .await
                        .expect("stored")
                        .iter()
                        .filter(|verdict| verdict.is_ok())
                        .count()
                })
            })
            .collect();
        let mut accepted = 0;
        for sender in senders {
            accepted += sender.await.expect("answered");
        }
        assert_eq!(
            accepted, 320,
            "of two senders of the same records one is accepted"
        );
    });
    let stats = store.stats();
    assert_eq!((stats.accepted, stats.refused["duplicate"]), (320, 320));
    assert!(stats.groups < 64, "{} groups for 64 appends", stats.groups);
}

#[test]
fn a_retired_entity_is_gone_for_good_and_its_history_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    accept(
        &store,
        (0..40)
            .map(|bin| record("a", bin, 0, 1.0))
            .chain([record("b", 0, 0, 1.0)])
            .collect(),
    );
    checkpoint(&store);
    accept(&store, vec![record("a", 41, 0, 7.0)]);
    assert_eq!(wait(store.retire(&name("a"))), Ok(true));
    assert_eq!(wait(store.retire(&name("a"))), Ok(false));
    assert_eq!(store.entity(&name("a")), None);
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!((report.entities, store.entity(&name("a"))), (1, None));
    assert_eq!(
        history_of(&store, "a").len(),
        41,
        "in memory until the checkpoint"
    );
    checkpoint(&store);
    assert_eq!(history_of(&store, "a").len(), 41);
    // A new entity of that name starts anew.
    accept(&store, vec![record("a", 2, 0, 5.0)]);
    store.close();
    let (store, _) = open(dir.path());
    assert_eq!(means(&store, "a"), BTreeMap::from([(2, 5.0)]));
}

#[test]
fn silent_entities_are_forgotten_by_the_wall_clock() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = late_clock();
    let due = StoreConfig {
        forget_after_days: 7,
        checkpoint_secs: 0,
        ..config(dir.path())
    };
    let (store, _) = open_with(due, Arc::clone(&clock));
    accept(&store, vec![record("a", 1, 0, 1.0)]);
    clock.set(clock.now_ms() + 8 * 86_400_000);
    accept(&store, vec![record("b", 1, 0, 1.0)]);
    for _ in 0..100 {
        if store.entities().len() == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let names: Vec<_> = store.entities().into_iter().map(|view| view.name).collect();
    assert_eq!(names, [name("b")]);
    assert_eq!(store.stats().retired, 1);
}

#[test]
fn a_closed_store_refuses() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    store.close();
    assert_eq!(
        wait(store.append(vec![record("a", 1, 0, 1.0)])),
        Err(AppendError::Closed)
    );
    assert_eq!(wait(store.retire(&name("a"))), Err(AppendError::Closed));
    store.close();
}
