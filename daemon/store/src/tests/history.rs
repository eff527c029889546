//! History: what is written when, what late records do to it, and what is deleted.

use std::fs;

use super::*;

#[test]
fn bins_are_written_by_day_and_read_back_with_those_in_memory() {
    let dir = tempfile::tempdir().expect("a folder");
    // The newest bin is two days in; the clock stands right behind it, so the open range is not due by time.
    let clock = TestClock::at(MARCH + 600 * STEP_MS);
    let (store, _) = open_with(config(dir.path()), clock);
    let with_status = |bin| Record {
        status: 4,
        ..record("a", bin, 0, bin as f32)
    };
    accept(
        &store,
        (0..600)
            .map(with_status)
            .chain((0..600).map(|bin| record("b", bin, 0, 1.0)))
            .collect(),
    );
    let before = all_history(&store, "a");
    assert_eq!(before.len(), 600);
    checkpoint(&store);
    assert_eq!(parts(dir.path()).len(), 2, "{:?}", parts(dir.path()));
    let after = all_history(&store, "a");
    // NaN is not equal to itself; the texts are.
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    assert_eq!(
        (after[7].status, after[7].mean[0], after[7].mean[5]),
        (4, 7.0, 7.0)
    );
    assert!(after[7].mean[1].is_nan());
    let hour = HistoryQuery {
        entity: name("a"),
        from_ms: MARCH + 286 * STEP_MS + 1,
        to_ms: MARCH + 290 * STEP_MS,
        max_rows: 3,
    };
    let bins: Vec<_> = store
        .history(&hour)
        .expect("readable")
        .iter()
        .map(|row| row.mean[0])
        .collect();
    assert_eq!(
        bins,
        [287.0, 288.0, 289.0],
        "from after the start of one bin to before the start of another"
    );
    assert!(
        store
            .history(&HistoryQuery {
                max_rows: 2,
                ..hour
            })
            .is_err()
    );
    assert_eq!(all_history(&store, "nobody"), []);
}

#[test]
fn the_open_range_is_written_when_its_time_is_over_and_amended_when_it_was_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = TestClock::at(MARCH + 10 * STEP_MS);
    let (store, _) = open_with(config(dir.path()), Arc::clone(&clock));
    accept(
        &store,
        (0..10).map(|bin| record("a", bin, 0, 1.0)).collect(),
    );
    checkpoint(&store);
    assert_eq!(parts(dir.path()), Vec::<String>::new());
    // Nobody sends any more; a day later the bins go to history although their window never moved.
    clock.set(MARCH + 300 * STEP_MS);
    checkpoint(&store);
    assert_eq!(parts(dir.path()).len(), 1);
    checkpoint(&store);
    assert_eq!(parts(dir.path()).len(), 1, "nothing changed since");
    accept(&store, vec![record("a", 9, 1, 5.0)]);
    store.close();
    let (store, _) = open_with(config(dir.path()), Arc::clone(&clock));
    assert_eq!(parts(dir.path()).len(), 2);
    assert_eq!(
        history_of(&store, "a")[8..],
        [(8, 1, 1.0, 1.0), (9, 2, 3.0, 5.0)]
    );
    // The bins fold later; only what changed since is written again.
    accept(&store, vec![record("a", 100, 0, 1.0)]);
    checkpoint(&store);
    assert_eq!(parts(dir.path()).len(), 3);
    assert_eq!(history_of(&store, "a").len(), 11);
}

#[test]
fn late_records_amend_what_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    accept(
        &store,
        (0..200).map(|bin| record("a", bin, 0, 10.0)).collect(),
    );
    checkpoint(&store);
    accept(
        &store,
        vec![
            record("a", 20, 1, 40.0),
            record("a", 21, 1, 2.0),
            record("a", 500, 0, 1.0),
        ],
    );
    let expected = [(19, 1, 10.0, 10.0), (20, 2, 25.0, 40.0), (21, 2, 6.0, 10.0)];
    assert_eq!(
        history_of(&store, "a")[19..22],
        expected,
        "from memory over files"
    );
    checkpoint(&store);
    assert_eq!(history_of(&store, "a")[19..22], expected, "from two parts");
    store.shared_for_tests().history.compact();
    assert_eq!(history_of(&store, "a")[19..22], expected);
}

