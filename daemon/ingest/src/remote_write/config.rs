//! Settings and bounds of the remote write receiver.

/// How remote write is received. Times are in milliseconds of the daemon's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteWriteConfig {
    /// Cuts `:9100` off an `instance` label before it names a server; otherwise the label is the name, verbatim.
    pub drop_port: bool,
    /// A scrape without a new sample for this long is complete. A bit over Prometheus's default
    /// `batch_send_deadline` of 5 s: that long the tail of a scrape may wait in a batch that does not fill.
    pub settle_ms: u64,
    /// The same, once a newer scrape of the instance has begun.
    pub settle_after_newer_ms: u64,
    /// Scrapes of one instance that may wait at once; the oldest is taken for complete beyond that. It comes into play
    /// while Prometheus catches up after an outage.
    pub max_pending_scrapes: usize,
    /// No rate is computed over a longer time between two scrapes: it would say little about the moment of the second.
    pub max_rate_gap_ms: i64,
    /// Samples further ahead of the daemon's clock are ignored.
    pub max_future_ms: i64,
    /// An instance that sent nothing for this long is forgotten; its next scrape has no rates.
    pub forget_after_ms: u64,
    /// Instances that are kept at once; samples of others are ignored until one is forgotten.
    pub max_instances: usize,
    /// Memory for waiting scrapes and last counters, in estimated bytes; samples beyond are ignored.
    pub max_held_bytes: usize,
    /// Largest request after decompression.
    pub max_decoded_bytes: usize,
}

impl Default for RemoteWriteConfig {
    fn default() -> Self {
        Self {
            drop_port: false,
            settle_ms: 6_000,
            settle_after_newer_ms: 1_000,
            max_pending_scrapes: 16,
            max_rate_gap_ms: 15 * 60 * 1000,
            max_future_ms: 5 * 60 * 1000,
            forget_after_ms: 60 * 60 * 1000,
            max_instances: 10_000,
            max_held_bytes: 256 << 20,
            max_decoded_bytes: 32 << 20,
        }
    }
}
