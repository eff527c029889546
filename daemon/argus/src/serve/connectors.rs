//! Native connectors: from the configuration to opened ones, and the sources that ask them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use argus_api::control::ConnectorReport;
use argus_config::{Config, Connector as ConnectorConfig};
use argus_connector_host::{Connector, ConnectorSpec, Limits};
use argus_plugin_host::services::connectors::Connectors;

/// Time that each connector gets to close when the daemon stops.
const CLOSING: Duration = Duration::from_secs(3);

/// Opens every configured connector. One that cannot be opened is shown with its reason and the daemon runs on.
pub async fn open(config: &Config) -> Connectors {
    let mut opened = Vec::new();
    for (name, connector) in &config.connectors {
        let result = if connector.enabled {
            open_one(config, name, connector).await
        } else {
            Err(disabled(name))
        };
        if let Err(reason) = &result
            && connector.enabled
        {
            tracing::error!(connector = %name, %reason, "connector not opened");
        }
        opened.push((name.clone(), result));
    }
    opened.into_iter().collect()
}

/// Why a connector that is disabled cannot be asked.
fn disabled(name: &str) -> String {
    format!("connector {name} is disabled")
}

async fn open_one(
    config: &Config,
    name: &str,
    connector: &ConnectorConfig,
) -> Result<Arc<Connector>, String> {
    let secrets = connector.secrets.iter().map(|(secret, source)| {
        let value = source.read(&config.base_dir);
        let value = value.map_err(|error| format!("connector {name}: {error}"))?;
        Ok((secret.clone(), value.expose().to_owned()))
    });
    let spec = ConnectorSpec {
        sha256: connector.sha256.clone(),
        config: connector.config_json(),
        secrets: secrets.collect::<Result<_, String>>()?,
        limits: Limits {
            query_timeout: Duration::from_secs(connector.timeout_secs),
            concurrent_requests: connector.concurrent_requests,
            page_bytes: usize::try_from(connector.page_mb << 20).unwrap_or(usize::MAX),
            ..Limits::default()
        },
        ..ConnectorSpec::new(name, file(config, &connector.path))
    };
    Connector::open(spec)
        .await
        .map_err(|error| error.to_string())
}

/// Closes every connector, as far as it lets itself be closed.
pub async fn close(connectors: &Connectors) {
    for (name, connector) in connectors.iter() {
        if let Ok(connector) = connector
            && !connector.close(CLOSING).await
        {
            tracing::warn!(connector = %name, "connector did not close in time");
        }
    }
}

/// What operators see of them.
pub fn reports(connectors: &Connectors) -> Vec<ConnectorReport> {
    let report = |(name, connector): (&String, &Result<Arc<Connector>, String>)| match connector {
        Ok(connector) => {
            let status = connector.status();
            ConnectorReport {
                name: name.clone(),
                state: if status.stuck_ms.is_some() {
                    "stuck"
                } else {
                    "open"
                }
                .to_owned(),
                library: Some(status.library),
                sha256: Some(status.sha256),
                requests: status.requests,
                errors: status.errors,
                documents: status.documents,
                bytes: status.bytes,
                waiting: status.waiting as u64,
                owed: status.owed as u64,
                cursors: status.cursors,
                misbehaviour: status.misbehaviour.counts().into_iter().collect(),
                last_error: status.last_error,
            }
        }
        Err(reason) if *reason == disabled(name) => ConnectorReport {
            name: name.clone(),
            state: "disabled".to_owned(),
            ..ConnectorReport::default()
        },
        Err(reason) => ConnectorReport {
            name: name.clone(),
            state: "failed".to_owned(),
            last_error: Some(reason.clone()),
            ..ConnectorReport::default()
        },
    };
    connectors.iter().map(report).collect()
}

/// What a connector is, in one line of plain words.
pub fn plain_words(name: &str, connector: &ConnectorConfig) -> String {
    let pinned = match connector.sha256 {
        Some(_) => "only this very file",
        None => "whatever the file holds",
    };
    let secrets = match connector.secrets.len() {
        0 => String::new(),
        _ => format!(
            ", is given the secrets {}",
            connector
                .secrets
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    format!(
        "connector {name}: native code from {} runs inside the daemon with all its rights ({pinned}){secrets}; sources \
         that list it may ask it",
        connector.path.display()
    )
}

/// Where a connector's file is: beside the configuration, else among the connectors that come with Argus.
pub fn file(config: &Config, path: &Path) -> PathBuf {
    let beside = config.resolve(path);
    if beside.exists() {
        return beside;
    }
    let executable = std::env::current_exe().ok();
    let shipped = executable
        .as_deref()
        .and_then(Path::parent)
        .into_iter()
        .flat_map(|dir| {
            // A release has bin/ and lib/argus/ side by side; a build has its libraries beside the executable.
            [dir.join("../lib/argus").join(path), dir.join(path)]
        });
    shipped
        .into_iter()
        .find(|file| file.exists())
        .unwrap_or(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn disabled_is_not_failed() {
        let text = "connectors.off = { path = \"no.so\", enabled = false }\nconnectors.bad.path = \"no.so\"";
        let config = Config::from_toml_str("argus.toml", text).expect("valid");
        let reports = reports(&open(&config).await);
        let seen: Vec<_> = reports
            .iter()
            .map(|report| (report.state.as_str(), report.last_error.is_some()))
            .collect();
        assert_eq!(seen, [("failed", true), ("disabled", false)]);
    }
}