#[test]
fn many_parts_of_a_day_become_one_and_nothing_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = late_clock();
    let (store, _) = open_with(config(dir.path()), Arc::clone(&clock));
    for round in 0..12 {
        let entities = ["a", "b", "c"];
        let records = entities
            .iter()
            .flat_map(|e| (0..20).map(move |bin| record(e, round * 20 + bin, 0, bin as f32)));
        accept(&store, records.collect());
        accept(
            &store,
            vec![record("b", (round * 20 - 60).max(0), round + 1, 99.0)],
        );
        checkpoint(&store);
    }
    let before: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|entity| history_of(&store, entity))
        .collect();
    let copies = tempfile::tempdir().expect("a folder");
    copy_dir(dir.path(), copies.path());
    // An hour of silence, and the day is merged.
    clock.set(clock.now_ms() + 2 * 3_600_000);
    store.shared_for_tests().history.compact();
    assert_eq!(parts(dir.path()).len(), 1, "{:?}", parts(dir.path()));
    let after: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|entity| history_of(&store, entity))
        .collect();
    assert_eq!(after, before);
    store.close();
    // A crash after the merged part got its name, before the others were deleted.
    let merged = parts(dir.path()).remove(0);
    let history = "history/kind=server";
    fs::copy(
        dir.path().join(history).join(&merged),
        copies.path().join(history).join(&merged),
    )
    .expect("copied");
    fs::write(
        copies.path().join(history).join(format!("{merged}.tmp")),
        b"torn",
    )
    .expect("written");
    let (store, report) = open_with(config(copies.path()), clock);
    assert_eq!(report.removed_parts, 12);
    assert_eq!(parts(copies.path()), [merged]);
    let recovered: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|entity| history_of(&store, entity))
        .collect();
    assert_eq!(recovered, before);
}

#[test]
fn parts_beyond_the_checkpoint_are_written_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    accept(
        &store,
        (0..50).map(|bin| record("a", bin, 0, 1.0)).collect(),
    );
    let copies = tempfile::tempdir().expect("a folder");
    copy_dir(dir.path(), copies.path());
    checkpoint(&store);
    let expected = history_of(&store, "a");
    store.close();
    // The part is there, but its checkpoint did not make it.
    copy_dir(&dir.path().join("history"), &copies.path().join("history"));
    let (store, report) = open(copies.path());
    assert_eq!((report.removed_parts, report.replayed_records), (1, 50));
    assert_eq!(history_of(&store, "a"), expected);
    checkpoint(&store);
    assert_eq!(history_of(&store, "a"), expected);
}

#[test]
fn old_days_go_by_age_but_not_while_they_are_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = late_clock();
    let month = StoreConfig {
        history_retention_days: 30,
        ..config(dir.path())
    };
    let (store, _) = open_with(month, Arc::clone(&clock));
    // A trace of a month ago is replayed today.
    accept(
        &store,
        (0..600).map(|bin| record("a", bin, 0, 1.0)).collect(),
    );
    checkpoint(&store);
    store.shared_for_tests().history.enforce_limits();
    assert_eq!(history_of(&store, "a").len(), 600);
    clock.set(clock.now_ms() + 31 * 86_400_000);
    store.shared_for_tests().history.enforce_limits();
    assert_eq!(
        (history_of(&store, "a").len(), parts(dir.path()).len()),
        (24, 0)
    );
    // What is still open is in memory.
    assert_eq!(store.stats().history_days_deleted, 3);
}

#[test]
fn the_oldest_days_go_when_all_together_are_too_large() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    accept(
        &store,
        (0..1_400)
            .map(|bin| record("a", bin, 0, bin as f32))
            .collect(),
    );
    checkpoint(&store);
    let bytes = store.stats().history_bytes;
    store.close();
    let tight = StoreConfig {
        history_max_bytes: bytes / 2,
        ..config(dir.path())
    };
    let (store, _) = open_with(tight, late_clock());
    store.shared_for_tests().history.enforce_limits();
    let stats = store.stats();
    assert!(
        stats.history_bytes <= bytes / 2 && stats.history_bytes > 0,
        "{stats:?}"
    );
    assert_eq!(history_of(&store, "a").last().map(|row| row.0), Some(1_399));
    assert_eq!(
        history_of(&store, "a").first().map(|row| row.0),
        Some(288 * 3)
    );
}
