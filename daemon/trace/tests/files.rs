//! Traces of every shape people write, and files that are none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_schema::Schema;
use argus_trace::{
    ForecastWriter, Incident, Series, TraceError, TraceReader, TraceWriter, read_merged,
    read_origins, read_series, write_incidents,
};
use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    LargeStringArray, NullArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;

const SECOND_MS: i64 = 1_000;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .expect("test columns agree");
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn place(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

fn names() -> ArrayRef {
    Arc::new(StringArray::from(vec!["a", "a"]))
}

fn cpu() -> ArrayRef {
    Arc::new(Float32Array::from(vec![1.5, 2.5]))
}

#[test]
fn every_type_of_time_is_read() {
    let (_dir, path) = place("t.parquet");
    let schema = Schema::server();
    let check = |times: ArrayRef, expected: [i64; 2]| {
        let shown = times.data_type().to_string();
        write(
            &path,
            vec![
                ("timestamp", times),
                ("server_name", names()),
                ("cpu_user_pct", cpu()),
            ],
        );
        let series = read_series(&path, &schema).expect(&shown);
        assert_eq!(series[0].times_ms, expected, "{shown}");
    };
    check(
        Arc::new(TimestampSecondArray::from(vec![1, 2])),
        [SECOND_MS, 2 * SECOND_MS],
    );
    check(
        Arc::new(TimestampMillisecondArray::from(vec![1, 2])),
        [1, 2],
    );
    check(
        Arc::new(TimestampMillisecondArray::from(vec![1, 2]).with_timezone("UTC")),
        [1, 2],
    );
    check(
        Arc::new(TimestampMicrosecondArray::from(vec![-1, 2_000]).with_timezone("Europe/Berlin")),
        [-1, 2],
    );
    check(
        Arc::new(TimestampNanosecondArray::from(vec![1_000_000, 2_000_000])),
        [1, 2],
    );
    check(
        Arc::new(Int64Array::from(vec![1, 1_600_000_000_000])),
        [SECOND_MS, 1_600_000_000_000],
    );
    check(
        Arc::new(StringArray::from(vec![
            "1970-01-01T00:00:01Z",
            "1970-01-01T00:00:02",
        ])),
        [1_000, 2_000],
    );
    check(
        Arc::new(LargeStringArray::from(vec![
            "1970-01-01T00:00:01Z",
            "1970-01-01T01:00:02+01:00",
        ])),
        [1_000, 2_000],
    );
}

#[test]
fn every_type_of_value_and_name_is_read() {
    let (_dir, path) = place("t.parquet");
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1, 2]));
    let dictionary: DictionaryArray<Int32Type> = ["a", "a"].into_iter().collect();
    write(
        &path,
        vec![
            ("timestamp", times),
            ("server_name", Arc::new(dictionary)),
            (
                "cpu_user_pct",
                Arc::new(Float64Array::from(vec![Some(1.0), None])),
            ),
            (
                "cpu_sys_pct",
                Arc::new(Float32Array::from(vec![f32::INFINITY, 2.0])),
            ),
            ("back_close_wait", Arc::new(Int32Array::from(vec![3, 4]))),
            ("java_cpu_pct", Arc::new(NullArray::new(2))),
            (
                "status",
                Arc::new(StringArray::from(vec!["healthy", "banana"])),
            ),
            (
                "profile",
                Arc::new(StringArray::from(vec![Some("database"), None])),
            ),
            ("cores", Arc::new(Int64Array::from(vec![None, Some(8)]))),
            ("x_extra", Arc::new(BooleanArray::from(vec![true, false]))),
        ],
    );
    let schema = Schema::server();
    let series = read_series(&path, &schema).unwrap();
    let metric = |name: &str| &series[0].values[schema.metric_index(name).unwrap()];
    assert_eq!(metric("cpu_user_pct")[0], 1.0);
    assert!(metric("cpu_user_pct")[1].is_nan() && metric("cpu_sys_pct")[0].is_nan());
    assert_eq!(metric("back_close_wait"), &[3.0, 4.0]);
    assert!(metric("java_cpu_pct").iter().all(|value| value.is_nan()));
    assert!(
        metric("uptime_days").iter().all(|value| value.is_nan()),
        "a column that is not there is missing, not 0"
    );
    assert_eq!(
        series[0].status,
        [schema.status_code("healthy").unwrap(), 0]
    );
    assert_eq!(series[0].profile.as_deref(), Some("database"));
    assert_eq!(series[0].cores, Some(8.0));

    let mut reader = TraceReader::open(&path, &schema).unwrap();
    assert_eq!(reader.rows_total(), 2);
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 1);
    assert_eq!(reader.unknown_statuses(), 1);
}

