//! Power cuts at any operation of the disk: what was answered is there, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use argus_schema::Schema;
use proptest::prelude::*;

use super::disk::MemoryDisk;
use super::*;

/// A batch of records, or a checkpoint.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, i64, i64, i8)>),
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (0u8..3, 0i64..60, 0i64..4, any::<i8>());
    let append = proptest::collection::vec(record, 1..12).prop_map(Step::Append);
    proptest::collection::vec(prop_oneof![4 => append, 1 => Just(Step::Checkpoint)], 1..14)
}

/// Per entity and bin: how many records were acknowledged, and how many may have been stored without an answer.
type Ledger = BTreeMap<(u8, i64), (u32, u32)>;

fn run(store: &Store, steps: &[Step], ledger: &mut Ledger) {
    for step in steps {
        match step {
            Step::Checkpoint => drop(wait(store.checkpoint())),
            Step::Append(records) => {
                let sent = records.iter().map(|&(entity, bin, ms, value)| {
                    record(&format!("srv-{entity}"), bin, ms, f32::from(value))
                });
                let answer = wait(store.append(sent.collect()));
                for (at, &(entity, bin, _, _)) in records.iter().enumerate() {
                    let entry = ledger.entry((entity, bin)).or_default();
                    match &answer {
                        Ok(verdicts) if verdicts[at].is_ok() => entry.0 += 1,
                        Ok(_) => {}
                        // Refused with an error, but the power went at the same time: it may be there.
                        Err(_) => entry.1 += 1,
                    }
                }
            }
        }
    }
}

fn counts(store: &Store) -> BTreeMap<(u8, i64), u32> {
    let mut counts = BTreeMap::new();
    for entity in 0..3u8 {
        for row in all_history(store, &format!("srv-{entity}")) {
            counts.insert((entity, (row.bin_ms - MARCH) / STEP_MS), row.count);
        }
    }
    counts
}

/// A small open range, so that bins fold, go to history, and get late records within sixty bins.
fn small(dir: &Path) -> StoreConfig {
    StoreConfig {
        exact_bins: 4,
        ..config(dir)
    }
}

fn open_on(disk: &MemoryDisk, dir: &Path) -> (Arc<Store>, RecoveryReport) {
    Store::open_in(
        small(dir),
        Schema::server(),
        late_clock(),
        disk.environment(),
    )
    .expect("opens")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_was_answered_survives_any_power_cut(
        before in steps(),
        during in steps(),
        after in steps(),
        cut_after in 0u64..400,
        fates in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = MemoryDisk::default();
        let mut ledger = Ledger::new();
        let (store, _) = open_on(&disk, dir.path());
        run(&store, &before, &mut ledger);
        disk.cut_power_after(cut_after);
        run(&store, &during, &mut ledger);
        drop(store);

        let mut fates = fates.into_iter().cycle();
        let disk = disk.after_crash(|| fates.next().unwrap_or(true));
        let (store, report) = open_on(&disk, dir.path());
        prop_assert_eq!(&report.messages, &Vec::<String>::new());
        let recovered = counts(&store);
        for (key, &(acknowledged, unanswered)) in &ledger {
            let found = recovered.get(key).copied().unwrap_or(0);
            prop_assert!(
                (acknowledged..=acknowledged + unanswered).contains(&found),
                "{key:?} has {found} records, {acknowledged} were acknowledged and {unanswered} not answered"
            );
        }
        // The recovered store goes on like any other, and an orderly restart keeps all of it.
        let mut ledger: Ledger = recovered.iter().map(|(&key, &count)| (key, (count, 0))).collect();
        run(&store, &after, &mut ledger);
        store.close();
        let (store, report) = open_on(&disk, dir.path());
        prop_assert_eq!(report.replayed_groups, 0);
        ledger.retain(|_, &mut (acknowledged, _)| acknowledged > 0);
        let expected: BTreeMap<_, _> = ledger.into_iter().map(|(key, (count, _))| (key, count)).collect();
        prop_assert_eq!(counts(&store), expected);
    }
}

#[test]
fn a_copy_taken_at_any_moment_holds_what_was_answered_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open_with(small(dir.path()), late_clock());
    for bin in 0..30 {
        accept(
            &store,
            vec![record("a", bin, 0, 1.0), record("b", bin, 7, 2.0)],
        );
        if bin % 7 == 3 {
            checkpoint(&store);
        }
        let copies = tempfile::tempdir().expect("a folder");
        copy_dir(dir.path(), copies.path());
        let (copy, _) = open_with(small(copies.path()), late_clock());
        let expected: Vec<_> = (0..=bin).map(|bin| (bin, 1, 1.0, 1.0)).collect();
        assert_eq!(history_of(&copy, "a"), expected, "after bin {bin}");
        assert_eq!(means(&copy, "b"), (0..=bin).map(|bin| (bin, 2.0)).collect());
    }
}
