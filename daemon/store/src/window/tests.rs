//! The window against a naive model that keeps every record.

use std::collections::BTreeMap;

use argus_schema::{EntityName, Record};
use proptest::prelude::*;

use super::*;
use crate::codec::Take;

const CONFIG: WindowConfig = WindowConfig {
    metrics: 3,
    step_ms: 1_000,
    window_steps: 200,
    exact_bins: 5,
    max_records_per_bin: 6,
    keeps_rows: true,
};

/// Everything that was accepted, by bin.
#[derive(Default)]
struct Model {
    accepted: BTreeMap<i64, Vec<Record>>,
    newest: Option<i64>,
}

impl Model {
    fn check(&self, record: &Record) -> Result<(), &'static str> {
        let bin = record.time_ms.div_euclid(1_000);
        let newest = self.newest.map_or(bin, |newest| newest.max(bin));
        if record.time_ms < 0 || bin <= newest - 200 {
            return Err("too_old");
        }
        let stored = self.accepted.get(&bin).map_or(&[][..], Vec::as_slice);
        if bin > newest - 5
            && let Some(same) = stored.iter().find(|other| other.time_ms == record.time_ms)
        {
            let identical = same
                .values
                .iter()
                .zip(&record.values)
                .all(|(a, b)| a == b || a.is_nan() && b.is_nan())
                && same.status == record.status;
            return Err(if identical {
                "duplicate"
            } else {
                "conflicting_duplicate"
            });
        }
        if stored.len() >= 6 {
            Err("too_many_in_bin")
        } else {
            Ok(())
        }
    }

    fn apply(&mut self, record: &Record) {
        let bin = record.time_ms.div_euclid(1_000);
        self.accepted.entry(bin).or_default().push(record.clone());
        self.newest = self.newest.max(Some(bin));
        let oldest = self.newest.unwrap_or(0) - 199;
        self.accepted.retain(|&bin, _| bin >= oldest);
    }

    fn values(&self, bin: i64, metric: usize) -> Vec<f64> {
        let records = self.accepted.get(&bin).into_iter().flatten();
        records
            .map(|record| f64::from(record.values[metric]))
            .filter(|value| !value.is_nan())
            .collect()
    }

    fn mean(&self, bin: i64, metric: usize) -> f32 {
        let values = self.values(bin, metric);
        if values.is_empty() {
            f32::NAN
        } else {
            (values.iter().sum::<f64>() / values.len() as f64) as f32
        }
    }
}

fn agree(a: f32, b: f32) -> bool {
    a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-5 * (1.0 + b.abs())
}

/// Steps relative to the newest bin: mostly around it, some late, some far ahead, in few distinct milliseconds so that
/// duplicates happen.
fn steps() -> impl Strategy<Value = Vec<(i64, i64, Vec<Option<i16>>, u8)>> {
    let shift = prop_oneof![
        12 => -6i64..3,
        4 => -60i64..0,
        2 => -220i64..-180,
        1 => 3i64..40,
        1 => prop_oneof![Just(150i64), Just(260i64)],
    ];
    let values = proptest::collection::vec(proptest::option::weighted(0.8, -500i16..500), 3);
    proptest::collection::vec((shift, 0i64..4, values, 0u8..3), 1..250)
}

fn record(newest: i64, (shift, ms, values, status): (i64, i64, Vec<Option<i16>>, u8)) -> Record {
    Record {
        entity: EntityName::new("x").expect("legal"),
        time_ms: (newest + shift) * 1_000 + ms * 250,
        status,
        profile: None,
        cores: None,
        values: values
            .iter()
            .map(|value| value.map_or(f32::NAN, |v| f32::from(v) / 8.0))
            .collect(),
    }
}

/// Through bytes and back, as a checkpoint and a restart do.
fn reload(window: &Window) -> Window {
    let mut head = Vec::new();
    window.encode_head(&mut head, 9, i64::MIN);
    let mut take = Take::new(&head);
    let (mut read, blocks) = Window::decode_head(&mut take, CONFIG).expect("whole");
    assert_eq!(take.len(), 0);
    for at in blocks {
        let block = window
            .blocks
            .iter()
            .find(|block| block.index() == at.index)
            .expect("named by the head");
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        read.restore_block(Block::decode(&bytes, at, CONFIG.metrics).expect("whole"));
    }
    read.rows = window.rows.clone();
    read
}

