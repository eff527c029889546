//! Remote write: what node_exporter's series become, and when.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use argus_ingest::remote_write::{Accepted, RemoteWrite, RemoteWriteConfig, Stats, check_headers};
use argus_schema::{Record, Schema};
use proptest::prelude::*;
use wire::{TimeSeries, body, compress, scrape};

/// 2026-11-21T18:11:30Z, a bit after the recorded scrapes.
const T0: i64 = 1_795_284_690_000;
const SCRAPE_1: &str = include_str!("fixtures/node_exporter_1.txt");
const SCRAPE_2: &str = include_str!("fixtures/node_exporter_2.txt");

fn receiver_with(config: RemoteWriteConfig) -> RemoteWrite {
    RemoteWrite::new(Schema::server(), config)
}

fn receiver() -> RemoteWrite {
    receiver_with(RemoteWriteConfig::default())
}

/// The records of one instance's scrapes, each (text, time), sent one per request and left to settle.
fn records(scrapes: &[(&str, i64)]) -> Vec<Record> {
    let receiver = receiver();
    let mut records = Vec::new();
    for (text, time_ms) in scrapes {
        receiver
            .accept(&body(scrape(text, "web-01:9100", *time_ms)), *time_ms)
            .unwrap();
        records.extend(receiver.drain(*time_ms + 6_000));
    }
    records
}

fn value(record: &Record, metric: &str) -> f32 {
    record.values[Schema::server().metric_index(metric).expect(metric)]
}

/// Metrics that are present must be as told, all others missing.
#[track_caller]
fn check(record: &Record, expected: &[(&str, f64)]) {
    for metric in &Schema::server().metrics {
        let found = f64::from(value(record, &metric.name));
        match expected.iter().find(|(name, _)| *name == metric.name) {
            Some((name, expected)) => {
                let tolerance = 1e-6 * expected.abs().max(1e-3);
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{name} is {found}, not {expected}"
                );
            }
            None => assert!(found.is_nan(), "{} is {found}, not missing", metric.name),
        }
    }
}

#[test]
fn a_real_exporter() {
    let records = records(&[(SCRAPE_1, T0), (SCRAPE_2, T0 + 15_000)]);
    let [first, second] = records.as_slice() else {
        panic!("two records, not {records:?}")
    };
    assert_eq!(first.entity.as_str(), "web-01:9100");
    assert_eq!((first.time_ms, second.time_ms), (T0, T0 + 15_000));
    assert_eq!(
        (second.status, second.profile, second.cores),
        (0, None, Some(2.0))
    );
    // No rates in the first scrape of an instance.
    assert!(value(first, "cpu_user_pct").is_nan() && value(first, "net_in_mb_s").is_nan());
    assert!(!value(first, "mem_used_pct").is_nan());
    // Computed from the two files by hand.
    check(
        second,
        &[
            ("cpu_user_pct", 88.737_087_637),
            ("cpu_sys_pct", 10.963_012_329),
            ("cpu_iowait_pct", 0.199_933_355),
            ("cpu_idle_pct", 0.099_966_678),
            ("mem_used_pct", 7.439_206_575),
            ("swap_used_pct", 0.0),
            ("disk_usage_pct", 31.032_921_198),
            ("net_in_mb_s", 0.000_017_4),
            ("net_out_mb_s", 0.000_026_8),
            ("back_close_wait", 0.0),
            ("load_average", 3.11),
            (
                "uptime_days",
                (1_795_284_705.0 - 1_795_281_908.0) / 86_400.0,
            ),
        ],
    );
}

