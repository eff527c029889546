//! What the parser takes, what it refuses, and what it says then.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use argus_schema::{
    Alias, Limits, Mapping, Meaning, Notes, Record, RecordParser, RejectCode, Rejection, Schema,
};
use serde_json::{Value, json};

/// 2026-11-21T12:00:00Z.
const NOW_MS: i64 = 1_795_262_400_000;

fn parser(mapping: Mapping) -> RecordParser {
    RecordParser::new(Schema::server(), mapping, Limits::default())
}

fn parse_with(mapping: Mapping, record: &Value) -> Result<(Record, Notes), Rejection> {
    parser(mapping).parse(record.as_object().expect("tests pass objects"), NOW_MS)
}

fn parse(record: &Value) -> Result<(Record, Notes), Rejection> {
    parse_with(Mapping::default(), record)
}

/// A record of `web-1` at noon with these fields besides.
fn with(fields: Value) -> Value {
    let mut record = json!({"server_name": "web-1", "timestamp": "2026-11-21T12:00:00Z"});
    let object = record.as_object_mut().expect("it is one");
    object.extend(fields.as_object().expect("tests pass objects").clone());
    record
}

/// The metrics that are present, by name.
fn metrics(record: &Record) -> Vec<(String, f32)> {
    let schema = Schema::server();
    let named = schema
        .metrics
        .iter()
        .map(|metric| metric.name.clone())
        .zip(record.values.iter().copied());
    named
        .filter(|(_, value)| !value.is_nan())
        .collect::<Vec<_>>()
}

#[track_caller]
fn check_metrics(fields: Value, expected: &[(&str, f32)], shadowed_fields: u32) {
    let (record, notes) = parse(&with(fields)).expect("the record is good");
    let mut found = metrics(&record);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    assert_eq!(
        notes,
        Notes {
            shadowed_fields,
            ..Notes::default()
        }
    );
}

#[track_caller]
fn check_rejected(record: Value, code: RejectCode, field: Option<&str>, message: &str) {
    let rejection = parse(&record).expect_err("the record is bad");
    assert_eq!(
        (rejection.code, rejection.field.as_deref()),
        (code, field),
        "{rejection}"
    );
    assert_eq!(rejection.message, message);
    assert_eq!(rejection.index, 0);
}

#[test]
fn a_full_record() {
    let (record, notes) = parse(&json!({
        "timestamp": "2026-11-21T13:00:00+01:00", "server_name": "ppdb001", "status": "heavy_load",
        "profile": "database", "cores": 16,
        "cpu_user_pct": 25.5, "cpu_sys_pct": 10, "cpu_iowait_pct": 15, "cpu_idle_pct": 49.5, "java_cpu_pct": 0,
        "mem_used_pct": 68, "swap_used_pct": 100, "disk_usage_pct": "70.25", "net_in_mb_s": 1e3,
        "net_out_mb_s": 28, "back_close_wait": 8, "front_close_wait": 6.5, "load_average": 4.2, "uptime_days": 4000,
    }))
    .unwrap();
    assert_eq!(notes, Notes::default());
    assert_eq!(record.entity.as_str(), "ppdb001");
    assert_eq!(record.time_ms, NOW_MS);
    assert_eq!(
        record.status,
        Schema::server().status_code("heavy_load").unwrap()
    );
    assert_eq!(record.profile, Schema::server().profile_code("database"));
    assert_eq!(record.cores, Some(16.0));
    let expected = [
        25.5, 10.0, 15.0, 49.5, 0.0, 68.0, 100.0, 70.25, 1000.0, 28.0, 8.0, 6.5, 4.2, 4000.0,
    ];
    assert_eq!(record.values.to_vec(), expected);
}

#[test]
fn absent_and_null_are_missing() {
    let nulls = with(
        json!({"cpu_user_pct": null, "mem_used_pct": 1, "status": null, "profile": null, "cores": null}),
    );
    let (record, notes) = parse(&nulls).unwrap();
    assert_eq!(metrics(&record), [("mem_used_pct".to_owned(), 1.0)]);
    assert_eq!(
        (record.status, record.profile, record.cores),
        (0, None, None)
    );
    assert_eq!(notes, Notes::default());
}

#[test]
fn a_status_alone_is_an_observation() {
    let (record, _) = parse(&with(json!({"state": "offline"}))).unwrap();
    assert_eq!(
        record.status,
        Schema::server().status_code("offline").unwrap()
    );
    assert!(metrics(&record).is_empty());
}

