//! A server as its operator sees it, and the daemon's side of one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, prepared};
use serde_json::{Value, json};

/// Asks a server, without a daemon.
#[derive(Clone)]
pub struct Cluster {
    pub url: String,
    pub authorization: Option<String>,
}

impl Cluster {
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            authorization: None,
        }
    }

    pub fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        let kind = if path.contains("_bulk") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", kind);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut answer = agent.run(request.body(body.to_owned())?)?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()?;
        anyhow::ensure!(
            answer.status().is_success(),
            "{method} {path}: {} {text}",
            answer.status()
        );
        Ok(serde_json::from_str(&text)?)
    }

    /// An index as its documents want it; one shard less would hide what order across shards can do wrong.
    pub fn create(&self, index: &str) -> anyhow::Result<()> {
        let body = json!({
            "settings": { "number_of_shards": 2, "number_of_replicas": 0, "refresh_interval": "200ms" },
            "mappings": { "properties": {
                "@timestamp": { "type": "date" }, "server_name": { "type": "keyword" }, "mem_used_pct": { "type": "float" },
            } },
        });
        self.call("PUT", &format!("/{index}"), &body.to_string())
            .map(drop)
    }

    /// Writes documents under their ids; sent again they are the same.
    pub fn put<'a>(
        &self,
        index: &str,
        documents: impl IntoIterator<Item = (String, &'a Value)>,
    ) -> anyhow::Result<()> {
        let mut body = String::new();
        for (id, document) in documents {
            body.push_str(&format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{document}\n"));
        }
        let answer = self.call("POST", &format!("/{index}/_bulk"), &body)?;
        anyhow::ensure!(answer["errors"] == false, "bulk: {answer}");
        Ok(())
    }

    pub fn refresh(&self, index: &str) -> anyhow::Result<()> {
        self.call("POST", &format!("/{index}/_refresh"), "")
            .map(drop)
    }
}

/// The library of a crate that this one has as a dev-dependency: cargo puts it beside the test's executable.
pub fn connector() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.parent().context("a folder")?;
    let path = folder.join("libargus_connector_elasticsearch.so");
    anyhow::ensure!(path.exists(), "{} is missing", path.display());
    Ok(path)
}

/// `[connectors.NAME]`; settings are its `config`, one a line.
pub fn connector_toml(name: &str, keys: &str, settings: &str) -> anyhow::Result<String> {
    let library = connector()?;
    Ok(format!(
        "[connectors.{name}]\npath = \"{}\"\n{keys}\n[connectors.{name}.config]\n{settings}\n",
        library.display()
    ))
}

/// `[plugins.NAME]`; settings are its `config`, one a line.
pub fn plugin_toml(name: &str, connector: &str, settings: &str) -> anyhow::Result<String> {
    let wasm = prepared("ARGUS_PLUGINS_DIR")?.join("elasticsearch.wasm");
    Ok(format!(
        "[plugins.{name}]\nkind = \"source\"\npath = \"{}\"\nconnectors = [\"{connector}\"]\n\
         limits = {{ timeout_secs = 60 }}\nschedule = {{ interval_secs = 1, max_backoff_secs = 5 }}\n\
         [plugins.{name}.config]\nconnector = \"{connector}\"\n{settings}\n",
        wasm.display()
    ))
}

pub fn source(daemon: &Daemon, name: &str) -> anyhow::Result<Value> {
    let status = daemon.get_ok("/sources")?;
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    let found = sources.into_iter().find(|source| source["name"] == name);
    found.with_context(|| format!("no source {name} in {status}"))
}

/// Code of the page that operators read, by language and place.
pub fn example(language: &str, place: usize) -> anyhow::Result<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/elasticsearch.md");
    let text = std::fs::read_to_string(page)?;
    let fence = format!("```{language}\n");
    let block = text
        .split(&fence)
        .nth(place + 1)
        .context("no such example")?;
    Ok(block.split("```").next().unwrap_or_default().to_owned())
}