#[test]
fn series_are_sorted_and_the_first_of_equal_times_counts() {
    let (_dir, path) = place("t.parquet");
    write(
        &path,
        vec![
            (
                "timestamp",
                Arc::new(TimestampMillisecondArray::from(vec![30, 10, 20, 10, 30])),
            ),
            (
                "server_name",
                Arc::new(StringArray::from(vec!["b", "b", "a", "a", "b"])),
            ),
            (
                "cpu_user_pct",
                Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0, 5.0])),
            ),
        ],
    );
    let schema = Schema::server();
    let series = read_series(&path, &schema).unwrap();
    let shown: Vec<_> = series
        .iter()
        .map(|s| (s.name.as_str(), s.times_ms.clone(), s.values[0].clone()))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", vec![10, 20], vec![4.0, 3.0]),
            ("b", vec![10, 30], vec![2.0, 1.0])
        ]
    );

    let merged = read_merged(&path, &schema).unwrap();
    assert_eq!(merged.len(), 5);
    let rows: Vec<_> = merged
        .map(|row| (row.time_ms, row.server.to_string(), row.values[0]))
        .collect();
    let expected = [
        (10, "a", 4.0),
        (10, "b", 2.0),
        (20, "a", 3.0),
        (30, "b", 1.0),
        (30, "b", 5.0),
    ];
    assert_eq!(
        rows,
        expected.map(|(time, name, value)| (time, name.to_owned(), value))
    );
}

#[test]
fn what_is_written_is_read_back() {
    let (dir, path) = place("t.parquet");
    let schema = Schema::server();
    let mut values = vec![vec![f32::NAN; 2]; schema.metrics.len()];
    values[0] = vec![1.0, f32::NAN];
    let series = Series {
        name: "ppdb001".to_owned(),
        profile: Some("database".to_owned()),
        cores: Some(4.0),
        times_ms: vec![0, 300_000],
        values,
        status: vec![2, 0],
    };
    let mut writer = TraceWriter::create(&path, &schema).unwrap();
    writer.write(&series).unwrap();
    writer.finish().unwrap();
    let read = read_series(&path, &schema).unwrap();
    // NaN differs from itself, so compare the text.
    assert_eq!(format!("{read:?}"), format!("{:?}", [series]));

    // A writer that is dropped leaves nothing.
    let unfinished = dir.path().join("u.parquet");
    drop(TraceWriter::create(&unfinished, &schema).unwrap());
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["t.parquet"]);
}

#[test]
fn forecasts_and_origins_round_trip() {
    let (_dir, path) = place("f.parquet");
    let mut writer = ForecastWriter::create(&path).unwrap();
    writer
        .write(
            "a",
            300_000,
            "cpu_user_pct",
            [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        )
        .unwrap();
    writer.finish().unwrap();
    // A forecast file has the columns of an origins file.
    let origins = read_origins(&path).unwrap();
    assert_eq!(origins.len(), 2);
    assert_eq!(
        (origins[0].server.as_str(), origins[0].origin_ms),
        ("a", 300_000)
    );
    assert!(matches!(
        TraceReader::open(&path, &Schema::server()),
        Err(TraceError::MissingColumn {
            column: "timestamp",
            ..
        })
    ));
}

#[test]
fn incidents_are_csv() {
    let (_dir, path) = place("i.csv");
    let incident = Incident {
        server: "web,\"01\"".to_owned(),
        start_ms: 0,
        end_ms: 300_000,
        kind: "memory_leak".to_owned(),
        metrics: vec!["mem_used_pct".to_owned(), "swap_used_pct".to_owned()],
    };
    write_incidents(&path, &[incident]).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "server_name,start,end,kind,metrics\n\
         \"web,\"\"01\"\"\",1970-01-01T00:00:00Z,1970-01-01T00:05:00Z,memory_leak,mem_used_pct|swap_used_pct\n"
    );
}

