//! Flipped bits, torn tails and foreign files: never a crash loop, and never more lost than was damaged.

use std::fs;

use super::*;

/// A store of 40 log groups after a checkpoint of 3 entities, not closed; its groups are (entity, bin, value).
fn damaged_copy(
    damage: impl FnOnce(&mut Vec<u8>),
) -> (tempfile::TempDir, RecoveryReport, Arc<Store>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    for entity in ["a", "b", "c"] {
        accept(
            &store,
            (0..100).map(|bin| record(entity, bin, 0, 1.0)).collect(),
        );
    }
    checkpoint(&store);
    for bin in 100..140 {
        accept(&store, vec![record("a", bin, 0, bin as f32)]);
    }
    drop(store);
    let path = dir.path().join("store.redb");
    let mut bytes = fs::read(&path).expect("readable");
    damage(&mut bytes);
    fs::write(&path, bytes).expect("written");
    let (store, report) = open(dir.path());
    (dir, report, store)
}

fn find(bytes: &[u8], kind: u8, nth: usize) -> usize {
    let mut magic = crate::codec::frame::MAGIC.to_vec();
    magic.push(kind);
    let mut places = bytes
        .windows(magic.len())
        .enumerate()
        .filter(|(_, window)| *window == magic);
    places.nth(nth).expect("is there").0
}

/// Bins of entity `a` that are missing.
fn missing(store: &Store) -> Vec<i64> {
    let found = means(store, "a");
    (0..140).filter(|bin| !found.contains_key(bin)).collect()
}

fn goes_on(store: &Store) {
    accept(
        store,
        vec![record("a", 150, 0, 1.0), record("new", 150, 0, 1.0)],
    );
    checkpoint(store);
}

#[test]
fn a_flipped_bit_in_a_log_group_costs_that_group() {
    let sequence_of = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at + 28..at + 36].try_into().expect("8 bytes"))
    };
    let mut lost = 0;
    let (dir, report, store) = damaged_copy(|bytes| {
        // A copy of a group may lie in a page that was freed since; the one that counts is damaged with it.
        let at = find(bytes, b'L', 20);
        lost = sequence_of(bytes, at);
        for nth in 0.. {
            let mut magic = crate::codec::frame::MAGIC.to_vec();
            magic.push(b'L');
            let place = bytes
                .windows(magic.len())
                .enumerate()
                .filter(|(_, window)| *window == magic)
                .nth(nth);
            let Some((place, _)) = place else { break };
            if sequence_of(bytes, place) == lost {
                bytes[place + 60] ^= 0x10;
            }
        }
    });
    assert!(report.damaged_groups <= 1, "{report:?}");
    assert!(
        missing(&store).len() <= 1,
        "group {lost}: {:?} are missing; {report:?}",
        missing(&store)
    );
    assert_eq!(means(&store, "b").len(), 100);
    goes_on(&store);
    store.close();
    // Told once; the next start is an ordinary one.
    let (_store, report) = open(dir.path());
    assert_eq!(report.messages, Vec::<String>::new());
}

#[test]
fn any_flipped_byte_costs_little_and_is_told() {
    let mut told = 0;
    for seed in 0..40u64 {
        let (_dir, report, store) = damaged_copy(|bytes| {
            let used = bytes.iter().rposition(|&byte| byte != 0).expect("has data");
            let at = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize % used;
            bytes[at] ^= 1 << (seed % 8);
        });
        let lost_bins = missing(&store).len();
        let lost_others = 200 - means(&store, "b").len() - means(&store, "c").len();
        assert!(
            lost_bins <= 100 && lost_others <= 100,
            "seed {seed}: {lost_bins} and {lost_others} bins; {report:?}"
        );
        if lost_bins + lost_others > 1 {
            assert!(
                !report.messages.is_empty(),
                "seed {seed}: bins are lost without a word; {report:?}"
            );
        }
        told += usize::from(!report.messages.is_empty());
        goes_on(&store);
    }
    assert!(told > 0, "none of the flips was noticed");
}

