//! Everything that can go wrong with a plugin. Every error names the plugin and, once it is known, its version.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why the host could not start.
#[derive(Debug, Error)]
pub enum HostError {
    /// WebAssembly cannot be run on this machine, or a setting is refused.
    #[error("set up the WebAssembly engine: {0}")]
    Engine(String),
    /// Threads could not be started.
    #[error("start the plugin threads: {0}")]
    Threads(std::io::Error),
    /// The folder for compiled code is unusable.
    #[error("prepare the plugin cache {}: {reason}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A failure of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    /// The plugin's name in the configuration.
    pub plugin: String,
    /// Its version, once the file was read.
    pub version: Option<String>,
    /// What happened.
    pub failure: Failure,
    /// How long to wait before the next attempt, where somebody said so.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}", self.plugin)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        write!(f, ": {}", self.failure)
    }
}

// Its text holds the failure's already, so that is no source.
impl std::error::Error for PluginError {}

impl PluginError {
    /// A stable word for the kind of failure; for errors that the plugin itself returned, its own word.
    pub fn code(&self) -> &str {
        self.failure.code()
    }

    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        self.failure.retryable()
    }
}

/// What happened to a plugin or to a call of it.
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
    /// The file is over the limit.
    #[error("the file has {size_bytes} bytes, the limit is {limit_bytes}")]
    FileTooLarge {
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The file is not the pinned one.
    #[error("the file's SHA-256 is {found}, the configuration pins {pinned}")]
    WrongHash {
        /// What the configuration says.
        pinned: String,
        /// What the file has.
        found: String,
    },
    /// The file is not a component, or is broken.
    #[error("the file is not a usable WebAssembly component: {0}")]
    Compile(String),
    /// The manifest inside the file is broken.
    #[error("the manifest inside the file is unusable: {0}")]
    Manifest(String),
    /// The plugin is of another kind.
    #[error("it is a {found} plugin, the configuration uses it as {wanted}")]
    WrongKind {
        /// What the configuration says.
        wanted: &'static str,
        /// What the manifest says.
        found: String,
    },
    /// It wants something that its kind is not granted, or lacks an export.
    #[error("it does not fit the host: {0}")]
    Unlinkable(String),
    /// The plugin's own settings do not fit its schema, or the schema itself is unusable.
    #[error("its settings are unusable: {0}")]
    Settings(String),
    /// What it remembers cannot be read.
    #[error("its state is unusable: {0}")]
    State(String),
    /// A target's settings are unusable.
    #[error("target {target:?} is unusable: {reason}")]
    Target {
        /// The target's name.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// The plugin returned an error.
    #[error("{message} ({code})")]
    Reported {
        /// The plugin's word for it.
        code: String,
        /// The plugin's sentence.
        message: String,
        /// Whether the plugin thinks that trying again may help.
        retryable: bool,
    },
    /// The plugin panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The plugin trapped.
    #[error("trapped: {0}")]
    Trapped(String),
    /// The call took too long.
    #[error("did not finish within {0:?}")]
    TimedOut(Duration),
    /// The call computed for too long.
    #[error("computed for more than {0:?}")]
    ComputeExceeded(Duration),
    /// The call needed more memory than it may have.
    #[error("needed more than its {} MB of memory", limit_bytes / 1_000_000)]
    MemoryExceeded {
        /// The limit.
        limit_bytes: usize,
    },
    /// The call recursed too deeply.
    #[error("exhausted its call stack")]
    StackExhausted,
    /// The call logged too much.
    #[error("logged more than {lines} lines or {bytes} bytes in one call")]
    LogFlood {
        /// Limit of lines.
        lines: u32,
        /// Limit of bytes.
        bytes: usize,
    },
    /// The call handed over too much at once.
    #[error("handed more than {limit_bytes} bytes to the host at once")]
    TooMuchData {
        /// The limit.
        limit_bytes: usize,
    },
    /// All slots were taken for as long as a call may take.
    #[error("all its {0} concurrent calls stayed busy")]
    Busy(usize),
    /// All instances of the host were taken.
    #[error("found no free instance: too many calls of all plugins together")]
    Crowded,
    /// There is no version that could be called.
    #[error("is not loaded: {0}")]
    NotLoaded(String),
    /// Calls are refused for a while after faults.
    #[error("is left alone until {until_ms} ms after {faults} faults in a row")]
    BackingOff {
        /// Until when, ms since the epoch.
        until_ms: i64,
        /// Faults in a row.
        faults: u32,
    },
    /// Calls are refused after too many faults.
    #[error(
        "is quarantined after {faults} faults in a row; fix it and reload it, or wait for the trial call"
    )]
    Quarantined {
        /// Faults in a row.
        faults: u32,
    },
    /// The host is shutting down, or the call's task was lost.
    #[error("the plugin host is stopping")]
    Stopping,
}

impl Failure {
    /// A stable word for the kind of failure.
    pub fn code(&self) -> &str {
        match self {
            Failure::Read { .. } => "unreadable_file",
            Failure::FileTooLarge { .. } => "file_too_large",
            Failure::WrongHash { .. } => "wrong_hash",
            Failure::Compile(_) => "not_a_component",
            Failure::Manifest(_) => "bad_manifest",
            Failure::WrongKind { .. } => "wrong_kind",
            Failure::Unlinkable(_) => "unlinkable",
            Failure::Settings(_) => "invalid_config",
            Failure::State(_) => "bad_state",
            Failure::Target { .. } => "bad_target",
            Failure::Reported { code, .. } => code,
            Failure::Panicked(_) => "panicked",
            Failure::Trapped(_) => "trapped",
            Failure::TimedOut(_) => "timed_out",
            Failure::ComputeExceeded(_) => "compute_exceeded",
            Failure::MemoryExceeded { .. } => "memory_exceeded",
            Failure::StackExhausted => "stack_exhausted",
            Failure::LogFlood { .. } => "log_flood",
            Failure::TooMuchData { .. } => "too_much_data",
            Failure::Busy(_) => "busy",
            Failure::Crowded => "crowded",
            Failure::NotLoaded(_) => "not_loaded",
            Failure::BackingOff { .. } => "backing_off",
            Failure::Quarantined { .. } => "quarantined",
            Failure::Stopping => "stopping",
        }
    }

    /// Whether the same call may succeed later. Faults count as retryable: a notification should outlive a plugin
    /// that is about to be repaired; the delivery's own deadline bounds the attempts.
    pub fn retryable(&self) -> bool {
        match self {
            Failure::Reported { retryable, .. } => *retryable,
            _ => {
                self.is_fault()
                    || matches!(
                        self,
                        Failure::Busy(_) | Failure::Crowded | Failure::NotLoaded(_)
                    )
                    || self.is_refusal()
                    || *self == Failure::Stopping
            }
        }
    }

    /// Whether the plugin misbehaved in a call; counts towards back-off and quarantine.
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Failure::Panicked(_)
                | Failure::Trapped(_)
                | Failure::TimedOut(_)
                | Failure::ComputeExceeded(_)
                | Failure::MemoryExceeded { .. }
                | Failure::StackExhausted
                | Failure::LogFlood { .. }
                | Failure::TooMuchData { .. }
        )
    }

    /// Whether the call was refused because of earlier faults.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Failure::BackingOff { .. } | Failure::Quarantined { .. }
        )
    }
}
