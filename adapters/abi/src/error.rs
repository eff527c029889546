//! The one shape of failures.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A failure of a connector, as JSON on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// A stable word for programs: lower case, underscores, e.g. `authentication_failed`.
    pub code: String,
    /// A sentence for people that says what to do where that is known. Never holds a secret.
    pub message: String,
    /// Whether the same request may succeed later without anybody changing anything.
    #[serde(default)]
    pub retryable: bool,
}

impl Error {
    /// A failure that trying again does not mend.
    pub fn new(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            code: code.into(),
            message: message.to_string(),
            retryable: false,
        }
    }

    /// A failure that may be gone later: the server is down, busy, or electing.
    pub fn retryable(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            retryable: true,
            ..Self::new(code, message)
        }
    }

    /// The wire form.
    pub fn to_json(&self) -> Vec<u8> {
        // Two strings and a boolean always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}