#[test]
fn unusable_files_say_what_is_wrong() {
    let (dir, path) = place("t.parquet");
    let schema = Schema::server();
    let times = || -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![1, 2])) };
    let check = |columns: Vec<(&str, ArrayRef)>, expected: &str| {
        write(&path, columns);
        let error = read_series(&path, &schema).expect_err(expected).to_string();
        let error = error.replace(&*dir.path().to_string_lossy(), "DIR");
        assert_eq!(error, expected);
    };
    check(
        vec![("server_name", names()), ("cpu_user_pct", cpu())],
        "`DIR/t.parquet` has no column `timestamp`; its columns are: server_name, cpu_user_pct",
    );
    check(
        vec![
            ("timestamp", times()),
            ("host", names()),
            ("cpu_user_pct", cpu()),
        ],
        "`DIR/t.parquet` has no column `server_name`; its columns are: timestamp, host, cpu_user_pct",
    );
    check(
        vec![
            ("timestamp", times()),
            ("server_name", names()),
            ("cpu", cpu()),
        ],
        "`DIR/t.parquet` has none of the metrics of schema `server`; its columns are: timestamp, server_name, cpu",
    );
    check(
        vec![
            ("timestamp", cpu()),
            ("server_name", names()),
            ("cpu_user_pct", cpu()),
        ],
        "`DIR/t.parquet`: column `timestamp` is of type Float32; a timestamp, RFC 3339 text or a whole number \
         (epoch seconds or milliseconds) is needed",
    );
    check(
        vec![
            ("timestamp", times()),
            ("server_name", cpu()),
            ("cpu_user_pct", cpu()),
        ],
        "`DIR/t.parquet`: column `server_name` is of type Float32; text is needed",
    );
    check(
        vec![
            ("timestamp", times()),
            ("server_name", names()),
            ("cpu_user_pct", names()),
        ],
        "`DIR/t.parquet`: column `cpu_user_pct` is of type Utf8; a floating-point or whole number is needed",
    );
    let empty_name: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    check(
        vec![
            ("timestamp", times()),
            ("server_name", empty_name),
            ("cpu_user_pct", cpu()),
        ],
        "`DIR/t.parquet`: row 1, column `server_name`: is empty; every row needs a server",
    );
    let bad_time: ArrayRef = Arc::new(StringArray::from(vec!["1970-01-01T00:00:00Z", "soon\n"]));
    check(
        vec![
            ("timestamp", bad_time),
            ("server_name", names()),
            ("cpu_user_pct", cpu()),
        ],
        "`DIR/t.parquet`: row 1, column `timestamp`: `soon\\n` is not an RFC 3339 time",
    );
    let far_time: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(i64::MAX)]));
    check(
        vec![
            ("timestamp", far_time),
            ("server_name", names()),
            ("cpu_user_pct", cpu()),
        ],
        "`DIR/t.parquet`: row 0, column `timestamp`: is empty; every row needs a time",
    );
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let (_dir, path) = place("t.parquet");
    let schema = Schema::server();
    let rows = 500;
    write(
        &path,
        vec![
            (
                "timestamp",
                Arc::new(TimestampMillisecondArray::from_iter_values(0..rows)),
            ),
            (
                "server_name",
                Arc::new(StringArray::from_iter_values(
                    (0..rows).map(|row| format!("s{}", row % 7)),
                )),
            ),
            (
                "cpu_user_pct",
                Arc::new(Float32Array::from_iter_values(
                    (0..rows).map(|row| row as f32 / 10.0),
                )),
            ),
        ],
    );
    let whole = fs::read(&path).unwrap();
    for length in [0, 3, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(
            read_series(&path, &schema).is_err(),
            "cut to {length} bytes"
        );
    }
    // Single flipped bytes all over the file: whatever the decoder makes of them, it must return.
    for position in (0..whole.len()).step_by(17) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0xa5;
        fs::write(&path, &damaged).unwrap();
        let _ = read_series(&path, &schema);
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        read_series(&path, &schema),
        Err(TraceError::File { .. })
    ));
}
