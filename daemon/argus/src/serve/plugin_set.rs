//! The configured plugins: loaded, shown, reloaded, tried.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use argus_alerts::Sink;
use argus_api::control::{
    PluginError, PluginReloadError, PluginReloaded, PluginReport, PluginVersion, SecondsHistogram,
    SinkTestError,
};
use argus_config::Config;
use argus_plugin_host::{
    CallSeconds, LastError, Plugin, PluginHost, PluginKind, PluginState, PluginStatus,
    SinkNotification, plain_words,
};

use super::plugins::{PluginSink, spec};

/// All plugins of the configuration, by name.
#[derive(Debug, Default)]
pub struct PluginSet {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: PluginKind,
    path: String,
    limits: serde_json::Value,
    may: String,
    /// None where the configuration disables it.
    plugin: Option<Arc<Plugin>>,
}

impl PluginSet {
    /// Takes on every configured plugin and loads what is enabled. One that fails is shown with its reason, tried again
    /// when its file changes, and the daemon runs on. It also runs on without those that take long, which come up when
    /// they are compiled.
    pub async fn load(config: &Config, host: &Arc<PluginHost>) -> Self {
        let mut entries = BTreeMap::new();
        let mut starts = Vec::new();
        for (name, configured) in &config.plugins {
            let spec = spec(config, name, configured);
            let may = plain_words(&spec);
            let mut entry = Entry {
                kind: spec.kind,
                path: spec.path.display().to_string(),
                limits: serde_json::to_value(spec.limits).unwrap_or_default(),
                may,
                plugin: None,
            };
            if configured.enabled {
                let plugin = host.add(spec);
                starts.push(tokio::spawn(start(Arc::clone(&plugin), entry.may.clone())));
                entry.plugin = Some(plugin);
            }
            entries.insert(name.clone(), entry);
        }
        let all = async {
            for start in starts {
                // One that panicked has been reported by the runtime, and is shown as not loaded.
                let _ = start.await;
            }
        };
        if tokio::time::timeout(START_PATIENCE, all).await.is_err() {
            tracing::warn!("some plugins are still being compiled; the daemon starts without them");
        }
        Self { entries }
    }

    /// The enabled plugins of a kind.
    pub fn of_kind(&self, kind: PluginKind) -> impl Iterator<Item = (&str, &Arc<Plugin>)> {
        self.entries
            .iter()
            .filter(move |(_, entry)| entry.kind == kind)
            .filter_map(|(name, entry)| Some((name.as_str(), entry.plugin.as_ref()?)))
    }

    /// The sinks, as the delivery worker sees them. One that could not be loaded is among them: its notifications wait
    /// in the outbox until it can.
    pub fn sinks(&self, config: &Config) -> Vec<Arc<dyn Sink>> {
        let sinks = self.of_kind(PluginKind::Sink).filter_map(|(name, plugin)| {
            let configured = config.plugins.get(name)?;
            let sink = PluginSink::new(name, configured, Arc::clone(plugin));
            Some(Arc::new(sink) as Arc<dyn Sink>)
        });
        sinks.collect()
    }

    /// What operators see.
    pub fn reports(&self) -> Vec<PluginReport> {
        let report = |(name, entry): (&String, &Entry)| report(name, entry);
        self.entries.iter().map(report).collect()
    }

    /// Puts a plugin's file to use again.
    pub async fn reload(&self, name: &str) -> Result<PluginReloaded, PluginReloadError> {
        let unknown = |reason: String| PluginReloadError::Unknown(reason);
        let entry = self.entries.get(name).ok_or_else(|| {
            unknown(format!(
                "no plugin `{name}` is configured; there are: {}",
                self.names()
            ))
        })?;
        let Some(plugin) = &entry.plugin else {
            let reason = format!("plugin `{name}` is disabled in the configuration");
            return Err(unknown(reason));
        };
        let reloaded = plugin.reload().await;
        let reloaded = reloaded.map_err(|e| PluginReloadError::Refused(e.to_string()))?;
        let version = |v: argus_plugin_host::PluginVersion| PluginVersion {
            version: v.version,
            sha256: v.sha256,
        };
        Ok(PluginReloaded {
            previous: reloaded.previous.map(version),
            current: version(reloaded.current),
        })
    }