#[test]
fn every_alias_means_its_metric() {
    for (name, metric) in [
        ("cpu_user", "cpu_user_pct"),
        ("cpu_sys", "cpu_sys_pct"),
        ("cpu_system", "cpu_sys_pct"),
        ("cpu_iowait", "cpu_iowait_pct"),
        ("cpu_idle", "cpu_idle_pct"),
        ("java_cpu", "java_cpu_pct"),
        ("mem_pct", "mem_used_pct"),
        ("memory_pct", "mem_used_pct"),
        ("memory_percent", "mem_used_pct"),
        ("memory_used", "mem_used_pct"),
        ("swap_used", "swap_used_pct"),
        ("disk_pct", "disk_usage_pct"),
        ("disk_percent", "disk_usage_pct"),
        ("disk_used", "disk_usage_pct"),
        ("network_in", "net_in_mb_s"),
        ("network_in_mbps", "net_in_mb_s"),
        ("net_rx_mbps", "net_in_mb_s"),
        ("network_out", "net_out_mb_s"),
        ("network_out_mbps", "net_out_mb_s"),
        ("net_tx_mbps", "net_out_mb_s"),
        ("backend_close_wait", "back_close_wait"),
        ("frontend_close_wait", "front_close_wait"),
        ("load", "load_average"),
        ("load_1min", "load_average"),
        ("uptime", "uptime_days"),
    ] {
        check_metrics(json!({name: 12.5}), &[(metric, 12.5)], 0);
        check_metrics(json!({name: 12.5, metric: 7}), &[(metric, 7.0)], 1);
        check_metrics(json!({metric: 7, name: 12.5}), &[(metric, 7.0)], 1);
        check_metrics(json!({name: 12.5, metric: null}), &[(metric, 12.5)], 0);
    }
}

#[test]
fn one_number_for_the_processor() {
    for name in ["cpu_percent", "cpu_pct"] {
        check_metrics(
            json!({name: 30}),
            &[("cpu_user_pct", 30.0), ("cpu_idle_pct", 70.0)],
            0,
        );
        // The record splits its use: the sum must not be added to a part.
        check_metrics(
            json!({name: 30, "cpu_sys_pct": 5}),
            &[("cpu_sys_pct", 5.0), ("cpu_idle_pct", 70.0)],
            0,
        );
        check_metrics(
            json!({name: 30, "cpu_idle": 65}),
            &[("cpu_user_pct", 30.0), ("cpu_idle_pct", 65.0)],
            0,
        );
        let split = [("cpu_user_pct", 20.0), ("cpu_idle_pct", 75.0)];
        check_metrics(
            json!({name: 30, "cpu_user_pct": 20, "cpu_idle_pct": 75}),
            &split,
            1,
        );
    }
    let both = json!({"cpu_percent": 90, "cpu_pct": 30});
    check_metrics(both, &[("cpu_user_pct", 30.0), ("cpu_idle_pct", 70.0)], 1);
}

