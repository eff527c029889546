//! From the configuration's plugins to loaded ones, and from loaded sinks to the delivery worker's.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use argus_alerts::{DeliveryError, Notification, Receipt, Sink, SinkRoute};
use argus_config::{
    Config, MinSeverity, Plugin as PluginConfig, PluginKind as ConfiguredKind, SecretSource, Target,
};
use argus_fleet::Level;
use argus_plugin_host::{
    Limits, Plugin, PluginKind, PluginSpec, ProxySpec, RateLimit, SecretSource as HostSecret,
    SignSpec, SinkNotification, TargetSpec,
};

/// The host's view of one configured plugin. A relative file is looked up beside the configuration first, then among
/// the plugins that come with Argus.
pub fn spec(config: &Config, name: &str, plugin: &PluginConfig) -> PluginSpec {
    let kind = match plugin.kind {
        ConfiguredKind::Sink => PluginKind::Sink,
        ConfiguredKind::Source => PluginKind::Source,
        ConfiguredKind::Explainer => PluginKind::Explainer,
        ConfiguredKind::Remediation => PluginKind::Remediation,
        ConfiguredKind::Investigator => PluginKind::Investigator,
    };
    let limits = &plugin.limits;
    PluginSpec {
        sha256: plugin.sha256.clone(),
        limits: Limits {
            memory_bytes: limits.memory_mb as usize * 1_000_000,
            table_elements: limits.table_elements,
            timeout: Duration::from_secs(limits.timeout_secs),
            compute: Duration::from_millis(limits.compute_ms),
            concurrent_calls: limits.concurrent_calls,
            http_requests: limits.http_requests,
            copied_bytes: limits.copied_bytes,
            state_bytes: limits.state_kb * 1000,
            model_evaluations: limits.model_evaluations,
            log_bytes: limits.log_bytes,
            log_lines: limits.log_lines,
            file_bytes: limits.file_mb * 1_000_000,
        },
        targets: plugin
            .targets
            .iter()
            .map(|(name, t)| (name.clone(), target(config, t)))
            .collect(),
        connectors: plugin.connectors.clone(),
        config: plugin.config_json(),
        ..PluginSpec::new(name, kind, file(config, &plugin.path))
    }
}

/// Where a plugin's file is: beside the configuration, else, under a bare name, among the plugins that come with Argus.
pub fn file(config: &Config, path: &Path) -> PathBuf {
    let beside = config.resolve(path);
    let is_bare_name = path.file_name() == Some(path.as_os_str());
    if beside.exists() || !is_bare_name {
        return beside;
    }
    let built = shipped_plugins().map(|dir| dir.join(path));
    built
        .filter(|file| file.exists())
        .or_else(|| Some(plugins_to_build()?.join(path)))
        .unwrap_or(beside)
}

/// Where `cargo xtask plugins` will put them, if this executable lies in a source tree in which it did not run yet: what
/// is missing is then asked for, and waited for, at the place where it will appear.
fn plugins_to_build() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let mut above = executable.ancestors().map(|dir| dir.join("plugins"));
    let source = above.find(|dir| dir.join("Cargo.toml").is_file())?;
    Some(source.join("dist")).filter(|dist| !dist.exists())
}

/// `plugins/dist` above the executable or the current directory.
pub fn shipped_plugins() -> Option<PathBuf> {
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let mut above = starts.iter().flatten().flat_map(|start| start.ancestors());
    above.find_map(|dir| Some(dir.join("plugins/dist")).filter(|d| d.is_dir()))
}

fn target(config: &Config, target: &Target) -> TargetSpec {
    let secrets = target.secrets.iter().map(|(name, source)| {
        let source = match source {
            SecretSource::Env(variable) => HostSecret::Env(variable.clone()),
            SecretSource::File(path) => HostSecret::File(config.resolve(path)),
        };
        (name.clone(), source)
    });
    TargetSpec {
        methods: target.methods.clone(),
        path_prefix: target.path_prefix.clone(),
        headers: target.headers.clone(),
        secrets: secrets.collect(),
        allow_private_addresses: target.allow_private_addresses,
        extra_authorities: target.ca_file.as_ref().map(|path| config.resolve(path)),
        proxy: target.proxy.as_ref().map(|proxy| ProxySpec {
            url: proxy.url.clone(),
            authorization: proxy.authorization.clone(),
            resolves_names: proxy.resolves_names,
        }),
        sign: target.sign.as_ref().map(|sign| SignSpec {
            secret: sign.hmac_sha256.clone(),
            header: sign.header.clone(),
            timestamp_header: sign.timestamp_header.clone(),
        }),
        rate_limit: target.rate_limit.map(|limit| RateLimit {
            per_minute: limit.per_minute,
            burst: limit.burst,
        }),
        timeout: Duration::from_secs(target.timeout_secs),
        max_request_bytes: target.max_request_bytes,
        max_response_bytes: target.max_response_bytes,
        ..TargetSpec::new(target.url.clone())
    }
}

/// A sink plugin as the delivery worker sees it.
pub struct PluginSink {
    name: String,
    route: SinkRoute,
    plugin: Arc<Plugin>,
}

impl PluginSink {
    /// Pairs a loaded plugin with its route.
    pub fn new(name: &str, config: &PluginConfig, plugin: Arc<Plugin>) -> Self {
        let min_severity = match config.route.min_severity {
            MinSeverity::Warning => Level::Warning,
            MinSeverity::Critical => Level::Critical,
        };
        let route = SinkRoute {
            name: name.to_owned(),
            min_severity,
            refresh: config.route.refresh,
        };
        Self {
            name: name.to_owned(),
            route,
            plugin,
        }
    }
}

impl Sink for PluginSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
        idempotency_key: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Receipt, DeliveryError>> + Send + 'a>> {
        Box::pin(async move {
            match self
                .plugin
                .deliver(&for_plugin(notification, idempotency_key), idempotency_key)
                .await
            {
                Ok(receipt) => Ok(Receipt {
                    reference: receipt.remote_id,
                }),
                Err(error) => Err(DeliveryError {
                    code: error.code().to_owned(),
                    message: error.to_string(),
                    retryable: error.retryable(),
                    retry_after: error.retry_after,
                }),
            }
        })
    }

    fn route(&self) -> SinkRoute {
        self.route.clone()
    }
}

/// `id` is unique to the notification; the alert's own number would be the same for all of them.
fn for_plugin(n: &Notification, id: &str) -> SinkNotification {
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    SinkNotification {
        id: id.to_owned(),
        fingerprint: n.fingerprint.to_string(),
        event: n.event.as_str().to_owned(),
        severity: n.severity.as_str().to_owned(),
        level: Level::of(n.risk_score).as_str().to_owned(),
        risk_score: Some(n.risk_score),
        entity_kind: "server".to_owned(),
        entity: n.entity.clone(),
        profile: n.profile.clone(),
        metric: Some(n.metric.clone()),
        unit: Some(n.unit.clone()).filter(|unit| !unit.is_empty()),
        threshold: Some(n.threshold),
        probability: Some(n.probability),
        current_value: n.current,
        expected_breach_ms: n.expected_breach_ms,
        started_at_ms: n.started_at_ms,
        updated_at_ms: n.updated_at_ms,
        ends_at_ms: Some(n.ends_at_ms),
        summary: n.summary.clone(),
        labels: pairs(&n.labels),
        annotations: pairs(&n.annotations),
        link: n.link.clone(),
    }
}
