//! Restarts in good order and without, and directories that are not ours to open.

use super::*;
use crate::{Cursor, OpenError};

fn filled(dir: &Path) -> Arc<Store> {
    let (store, report) = open(dir);
    assert!(report.fresh);
    let mut records = Vec::new();
    for bin in 0..200 {
        for entity in ["a", "b", "c"] {
            records.push(Record {
                status: 3,
                profile: Some(2),
                ..record(entity, bin, 0, bin as f32)
            });
            records.push(record(entity, bin, 60_000, bin as f32 + 1.0));
        }
    }
    accept(&store, records);
    store
}

fn state(store: &Store) -> String {
    let views = store.entities();
    let contexts: Vec<_> = views
        .iter()
        .map(|view| store.context(&view.name, view.newest_bin, 2_880))
        .collect();
    // NaN is not equal to itself; the texts are.
    format!("{views:?} {contexts:?}")
}

#[test]
fn an_orderly_restart_replays_nothing_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = filled(dir.path());
    let before = state(&store);
    store.close();
    let (store, report) = open(dir.path());
    assert_eq!(state(&store), before);
    assert_eq!(
        (report.entities, report.replayed_groups, report.fresh),
        (3, 0, false)
    );
    assert_eq!(report.messages, Vec::<String>::new());
}

#[test]
fn a_restart_without_closing_replays_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = filled(dir.path());
    let before = state(&store);
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(state(&store), before);
    assert_eq!(
        (report.replayed_records, report.replayed_groups),
        (1_200, 1)
    );
    // And once more, now with a checkpoint in between.
    checkpoint(&store);
    accept(&store, vec![record("a", 200, 0, 1.0)]);
    let before = state(&store);
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(state(&store), before);
    assert_eq!(report.replayed_records, 1);
}

#[test]
fn duplicates_are_exact_within_the_newest_24_bins_across_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    for closes in [true, false] {
        let folder = dir.path().join(closes.to_string());
        let store = filled(&folder);
        if closes {
            store.close();
        }
        drop(store);
        let (store, _) = open(&folder);
        for bin in 176..200 {
            let again = vec![
                record("a", bin, 60_000, bin as f32 + 1.0),
                record("a", bin, 60_000, -1.0),
            ];
            assert_eq!(
                codes(&append(&store, again)),
                ["duplicate", "conflicting_duplicate"],
                "bin {bin}"
            );
        }
        assert_eq!(
            codes(&append(&store, vec![record("a", 175, 60_000, 176.0)])),
            ["ok"]
        );
        assert_eq!(store.stats().late_merged, 1);
    }
}

#[test]
fn late_records_merge_exactly_and_survive() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = filled(dir.path());
    checkpoint(&store);
    accept(
        &store,
        vec![record("a", 50, 1, 500.0), record("a", 50, 2, 0.0)],
    );
    let expected = (50.0 + 51.0 + 500.0 + 0.0) / 4.0;
    assert_eq!(means(&store, "a")[&50], expected);
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(means(&store, "a")[&50], expected);
    store.close();
    let (store, _) = open(dir.path());
    assert_eq!(means(&store, "a")[&50], expected);
    assert_eq!(history_of(&store, "a")[50], (50, 4, expected, 500.0));
}

#[test]
fn blocks_that_leave_the_window_leave_the_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let narrow = StoreConfig {
        window_steps: 100,
        ..config(dir.path())
    };
    let (store, _) = open_with(narrow.clone(), late_clock());
    for bin in (0..2_000).step_by(50) {
        accept(
            &store,
            (bin..bin + 50)
                .map(|bin| record("a", bin, 0, 1.0))
                .collect(),
        );
        checkpoint(&store);
    }
    store.close();
    let mut engine =
        crate::engine::Engine::open(dir.path().join("store.redb"), crate::engine::file_opener())
            .expect("opens");
    let mut blocks = Vec::new();
    engine
        .each_block(|(_, block), _| blocks.push(block))
        .expect("readable");
    assert!(blocks.len() <= 3, "{blocks:?}");
    drop(engine);
    let (store, _) = open_with(narrow, late_clock());
    assert_eq!(means(&store, "a").len(), 100);
}

#[test]
fn one_process_per_directory() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    let second = Store::open(config(dir.path()), Schema::server(), late_clock());
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    store.close();
    let (_store, _) = open(dir.path());
}

fn refusal(config: StoreConfig, schema: Arc<Schema>) -> String {
    match Store::open(config, schema, late_clock()) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn other_settings_than_the_directorys_are_refused_with_both_values() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).close();
    let text = refusal(
        StoreConfig {
            step_secs: 60,
            ..config(dir.path())
        },
        Schema::server(),
    );
    assert!(
        text.contains("was made with step_secs 300, not 60"),
        "{text}"
    );
    let mut newer = Schema::server().as_ref().clone();
    newer.version += 1;
    let text = refusal(config(dir.path()), Arc::new(newer));
    assert!(
        text.contains("schema server version 1, not server version 2"),
        "{text}"
    );
    let mut renamed = Schema::server().as_ref().clone();
    renamed.metrics[0].name = "cpu".to_owned();
    assert!(refusal(config(dir.path()), Arc::new(renamed)).contains("schema metrics"));
    let text = refusal(
        StoreConfig {
            exact_bins: 0,
            ..config(dir.path())
        },
        Schema::server(),
    );
    assert_eq!(text, "store setting `exact_bins`: must be at least 1");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).close();
    let path = dir.path().join("store.redb");
    {
        let database = redb::Database::open(&path).expect("opens");
        let transaction = database.begin_write().expect("begins");
        {
            let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
            let mut table = transaction.open_table(table).expect("opens");
            table
                .insert("format", [7u8, 0, 0, 0].as_slice())
                .expect("inserted");
        }
        transaction.commit().expect("committed");
    }
    let text = refusal(config(dir.path()), Schema::server());
    assert!(
        text.contains("has format 7, this argus reads up to 1"),
        "{text}"
    );
    assert!(path.exists());
}

#[test]
fn a_sources_position_is_as_durable_as_its_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    let position = |text: &str| Cursor::new("mongo", text.as_bytes()).expect("legal");
    assert_eq!(store.cursor("mongo"), None);
    for bin in 0..3 {
        let records = vec![record("a", bin, 0, 1.0)];
        wait(store.append_from(records, position(&bin.to_string()))).expect("stored");
    }
    // Also where there was nothing to store, or nothing was accepted.
    wait(store.append_from(vec![record("a", 2, 0, 1.0)], position("three"))).expect("answered");
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(store.cursor("mongo"), Some(position("three")));
    wait(store.append_from(Vec::new(), position("four"))).expect("stored");
    store.close();
    let (store, _) = open(dir.path());
    assert_eq!(store.cursor("mongo"), Some(position("four")));
    assert_eq!(store.cursor("another"), None);
    assert!(Cursor::new("mongo", vec![0; Cursor::MAX_POSITION_BYTES + 1]).is_err());
}
