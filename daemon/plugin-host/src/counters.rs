//! What a plugin's calls add up to.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::call::Ended;
use crate::errors::PluginError;
use crate::status::{LastError, PluginStatus};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    running: AtomicU64,
    refused: AtomicU64,
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    calls: u64,
    ended: u64,
    errors: u64,
    faults: u64,
    last_error: Option<LastError>,
    total_ms: f64,
    max_ms: f64,
    memory_high_water_bytes: u64,
    http_requests: u64,
    http_bytes: u64,
    log_lines: u64,
}

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

    pub(crate) fn end(&self, ended: &Ended) {
        let took_ms = ended.took.as_secs_f64() * 1000.0;
        let mut totals = self.totals.lock();
        totals.ended += 1;
        totals.total_ms += took_ms;
        totals.max_ms = totals.max_ms.max(took_ms);
        totals.memory_high_water_bytes = totals.memory_high_water_bytes.max(ended.memory_bytes);
        totals.http_requests += ended.http_requests;
        totals.http_bytes += ended.http_bytes;
        totals.log_lines += ended.log_lines;
    }

    pub(crate) fn failed(&self, error: &PluginError, now_ms: i64) {
        let mut totals = self.totals.lock();
        totals.errors += 1;
        totals.faults += u64::from(error.failure.is_fault());
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
        status.refused = self.refused.load(Ordering::Relaxed);
        status.running = self.running.load(Ordering::Relaxed);
        status.last_error = totals.last_error.clone();
        status.mean_ms = totals.total_ms / totals.ended.max(1) as f64;
        status.max_ms = totals.max_ms;
        status.memory_high_water_bytes = totals.memory_high_water_bytes;
        status.http_requests = totals.http_requests;
        status.http_bytes = totals.http_bytes;
        status.log_lines = totals.log_lines;
    }
}
