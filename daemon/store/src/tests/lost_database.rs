//! History without its database: the parts stay, however often the store starts before its first checkpoint.

use std::fs;

use super::*;
use crate::Cursor;

/// A directory with 76 bins of history in two parts and no other file.
fn only_history() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    for from in [0, 50] {
        let bins = from..from + 50;
        accept(&store, bins.map(|bin| record("a", bin, 0, 1.0)).collect());
        checkpoint(&store);
    }
    store.close();
    drop(store);
    fs::remove_file(dir.path().join("store.redb")).expect("deleted");
    dir
}

#[test]
fn history_outlives_a_deleted_database_whatever_comes_before_the_first_checkpoint() {
    let dir = only_history();
    let expected = parts(dir.path());
    assert_eq!(expected.len(), 2);
    for round in 0..4 {
        let (store, report) = open(dir.path());
        assert_eq!(
            (report.fresh, report.removed_parts, parts(dir.path())),
            (round == 0, 0, expected.clone()),
            "start {round}"
        );
        assert_eq!(history_of(&store, "a").len(), 100);
        // A crash, a stop in good order with nothing accepted, and a crash with something in the log.
        match round {
            0 => {}
            1 => store.close(),
            _ => accept(&store, vec![record("new", 100, round, 1.0)]),
        }
    }
    let (store, report) = open(dir.path());
    assert_eq!((report.replayed_records, report.removed_parts), (2, 0));
    checkpoint(&store);
    assert_eq!(
        (history_of(&store, "a").len(), means(&store, "new").len()),
        (100, 1)
    );
}

#[test]
fn history_outlives_a_database_that_nothing_can_be_salvaged_from() {
    let dir = only_history();
    let expected = parts(dir.path());
    for is_orderly in [true, false, true] {
        fs::write(
            dir.path().join("store.redb"),
            b"no database at all".repeat(1_000),
        )
        .expect("written");
        for _ in 0..2 {
            let (store, report) = open(dir.path());
            assert_eq!((report.entities, report.removed_parts), (0, 0));
            assert_eq!(parts(dir.path()), expected);
            if is_orderly {
                store.close();
            }
        }
    }
}

#[test]
fn a_position_that_is_all_there_is_to_salvage_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    let cursor = Cursor::new("kafka", *b"17").expect("legal");
    wait(store.append_from(Vec::new(), cursor.clone())).expect("stored");
    store.close();
    drop(store);
    let path = dir.path().join("store.redb");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[..512].fill(0xEE);
    fs::write(&path, bytes).expect("written");
    for is_damaged in [true, false] {
        let (store, report) = open(dir.path());
        assert_eq!(report.quarantined_to.is_some(), is_damaged);
        assert_eq!(store.cursor("kafka"), Some(cursor.clone()));
        store.close();
    }
}