#[test]
fn the_oldest_records() {
    let (record, _) = parse(&json!({
        "hostname": "web-1", "collection_time": "2026-11-21 12:00:00", "state": "healthy",
        "cpu_percent": "45.2", "memory_percent": "60", "disk_percent": 70.0, "load_average": 1.5,
    }))
    .unwrap();
    let expected = [
        ("cpu_user_pct", 45.2),
        ("cpu_idle_pct", 54.8),
        ("mem_used_pct", 60.0),
        ("disk_usage_pct", 70.0),
        ("load_average", 1.5),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(metrics(&record), expected);
}

#[test]
fn the_factor_of_megabits_is_configured_never_guessed() {
    let mapping = Mapping {
        mbps_factor: 0.125,
        ..Mapping::default()
    };
    let (record, _) = parse_with(
        mapping,
        &with(json!({"net_rx_mbps": 800, "network_out": 800})),
    )
    .unwrap();
    assert_eq!(
        metrics(&record),
        [
            ("net_in_mb_s".to_owned(), 100.0),
            ("net_out_mb_s".to_owned(), 800.0)
        ]
    );
}

#[test]
fn names_can_be_added_and_switched_off() {
    let alias = Alias {
        name: "ram".to_owned(),
        metric: "mem_used_pct".to_owned(),
        meaning: Meaning::Same,
    };
    let (record, _) = parse_with(
        Mapping::default().with_alias(alias),
        &with(json!({"ram": 5, "mem_pct": 6})),
    )
    .unwrap();
    assert_eq!(metrics(&record), [("mem_used_pct".to_owned(), 5.0)]);

    let (record, notes) = parse_with(
        Mapping::off(),
        &with(json!({"mem_pct": 5, "state": "idle"})),
    )
    .unwrap();
    assert!(metrics(&record).is_empty());
    assert_eq!(notes.unknown_fields, 1);
    let rejection =
        parse_with(Mapping::off(), &json!({"hostname": "a", "timestamp": 1})).unwrap_err();
    assert_eq!(rejection.code, RejectCode::MissingServer);
}

#[test]
fn names_of_the_server() {
    for (fields, expected) in [
        (json!({"server_name": "a", "hostname": "b"}), "a"),
        (json!({"hostname": "b", "host": "c"}), "b"),
        (json!({"host": "c"}), "c"),
        (json!({"host.name": "d"}), "d"),
        (json!({"host.hostname": "d"}), "d"),
        (
            json!({"host": {"name": "e", "hostname": "f", "os": {"name": "linux"}}}),
            "e",
        ),
        (json!({"host": {"hostname": "f"}}), "f"),
        (json!({"host": "c", "host.name": "d"}), "d"),
        (
            json!({"server_name": null, "host": {"name": null, "hostname": "f"}}),
            "f",
        ),
    ] {
        let mut record = json!({"@timestamp": NOW_MS, "load": 1});
        record
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let (parsed, _) = parse(&record).unwrap();
        assert_eq!(parsed.entity.as_str(), expected, "{record}");
    }
}

#[test]
fn what_is_noticed_without_refusing() {
    let record = with(json!({
        "timestamp": "2026-11-21T11:00:00", "load": 1, "profile": "frontend", "notes": "x", "cascade_impact": 0.5,
        "host": {"ip": "10.0.0.1"},
    }));
    let (parsed, notes) = parse(&record).unwrap();
    assert_eq!(parsed.profile, None);
    assert_eq!(parsed.time_ms, NOW_MS - 3_600_000);
    let expected = Notes {
        unknown_fields: 2,
        zoneless_timestamp: true,
        unknown_profile: true,
        shadowed_fields: 0,
    };
    assert_eq!(notes, expected);
}

#[test]
fn a_schema_of_ones_own_has_its_own_metrics() {
    let text = "id = \"x\"\nversion = 1\nstatuses = []\nprofiles = [{id = \"p\", label = \"P\"}]\n\
                metrics = [{name = \"cascade_impact\", unit = \"\", min = 0.0, max = 1.0}]\n";
    let parser = RecordParser::new(
        Arc::new(Schema::from_toml(text).unwrap()),
        Mapping::default(),
        Limits::default(),
    );
    let record = with(json!({"cascade_impact": 0.5, "cpu_percent": 3}));
    let (record, notes) = parser.parse(record.as_object().unwrap(), NOW_MS).unwrap();
    assert_eq!(record.values.to_vec(), [0.5]);
    assert_eq!(notes.unknown_fields, 1);
}

#[test]
fn bad_servers() {
    let bad = |name: Value| json!({"server_name": name, "timestamp": NOW_MS, "load": 1});
    check_rejected(
        json!({"timestamp": NOW_MS, "load": 1}),
        RejectCode::MissingServer,
        Some("server_name"),
        "names no server; `server_name` is needed",
    );
    check_rejected(
        bad(json!("")),
        RejectCode::BadServerName,
        Some("server_name"),
        "`server_name` \"\" is empty; a name of 1 to 255 bytes is needed",
    );
    check_rejected(
        bad(json!(17)),
        RejectCode::BadServerName,
        Some("server_name"),
        "`server_name` is 17; text is needed",
    );
    check_rejected(
        bad(json!("a\nb")),
        RejectCode::BadServerName,
        Some("server_name"),
        "`server_name` \"a\\nb\" contains a control character",
    );
    check_rejected(
        bad(json!("x".repeat(256))),
        RejectCode::BadServerName,
        Some("server_name"),
        &format!(
            "`server_name` \"{}…\" is 256 bytes long; at most 255 are allowed",
            "x".repeat(64)
        ),
    );
    assert!(parse(&bad(json!("x".repeat(255)))).is_ok());
}

#[test]
fn bad_times() {
    let at = |timestamp: Value| json!({"server_name": "web-1", "timestamp": timestamp, "load": 1});
    check_rejected(
        json!({"server_name": "web-1", "load": 1}),
        RejectCode::MissingTimestamp,
        Some("timestamp"),
        "has no `timestamp`; RFC 3339 text or epoch seconds are needed",
    );
    check_rejected(
        at(json!("yesterday")),
        RejectCode::BadTimestamp,
        Some("timestamp"),
        "`timestamp` is \"yesterday\"; RFC 3339 text such as 2026-01-31T12:00:00Z, or a number of epoch seconds or \
         milliseconds, is needed",
    );
    check_rejected(
        at(json!(-1)),
        RejectCode::BadTimestamp,
        Some("timestamp"),
        "`timestamp` is -1; times before 1970 are not possible",
    );
    check_rejected(
        at(json!(NOW_MS + 300_001)),
        RejectCode::FutureTimestamp,
        Some("timestamp"),
        "`timestamp` is 1795262700001, 300 s ahead of this daemon's clock; at most 300 s are allowed",
    );
    assert!(parse(&at(json!(NOW_MS + 300_000))).is_ok());
    assert!(parse(&at(json!(0))).is_ok());
}

#[test]
fn bad_numbers() {
    let cases = [
        (
            json!("NaN"),
            RejectCode::Nan,
            "`load` is \"NaN\"; a finite number is needed, or null where it is unknown",
        ),
        (
            json!("-inf"),
            RejectCode::Infinite,
            "`load` is \"-inf\"; a finite number is needed, or null where it is unknown",
        ),
        (
            json!("1e999"),
            RejectCode::Infinite,
            "`load` is \"1e999\"; a finite number is needed, or null where it is unknown",
        ),
        (
            json!("high"),
            RejectCode::NotANumber,
            "`load` is \"high\"; a number is needed, or null where it is unknown",
        ),
        (
            json!(""),
            RejectCode::NotANumber,
            "`load` is \"\"; a number is needed, or null where it is unknown",
        ),
        (
            json!("0x10"),
            RejectCode::NotANumber,
            "`load` is \"0x10\"; a number is needed, or null where it is unknown",
        ),
        (
            json!(true),
            RejectCode::NotANumber,
            "`load` is true; a number is needed, or null where it is unknown",
        ),
        (
            json!([1]),
            RejectCode::NotANumber,
            "`load` is an array; a number is needed, or null where it is unknown",
        ),
        (
            json!(-0.5),
            RejectCode::OutOfRange,
            "`load` is -0.5 (it means `load_average`); 0 to 3.4028235e38 is allowed",
        ),
        (
            json!(1e39),
            RejectCode::OutOfRange,
            "`load` is 1e+39 (it means `load_average`); 0 to 3.4028235e38 is allowed",
        ),
    ];
    for (value, code, message) in cases {
        check_rejected(with(json!({"load": value})), code, Some("load"), message);
    }
    check_rejected(
        with(json!({"cpu_user_pct": 6540})),
        RejectCode::OutOfRange,
        Some("cpu_user_pct"),
        "`cpu_user_pct` is 6540; 0 to 100 % is allowed",
    );
    check_rejected(
        with(json!({"cpu_percent": 101})),
        RejectCode::OutOfRange,
        Some("cpu_percent"),
        "`cpu_percent` is 101 (it means `cpu_user_pct`); 0 to 100 % is allowed",
    );
    for cores in [json!(0), json!(-1), json!(1e7)] {
        let rejection = parse(&with(json!({"load": 1, "cores": cores}))).unwrap_err();
        assert_eq!(
            (rejection.code, rejection.field.as_deref()),
            (RejectCode::OutOfRange, Some("cores"))
        );
    }
}

#[test]
fn rounding_errors_of_senders_are_no_faults() {
    check_metrics(
        json!({"cpu_user_pct": 100.000_000_000_000_01}),
        &[("cpu_user_pct", 100.0)],
        0,
    );
    check_metrics(json!({"cpu_user_pct": -0.0}), &[("cpu_user_pct", -0.0)], 0);
    check_metrics(json!({"load": " 1.5 "}), &[("load_average", 1.5)], 0);
}

#[test]
fn unknown_statuses_and_records_without_content() {
    let allowed =
        "critical_issue, healthy, heavy_load, idle, maintenance, morning_spike, offline, recovery";
    check_rejected(
        with(json!({"status": "banana", "load": 1})),
        RejectCode::UnknownStatus,
        Some("status"),
        &format!("`status` is \"banana\"; one of {allowed} is needed, or no status at all"),
    );
    for status in [json!(""), json!(1), json!("Healthy"), json!(["healthy"])] {
        let rejection = parse(&with(json!({"state": status, "load": 1}))).unwrap_err();
        assert_eq!(
            (rejection.code, rejection.field.as_deref()),
            (RejectCode::UnknownStatus, Some("state"))
        );
    }
    let rejection = parse(&with(json!({"temperature": 21}))).unwrap_err();
    assert_eq!(
        (rejection.code, rejection.field),
        (RejectCode::NoMetrics, None)
    );
    assert!(
        rejection
            .message
            .starts_with("holds no metric and no status; known metrics are cpu_user_pct, ")
    );
}

#[test]
fn a_rejection_names_the_server_shortened() {
    let name = "é".repeat(100);
    let rejection =
        parse(&json!({"server_name": name, "timestamp": NOW_MS, "load": "x".repeat(10_000)}))
            .unwrap_err();
    assert_eq!(rejection.server.unwrap(), format!("{}…", "é".repeat(64)));
    assert!(rejection.message.len() < 200, "{}", rejection.message);
}
