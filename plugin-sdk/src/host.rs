//! What a plugin may ask of the host.

use crate::error::Error;
use crate::http::{Request, Response};

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is lost.
    Error,
    /// Something is odd.
    Warn,
    /// Something worth knowing once.
    Info,
    /// Useful while looking for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The host, as far as this plugin was granted it. In tests, [`testing::Host`](crate::testing::Host).
pub trait Host {
    /// Writes a line to the daemon's log. Lines and bytes per call are limited; a call that writes more is ended.
    fn log(&self, level: Level, message: &str);

    /// Milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> i64;

    /// Nanoseconds since some fixed point; never goes back.
    fn monotonic_ns(&self) -> u64;

    /// Sends a request to a named target and waits for the answer. [`Request::send`] reads better.
    fn send(&self, request: &Request) -> Result<Response, Error>;
}
