//! What is taken, and as what.

use std::sync::Arc;

use argus_schema::{
    Alias, Limits, Mapping, Meaning, Notes, Record, RecordParser, RejectCode, Schema,
};
use serde_json::{Value, json};

use crate::{NOW_MS, parse, parse_with, with};

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
fn rounding_errors_of_senders_are_no_faults() {
    check_metrics(
        json!({"cpu_user_pct": 100.000_000_000_000_01}),
        &[("cpu_user_pct", 100.0)],
        0,
    );
    check_metrics(json!({"cpu_user_pct": -0.0}), &[("cpu_user_pct", -0.0)], 0);
    check_metrics(json!({"load": " 1.5 "}), &[("load_average", 1.5)], 0);
}
