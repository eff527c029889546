//! Checkpoints that fail half way, and readers that look while one is made.

use std::fs;
use std::thread;
use std::time::Duration;

use super::disk::MemoryDisk;
use super::*;
use crate::store::Environment;

fn open_on(disk: &MemoryDisk, dir: &Path) -> (Arc<Store>, RecoveryReport) {
    Store::open_in(
        config(dir),
        Schema::server(),
        late_clock(),
        disk.environment(),
    )
    .expect("opens")
}

/// Bins of two days, of which the clock is far away.
fn two_days() -> Vec<Record> {
    (0..400).map(|bin| record("a", bin, 0, 1.0)).collect()
}

#[test]
fn rows_stay_in_memory_until_their_parts_are_visible() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    accept(&store, two_days());
    let made = thread::scope(|scope| {
        let shared = store.shared_for_tests();
        let held = shared.history.hold_for_tests();
        let making = scope.spawn(|| wait(store.checkpoint()));
        // The commit takes milliseconds; after it the writer waits for the catalogue.
        let first = bin_index(0);
        for _ in 0..40 {
            let rows = shared
                .entities
                .read()
                .rows_in(&name("a"), first, first + 399);
            assert_eq!(rows.len(), 400, "in memory and in no visible part");
            thread::sleep(Duration::from_millis(10));
        }
        drop(held);
        making.join().expect("no panic")
    });
    assert_eq!(made, Ok(true));
    assert_eq!(parts(dir.path()).len(), 2);
    assert_eq!(history_of(&store, "a").len(), 400);
}

#[test]
fn parts_of_a_checkpoint_that_cannot_commit_do_not_pile_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = MemoryDisk::default();
    let (store, _) = open_on(&disk, dir.path());
    accept(&store, two_days());
    disk.set_full(true);
    for _ in 0..4 {
        assert_eq!(wait(store.checkpoint()), Ok(false));
        // Those of one attempt may have to wait until the database can be asked about them.
        assert!(parts(dir.path()).len() <= 2, "{:?}", parts(dir.path()));
    }
    disk.set_full(false);
    checkpoint(&store);
    let stats = store.stats();
    assert_eq!((parts(dir.path()).len(), stats.history_parts), (2, 2));
    assert_eq!(history_of(&store, "a").len(), 400);
}

#[test]
fn parts_of_a_commit_that_happened_despite_its_error_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = MemoryDisk::default();
    let (store, _) = open_on(&disk, dir.path());
    accept(&store, two_days());
    disk.let_next_sync_lie();
    assert_eq!(wait(store.checkpoint()), Ok(false));
    assert_eq!(
        (parts(dir.path()).len(), store.stats().history_parts),
        (2, 2)
    );
    assert_eq!(history_of(&store, "a").len(), 400);
    drop(store);
    // The log is cut: without the parts these rows would be nowhere.
    let (store, report) = open_on(&disk.after_crash(|| false), dir.path());
    assert_eq!((report.replayed_records, report.removed_parts), (0, 0));
    assert!(
        history_of(&store, "a")
            .into_iter()
            .eq((0..400).map(|bin| (bin, 1, 1.0, 1.0)))
    );
}

#[test]
fn a_part_that_cannot_be_finished_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    accept(&store, two_days());
    // One log group, so the checkpoint is number 2; its second day cannot get its name.
    let day = dir.path().join("history/kind=server/day=2026-03-02");
    let in_the_way = day.join("part-000000000002-000000000002.parquet");
    fs::create_dir_all(in_the_way.join("something")).expect("created");
    for _ in 0..2 {
        assert_eq!(wait(store.checkpoint()), Ok(false));
        assert_eq!(
            parts(dir.path()),
            ["day=2026-03-02/part-000000000002-000000000002.parquet"],
            "neither the other day's part nor a temporary file"
        );
    }
    fs::remove_dir_all(&in_the_way).expect("removed");
    checkpoint(&store);
    assert_eq!(parts(dir.path()).len(), 2);
    assert_eq!(history_of(&store, "a").len(), 400);
}

#[test]
fn a_store_whose_writer_panicked_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let environment = Environment {
        free_bytes: Box::new(|_| panic!("a bug in the writer's thread")),
        ..Environment::default()
    };
    let (store, _) = Store::open_in(
        config(dir.path()),
        Schema::server(),
        late_clock(),
        environment,
    )
    .expect("opens");
    assert!(store.is_alive());
    // The first is in the writer's hands when it panics, the second comes after.
    for _ in 0..2 {
        let problem = wait(store.append(vec![record("a", 1, 0, 1.0)])).expect_err("refused");
        assert!(problem.to_string().contains("restart"), "{problem}");
    }
    let problem = wait(store.checkpoint()).expect_err("refused");
    assert!(problem.to_string().contains("restart"), "{problem}");
    for _ in 0..500 {
        if !store.is_alive() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!store.is_alive());
    assert_eq!(store.entities(), [], "reading goes on");
    store.close();
    // A store that was closed is no puzzle.
    let (store, _) = open(dir.path());
    store.close();
    assert!(!store.is_alive());
    let refused = wait(store.append(vec![record("a", 1, 0, 1.0)]));
    assert_eq!(refused, Err(crate::AppendError::Closed));
}
