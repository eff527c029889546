//! `[ingest]`: how records are read.

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// How records are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Whether other programs' field names (`cpu_user`, `hostname`, `@timestamp`, …) are understood.
    pub aliases: bool,
    /// What one unit of a `*_mbps` field is in MB/s: 1 where senders mean megabytes, 0.125 where they mean megabits.
    pub mbps_factor: f64,
    /// Records that may wait for the disk, at least as many as a request may carry (`server.max_records`); when full,
    /// senders get 503 with `Retry-After`.
    pub queue_records: usize,
    /// `[ingest.remote_write]`: Prometheus remote write.
    pub remote_write: RemoteWrite,
}

/// Prometheus remote write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteWrite {
    /// Whether `web-1:9100` becomes the server `web-1`.
    pub drop_port: bool,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            aliases: true,
            mbps_factor: 1.0,
            queue_records: 200_000,
            remote_write: RemoteWrite::default(),
        }
    }
}

impl Ingest {
    pub(crate) fn check(&self, max_records: usize, found: &mut Checker) {
        found.range(&["ingest", "mbps_factor"], &self.mbps_factor, 1e-6..=1e6);
        found.range(
            &["ingest", "queue_records"],
            &self.queue_records,
            1000..=100_000_000,
        );
        if self.queue_records < max_records {
            // Point at the one that the file sets.
            let path = if self.queue_records == Self::default().queue_records {
                ["server", "max_records"]
            } else {
                ["ingest", "queue_records"]
            };
            found.report(
                &path,
                format!(
                    "`queue_records = {}` is less than `server.max_records = {max_records}`: a full request would never fit",
                    self.queue_records
                ),
                "raise `queue_records`, or lower `max_records` under [server]",
            );
        }
    }
}
