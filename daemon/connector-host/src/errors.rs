//! Everything that can go wrong with a connector. Every error names it and, once it is known, its version.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use argus_connector_abi::Error as ReportedError;
use thiserror::Error;

/// A failure of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorError {
    /// Its name in the configuration.
    pub connector: String,
    /// Name and version that the library gives itself, once it was loaded.
    pub library: Option<String>,
    /// What happened.
    pub failure: Failure,
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connector {}", self.connector)?;
        if let Some(library) = &self.library {
            write!(f, " ({library})")?;
        }
        write!(f, ": {}", self.failure)
    }
}

impl std::error::Error for ConnectorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failure)
    }
}

impl ConnectorError {
    /// A stable word, as the WIT interface `connector` lists them; for errors that the connector returned, its own.
    pub fn code(&self) -> &str {
        self.failure.code()
    }

    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        self.failure.retryable()
    }
}

/// What happened to a connector or to a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The file is not the pinned one.
    #[error(
        "the file's SHA-256 is {found}, the configuration pins {pinned}; nothing of it was loaded"
    )]
    WrongHash {
        /// What the configuration says.
        pinned: String,
        /// What the file has.
        found: String,
    },
    /// The file is no dynamic library for this machine, or one that needs others that are not there.
    #[error("the file cannot be loaded as a dynamic library: {0}")]
    Load(String),
    /// A library, but not a connector.
    #[error("the library is no Argus connector: {0}")]
    NotAConnector(String),
    /// A connector for another daemon.
    #[error(
        "it speaks version {found} of the connector interface, this daemon speaks {supported}; use a matching build"
    )]
    WrongVersion {
        /// The library's.
        found: String,
        /// The daemon's.
        supported: String,
    },
    /// It refused its settings, or panicked.
    #[error("failed to open: {0}")]
    Open(ReportedError),
    /// Opening takes too long.
    #[error("did not open within {0:?}; its thread is left alone")]
    OpenTimedOut(Duration),
    /// It answered with an error.
    #[error("{0}")]
    Reported(ReportedError),
    /// The answer did not come.
    #[error("did not answer within {0:?}")]
    TimedOut(Duration),
    /// It refused to take the request.
    #[error("refused the request")]
    Refused,
    /// The answer makes no sense.
    #[error("answered with nonsense: {0}")]
    Nonsense(String),
    /// A page is too large.
    #[error("sent a page of {bytes} bytes; at most {limit} are taken, ask for fewer documents")]
    PageTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many requests at once.
    #[error("all its {0} concurrent requests stayed busy")]
    Busy(usize),
    /// It owes too many answers.
    #[error("owes {0} answers that were given up; restart the daemon to use it again")]
    Silent(usize),
    /// It was closed, or its thread ended.
    #[error("is closed")]
    Closed,
}

impl Failure {
    /// A stable word for the kind of failure.
    pub fn code(&self) -> &str {
        match self {
            Failure::Reported(error) => &error.code,
            Failure::TimedOut(_) => "timed_out",
            Failure::PageTooLarge { .. } => "too_large",
            _ => "connector_failed",
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Failure::Reported(error) => error.retryable,
            Failure::TimedOut(_) | Failure::Busy(_) | Failure::Refused => true,
            _ => false,
        }
    }
}