#[test]
fn a_scrape_split_over_requests_is_one_record() {
    let whole = records(&[(SCRAPE_1, T0), (SCRAPE_2, T0 + 15_000)]);
    for size in [1, 2, 7, 30] {
        let receiver = receiver();
        let mut split = Vec::new();
        for (text, time_ms) in [(SCRAPE_1, T0), (SCRAPE_2, T0 + 15_000)] {
            // The parts of a scrape in reverse order, with pauses as long as Prometheus lets a batch wait.
            let mut now_ms = time_ms;
            let mut series = scrape(text, "web-01:9100", time_ms);
            series.reverse();
            for part in series.chunks(size) {
                now_ms += 5_000 * i64::try_from(size).unwrap() / 30;
                receiver.accept(&body(part.to_vec()), now_ms).unwrap();
                split.extend(receiver.drain(now_ms));
            }
            split.extend(receiver.drain(now_ms + 6_000));
        }
        assert_eq!(
            format!("{split:?}"),
            format!("{whole:?}"),
            "parts of {size}"
        );
    }
}

#[test]
fn when_a_scrape_is_complete() {
    let receiver = receiver();
    let send = |time_ms: i64, now_ms: i64| {
        receiver
            .accept(&body(scrape("node_load1 1", "a", time_ms)), now_ms)
            .unwrap();
    };
    let drained = |now_ms| {
        receiver
            .drain(now_ms)
            .iter()
            .map(|record| record.time_ms - T0)
            .collect::<Vec<_>>()
    };
    send(T0, T0);
    assert!(drained(T0 + 5_999).is_empty());
    assert_eq!(drained(T0 + 6_000), [0]);
    // A newer scrape shortens the wait of the older one.
    send(T0 + 10_000, T0 + 10_000);
    send(T0 + 11_000, T0 + 10_500);
    assert!(drained(T0 + 10_999).is_empty());
    assert_eq!(drained(T0 + 11_000), [10_000]);
    assert_eq!(drained(T0 + 16_500), [11_000]);
    // A backlog comes faster than it settles: the oldest scrapes go once too many wait.
    for second in 20..40 {
        send(T0 + second * 1_000, T0 + 40_000);
    }
    assert_eq!(drained(T0 + 40_000), [20_000, 21_000, 22_000, 23_000]);
    let rest = receiver
        .flush()
        .iter()
        .map(|record| record.time_ms - T0)
        .collect::<Vec<_>>();
    assert_eq!(
        rest,
        (24..40).map(|second| second * 1_000).collect::<Vec<_>>()
    );
    assert_eq!(receiver.stats().pending_scrapes, 0);
}

#[test]
fn one_series_may_carry_several_scrapes() {
    let receiver = receiver();
    let mut series = scrape("node_load1 1", "a", T0);
    series[0].samples.push(wire::Sample {
        value: 2.0,
        timestamp: T0 + 15_000,
    });
    let accepted = receiver.accept(&body(series), T0 + 15_000).unwrap();
    assert_eq!(
        accepted,
        Accepted {
            samples: 2,
            ignored: 0
        }
    );
    let records = receiver.drain(T0 + 30_000);
    let loads: Vec<f32> = records
        .iter()
        .map(|record| value(record, "load_average"))
        .collect();
    assert_eq!(loads, [1.0, 2.0]);
}

#[test]
fn a_reboot_starts_the_counters_anew() {
    let before = r#"
        node_cpu_seconds_total{cpu="0",mode="user"} 5000
        node_cpu_seconds_total{cpu="0",mode="idle"} 9000
        node_network_receive_bytes_total{device="eth0"} 9000000000
        node_network_transmit_bytes_total{device="eth0"} 1000000
        node_boot_time_seconds 1795000000
    "#;
    let after = r#"
        node_cpu_seconds_total{cpu="0",mode="user"} 3
        node_cpu_seconds_total{cpu="0",mode="idle"} 9
        node_network_receive_bytes_total{device="eth0"} 30000000
        node_network_transmit_bytes_total{device="eth0"} 2000000
        node_boot_time_seconds 1795284690
    "#;
    let records = records(&[(before, T0), (after, T0 + 15_000)]);
    check(
        &records[1],
        &[
            ("cpu_user_pct", 25.0),
            ("cpu_sys_pct", 0.0),
            ("cpu_iowait_pct", 0.0),
            ("cpu_idle_pct", 75.0),
            ("net_in_mb_s", 2.0),
            ("net_out_mb_s", 1.0 / 15.0),
            ("uptime_days", 15.0 / 86_400.0),
        ],
    );
}

