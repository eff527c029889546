//! However little memory there is and however the rows are cut up, the bins are those of the definition.

use std::collections::BTreeMap;

use argus_trace::{Series, TraceWriter};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const STEP_MS: i64 = 300_000;

/// One row: server, time, a value per metric, status.
type Row = (usize, i64, Vec<f32>, u8);

/// Rows of four servers at odd times, with gaps short and long; the last server has most of them.
fn rows(metrics: usize) -> Vec<Row> {
    let mut rng = StdRng::seed_from_u64(3);
    let mut rows = Vec::new();
    for (server, count) in [(0, 40), (1, 300), (2, 5), (3, 3_000)] {
        let mut time = 1_700_000_000_123;
        for _ in 0..count {
            time += match rng.random_range(0..100) {
                0 => 400 * STEP_MS,
                1..10 => 5 * STEP_MS,
                _ => rng.random_range(1..STEP_MS),
            };
            let value = |_| match rng.random_range(0..5) {
                0 => f32::NAN,
                _ => rng.random_range(0.0..50.0),
            };
            let values = (0..metrics).map(value).collect();
            rows.push((server, time, values, rng.random_range(0..3)));
        }
    }
    rows
}

fn name(server: usize) -> String {
    format!("ppdb{server:04}")
}

/// Writes rows as several files, each row into a file by chance.
fn write(dir: &Path, rows: &[Row], files: usize, schema: &Schema) {
    let mut rng = StdRng::seed_from_u64(files as u64);
    let mut parts: Vec<BTreeMap<usize, Vec<&Row>>> = vec![BTreeMap::new(); files];
    for row in rows {
        let part = &mut parts[rng.random_range(0..files)];
        part.entry(row.0).or_default().push(row);
    }
    for (number, part) in parts.iter().enumerate() {
        let path = dir.join(format!("{number}.parquet"));
        let mut writer = TraceWriter::create(&path, schema).expect("is writable");
        for (server, rows) in part {
            let series = Series {
                name: name(*server),
                profile: None,
                cores: None,
                times_ms: rows.iter().map(|row| row.1).collect(),
                values: (0..schema.metrics.len())
                    .map(|metric| rows.iter().map(|row| row.2[metric]).collect())
                    .collect(),
                status: rows.iter().map(|row| row.3).collect(),
            };
            writer.write(&series).expect("is writable");
        }
        writer.finish().expect("is writable");
    }
}

/// Means and newest status by server and bin.
fn expected(rows: &[Row]) -> BTreeMap<(String, i64), (Vec<f32>, u8)> {
    let mut bins: BTreeMap<(String, i64), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = (name(row.0), row.1.div_euclid(STEP_MS));
        bins.entry(key).or_default().push(row);
    }
    let bin = |rows: Vec<&Row>| {
        let mean = |metric: usize| {
            let seen = rows.iter().map(|row| row.2[metric]).filter(|v| !v.is_nan());
            let (sum, count) =
                seen.fold((0.0, 0), |(sum, count), v| (sum + f64::from(v), count + 1));
            (sum / f64::from(count)) as f32
        };
        let status = rows
            .iter()
            .rev()
            .map(|row| row.3)
            .find(|status| *status != 0);
        (
            (0..rows[0].2.len()).map(mean).collect(),
            status.unwrap_or(0),
        )
    };
    bins.into_iter()
        .map(|(key, rows)| (key, bin(rows)))
        .collect()
}