#[test]
fn a_torn_tail_is_cut() {
    for keep_percent in [1, 30, 60, 90] {
        let (dir, _, store) = damaged_copy(|bytes| {
            let used = bytes.iter().rposition(|&byte| byte != 0).expect("has data");
            bytes.truncate(used * keep_percent / 100);
        });
        goes_on(&store);
        store.close();
        let (_store, report) = open(dir.path());
        assert_eq!(report.messages, Vec::<String>::new(), "{keep_percent} %");
    }
}

#[test]
fn a_foreign_file_is_moved_aside_and_an_empty_store_starts() {
    let (dir, report, store) = damaged_copy(|bytes| *bytes = b"no database at all".repeat(1_000));
    let aside = report.quarantined_to.clone().expect("moved");
    assert!(Path::new(&aside).join("store.redb").exists());
    assert_eq!(report.messages.len(), 1, "{report:?}");
    // History is another matter: it is all still there.
    assert_eq!(
        (store.entities().len(), history_of(&store, "b").len()),
        (0, 100)
    );
    goes_on(&store);
    store.close();
    let (store, report) = open(dir.path());
    assert_eq!((report.messages.len(), report.entities), (0, 2));
    assert_eq!(history_of(&store, "b").len(), 100);
}

#[test]
fn an_overwritten_header_costs_nothing() {
    let (_dir, report, store) = damaged_copy(|bytes| bytes[..512].fill(0xEE));
    assert_eq!(
        (report.damaged_groups, report.damaged_windows),
        (0, 0),
        "{report:?}"
    );
    assert_eq!(missing(&store), Vec::<i64>::new());
    assert_eq!(
        (means(&store, "b").len(), means(&store, "c").len()),
        (100, 100)
    );
    assert_eq!(history_of(&store, "b").len(), 100);
    assert_eq!(
        codes(&append(&store, vec![record("a", 139, 0, 139.0)])),
        ["duplicate"]
    );
    goes_on(&store);
}

#[test]
fn an_interrupted_salvage_is_taken_up_again() {
    let (dir, _, store) = damaged_copy(|_| {});
    drop(store);
    let path = dir.path().join("store.redb");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[..512].fill(0xEE);
    fs::write(dir.path().join("store.redb.damaged"), &bytes).expect("written");
    // What the interrupted run had begun: a database without a checkpoint of the salvaged windows.
    fs::write(&path, b"").expect("written");
    let (store, report) = open(dir.path());
    assert!(report.messages[0].contains("interrupted"), "{report:?}");
    assert_eq!(missing(&store), Vec::<i64>::new());
    assert!(!dir.path().join("store.redb.damaged").exists());
}

#[test]
fn a_damaged_database_of_other_settings_is_refused_and_left_alone() {
    let (dir, _, store) = damaged_copy(|_| {});
    store.close();
    drop(store);
    let path = dir.path().join("store.redb");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[..512].fill(0xEE);
    fs::write(&path, &bytes).expect("written");
    let other = StoreConfig {
        step_secs: 60,
        ..config(dir.path())
    };
    let refused = Store::open(other, Schema::server(), late_clock());
    assert!(refused.is_err_and(|error| error.to_string().contains("step_secs 300, not 60")));
    assert_eq!(fs::read(&path).expect("still there"), bytes);
}

#[test]
fn a_damaged_history_part_is_left_out_and_told() {
    let (dir, _, store) = damaged_copy(|_| {});
    store.close();
    let day = dir.path().join("history/kind=server/day=2026-03-01");
    let part = fs::read_dir(&day)
        .expect("there")
        .flatten()
        .map(|entry| entry.path())
        .min()
        .expect("a part");
    let bytes = fs::read(&part).expect("readable");
    fs::write(&part, &bytes[..bytes.len() / 2]).expect("written");
    let (store, report) = open(dir.path());
    assert_eq!((report.damaged_parts, report.messages.len()), (1, 1));
    assert!(part.with_extension("parquet.damaged").exists());
    goes_on(&store);
}
