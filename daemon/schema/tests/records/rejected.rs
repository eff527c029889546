//! What is refused, and what is said then.

use argus_schema::RejectCode;
use serde_json::{Value, json};

use crate::{NOW_MS, parse, with};

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
            "`load` is -0.5 (it means `load_average`); 0 to 1000000 is allowed",
        ),
        (
            json!(1e39),
            RejectCode::OutOfRange,
            "`load` is 1e+39 (it means `load_average`); 0 to 1000000 is allowed",
        ),
    ];
    for (value, code, message) in cases {
        check_rejected(with(json!({"load": value})), code, Some("load"), message);
    }
    for (metric, allowed) in [
        ("net_in_mb_s", "0 to 1000000 MB/s"),
        ("net_out_mb_s", "0 to 1000000 MB/s"),
        ("back_close_wait", "0 to 10000000 count"),
        ("front_close_wait", "0 to 10000000 count"),
        ("load_average", "0 to 1000000"),
        ("uptime_days", "0 to 36500 days"),
    ] {
        check_rejected(
            with(json!({metric: 3e38})),
            RejectCode::OutOfRange,
            Some(metric),
            &format!("`{metric}` is 3e+38; {allowed} is allowed"),
        );
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
        (rejection.code, rejection.field.as_deref()),
        (RejectCode::NoMetrics, Some("temperature"))
    );
    assert!(rejection.message.starts_with(
        "holds no metric and no status (`temperature` is unknown); known metrics are cpu_user_pct, "
    ));
    let rejection = parse(&with(json!({"a\n".repeat(100): 21}))).unwrap_err();
    assert_eq!(rejection.field.unwrap().chars().count(), 97);
    let rejection = parse(&with(json!({}))).unwrap_err();
    assert_eq!(rejection.field, None);
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
