//! Folders of files, some servers at a time; labels in; risk and alerts out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use argus_schema::Schema;
use argus_trace::{
    FiredAlert, Incident, LabelledSpan, RiskWriter, Series, TraceError, TraceWriter, count_servers,
    read_incidents, read_labelled, read_servers, trace_files, write_alerts, write_incidents,
};
use arrow::array::{
    ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::Float64Type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn series(name: &str, times_ms: &[i64], cpu: f32) -> Series {
    let mut values = vec![vec![f32::NAN; times_ms.len()]; 14];
    values[0] = vec![cpu; times_ms.len()];
    Series {
        name: name.to_owned(),
        profile: None,
        cores: None,
        times_ms: times_ms.to_vec(),
        values,
        status: vec![0; times_ms.len()],
    }
}

fn write_trace(path: &Path, all: &[Series]) {
    let mut writer = TraceWriter::create(path, &Schema::server()).unwrap();
    all.iter().for_each(|series| writer.write(series).unwrap());
    writer.finish().unwrap();
}

fn read_back(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    builder.build().unwrap().next().unwrap().unwrap()
}

#[test]
fn servers_of_a_folder_are_read_some_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Schema::server();
    std::fs::create_dir(dir.path().join("day=2")).unwrap();
    write_trace(
        &dir.path().join("part-1.parquet"),
        &[series("a", &[0, 300], 1.0), series("b", &[0], 2.0)],
    );
    write_trace(
        &dir.path().join("day=2/part-2.parquet"),
        &[series("a", &[300, 600], 9.0), series("c", &[900], 3.0)],
    );
    let files = trace_files(dir.path()).unwrap();
    let counts = count_servers(&files, &schema).unwrap();
    let told: Vec<_> = counts
        .iter()
        .map(|(name, c)| (name.as_str(), c.rows, c.first_ms, c.last_ms))
        .collect();
    assert_eq!(told, [("a", 4, 0, 600), ("b", 1, 0, 0), ("c", 1, 900, 900)]);

    let wanted = BTreeSet::from(["a".to_owned(), "c".to_owned()]);
    let read = read_servers(&files, &schema, &wanted).unwrap();
    let names: Vec<&str> = read.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(read[0].times_ms, [0, 300, 600]);
    // At 300 both parts have a row: the later part supersedes the earlier.
    assert_eq!(read[0].values[0], [1.0, 9.0, 9.0]);

    let empty = tempfile::tempdir().unwrap();
    let refused = trace_files(empty.path()).unwrap_err();
    assert!(matches!(refused, TraceError::Empty { .. }), "{refused}");
}

#[test]
fn the_daemons_history_is_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.parquet");
    let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0, 300_000]));
    let columns = [
        (
            "entity",
            Arc::new(StringArray::from(vec!["a", "a"])) as ArrayRef,
        ),
        ("bin_ms", time),
        ("cpu_user_pct", Arc::new(Float32Array::from(vec![1.0, 2.0]))),
        (
            "cpu_user_pct_max",
            Arc::new(Float32Array::from(vec![8.0, 9.0])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let wanted = BTreeSet::from(["a".to_owned()]);
    let read = read_servers(&[path], &Schema::server(), &wanted).unwrap();
    assert_eq!(read[0].times_ms, [0, 300_000]);
    assert_eq!(read[0].values[0], [1.0, 2.0]);
}

#[test]
fn labels_are_read_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incidents.csv");
    let incidents = [Incident {
        server: "we,ird \"name\"".to_owned(),
        start_ms: 1_580_321_700_000,
        end_ms: 1_580_321_999_000,
        kind: "memory_leak".to_owned(),
        metrics: vec!["mem_used_pct".to_owned(), "load_average".to_owned()],
    }];
    write_incidents(&path, &incidents).unwrap();
    assert_eq!(read_incidents(&path).unwrap(), incidents);

    let spans = dir.path().join("labelled.csv");
    let text =
        "server_name,labelled_from,labelled_to\na,1970-01-01T00:00:01Z,1970-01-01 00:00:02+00:00\n";
    std::fs::write(&spans, text).unwrap();
    let span = LabelledSpan {
        server: "a".to_owned(),
        from_ms: 1_000,
        to_ms: 2_000,
    };
    assert_eq!(read_labelled(&spans).unwrap(), [span]);

    std::fs::write(
        &spans,
        "server_name,labelled_from,labelled_to\na,soon,later\n",
    )
    .unwrap();
    let refused = read_labelled(&spans).unwrap_err().to_string();
    assert!(
        refused.contains("labelled_from") && refused.contains("soon"),
        "{refused}"
    );
    let refused = read_incidents(&spans).unwrap_err().to_string();
    assert!(refused.contains("no column `start`"), "{refused}");

    let backwards = "server_name,start,end\na,1970-01-01T00:00:02Z,1970-01-01T00:00:01Z\n";
    std::fs::write(&spans, backwards).unwrap();
    let refused = read_incidents(&spans).unwrap_err().to_string();
    assert!(refused.contains("is before"), "{refused}");
}

#[test]
fn risk_and_alerts_have_the_documented_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("risk.parquet");
    let mut writer = RiskWriter::create(&path).unwrap();
    writer.write("a", 300_000, [80.0, 12.5, 61.5]).unwrap();
    writer.finish().unwrap();
    let risk = read_back(&path);
    let scores: Vec<f64> = ["risk_score", "risk_30m", "risk_unclamped"]
        .map(|name| risk[name].as_primitive::<Float64Type>().value(0))
        .to_vec();
    assert_eq!(scores, [80.0, 12.5, 61.5]);

    let path = dir.path().join("alerts.parquet");
    let alert = FiredAlert {
        server: "a".to_owned(),
        at_ms: 600_000,
        metric: "mem_used_pct".to_owned(),
        severity: "critical",
        probability: 0.7,
        risk_score: 70.0,
    };
    write_alerts(&path, &[alert]).unwrap();
    let alerts = read_back(&path);
    assert_eq!(alerts["server_name"].as_string::<i32>().value(0), "a");
    assert!(alerts.column_by_name("timestamp").is_some());
    assert_eq!(alerts["severity"].as_string::<i32>().value(0), "critical");
}
