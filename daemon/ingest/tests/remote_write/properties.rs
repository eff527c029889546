//! For whatever is sent: no panic, one record per scrape, values within the schema, all memory given back.

use argus_schema::Schema;
use proptest::prelude::*;

use crate::wire::{self, TimeSeries, body, compress, scrape};
use crate::{T0, receiver};

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
