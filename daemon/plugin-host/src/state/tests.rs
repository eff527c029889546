//! What is set is there after a restart, at whatever byte the last append was torn.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1000;

fn set(key: &str, value: &[u8]) -> Change {
    Change {
        key: key.to_owned(),
        expected: None,
        value: Some(value.to_vec()),
        expires_ms: None,
        limit_bytes: LIMIT,
    }
}

fn remove(key: &str) -> Change {
    Change {
        value: None,
        ..set(key, b"")
    }
}

fn store(dir: &Path) -> PluginStore {
    PluginStore::open(Some(dir), "chat").expect("opens")
}

#[test]
fn values_survive_a_restart_and_expire() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = store(dir.path());
    first.change(set("a", b"1"), 0).expect("set");
    first.change(set("a", b"2"), 0).expect("set");
    first.change(set("b", b"3"), 0).expect("set");
    first.change(remove("b"), 0).expect("removed");
    let soon = Change {
        expires_ms: Some(100),
        ..set("c", b"4")
    };
    first.change(soon, 0).expect("set");
    for store in [first, store(dir.path())] {
        assert_eq!(store.get("a", 0).as_deref(), Some(&b"2"[..]));
        assert_eq!(store.get("b", 0), None);
        assert_eq!(store.get("c", 99).as_deref(), Some(&b"4"[..]));
        assert_eq!(store.get("c", 100), None);
    }
}

#[test]
fn comparing_decides() {
    let store = PluginStore::open(None, "chat").expect("opens");
    let expecting = |expected: Option<&[u8]>| Change {
        expected: Some(expected.map(<[u8]>::to_vec)),
        ..set("a", b"new")
    };
    assert!(!store.change(expecting(Some(b"x")), 0).expect("compared"));
    assert!(store.change(expecting(None), 0).expect("compared"));
    assert!(!store.change(expecting(None), 0).expect("compared"));
    assert!(store.change(expecting(Some(b"new")), 0).expect("compared"));
}

#[test]
fn a_full_state_stays_as_it_is_until_something_expires() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let soon = Change {
        expires_ms: Some(100),
        ..set("old", &[0; 600])
    };
    store.change(soon, 0).expect("set");
    let large = || set("new", &[1; 600]);
    assert!(matches!(
        store.change(large(), 50),
        Err(StateError::Full { .. })
    ));
    assert_eq!(store.get("old", 50).map(|v| v.len()), Some(600));
    store.change(large(), 100).expect("there is room again");
}

#[test]
fn the_file_does_not_grow_without_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let store_ = store(dir.path());
    let path = dir.path().join("chat.state");
    for round in 0..2000_u32 {
        store_
            .change(set("a", &round.to_le_bytes().repeat(50)), 0)
            .expect("set");
    }
    let size = fs::metadata(&path).expect("there").len();
    assert!(size < 2 * COMPACT_FROM_BYTES, "{size}");
    let last = 1999_u32.to_le_bytes().repeat(50);
    assert_eq!(store(dir.path()).get("a", 0), Some(last));
}

#[test]
fn a_foreign_file_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("chat.state");
    fs::write(&path, b"something else entirely").expect("written");
    assert!(PluginStore::open(Some(dir.path()), "chat").is_err());
    assert_eq!(fs::read(&path).expect("there"), b"something else entirely");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the number of bytes that reached the disk: all whole entries are there, in order, and the next change
    /// is kept.
    #[test]
    fn a_torn_append_loses_itself_and_nothing_else(
        values in proptest::collection::vec((0u8..4, proptest::collection::vec(any::<u8>(), 0..40)), 1..12),
        cut in 0.0f64..1.0,
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("chat.state");
        let mut ends = Vec::new();
        let written = store(dir.path());
        for (key, value) in &values {
            written.change(set(&key.to_string(), value), 0).expect("set");
            ends.push(fs::metadata(&path).expect("there").len());
        }
        drop(written);
        let keep = (ends[ends.len() - 1] as f64 * cut) as u64;
        File::options().write(true).open(&path).expect("ours").set_len(keep).expect("cut");
        let mut expected = BTreeMap::new();
        for ((key, value), end) in values.iter().zip(&ends) {
            if *end <= keep {
                expected.insert(key.to_string(), value.clone());
            }
        }
        let recovered = store(dir.path());
        for key in 0u8..4 {
            let key = key.to_string();
            prop_assert_eq!(recovered.get(&key, 0), expected.get(&key).cloned());
        }
        recovered.change(set("next", b"x"), 0).expect("set");
        prop_assert_eq!(store(dir.path()).get("next", 0), Some(b"x".to_vec()));
    }
}
