//! What a plugin's calls add up to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::call::Cost;
use crate::errors::{Failure, PluginError};
use crate::status::{CallSeconds, LastError, PluginStatus};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    running: AtomicU64,
    refused: AtomicU64,
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    calls: u64,
    errors: u64,
    faults: u64,
    errors_by_code: BTreeMap<String, u64>,
    last_error: Option<LastError>,
    seconds: CallSeconds,
    max_secs: f64,
    memory_high_water_bytes: u64,
    copied_bytes: u64,
    http_requests: u64,
    http_bytes: u64,
    log_lines: u64,
    model_evaluations: u64,
}

/// Words that a plugin may invent for its errors before they are counted together.
const MAX_CODES: usize = 32;
const OTHER_CODES: &str = "other";

/// A running call; counted until dropped.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(crate) fn start(&self) -> Running<'_> {
        self.totals.lock().calls += 1;
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(&self.running)
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, cost: &Cost) {
        let secs = cost.took.as_secs_f64();
        let mut totals = self.totals.lock();
        totals.seconds.observe(secs);
        totals.max_secs = totals.max_secs.max(secs);
        totals.memory_high_water_bytes = totals.memory_high_water_bytes.max(cost.memory_bytes);
        totals.copied_bytes += cost.copied_bytes;
        totals.http_requests += cost.http_requests;
        totals.http_bytes += cost.http_bytes;
        totals.log_lines += cost.log_lines;
        totals.model_evaluations += cost.evaluations;
    }

    pub(crate) fn failed(&self, error: &PluginError, now_ms: i64) {
        let mut totals = self.totals.lock();
        totals.errors += 1;
        totals.faults += u64::from(error.failure.is_fault());
        // The host's own words are few; a plugin's are as many as it likes, and may look like anything.
        let code = match &error.failure {
            Failure::Reported { code, .. } if !is_plain(code) => OTHER_CODES,
            failure => failure.code(),
        };
        let known = totals.errors_by_code.contains_key(code);
        let code = if known || totals.errors_by_code.len() < MAX_CODES {
            code
        } else {
            OTHER_CODES
        };
        *totals.errors_by_code.entry(code.to_owned()).or_default() += 1;
        totals.last_error = Some(LastError {
            at_ms: now_ms,
            code: error.code().to_owned(),
            message: error.to_string(),
        });
    }

    pub(crate) fn fill(&self, status: &mut PluginStatus) {
        let totals = self.totals.lock();
        status.calls = totals.calls;
        status.errors = totals.errors;
        status.faults = totals.faults;
        status.errors_by_code = totals.errors_by_code.clone();
        status.refused = self.refused.load(Ordering::Relaxed);
        status.running = self.running.load(Ordering::Relaxed);
        status.last_error = totals.last_error.clone();
        status.mean_ms = totals.seconds.sum_secs * 1000.0 / totals.seconds.count.max(1) as f64;
        status.max_ms = totals.max_secs * 1000.0;
        status.call_seconds = totals.seconds.clone();
        status.memory_high_water_bytes = totals.memory_high_water_bytes;
        status.copied_bytes = totals.copied_bytes;
        status.http_requests = totals.http_requests;
        status.http_bytes = totals.http_bytes;
        status.log_lines = totals.log_lines;
        status.model_evaluations = totals.model_evaluations;
    }
}

fn is_plain(code: &str) -> bool {
    code.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_cannot_make_the_metrics_grow() {
        let counters = Counters::default();
        for number in 0..100 {
            for code in [format!("code_{number}"), format!("Odd code {number}")] {
                let failure = Failure::Reported {
                    code,
                    message: String::new(),
                    retryable: false,
                };
                let error = PluginError {
                    plugin: "p".into(),
                    version: None,
                    failure,
                    retry_after: None,
                };
                counters.failed(&error, 0);
            }
        }
        let totals = counters.totals.lock();
        assert_eq!(totals.errors_by_code.len(), MAX_CODES);
        assert_eq!(totals.errors_by_code.values().sum::<u64>(), 200);
    }
}