proptest! {
    #[test]
    fn agrees_with_a_model_that_keeps_every_record(steps in steps(), reload_every in 1usize..60) {
        let (mut window, mut model) = (Window::new(CONFIG), Model::default());
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        for (count, step) in steps.into_iter().enumerate() {
            let record = record(model.newest.unwrap_or(1_000), step);
            let verdict = window.check(&Staged::default(), &record);
            prop_assert_eq!(verdict.as_ref().map_err(Refusal::code).copied(), model.check(&record));
            if verdict.is_err() {
                continue;
            }
            window.apply(&record);
            model.apply(&record);
            if count % reload_every == 0 {
                window = reload(&window);
                window.mark_saved(9);
                // What a checkpoint hands to history: the newest row counts, the maximum grows.
                for row in window.unwritten_rows(i64::MIN) {
                    let kept = rows.entry(row.bin).or_insert_with(|| row.clone().into_owned());
                    for (max, new) in kept.max.iter_mut().zip(&row.max) {
                        *max = max.max(*new);
                    }
                    (kept.records, kept.mean) = (row.records, row.mean.clone());
                }
                window.clear_rows(i64::MIN);
            }
        }
        let newest = model.newest.expect("the first record is accepted");
        prop_assert_eq!(window.newest_bin(), Some(newest));
        let mut sum = 0;
        for bin in newest - 230..=newest {
            let expected = model.accepted.get(&bin).map_or(0, Vec::len) as u32;
            prop_assert_eq!(window.records_in(bin), expected, "records in {}", bin);
            sum += window.records_in(bin);
            for metric in 0..3 {
                let (got, want) = (window.mean(bin, metric), model.mean(bin, metric));
                prop_assert!(agree(got, want), "mean of {metric} in {bin}: {got} is not {want}");
            }
        }
        prop_assert_eq!(sum as usize, model.accepted.values().map(Vec::len).sum::<usize>());
        let with_data = model.accepted.range(newest - 49..=newest - 1).count() as u32;
        prop_assert_eq!(window.count_bins(newest - 49, newest - 1), with_data);
        let closed = model.accepted.keys().rev().copied().find(|&bin| bin < newest);
        prop_assert_eq!(window.closed_bin(0, 0), closed);
        prop_assert_eq!(window.closed_bin((newest + 1) * 1_000 + 1, 0), Some(newest));
        check_context(&window, &model, newest, 60)?;
        check_context(&window, &model, newest - 7, 130)?;
        check_rows(&window, &model, rows, newest)?;
    }

    #[test]
    fn staged_records_count_like_applied_ones(steps in steps(), group in 1usize..20) {
        let (mut grouped, mut single) = (Window::new(CONFIG), Window::new(CONFIG));
        let (mut staged, mut waiting) = (Staged::default(), Vec::new());
        for step in steps {
            let record = record(single.newest_bin().unwrap_or(1_000), step);
            let verdict = grouped.check(&staged, &record);
            prop_assert_eq!(&verdict, &single.push(&record).map(|_| ()));
            if verdict.is_ok() {
                staged.add(&CONFIG, &record);
                waiting.push(record);
            }
            if waiting.len() >= group {
                for record in waiting.drain(..) {
                    grouped.apply(&record);
                }
                staged = Staged::default();
            }
        }
    }

    #[test]
    fn damaged_heads_and_blocks_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Window::decode_head(&mut Take::new(&bytes), CONFIG).map(|(mut window, _)| window.settle());
        let _ = Block::decode(&bytes, BlockRef { index: 3, sequence: 1 }, CONFIG.metrics);
    }
}

fn check_context(
    window: &Window,
    model: &Model,
    last: i64,
    steps: u32,
) -> Result<(), TestCaseError> {
    let oldest = (last - i64::from(steps) + 1).max(window.newest_bin().expect("has data") - 199);
    let first = model
        .accepted
        .range(oldest..=last)
        .next()
        .map(|(&bin, _)| bin);
    let context = window.context(last, steps);
    prop_assert_eq!(context.as_ref().map(|context| context.first_bin), first);
    let Some(context) = context else {
        return Ok(());
    };
    for (metric, series) in context.values.iter().enumerate() {
        prop_assert_eq!(series.len() as i64, last - context.first_bin + 1);
        for (bin, &value) in (context.first_bin..).zip(series) {
            prop_assert!(agree(value, model.mean(bin, metric)));
            prop_assert_eq!(
                context.status[(bin - context.first_bin) as usize],
                window.status(bin)
            );
        }
    }
    Ok(())
}

/// Rows that were handed out and rows still in memory together tell the whole window.
fn check_rows(
    window: &Window,
    model: &Model,
    mut rows: BTreeMap<i64, Row>,
    newest: i64,
) -> Result<(), TestCaseError> {
    for row in window.rows_in(i64::MIN, i64::MAX) {
        match rows.get_mut(&row.bin) {
            Some(kept) => {
                kept.max
                    .iter_mut()
                    .zip(&row.max)
                    .for_each(|(max, new)| *max = max.max(*new));
                (kept.records, kept.mean) = (row.records, row.mean);
            }
            None => drop(rows.insert(row.bin, row)),
        }
    }
    for (&bin, records) in model.accepted.range(newest - 199..) {
        let row = rows.get(&bin);
        prop_assert_eq!(
            row.map(|row| row.records as usize),
            Some(records.len()),
            "row of {}",
            bin
        );
        let Some(row) = row else { continue };
        for metric in 0..3 {
            let values = model.values(bin, metric);
            let max = values
                .iter()
                .copied()
                .reduce(f64::max)
                .map_or(f32::NAN, |max| max as f32);
            prop_assert!(
                agree(row.max[metric], max),
                "max of {metric} in {bin}: {} is not {max}",
                row.max[metric]
            );
            prop_assert!(agree(row.mean[metric], model.mean(bin, metric)));
        }
    }
    Ok(())
}

