//! Prometheus remote write 1.0: node_exporter's series into records.
//!
//! Prometheus cuts what it sends into requests without regard to scrapes, and with several shards the parts of one
//! scrape arrive side by side. So samples are gathered per instance and timestamp, and a scrape becomes a record once
//! it has been quiet for a while ([`RemoteWriteConfig`]); rates come from the counters of the instance's scrape before.
//! All state is in memory and bounded; after a restart the first scrape of an instance has no rates.

mod assembly;
mod config;
mod counters;
mod node_exporter;
mod protobuf;
mod scrape;

use std::sync::Arc;

use argus_schema::{Record, Schema};
use parking_lot::Mutex;

pub use assembly::Stats;
pub use config::RemoteWriteConfig;
pub use protobuf::check_headers;

use crate::BodyError;
use assembly::Assembly;

/// Receives remote write requests and turns them into records. Share it; calls lock it for as long as they take.
#[derive(Debug)]
pub struct RemoteWrite {
    schema: Arc<Schema>,
    config: RemoteWriteConfig,
    assembly: Mutex<Assembly>,
}

/// What became of one request's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Samples that feed a metric.
    pub samples: u64,
    /// Samples that do not: of series that nothing maps, stale markers, too late, in the future, over a bound.
    pub ignored: u64,
}

impl RemoteWrite {
    /// Nothing received yet.
    pub fn new(schema: Arc<Schema>, config: RemoteWriteConfig) -> Self {
        Self {
            schema,
            config,
            assembly: Mutex::default(),
        }
    }

    /// Takes the body of one request: a snappy block of `prometheus.WriteRequest`.
    ///
    /// # Errors
    /// When the body cannot be read; then nothing of it is kept.
    pub fn accept(&self, snappy_body: &[u8], now_ms: i64) -> Result<Accepted, BodyError> {
        let message = protobuf::decompress(snappy_body, self.config.max_decoded_bytes)?;
        let mut readings = Vec::new();
        let mut accepted = Accepted::default();
        protobuf::for_each_series(&message, |series| {
            let samples = u64::try_from(series.samples.len()).unwrap_or(u64::MAX);
            match node_exporter::classify(&series, self.config.drop_port) {
                Some((entity, reading)) => readings.push((entity, reading, series.samples)),
                None => accepted.ignored += samples,
            }
        })?;
        let mut assembly = self.assembly.lock();
        assembly.count_unmapped(accepted.ignored);
        for (entity, reading, samples) in readings {
            for sample in samples {
                if assembly.add(&entity, &reading, &sample, now_ms, &self.config) {
                    accepted.samples += 1;
                } else {
                    accepted.ignored += 1;
                }
            }
        }
        Ok(accepted)
    }

    /// Records of the scrapes that are complete by now, in time order per instance. Call it a few times a second, from
    /// one place: what it returned is no longer here, and samples of the same scrapes are too late from then on.
    pub fn drain(&self, now_ms: i64) -> Vec<Record> {
        self.assembly
            .lock()
            .drain(&self.schema, &self.config, now_ms)
    }

    /// Records of all scrapes that have begun to arrive, complete or not; for a shutdown.
    pub fn flush(&self) -> Vec<Record> {
        self.assembly.lock().flush(&self.schema, &self.config)
    }

    /// What is held, and what was ignored why, since the start.
    pub fn stats(&self) -> Stats {
        self.assembly.lock().stats()
    }
}
