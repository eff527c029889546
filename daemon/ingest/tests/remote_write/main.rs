//! Remote write: what node_exporter's series become, and when.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mapping;
mod properties;
mod receiver;
mod wire;

use argus_ingest::remote_write::{RemoteWrite, RemoteWriteConfig};
use argus_schema::{Record, Schema};
use wire::{body, scrape};

/// 2026-11-21T18:11:30Z, a bit after the recorded scrapes.
const T0: i64 = 1_795_284_690_000;
const SCRAPE_1: &str = include_str!("../fixtures/node_exporter_1.txt");
const SCRAPE_2: &str = include_str!("../fixtures/node_exporter_2.txt");

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
