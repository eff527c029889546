//! Counters for `/metrics` and `/status`.

use serde::Serialize;

/// Since the process started, except where it says "now".
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AlertStats {
    /// Alerts with some strikes, now.
    pub pending: u64,
    /// Alerts that fire, now.
    pub firing: u64,
    /// Of these, acknowledged.
    pub acknowledged: u64,
    /// Scheduled forecasts that counted.
    pub evaluated: u64,
    /// Forecasts that did not count because somebody had asked for them.
    pub ignored_on_demand: u64,
    /// Forecasts that did not count because this or a later origin had counted already.
    pub ignored_repeated: u64,
    /// Alerts that began to fire.
    pub fired: u64,
    /// Alerts that resolved after firing.
    pub resolved: u64,
    /// Per sink, by name.
    pub sinks: Vec<SinkStats>,
}

/// One sink's queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SinkStats {
    /// Its name.
    pub name: String,
    /// Undelivered notifications, now.
    pub queued: u64,
    /// Dead letters kept, now.
    pub dead: u64,
    /// When the oldest undelivered one was written, ms since the epoch.
    pub oldest_queued_ms: Option<i64>,
    /// Delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Given up: refused for good, past the deadline, or pushed out of a full queue.
    pub dead_lettered: u64,
    /// Refreshes that a newer notification replaced, or that went out of date.
    pub refreshes_dropped: u64,
    /// When the last one was delivered, ms since the epoch.
    pub last_success_ms: Option<i64>,
    /// The last failure, `code: message`; none since the last success.
    pub last_error: Option<String>,
    /// When that was, ms since the epoch.
    pub last_error_ms: Option<i64>,
}

impl SinkStats {
    /// Takes over what happened in one transaction.
    pub(crate) fn add(&mut self, delta: Self) {
        self.delivered += delta.delivered;
        self.failed_attempts += delta.failed_attempts;
        self.dead_lettered += delta.dead_lettered;
        self.refreshes_dropped += delta.refreshes_dropped;
        self.last_success_ms = delta.last_success_ms.or(self.last_success_ms);
        if delta.last_success_ms.is_some() || delta.last_error.is_some() {
            (self.last_error, self.last_error_ms) = (delta.last_error, delta.last_error_ms);
        }
    }
}
