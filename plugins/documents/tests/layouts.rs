//! Built-in layouts, each over documents as their agents write them.

use argus_documents::{
    Collection, Document, Fields, Found, LAYOUTS, Mapping, MappingConfig, Reader, ReadingConfig,
    Span,
};
use argus_plugin::source::Options;
use argus_plugin::testing::Host;
use argus_plugin::{Error, Host as RealHost};
use serde_json::{Value, json};

const NOW_MS: i64 = 1_770_000_000_000;

/// Documents that all have one time.
struct Same {
    fields: Fields,
    documents: Vec<Value>,
}

impl Collection for Same {
    fn name(&self) -> String {
        "connector `c`".into()
    }

    fn read(
        &self,
        _: &RealHost,
        _: &Span<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<bool, Error> {
        for (n, document) in self.documents.iter().enumerate() {
            let (text, mut found) = (document.to_string(), Found::default());
            self.fields.read(&text, &mut found)?;
            take(Document {
                id: &n.to_string(),
                time_ms: NOW_MS - 10_000,
                tie: None,
                body: &found,
            });
        }
        Ok(true)
    }

    fn counts(&self, _: &RealHost, _: i64, _: i64, _: i64) -> Result<Vec<(i64, u64)>, Error> {
        Ok(Vec::new())
    }
}

fn records(mapping: Value, documents: &[Value]) -> Vec<Value> {
    let mapping: MappingConfig = serde_json::from_value(mapping).expect("a mapping");
    let reader = Reader::new(
        Mapping::new(mapping).expect("fits"),
        ReadingConfig::default(),
    )
    .expect("fits");
    let host = Host::new().at(NOW_MS);
    let options = Options {
        max_records: 1000,
        ..Options::default()
    };
    let same = Same {
        fields: Fields::new(reader.mapping().paths()),
        documents: documents.to_vec(),
    };
    let batch = reader.poll(&host, &same, None, &options).expect("a batch");
    assert_eq!(host.lines(), [], "nothing to complain about");
    let lines = batch
        .items
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("a record"))
        .collect()
}

#[track_caller]
fn check(mapping: Value, documents: &[Value], expected: &[Value]) {
    let found = records(mapping, documents);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let expected = expected.as_object().expect("an object");
        for (name, value) in expected {
            let same = match (found[name].as_f64(), value.as_f64()) {
                (Some(found), Some(value)) => (found - value).abs() < 1e-9 * value.abs().max(1.0),
                _ => found[name] == *value,
            };
            assert!(same, "{name}: {} instead of {value}", found[name]);
        }
        let more: Vec<_> = found
            .as_object()
            .expect("an object")
            .keys()
            .filter(|name| !expected.contains_key(*name))
            .collect();
        assert_eq!(more, ["timestamp"], "{found}");
    }
}

