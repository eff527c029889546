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
        epoch_ms(SystemTime::now())
    }
}

/// Milliseconds since the Unix epoch; 0 for a time before it.
pub(crate) fn epoch_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