#[test]
fn iowait_that_falls_is_no_reboot() {
    let cpu = |user: f64, iowait: f64, idle: f64| {
        format!(
            "node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {user}\n\
             node_cpu_seconds_total{{cpu=\"0\",mode=\"iowait\"}} {iowait}\n\
             node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\n"
        )
    };
    let records = records(&[
        (&cpu(100.0, 50_000.0, 9.0), T0),
        (&cpu(105.0, 49_999.5, 19.0), T0 + 15_000),
    ]);
    // The first scrape holds nothing but counters: no metric, no record.
    assert_eq!(records.len(), 1);
    assert!((value(&records[0], "cpu_iowait_pct")).abs() < 1e-6);
    assert!((value(&records[0], "cpu_user_pct") - 100.0 / 3.0).abs() < 1e-4);
}

#[test]
fn guests_are_counted_once_and_processors_together() {
    let cpus = |seconds: f64| {
        ["0", "1"].map(|cpu| {
            let mode = |mode: &str, value: f64| {
                format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}} {value}\n")
            };
            let busy = if cpu == "0" { seconds } else { 0.0 };
            let guest =
                format!("node_cpu_guest_seconds_total{{cpu=\"{cpu}\",mode=\"user\"}} {busy}\n");
            let modes = [
                mode("user", busy * 0.5),
                mode("nice", busy * 0.1),
                mode("system", busy * 0.1),
                mode("irq", busy * 0.05),
                mode("softirq", busy * 0.1),
                mode("steal", busy * 0.05),
                mode("iowait", busy * 0.1),
                mode("idle", seconds - busy),
                mode("guest", busy),
            ];
            guest + &modes.concat()
        })
    };
    let records = records(&[
        (&cpus(100.0).concat(), T0),
        (&cpus(110.0).concat(), T0 + 15_000),
    ]);
    let expected = [
        ("cpu_user_pct", 30.0),
        ("cpu_sys_pct", 15.0),
        ("cpu_iowait_pct", 5.0),
        ("cpu_idle_pct", 50.0),
    ];
    check(&records[0], &expected);
    assert_eq!(records[0].cores, Some(2.0));
}

#[test]
fn rates_need_a_recent_scrape_before() {
    let net = |bytes: u64| {
        format!(
            "node_network_receive_bytes_total{{device=\"eth0\"}} {bytes}\n\
             node_network_transmit_bytes_total{{device=\"eth0\"}} {bytes}\nnode_load1 1\n"
        )
    };
    let records = records(&[
        (&net(0), T0),
        (&net(1_000_000), T0 + 900_000),
        (&net(9_000_000), T0 + 1_800_001),
        // A part of the exporter was away: the counters before that still serve.
        ("node_load1 1", T0 + 1_800_501),
        (&net(10_000_000), T0 + 1_801_001),
    ]);
    let rates: Vec<f32> = records
        .iter()
        .map(|record| value(record, "net_in_mb_s"))
        .collect();
    assert!(
        rates[0].is_nan() && rates[2].is_nan() && rates[3].is_nan(),
        "{rates:?}"
    );
    assert!(
        (rates[1] - 1.0 / 900.0).abs() < 1e-9 && (rates[4] - 1.0).abs() < 1e-6,
        "{rates:?}"
    );
}