    /// Sends a test notification through a sink.
    pub async fn test_sink(&self, name: &str, now_ms: i64) -> Result<String, SinkTestError> {
        let entry = self
            .entries
            .get(name)
            .filter(|e| e.kind == PluginKind::Sink);
        let entry = entry.ok_or_else(|| {
            let sinks = self
                .entries
                .iter()
                .filter(|(_, e)| e.kind == PluginKind::Sink);
            let names: Vec<&str> = sinks.map(|(name, _)| name.as_str()).collect();
            SinkTestError::Unknown(format!(
                "no sink `{name}` is configured; there are: {}",
                names.join(", ")
            ))
        })?;
        let Some(plugin) = &entry.plugin else {
            return Err(SinkTestError::Failed("disabled".to_owned()));
        };
        let notification = SinkNotification::test(now_ms);
        let receipt = plugin
            .deliver(&notification, &format!("test-{now_ms}"))
            .await;
        let receipt = receipt.map_err(|error| SinkTestError::Failed(error.to_string()))?;
        Ok(receipt
            .message
            .or(receipt.remote_id)
            .unwrap_or_else(|| "delivered".to_owned()))
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.entries.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

/// How long the daemon's start waits for plugins. From the cache they load in milliseconds.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Loads a plugin, and asks its check on the side.
async fn start(plugin: Arc<Plugin>, may: String) {
    let name = plugin.name();
    match plugin.reload().await {
        Ok(loaded) => {
            let version = loaded.current.version.unwrap_or_default();
            tracing::info!(plugin = name, version, "{may}");
        }
        Err(error) => {
            tracing::error!(plugin = name, "not loaded: {error}");
            return;
        }
    }
    // The service behind a plugin may be slow or come up later: nobody waits for it, and what is wrong is shown.
    tokio::spawn(async move {
        if let Err(error) = plugin.check().await {
            tracing::warn!(%error, "plugin's check failed");
        }
    });
}

fn report(name: &str, entry: &Entry) -> PluginReport {
    let Some(status) = entry.plugin.as_ref().map(|plugin| plugin.status()) else {
        let reason = Some("disabled in the configuration".to_owned());
        return PluginReport {
            name: name.to_owned(),
            kind: entry.kind.to_string(),
            state: "disabled".to_owned(),
            state_reason: reason,
            may: entry.may.clone(),
            path: entry.path.clone(),
            limits: entry.limits.clone(),
            ..PluginReport::default()
        };
    };
    let (state, state_reason) = state(&status);
    let loaded = status.health != PluginState::NotLoaded;
    PluginReport {
        name: name.to_owned(),
        kind: entry.kind.to_string(),
        version: loaded.then_some(status.version),
        state: state.to_owned(),
        state_reason,
        may: entry.may.clone(),
        path: status.path,
        sha256: loaded.then_some(status.sha256),
        limits: entry.limits.clone(),
        loaded_ms: loaded.then_some(status.loaded_ms),
        load_error: status.load_error.map(shown),
        reloads: status.reloads,
        calls: status.calls,
        errors: status.errors,
        errors_by_code: status.errors_by_code,
        faults: status.faults,
        refused: status.refused,
        running: status.running,
        mean_ms: status.mean_ms,
        max_ms: status.max_ms,
        call_seconds: histogram(&status.call_seconds),
        memory_high_water_bytes: status.memory_high_water_bytes,
        copied_bytes: status.copied_bytes,
        http_requests: status.http_requests,
        http_bytes: status.http_bytes,
        last_error: status.last_error.map(shown),
    }
}

fn state(status: &PluginStatus) -> (&'static str, Option<String>) {
    match &status.health {
        PluginState::Ready => ("ready", None),
        PluginState::NotLoaded => (
            "failed",
            status
                .load_error
                .as_ref()
                .map(|error| error.message.clone()),
        ),
        PluginState::BackingOff { faults, .. } => {
            ("backing_off", Some(format!("{faults} faults in a row")))
        }
        PluginState::Quarantined { faults, .. } => (
            "quarantined",
            Some(format!(
                "{faults} faults in a row; a trial call, another file or a reload ends it"
            )),
        ),
    }
}

fn shown(error: LastError) -> PluginError {
    PluginError {
        at_ms: error.at_ms,
        code: error.code,
        message: error.message,
    }
}

fn histogram(seconds: &CallSeconds) -> SecondsHistogram {
    SecondsHistogram {
        bounds: CallSeconds::BOUNDS.to_vec(),
        buckets: seconds.buckets[..CallSeconds::BOUNDS.len()].to_vec(),
        count: seconds.count,
        sum: seconds.sum_secs,
    }
}
