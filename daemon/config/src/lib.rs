//! The one TOML file: types, defaults, precise errors.
//!
//! [`Config`] is plain data, one small file per section, each with its defaults and its checks. Everything has a
//! default, so that the daemon runs without a file. Reading goes through three gates, each of which points at the
//! offending texts: TOML syntax, types (serde, unknown keys refused), and values (each section's `check`).
//!
//! Units are in the names (`timeout_secs`, `max_body_bytes`). Secrets are never written into the file: a
//! [`SecretSource`] names an environment variable or a file. A relative path in a file is relative to that file's
//! directory. What the settings *do* is not known here.

mod alerts;
mod check;
mod connectors;
mod demo;
mod document;
mod errors;
mod ingest;
mod load;
mod model;
mod plugins;
mod profiles;
mod routes;
mod secret;
mod self_source;
mod server;
mod step;
mod storage;
mod suggest;
mod target;
mod target_options;
mod templates;
mod thresholds;

pub use alerts::{Alerts, Delivery, SeverityRule};
pub use connectors::{Connector, Schedule};
pub use demo::Demo;
pub use errors::{ConfigError, Problem};
pub use ingest::{Ingest, RemoteWrite};
pub use model::{Device, Model};
pub use plugins::{MinSeverity, Plugin, PluginKind, PluginLimits, Route};
pub use profiles::Profiles;
pub use routes::{AlertLevel, RouteRule, Weekday};
pub use secret::{Secret, SecretError, SecretSource};
pub use self_source::SelfSource;
pub use server::Server;
pub use step::Step;
pub use storage::Storage;
pub use target::Target;
pub use target_options::{Proxy, RateLimit, Sign};
pub use templates::Template;
pub use thresholds::{Limits, MetricThresholds};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything that can be set, with built-in defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`: the HTTP listener and its limits.
    pub server: Server,
    /// `[step]`: length of a time step.
    pub step: Step,
    /// `[storage]`: data directory, checkpoints, retention.
    pub storage: Storage,
    /// `[model]`: which model, on what device.
    pub model: Model,
    /// `[self_source]`: this host's own metrics.
    pub self_source: SelfSource,
    /// `[demo]`: a synthetic fleet.
    pub demo: Demo,
    /// `[ingest]`: how records are read.
    pub ingest: Ingest,
    /// `[profiles]`: which names belong to which profile.
    pub profiles: Profiles,
    /// `[thresholds.<metric>]`: what counts as a breach, where it differs from the schema.
    pub thresholds: BTreeMap<String, MetricThresholds>,
    /// `[alerts]`: when an alert fires and resolves, and how it is delivered.
    pub alerts: Alerts,
    /// `[connectors.<name>]`: native connectors that sources may ask.
    pub connectors: BTreeMap<String, Connector>,
    /// `[plugins.<name>]`: WebAssembly plugins and what each may reach.
    pub plugins: BTreeMap<String, Plugin>,
    /// `[[routes]]`: which sinks are told of which alerts, and when; none tells everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteRule>,
    /// `[templates.<name>]`: message texts of the operator's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, Template>,
    /// Where relative paths start; not part of the file.
    #[serde(skip)]
    pub base_dir: PathBuf,
}

impl Config {
    /// A path as the process must open it: absolute ones as they are, others below the configuration's directory.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }

    fn check(&self, found: &mut check::Checker) {
        self.server.check(found);
        self.step.check(found);
        self.storage.check(found);
        self.model.check(found);
        self.self_source.check(found);
        self.demo.check(found);
        self.ingest.check(self.server.max_records, found);
        self.profiles.check(found);
        thresholds::check(&self.thresholds, found);
        self.alerts.check(found);
        plugins::check(&self.plugins, found);
        routes::check(&self.routes, &self.plugins, found);
        templates::check(&self.templates, &self.plugins, found);
        connectors::check(
            &self.connectors,
            &self.plugins,
            self.ingest.queue_records,
            found,
        );
    }
}
