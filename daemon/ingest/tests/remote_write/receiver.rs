//! How samples are put together, ignored and bounded.

use argus_ingest::remote_write::{Accepted, RemoteWriteConfig, Stats, check_headers};

use crate::wire::{self, body, compress, scrape};
use crate::{SCRAPE_1, SCRAPE_2, T0, receiver, receiver_with, records, value};

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