#[test]
fn memory_swap_and_disks_at_the_edge() {
    #[track_caller]
    fn check_gauges(text: &str, expected: &[(&str, f64)]) {
        let records = records(&[(text, T0)]);
        check(&records[0], expected);
    }
    check_gauges(
        "node_memory_MemTotal_bytes 1000\nnode_memory_MemFree_bytes 100\nnode_memory_Buffers_bytes 50\n\
         node_memory_Cached_bytes 350\nnode_memory_SwapTotal_bytes 400\nnode_memory_SwapFree_bytes 300",
        &[("mem_used_pct", 50.0), ("swap_used_pct", 25.0)],
    );
    check_gauges(
        "node_memory_MemTotal_bytes 1000\nnode_load1 0",
        &[("load_average", 0.0)],
    );
    check_gauges(
        "node_memory_MemAvailable_bytes 1000\nnode_load1 0",
        &[("load_average", 0.0)],
    );
    let filesystem = |labels: &str, size: u32, free: u32, avail: u32| {
        format!(
            "node_filesystem_size_bytes{{{labels}}} {size}\nnode_filesystem_free_bytes{{{labels}}} {free}\n\
             node_filesystem_avail_bytes{{{labels}}} {avail}\n"
        )
    };
    let root = filesystem(
        r#"device="/dev/vda",fstype="ext4",mountpoint="/""#,
        100,
        50,
        40,
    );
    let data = filesystem(
        r#"device="/dev/vdb",fstype="xfs",mountpoint="/data""#,
        100,
        20,
        20,
    );
    let run = filesystem(
        r#"device="tmpfs",fstype="tmpfs",mountpoint="/run""#,
        100,
        0,
        0,
    );
    let overlay = filesystem(
        r#"device="overlay",fstype="overlay",mountpoint="/""#,
        100,
        90,
        90,
    );
    check_gauges(
        &[root.clone(), data.clone(), run.clone()].concat(),
        &[("disk_usage_pct", 80.0)],
    );
    check_gauges(
        &[overlay.clone(), root.clone()].concat(),
        &[("disk_usage_pct", 100.0 * 50.0 / 90.0)],
    );
    check_gauges(&[overlay, run].concat(), &[("disk_usage_pct", 10.0)]);
    // Without the free bytes, those available stand in.
    let no_free: String = root
        .lines()
        .filter(|line| !line.contains("_free_"))
        .map(|line| format!("{line}\n"))
        .collect();
    check_gauges(&no_free, &[("disk_usage_pct", 60.0)]);
    check_gauges(
        "node_tcp_connection_states{state=\"close_wait\"} 7\nnode_tcp_connection_states{state=\"listen\"} 2",
        &[("back_close_wait", 7.0)],
    );
}

#[test]
fn instances_without_a_mappable_metric_make_no_entity() {
    let receiver = receiver();
    let text = "up 1\ngo_goroutines 7\nprometheus_build_info{version=\"3\"} 1\nnode_cpu_seconds_total{mode=\"user\"} 1\n\
                node_network_receive_bytes_total 1\nnode_cpu_seconds_total{cpu=\"0\",mode=\"guest\"} 1";
    let accepted = receiver
        .accept(&body(scrape(text, "localhost:9090", T0)), T0)
        .unwrap();
    assert_eq!(
        accepted,
        Accepted {
            samples: 0,
            ignored: 6
        }
    );
    let nameless = scrape("node_load1 1", "", T0);
    let control = scrape("node_load1 1", "a\u{7}", T0);
    assert_eq!(
        receiver
            .accept(&body([nameless, control].concat()), T0)
            .unwrap()
            .samples,
        0
    );
    // Counters alone give nothing before the second scrape.
    let cpu = "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1";
    receiver.accept(&body(scrape(cpu, "b", T0)), T0).unwrap();
    assert_eq!(receiver.drain(T0 + 60_000), []);
}

#[test]
fn the_port_is_dropped_on_request() {
    let receiver = receiver_with(RemoteWriteConfig {
        drop_port: true,
        ..RemoteWriteConfig::default()
    });
    receiver
        .accept(&body(scrape("node_load1 1", "web-01:9100", T0)), T0)
        .unwrap();
    assert_eq!(receiver.flush()[0].entity.as_str(), "web-01");
}

