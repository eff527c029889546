//! Too little space: records are refused, everything else goes on, and it ends by itself.

use std::sync::atomic::AtomicU64;

use super::disk::MemoryDisk;
use super::*;
use crate::AppendError;
use crate::store::Environment;

#[test]
fn below_the_reserve_records_are_refused_until_there_is_space() {
    let dir = tempfile::tempdir().expect("a folder");
    let free = Arc::new(AtomicU64::new(5_000));
    let seen = Arc::clone(&free);
    let environment = Environment {
        free_bytes: Box::new(move |_| Ok(seen.load(Ordering::Relaxed))),
        ..Environment::default()
    };
    let reserve = StoreConfig {
        min_free_bytes: 1_000,
        ..config(dir.path())
    };
    let (store, _) =
        Store::open_in(reserve, Schema::server(), late_clock(), environment).expect("opens");
    accept(&store, vec![record("a", 1, 0, 1.0)]);
    free.store(999, Ordering::Relaxed);
    std::thread::sleep(std::time::Duration::from_millis(600));
    let refused = wait(store.append(vec![record("a", 2, 0, 1.0)]));
    assert_eq!(
        refused,
        Err(AppendError::DiskFull {
            min_free_bytes: 1_000
        })
    );
    assert!(store.stats().disk_is_full);
    assert_eq!(means(&store, "a").len(), 1, "reading goes on");
    free.store(5_000, Ordering::Relaxed);
    accept(&store, vec![record("a", 2, 0, 1.0)]);
    assert!(!store.stats().disk_is_full);
}

#[test]
fn a_write_that_finds_no_space_changes_nothing_and_the_next_one_works() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = MemoryDisk::default();
    let (store, _) = Store::open_in(
        config(dir.path()),
        Schema::server(),
        late_clock(),
        disk.environment(),
    )
    .expect("opens");
    accept(&store, vec![record("a", 1, 0, 1.0)]);
    disk.set_full(true);
    for _ in 0..3 {
        let refused = wait(store.append(vec![record("a", 2, 0, 1.0), record("b", 2, 0, 1.0)]));
        assert!(
            matches!(refused, Err(AppendError::DiskFull { .. })),
            "{refused:?}"
        );
        assert_eq!(wait(store.checkpoint()), Ok(false));
    }
    assert_eq!((means(&store, "a").len(), store.entities().len()), (1, 1));
    disk.set_full(false);
    accept(&store, vec![record("a", 2, 0, 1.0), record("b", 2, 0, 1.0)]);
    checkpoint(&store);
    drop(store);
    let disk = disk.after_crash(|| false);
    let (store, report) = Store::open_in(
        config(dir.path()),
        Schema::server(),
        late_clock(),
        disk.environment(),
    )
    .expect("opens");
    assert_eq!(report.messages, Vec::<String>::new());
    assert_eq!((means(&store, "a").len(), means(&store, "b").len()), (2, 1));
}
