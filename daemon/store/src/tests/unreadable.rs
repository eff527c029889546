//! Parts that cannot be read: damage is put aside, a failing read is not taken for it.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::HistoryError;

/// Three parts of one day, and a clock that makes the day due for compaction.
fn three_parts(dir: &Path) -> (Arc<Store>, Vec<PathBuf>) {
    let clock = late_clock();
    let (store, _) = open_with(config(dir), Arc::clone(&clock));
    for from in [0, 80, 160] {
        let bins = from..from + 80;
        accept(&store, bins.map(|bin| record("a", bin, 0, 1.0)).collect());
        checkpoint(&store);
    }
    // The checkpoints woke the maintenance thread; that of a store opened anew sleeps while the test compacts.
    store.close();
    drop(store);
    let (store, _) = open_with(config(dir), Arc::clone(&clock));
    clock.set(clock.now_ms() + 2 * 3_600_000);
    let history = dir.join("history/kind=server");
    let paths: Vec<_> = parts(dir).iter().map(|part| history.join(part)).collect();
    assert_eq!(paths.len(), 3);
    (store, paths)
}

/// Spoils the rows of a part and leaves its description whole, so that it opens.
fn spoil(part: &Path) {
    let mut bytes = fs::read(part).expect("readable");
    bytes[4..600].fill(0xEE);
    fs::write(part, bytes).expect("written");
}

fn query(store: &Store) -> Result<usize, HistoryError> {
    let rows = store.history(&HistoryQuery {
        entity: name("a"),
        from_ms: 0,
        to_ms: i64::MAX,
        max_rows: 1_000,
    });
    rows.map(|rows| rows.len())
}

#[test]
fn compaction_puts_a_part_with_spoilt_rows_aside_and_merges_the_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, paths) = three_parts(dir.path());
    spoil(&paths[1]);
    let history = &store.shared_for_tests().history;
    history.compact();
    assert!(paths[1].with_extension("parquet.damaged").exists());
    history.compact();
    let found = parts(dir.path());
    assert_eq!(found.len(), 2, "one merged and one damaged: {found:?}");
    assert_eq!(store.stats().history_parts, 1);
    assert!(matches!(query(&store), Ok(160..240)), "{:?}", query(&store));
}

#[test]
fn a_query_puts_a_part_with_spoilt_rows_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, paths) = three_parts(dir.path());
    spoil(&paths[0]);
    assert!(matches!(query(&store), Ok(160..240)), "{:?}", query(&store));
    assert!(paths[0].with_extension("parquet.damaged").exists());
}

#[test]
fn a_part_that_the_system_fails_to_read_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, paths) = three_parts(dir.path());
    // A folder opens and then refuses every read, like a disk that fails.
    let away = dir.path().join("away");
    fs::rename(&paths[1], &away).expect("moved");
    fs::create_dir(&paths[1]).expect("created");
    for _ in 0..2 {
        let problem = query(&store).expect_err("cannot be read");
        assert!(matches!(problem, HistoryError::Read { .. }), "{problem}");
        store.shared_for_tests().history.compact();
        assert_eq!(
            (parts(dir.path()).len(), store.stats().history_parts),
            (3, 3)
        );
    }
    fs::remove_dir(&paths[1]).expect("removed");
    fs::rename(&away, &paths[1]).expect("moved back");
    assert!(matches!(query(&store), Ok(240)), "{:?}", query(&store));
    store.shared_for_tests().history.compact();
    assert_eq!(parts(dir.path()).len(), 1);
    assert!(matches!(query(&store), Ok(240)), "{:?}", query(&store));
}