#[test]
fn samples_that_are_ignored_are_counted() {
    let receiver = receiver();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let sample = |value: f64, timestamp: i64| {
        let mut series = scrape("node_load1 1", "a", timestamp);
        series[0].samples[0].value = value;
        receiver.accept(&body(series), T0).unwrap().samples
    };
    assert_eq!(sample(stale, T0), 0);
    assert_eq!(sample(f64::INFINITY, T0), 0);
    assert_eq!(sample(1.0, T0 + 300_001), 0);
    assert_eq!(sample(1.0, -1), 0);
    assert_eq!(sample(1.0, i64::MAX), 0);
    assert_eq!(sample(1.0, i64::MIN), 0);
    assert_eq!(receiver.stats().instances, 0);
    assert_eq!(sample(1.0, T0), 1);
    assert_eq!(receiver.drain(T0 + 6_000).len(), 1);
    assert_eq!(sample(1.0, T0), 0);
    assert_eq!(sample(1.0, T0 - 15_000), 0);
    let expected = Stats {
        instances: 1,
        samples: 1,
        not_finite: 2,
        out_of_time: 4,
        late: 2,
        held_bytes: receiver.stats().held_bytes,
        ..Stats::default()
    };
    assert_eq!(receiver.stats(), expected);
}

#[test]
fn what_is_held_is_bounded_and_given_back() {
    let config = RemoteWriteConfig {
        max_instances: 3,
        max_held_bytes: 20_000,
        ..RemoteWriteConfig::default()
    };
    let receiver = receiver_with(config);
    for instance in ["a", "b", "c", "d"] {
        receiver
            .accept(&body(scrape("node_load1 1", instance, T0)), T0)
            .unwrap();
    }
    assert_eq!(receiver.stats().over_bounds, 1);
    let cpus: String = (0..1000)
        .map(|cpu| format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} 1\n"))
        .collect();
    receiver.accept(&body(scrape(&cpus, "a", T0)), T0).unwrap();
    let stats = receiver.stats();
    assert!(
        stats.held_bytes <= 21_000 && stats.over_bounds > 500,
        "{stats:?}"
    );
    assert_eq!(receiver.drain(T0 + 6_000).len(), 3);
    assert!(receiver.stats().held_bytes > 10_000, "the counters stay");
    assert_eq!(receiver.drain(T0 + 3_600_000), []);
    assert_eq!(
        (receiver.stats().instances, receiver.stats().held_bytes),
        (0, 0)
    );
}

#[test]
fn bodies_that_are_no_remote_write() {
    let receiver = receiver();
    let good = wire::WriteRequest {
        timeseries: scrape("node_load1 1", "a", T0),
        metadata: Vec::new(),
    };
    let good = prost::Message::encode_to_vec(&good);
    let cut = good[..good.len() - 1].to_vec();
    let not_utf8 = vec![0x0a, 0x06, 0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe];
    for (body, status, message) in [
        (Vec::new(), 400, "the body is not valid snappy: "),
        (
            b"node_load1 1".to_vec(),
            400,
            "the body is not valid snappy: ",
        ),
        (
            vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00],
            413,
            "the body is larger than 33554432 bytes when decompressed",
        ),
        (
            compress(b"node_load1 1"),
            400,
            "the body is not a Prometheus remote write 1.0 request: ",
        ),
        (
            compress(&cut),
            400,
            "the body is not a Prometheus remote write 1.0 request: a series ends past the end",
        ),
        (
            compress(&not_utf8),
            400,
            "the body is not a Prometheus remote write 1.0 request: ",
        ),
        (
            compress(&[0x08, 0x01]),
            400,
            "the body is not a Prometheus remote write 1.0 request: a series is no message",
        ),
        (
            compress(&[0x0a, 0xff, 0xff, 0xff, 0x7f]),
            400,
            "the body is not a Prometheus remote write 1.0 request: a series of",
        ),
        (
            compress(&[0x22, 0x01, b'x']),
            415,
            "content type `io.prometheus.write.v2.Request` is not supported",
        ),
    ] {
        let error = receiver.accept(&body, T0).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(error.to_string().starts_with(message), "{error}");
    }
    // A good series before the fault is not kept either.
    let error = receiver
        .accept(&compress(&[good, vec![0x08, 0x01]].concat()), T0)
        .unwrap_err();
    assert_eq!(error.status(), 400);
    assert_eq!(receiver.stats(), Stats::default());
    assert_eq!(
        receiver.accept(&compress(&[]), T0).unwrap(),
        Accepted::default()
    );
}

