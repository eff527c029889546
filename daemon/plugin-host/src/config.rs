//! What a host, a plugin and its targets are given.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::compile::CompilerCommand;
use crate::services::Services;
use crate::target_spec::TargetSpec;

/// Settings of the host as a whole.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Folder for compiled code, made with mode 0700; none compiles anew at every start.
    pub cache_dir: Option<PathBuf>,
    /// Folder for what plugins remember; none lets them forget when the process ends.
    pub state_dir: Option<PathBuf>,
    /// How to start the process that compiles; none compiles in this one.
    pub compiler: Option<CompilerCommand>,
    /// How often plugins' files are looked at for changes; none never does.
    pub watch_every: Option<Duration>,
    /// What plugins may be lent.
    pub services: Services,
    /// Threads that plugins run on. They are the host's own: plugins never share workers with ingest.
    pub worker_threads: usize,
    /// When a failing plugin is left alone, and for how long.
    pub health: HealthPolicy,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            state_dir: None,
            compiler: None,
            watch_every: None,
            services: Services::default(),
            worker_threads: 2,
            health: HealthPolicy::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// When a failing plugin is left alone. Only faults count: traps, exceeded limits and time. An error that a plugin
/// returns properly (the far side is down, say) is no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Faults in a row after which calls are refused for a while.
    pub faults_before_back_off: u32,
    /// Length of the first pause; each further fault doubles it.
    pub first_back_off: Duration,
    /// Faults in a row after which the plugin is quarantined.
    pub faults_before_quarantine: u32,
    /// How long a quarantine lasts before a single call is let through on trial.
    pub quarantine: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            faults_before_back_off: 3,
            first_back_off: Duration::from_secs(1),
            faults_before_quarantine: 8,
            quarantine: Duration::from_secs(15 * 60),
        }
    }
}

/// Kinds of plugins, one WIT world each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PluginKind {
    /// Carries notifications somewhere else.
    Sink,
    /// Fetches records from somewhere else.
    Source,
    /// Says why a forecast is what it is.
    Explainer,
    /// Proposes and performs repairs.
    Remediation,
    /// Thinks about incidents.
    Investigator,
}

impl PluginKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Sink,
        Self::Source,
        Self::Explainer,
        Self::Remediation,
        Self::Investigator,
    ];

    /// The kind's name in configurations, manifests and worlds.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Source => "source",
            Self::Explainer => "explainer",
            Self::Remediation => "remediation",
            Self::Investigator => "investigator",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One plugin as the operator configured it.
#[derive(Debug, Clone)]
pub struct PluginSpec {
    /// Its name in the configuration; names it in every error and log line.
    pub name: String,
    /// What it is used as.
    pub kind: PluginKind,
    /// The component's file.
    pub path: PathBuf,
    /// SHA-256 the file must have, hexadecimal.
    pub sha256: Option<String>,
    /// What a call may cost.
    pub limits: Limits,
    /// Where it may send HTTP requests, by name.
    pub targets: BTreeMap<String, TargetSpec>,
    /// Which connectors it may ask, by name.
    pub connectors: Vec<String>,
    /// Its own settings: a JSON object, or null for none.
    pub config: serde_json::Value,
}

impl PluginSpec {
    /// A plugin with default limits, no targets and no settings.
    pub fn new(name: impl Into<String>, kind: PluginKind, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            kind,
            path: path.into(),
            sha256: None,
            limits: Limits::default(),
            targets: BTreeMap::new(),
            connectors: Vec::new(),
            config: serde_json::Value::Null,
        }
    }
}

/// What one call, or one plugin, may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Linear memory of an instance, all memories together.
    pub memory_bytes: usize,
    /// Elements in all tables together.
    pub table_elements: usize,
    /// Wall time of a call, waiting for HTTP included.
    #[serde(rename = "timeout_secs", serialize_with = "as_secs")]
    pub timeout: Duration,
    /// Time a call may spend computing, counted in ticks of [`crate::EPOCH_TICK`].
    #[serde(rename = "compute_secs", serialize_with = "as_secs")]
    pub compute: Duration,
    /// Calls at the same time; further ones wait for their turn within their own timeout.
    pub concurrent_calls: usize,
    /// HTTP requests in a call.
    pub http_requests: u32,
    /// Bytes that may go between plugin and host at once, either way: in each call of a host function and in the
    /// call's own result.
    pub copied_bytes: usize,
    /// Bytes that the plugin may remember from call to call.
    pub state_bytes: usize,
    /// Variants of windows that a call may run through the model.
    pub model_evaluations: u32,
    /// Bytes a call may log.
    pub log_bytes: usize,
    /// Lines a call may log.
    pub log_lines: u32,
    /// Size of the component's file.
    pub file_bytes: u64,
}

fn as_secs<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64_000_000,
            table_elements: 100_000,
            timeout: Duration::from_secs(10),
            compute: Duration::from_secs(2),
            concurrent_calls: 4,
            http_requests: 16,
            copied_bytes: 8 << 20,
            state_bytes: 1_000_000,
            model_evaluations: 5000,
            log_bytes: 64 << 10,
            log_lines: 200,
            // A Python component with its interpreter takes 18 MB.
            file_bytes: 64_000_000,
        }
    }
}