fn metricbeat(name: &str, fields: Value) -> Value {
    let mut document = json!({
        "@timestamp": "2026-02-02T02:39:50.000Z",
        "agent": {"hostname": "agent-1", "type": "metricbeat", "version": "8.19.4"},
        "event": {"dataset": format!("system.{name}"), "duration": 115_000, "module": "system"},
        "host": {"name": "db-01"},
        "metricset": {"name": name, "period": 10_000},
        "service": {"type": "system"},
    });
    merge(&mut document, fields);
    document
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn cpu_norm() -> Value {
    let share = |share: f64| json!({ "norm": { "pct": share }, "pct": share * 24.0, "ticks": 1 });
    json!({"system": {"cpu": {
        "cores": 24, "idle": share(0.9543), "iowait": share(0.0), "irq": share(0.0016), "nice": share(0.0002),
        "softirq": share(0.0007), "steal": share(0.0), "system": share(0.0138), "user": share(0.0295),
        "total": share(0.0457),
    }}})
}

#[test]
fn metricbeat_puts_its_parts_together() {
    let filesystem = |mount: &str, kind: &str, used: f64| {
        metricbeat(
            "filesystem",
            json!({"system": {"filesystem": {
                "device_name": "/dev/sda1", "mount_point": mount, "type": kind, "total": 67_371_577_344_i64,
                "used": {"bytes": 13_832_937_472_i64, "pct": used}, "available": 50_085_941_248_i64,
            }}}),
        )
    };
    let documents = [
        metricbeat("cpu", cpu_norm()),
        metricbeat(
            "memory",
            json!({"system": {"memory": {
                "actual": {"free": 46_533_455_872_i64, "used": {"bytes": 20_981_358_592_i64, "pct": 0.3108}},
                "swap": {"free": 1, "total": 2, "used": {"bytes": 1, "pct": 0.0034}},
                "total": 67_514_814_464_i64, "used": {"bytes": 63_598_215_168_i64, "pct": 0.942},
            }}}),
        ),
        metricbeat(
            "load",
            json!({"system": {"load": {"1": 2.5, "15": 1.0, "5": 1.5, "cores": 24, "norm": {"1": 0.1}}}}),
        ),
        filesystem("/", "ext4", 0.2053),
        filesystem("/data", "xfs", 0.81),
        filesystem("/run", "tmpfs", 0.99),
        metricbeat(
            "network",
            json!({"host": {"network": {"ingress": {"bytes": 20_000_000, "packets": 9}, "egress": {"bytes": 5_000_000}}}}),
        ),
        metricbeat(
            "network",
            json!({"system": {"network": {"name": "eth0", "in": {"bytes": 34_293_500_000_i64}, "out": {"bytes": 1}}}}),
        ),
        metricbeat(
            "socket_summary",
            json!({"system": {"socket": {"summary": {"tcp": {"all": {"close_wait": 3, "count": 50}}}}}}),
        ),
        metricbeat(
            "uptime",
            json!({"system": {"uptime": {"duration": {"ms": 172_800_000_i64}}}}),
        ),
        metricbeat(
            "process",
            json!({"system": {"process": {"cpu": {"total": {"pct": 0.5}}}}, "process": {"pid": 1}}),
        ),
    ];
    check(
        json!({ "layout": "metricbeat" }),
        &documents,
        &[json!({
            "server_name": "db-01", "cores": 24,
            "cpu_user_pct": 2.97, "cpu_sys_pct": 1.61, "cpu_iowait_pct": 0.0, "cpu_idle_pct": 95.43,
            "mem_used_pct": 31.08, "swap_used_pct": 0.34, "disk_usage_pct": 81.0, "net_in_mb_s": 2.0, "net_out_mb_s": 0.5,
            "back_close_wait": 3.0, "load_average": 2.5, "uptime_days": 2.0,
        })],
    );
}

/// Without normalised percentages a core counts as 1; what is missing stays missing.
#[test]
fn metricbeat_without_normalised_percentages() {
    let document = json!({
        "@timestamp": "2017-10-12T08:05:34.853Z",
        "beat": {"hostname": "host.example.com", "name": "host.example.com"},
        "metricset": {"module": "system", "name": "cpu", "rtt": 115},
        "system": {"cpu": {"cores": 4, "idle": {"pct": 3.0}, "user": {"pct": 0.6}, "system": {"pct": 0.4}, "nice": {"pct": 0}}},
    });
    check(
        json!({ "layout": "metricbeat" }),
        &[document],
        &[
            json!({ "server_name": "host.example.com", "cores": 4, "cpu_user_pct": 15.0, "cpu_sys_pct": 10.0, "cpu_idle_pct": 75.0 }),
        ],
    );
}

#[test]
fn telegraf_counts_all_cores_once() {
    let document = |name: &str, tags: Value, fields: Value| {
        let mut document =
            json!({ "@timestamp": "2026-02-02T02:39:50Z", "measurement_name": name, "tag": tags });
        document["tag"]["host"] = json!("web-7");
        document[name] = fields;
        document
    };
    let documents = [
        document(
            "cpu",
            json!({"cpu": "cpu0"}),
            json!({"usage_user": 99.0, "usage_idle": 1.0}),
        ),
        document(
            "cpu",
            json!({"cpu": "cpu-total"}),
            json!({
                "usage_user": 20.0, "usage_nice": 1.0, "usage_system": 5.0, "usage_irq": 0.5, "usage_softirq": 0.5,
                "usage_steal": 0.0, "usage_iowait": 3.0, "usage_idle": 70.0, "usage_guest": 0.0,
            }),
        ),
        document(
            "mem",
            json!({}),
            json!({"used_percent": 42.0, "available_percent": 57.0}),
        ),
        document("swap", json!({}), json!({"used_percent": 0.0})),
        document(
            "disk",
            json!({"path": "/", "fstype": "ext4"}),
            json!({"used_percent": 55.0}),
        ),
        document(
            "disk",
            json!({"path": "/dev/shm", "fstype": "tmpfs"}),
            json!({"used_percent": 100.0}),
        ),
        document(
            "system",
            json!({}),
            json!({"load1": 0.7, "n_cpus": 8, "uptime": 86_400}),
        ),
        document("netstat", json!({}), json!({"tcp_close_wait": 12})),
    ];
    check(
        json!({ "layout": "telegraf" }),
        &documents,
        &[json!({
            "server_name": "web-7", "cores": 8, "cpu_user_pct": 21.0, "cpu_sys_pct": 6.0, "cpu_iowait_pct": 3.0,
            "cpu_idle_pct": 70.0, "mem_used_pct": 42.0, "swap_used_pct": 0.0, "disk_usage_pct": 55.0,
            "back_close_wait": 12.0, "load_average": 0.7, "uptime_days": 1.0,
        })],
    );
}

/// Flat documents go through under their own names; neither is a 0 passed over nor a missing value made one.
#[test]
fn flat_documents_as_they_are() {
    check(
        json!({ "layout": "flat" }),
        &[
            json!({"_id": {"$oid": "0"}, "timestamp": {"$date": "2026-02-02T02:39:50Z"}, "server_name": "ppdb001", "profile": "database",
                   "status": "healthy", "cpu_user_pct": 0, "mem_used_pct": 65.4, "swap_used_pct": null, "comment": "pct"}),
            json!({"hostname": "old-1", "cpu_percent": {"$numberDouble": "12.5"}, "network_in_mbps": "3.5"}),
        ],
        &[
            json!({"server_name": "ppdb001", "profile": "database", "status": "healthy", "cpu_user_pct": 0.0, "mem_used_pct": 65.4}),
            json!({"server_name": "old-1", "cpu_percent": 12.5, "network_in_mbps": 3.5}),
        ],
    );
}

#[test]
fn own_rules_come_before_a_layouts() {
    check(
        json!({
            "layout": "flat",
            "server": ["meta.node"],
            "constants": {"profile": "web_api", "load_average": 1},
            "metrics": [
                {"metric": "mem_used_pct", "path": "memory.used", "divide_by": "memory.total", "unit": "fraction"},
                {"metric": "net_in_mb_s", "path": "rx", "unit": "megabits_per_sec"},
            ],
        }),
        &[
            json!({"meta": {"node": "n1"}, "memory": {"used": 3, "total": 4}, "rx": 80, "mem_used_pct": 1, "load_average": 0}),
        ],
        &[
            json!({"server_name": "n1", "profile": "web_api", "mem_used_pct": 75.0, "net_in_mb_s": 10.0, "load_average": 0.0}),
        ],
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (config, expected) in [
        (json!({}), "mapping.server"),
        (json!({"server": ["host"]}), "mapping.metrics"),
        (
            json!({"layout": "metricbeats"}),
            "there are flat, metricbeat, telegraf",
        ),
        (
            json!({"layout": "flat", "metrics": [{"metric": "mem_used_pct", "path": "m", "unit": "bytes_per_sec"}]}),
            "`mem_used_pct` is not measured in",
        ),
    ] {
        let config: MappingConfig = serde_json::from_value(config).expect("reads");
        let error = Mapping::new(config).expect_err("no mapping");
        assert!(error.message.contains(expected), "{}", error.message);
    }
}

#[test]
fn every_layout_says_where_to_look() {
    for layout in LAYOUTS {
        let config = MappingConfig {
            layout: Some(layout.to_owned()),
            ..MappingConfig::default()
        };
        let paths = Mapping::new(config).expect("fits");
        assert!(paths.paths().len() > 10, "{layout}");
    }
}