#[test]
fn headers_tell_the_version() {
    let v1 = "application/x-protobuf;proto=prometheus.WriteRequest";
    for content_type in [
        None,
        Some("application/x-protobuf"),
        Some(v1),
        Some("Application/X-Protobuf; proto=prometheus.WriteRequest"),
    ] {
        assert_eq!(
            check_headers(content_type, Some("snappy")),
            Ok(()),
            "{content_type:?}"
        );
        assert_eq!(
            check_headers(content_type, None),
            Ok(()),
            "{content_type:?}"
        );
        assert_eq!(
            check_headers(content_type, Some("gzip"))
                .unwrap_err()
                .status(),
            415
        );
    }
    for content_type in [
        "application/json",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    ] {
        assert_eq!(
            check_headers(Some(content_type), Some("snappy"))
                .unwrap_err()
                .status(),
            415
        );
    }
}

fn any_series() -> impl Strategy<Value = TimeSeries> {
    let names = [
        "node_cpu_seconds_total",
        "node_load1",
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
        "node_memory_SwapTotal_bytes",
        "node_memory_SwapFree_bytes",
        "node_filesystem_size_bytes",
        "node_filesystem_free_bytes",
        "node_filesystem_avail_bytes",
        "node_network_receive_bytes_total",
        "node_network_transmit_bytes_total",
        "node_boot_time_seconds",
        "node_tcp_connection_states",
    ];
    let labels = "cpu=\"0\",mode=\"idle\",device=\"eth0\",fstype=\"ext4\",mountpoint=\"/\",state=\"close_wait\"";
    let values = prop_oneof![any::<f64>(), 0.0..1e9_f64, Just(0.0), Just(f64::MAX)];
    let times = prop_oneof![T0 - 5..T0 + 5, any::<i64>()];
    let samples = prop::collection::vec((values, times), 0..4);
    (
        prop::sample::select(names.to_vec()),
        prop::sample::select(vec!["a", "b"]),
        samples,
    )
        .prop_map(move |(name, instance, samples)| {
            let mut series = scrape(&format!("{name}{{{labels}}} 1"), instance, T0).remove(0);
            series.samples = samples
                .into_iter()
                .map(|(value, timestamp)| wire::Sample { value, timestamp })
                .collect();
            series
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let receiver = receiver();
        let _ = receiver.accept(&bytes, T0);
        let _ = receiver.accept(&compress(&bytes), T0);
        receiver.flush();
    }

    #[test]
    fn any_samples(requests in prop::collection::vec(prop::collection::vec(any_series(), 0..12), 1..8)) {
        let receiver = receiver();
        let schema = Schema::server();
        let mut records = Vec::new();
        for (second, request) in (0..).zip(requests) {
            receiver.accept(&body(request), T0 + second * 1000).unwrap();
            records.extend(receiver.drain(T0 + second * 1000));
        }
        records.extend(receiver.flush());
        let mut seen = std::collections::HashSet::new();
        for record in &records {
            prop_assert!(seen.insert((record.entity.clone(), record.time_ms)), "one record per scrape");
            for (metric, value) in schema.metrics.iter().zip(&record.values) {
                let in_range = metric.stored(f64::from(*value)).is_some();
                prop_assert!(value.is_nan() || in_range, "{} is {value}", metric.name);
            }
        }
        receiver.drain(T0 + 4_000_000);
        prop_assert_eq!((receiver.stats().instances, receiver.stats().held_bytes), (0, 0));
    }
}
