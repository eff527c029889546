//! What an operator sees of a connector.

use serde::Serialize;

/// What a connector did against its contract. Each did no harm beyond its own request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Misbehaviour {
    /// Completions after the request was given up. A few are normal where servers are slow.
    pub late: u64,
    /// Second completions of a request.
    pub twice: u64,
    /// Completions of requests that never were.
    pub invented: u64,
    /// Completions from inside `submit`.
    pub inside_submit: u64,
    /// Completions of requests that were refused.
    pub refused_and_completed: u64,
    /// Replies that make no sense.
    pub nonsense: u64,
}

impl Misbehaviour {
    /// Each count with its name.
    pub fn counts(self) -> [(&'static str, u64); 6] {
        [
            ("late", self.late),
            ("twice", self.twice),
            ("invented", self.invented),
            ("inside_submit", self.inside_submit),
            ("refused_and_completed", self.refused_and_completed),
            ("nonsense", self.nonsense),
        ]
    }
}

/// A connector's state and counts since the daemon started.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectorStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Name and version that the library gives itself.
    pub library: String,
    /// The library's file.
    pub path: String,
    /// SHA-256 of the library, hexadecimal.
    pub sha256: String,
    /// Requests, pages included.
    pub requests: u64,
    /// Requests that ended in an error.
    pub errors: u64,
    /// Documents that came.
    pub documents: u64,
    /// Bytes of documents that came.
    pub bytes: u64,
    /// Requests under way.
    pub waiting: usize,
    /// Completions that it owes: the requests were given up.
    pub owed: usize,
    /// Cursors that are open.
    pub cursors: u64,
    /// How long it has been inside one call of the interface that should return at once, in milliseconds.
    pub stuck_ms: Option<u64>,
    /// What it did against its contract.
    pub misbehaviour: Misbehaviour,
    /// The newest error, naming the connector.
    pub last_error: Option<String>,
    /// Whether it is closed.
    pub closed: bool,
}
