//! What keeps the self source from working at all.

use std::path::PathBuf;

/// The self source cannot tell anything about this host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No `/proc` of Linux.
    #[error("read `{}`: {error}; the self source needs Linux's /proc", path.display())]
    NoProc {
        /// The file that should be there.
        path: PathBuf,
        /// Why it could not be read.
        error: std::io::Error,
    },
    /// The host's own name is no entity name.
    #[error("use the host name {name:?}: it {error}; set a name in the configuration")]
    BadHostName {
        /// The host name.
        name: String,
        /// What is wrong with it.
        error: argus_schema::NameError,
    },
}
