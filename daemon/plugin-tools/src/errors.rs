//! What can go wrong at an author's desk, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use argus_plugin_host::{HostError, PluginError};
use argus_wasm_toolchain::Missing;
use thiserror::Error;

/// Why a verb could not do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ToolError {
    /// A file or folder.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file whose content does not fit.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Refused(String),
    /// A program that is not there.
    #[error("`{program}` is not installed or not on PATH: {advice}")]
    NoProgram {
        /// Its name.
        program: String,
        /// How to get it.
        advice: &'static str,
    },
    /// A program that failed.
    #[error("`{command}` failed ({status}){output}")]
    Program {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said, on lines of its own; empty where it spoke to the terminal itself.
        output: String,
    },
    /// No compiler for WebAssembly.
    #[error(transparent)]
    Toolchain(#[from] Missing),
    /// The plugin host cannot be started.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The plugin cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl ToolError {
    /// For `map_err` on file operations.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
