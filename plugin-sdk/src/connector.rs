//! Databases, through native connectors that the operator granted. See [`Host::query`](crate::Host::query).
#![cfg_attr(
    not(target_arch = "wasm32"),
    expect(
        clippy::useless_conversion,
        reason = "in a component the imports have an error type of their own"
    )
)]

use serde::de::DeserializeOwned;

use crate::error::Error;

pub use crate::bindings::host::connector::Page;

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::connector::Cursor as Backend;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::fake::Cursor as Backend;

/// An answer that is read page by page. Dropping it ends the query at the server.
#[derive(Debug)]
pub struct Cursor {
    pub(crate) cursor: Backend,
}

impl Cursor {
    /// The next page: at most `max_documents` documents and about `max_bytes` bytes. Waits until there is a document,
    /// the answer ends, or `wait_ms` have passed.
    pub fn next(&self, max_documents: u32, max_bytes: u32, wait_ms: u32) -> Result<Page, Error> {
        self.cursor
            .next(max_documents, max_bytes, wait_ms)
            .map_err(Error::from)
    }
}

impl Page {
    /// The documents, each from a line of JSON.
    ///
    /// # Errors
    /// `bad_json`, for the first line that is none.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        let lines = self.documents.split(|&byte| byte == b'\n');
        lines
            .filter(|line| !line.trim_ascii().is_empty())
            .map(|line| Ok(serde_json::from_slice(line)?))
            .collect()
    }
}