fn simple(time_ms: i64, value: f32) -> Record {
    let entity = EntityName::new("x").expect("legal");
    Record {
        entity,
        time_ms,
        status: 0,
        profile: None,
        cores: None,
        values: [value, f32::NAN, f32::NAN].into(),
    }
}

#[test]
fn the_revision_changes_with_closed_bins_only() {
    let mut window = Window::new(CONFIG);
    let now = 10_500;
    window.push(&simple(9_000, 1.0)).expect("accepted");
    window.push(&simple(10_000, 1.0)).expect("accepted");
    let before = window.closed_revision(now, 0);
    window.push(&simple(10_100, 5.0)).expect("accepted");
    assert_eq!(
        window.closed_revision(now, 0),
        before,
        "the newest bin is open"
    );
    window.push(&simple(9_100, 5.0)).expect("accepted");
    let after = window.closed_revision(now, 0);
    assert_ne!(after, before, "a closed bin changed");
    let closed_by_clock = window.closed_revision(11_001, 0);
    assert_ne!(closed_by_clock, after, "the clock closed the newest bin");
    window.push(&simple(10_200, 5.0)).expect("accepted");
    assert_ne!(window.closed_revision(11_001, 0), closed_by_clock);
}

#[test]
fn one_metric_missing_in_some_records_keeps_its_own_count() {
    let mut window = Window::new(CONFIG);
    let both = |time_ms, a: f32, b: f32| Record {
        values: [a, b, f32::NAN].into(),
        ..simple(time_ms, a)
    };
    window.push(&both(1_000, 2.0, 10.0)).expect("accepted");
    window.push(&both(1_100, 4.0, f32::NAN)).expect("accepted");
    window.push(&simple(50_000, 0.0)).expect("accepted");
    assert_eq!(
        window.push(&both(1_200, 6.0, 20.0)),
        Ok(Applied { late: true })
    );
    assert_eq!(
        (window.mean(1, 0), window.mean(1, 1), window.records_in(1)),
        (4.0, 15.0, 3)
    );
    assert!(window.mean(1, 2).is_nan());
}

#[test]
fn latest_values_are_forgotten_with_their_bin() {
    let mut window = Window::new(CONFIG);
    window.push(&simple(1_000, 7.0)).expect("accepted");
    let bare = Record {
        values: [f32::NAN, 3.0, f32::NAN].into(),
        ..simple(40_000, 0.0)
    };
    window.push(&bare).expect("accepted");
    assert_eq!(window.latest_values(40)[..2], [7.0, 3.0]);
    assert!(window.latest_values(39)[0].is_nan());
}

#[test]
fn a_wider_open_range_after_a_restart_leaves_folded_bins_folded() {
    let mut window = Window::new(CONFIG);
    for second in 0..20 {
        window.push(&simple(second * 1_000, 1.0)).expect("accepted");
    }
    let mut head = Vec::new();
    window.encode_head(&mut head, 9, i64::MIN);
    let wider = WindowConfig {
        exact_bins: 50,
        ..CONFIG
    };
    let (mut read, _) = Window::decode_head(&mut Take::new(&head), wider).expect("whole");
    window
        .blocks
        .iter()
        .for_each(|block| read.restore_block(block.clone()));
    read.settle();
    assert_eq!(read.push(&simple(5_500, 3.0)), Ok(Applied { late: true }));
    assert_eq!((read.mean(5, 0), read.records_in(5)), (2.0, 2));
}

#[test]
fn a_full_window_takes_little_more_than_its_values() {
    let config = WindowConfig {
        metrics: 14,
        step_ms: 300_000,
        window_steps: 2_880,
        exact_bins: 24,
        max_records_per_bin: 100,
        keeps_rows: false,
    };
    let mut window = Window::new(config);
    for bin in 0..3_000 {
        let record = Record {
            values: vec![bin as f32; 14].into(),
            ..simple(bin * 300_000, 0.0)
        };
        window.push(&record).expect("accepted");
    }
    let values = 2_880 * 14 * 4;
    assert!(
        window.heap_bytes() < values * 5 / 4,
        "{} bytes for {values} bytes of values",
        window.heap_bytes()
    );
}
