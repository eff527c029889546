//! What is polled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// What a poll comes to.
pub type PollFuture<'a> = Pin<Box<dyn Future<Output = Result<Batch, PollError>> + Send + 'a>>;

/// Something that records can be fetched from.
pub trait Source: Send + Sync {
    /// Its name in the configuration; names its checkpoint too.
    fn name(&self) -> &str;

    /// Fetches what comes after a checkpoint (none: the first poll ever), at most `max_records`. One poll at a time.
    fn poll(&self, checkpoint: Option<Vec<u8>>, max_records: u32) -> PollFuture<'_>;
}

/// What one poll fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What `items` holds; `records` is known.
    pub content: String,
    /// Records as `POST /feed` takes them, one JSON object a line.
    pub items: Vec<u8>,
    /// Where to go on, in the source's own format.
    pub checkpoint: Vec<u8>,
    /// Whether more can be fetched at once.
    pub more: bool,
    /// Documents that the source left out because they cannot be records.
    pub skipped: u32,
}

/// Why a poll fetched nothing. It is tried again in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollError {
    /// A stable word.
    pub code: String,
    /// A sentence that names the source.
    pub message: String,
    /// Whether it may pass by itself; else an operator has to do something.
    pub retryable: bool,
    /// How long to leave it alone, where somebody said so.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PollError {}
