//! The wall clock as a parameter.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the store learns the time of day.
///
/// The wall clock only bounds the future, closes the newest bin, and dates retention; windows run on event time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> i64;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock before 1970 is set wrongly; 0 refuses nothing that is not in the future of 1970.
            Err(_) => 0,
        }
    }
}