#[test]
fn little_memory_changes_nothing() {
    let schema = Schema::server();
    let rows = rows(schema.metrics.len());
    let expected = expected(&rows);
    let profiles = ProfileRules::default();
    let mut digests = Vec::new();
    // The most frugal one has to cut its largest server up by time, twice.
    for (files, memory_bytes) in [
        (1, 1 << 24),
        (3, 1 << 24),
        (1, 60_000),
        (3, 60_000),
        (5, 2_000),
    ] {
        let dir = tempfile::tempdir().expect("is writable");
        let traces = dir.path().join("traces");
        fs::create_dir(&traces).expect("is writable");
        write(&traces, &rows, files, &schema);
        let making = Making {
            schema: &schema,
            profiles: &profiles,
            step_secs: 300,
            memory_bytes,
        };
        let sources = [("a", RowsFrom::Files(&traces))];
        let folder = dir.path().join("spool");
        let open = |told: &mut u64| {
            Spool::open_or_make(&folder, &sources, &making, &mut |rows, _| *told = rows)
        };
        let mut told = 0;
        let spool = open(&mut told).expect("is made");
        assert_eq!(told, rows.len() as u64);
        let left = fs::read_dir(&folder).expect("is there").count();
        assert_eq!(left, 2, "only bins and index are left");

        let index = &spool.sources()[0];
        assert_eq!(index.rows, rows.len() as u64);
        assert_eq!(index.servers.len(), 4);
        assert!(
            index
                .servers
                .iter()
                .all(|server| server.profile == "database")
        );
        let mut found = 0;
        for (number, track) in index.tracks.iter().enumerate() {
            let read = spool.read(0, number, 0..track.bins).expect("is there");
            assert!(read.is_observed(0) || read.status[0] != 0 || track.bins == 1);
            for bin in 0..track.bins {
                let key = (
                    index.servers[track.server].name.clone(),
                    track.first_bin + bin as i64,
                );
                let values: Vec<u32> = read.values.iter().map(|v| v[bin].to_bits()).collect();
                match expected.get(&key) {
                    Some((means, status)) => {
                        found += 1;
                        for (value, mean) in values.iter().zip(means) {
                            let value = f32::from_bits(*value);
                            let close = (value - mean).abs() <= 1e-6 * mean.abs();
                            assert!(close || (value.is_nan() && mean.is_nan()), "{key:?}");
                        }
                        assert_eq!(read.status[bin], *status, "{key:?}");
                    }
                    None => assert!(!read.is_observed(bin) && read.status[bin] == 0, "{key:?}"),
                }
            }
        }
        assert_eq!(found, expected.len());
        assert_eq!(
            index.tracks_of("ppdb0002").len(),
            index.tracks.iter().filter(|t| t.server == 2).count()
        );
        assert!(index.tracks_of("nobody").is_empty());
        digests.push(spool.digest().to_owned());

        // It is not made twice, until a file changes.
        told = 0;
        assert_eq!(
            open(&mut told).expect("is there").digest(),
            digests[digests.len() - 1]
        );
        assert_eq!(told, 0);
        write(&traces, &rows[1..], files, &schema);
        assert_ne!(
            open(&mut told).expect("is made").digest(),
            digests[digests.len() - 1]
        );
        assert_eq!(told, rows.len() as u64 - 1);
    }
    assert!(
        digests.windows(2).all(|pair| pair[0] == pair[1]),
        "{digests:?}"
    );
}

#[test]
fn more_rows_in_a_bin_than_memory_holds_are_told() {
    let schema = Schema::server();
    let dir = tempfile::tempdir().expect("is writable");
    let rows: Vec<Row> = (0..2_000)
        .map(|row| {
            (
                0,
                1_700_000_100_000 + row,
                vec![1.0; schema.metrics.len()],
                1,
            )
        })
        .collect();
    write(dir.path(), &rows, 1, &schema);
    let making = Making {
        schema: &schema,
        profiles: &ProfileRules::default(),
        step_secs: 300,
        memory_bytes: 50_000,
    };
    let sources = [("a", RowsFrom::Files(dir.path()))];
    let made = Spool::open_or_make(&dir.path().join("spool"), &sources, &making, &mut |_, _| {});
    let error = made.expect_err("does not fit").to_string();
    assert!(
        error.contains("`ppdb0000` has 2000 rows within 300 s"),
        "{error}"
    );
}
