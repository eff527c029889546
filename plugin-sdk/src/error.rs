//! The error that plugins return and host functions give.

use std::fmt;

use crate::bindings::host::types::Error as WitError;

/// A failure, told to programs by its code and to people by its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// A stable word: lower case, underscores, e.g. `channel_not_found`.
    pub code: String,
    /// A sentence that says what to do where that is known.
    pub message: String,
    /// Whether the same call may succeed later without anybody changing anything.
    pub retryable: bool,
}

impl Error {
    /// A failure that trying again does not help.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            retryable: false,
        }
    }

    /// A failure that may be gone later: the far side is down, or asks for patience.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::new(code, message)
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::new("bad_json", error.to_string())
    }
}

impl From<WitError> for Error {
    fn from(error: WitError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
        }
    }
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
        }
    }
}
