//! A plugin's file made ready to run: read, checked, compiled, linked, its targets bound.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::compile::{compile, deserialise};
use crate::config::{Limits, PluginSpec};
use crate::errors::{Failure, PluginError};
use crate::host::PluginHost;
use crate::kinds::Exports;
use crate::manifest::Manifest;
use crate::nesting;
use crate::settings_schema;
use crate::state::PluginStore;
use crate::target::{Targets, bind_targets};

/// One version of a plugin, shared by its running calls.
pub(crate) struct Loaded {
    pub name: Arc<str>,
    pub version: Option<String>,
    pub sha256: String,
    pub exports: Exports,
    pub targets: Targets,
    pub connectors: Vec<String>,
    pub config_json: String,
    pub limits: Limits,
    pub state: Arc<PluginStore>,
    pub loaded_ms: i64,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A file that was read and fits the configuration; nothing of it has run.
#[derive(Debug)]
pub struct Inspected {
    /// The component.
    pub wasm: Vec<u8>,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Its manifest; components of other tools may have none.
    pub manifest: Option<Manifest>,
}

impl Loaded {
    /// The version, for logs.
    pub(crate) fn version_text(&self) -> &str {
        self.version.as_deref().unwrap_or("(no version)")
    }

    /// Makes a plugin ready. Must run on the host's own runtime; compiling takes from tens of milliseconds to many
    /// seconds.
    pub(crate) async fn prepare(
        host: &PluginHost,
        spec: &PluginSpec,
        state: Arc<PluginStore>,
    ) -> Result<Self, PluginError> {
        let mut version = None;
        let prepared = Self::try_prepare(host, spec, state, &mut version).await;
        prepared.map_err(|failure| PluginError {
            plugin: spec.name.clone(),
            version,
            failure,
            retry_after: None,
        })
    }

    async fn try_prepare(
        host: &PluginHost,
        spec: &PluginSpec,
        state: Arc<PluginStore>,
        version: &mut Option<String>,
    ) -> Result<Self, Failure> {
        let owned = spec.clone();
        let read = tokio::task::spawn_blocking(move || read_and_check(&owned));
        let (inspected, checked) = read.await.map_err(|_| Failure::Stopping)??;
        *version = inspected.manifest.map(|manifest| manifest.version);
        checked?;
        let config_json = match &spec.config {
            serde_json::Value::Null => "{}".to_owned(),
            config => config.to_string(),
        };
        let component = ready(host, inspected.wasm, &inspected.sha256).await?;
        let unlinkable = |e: wasmtime::Error| Failure::Unlinkable(explain(&e, spec));
        let linker = host.linker(spec.kind);
        let instance = linker.instantiate_pre(&component).map_err(unlinkable)?;
        let exports = Exports::find(spec.kind, instance).map_err(unlinkable)?;
        Ok(Self {
            name: spec.name.as_str().into(),
            version: version.clone(),
            sha256: inspected.sha256,
            exports,
            targets: bind_targets(&spec.targets)?,
            connectors: spec.connectors.clone(),
            config_json,
            limits: spec.limits,
            state,
            loaded_ms: host.clock.now_ms(),
        })
    }
}

/// Reads a plugin's file and checks everything that can be checked without running or compiling it: size, pinned hash,
/// kind, and the settings against the schema inside. Blocking.
pub fn inspect(spec: &PluginSpec) -> Result<Inspected, PluginError> {
    let error = |version, failure| PluginError {
        plugin: spec.name.clone(),
        version,
        failure,
        retry_after: None,
    };
    let (inspected, checked) = read_and_check(spec).map_err(|failure| error(None, failure))?;
    let version = inspected.manifest.as_ref().map(|m| m.version.clone());
    checked.map_err(|failure| error(version, failure))?;
    Ok(inspected)
}

/// The second result is what is wrong with a file whose version is known.
fn read_and_check(spec: &PluginSpec) -> Result<(Inspected, Result<(), Failure>), Failure> {
    let wasm = read(spec)?;
    let sha256 = hex(&Sha256::digest(&wasm));
    if let Some(pinned) = &spec.sha256
        && !pinned.eq_ignore_ascii_case(&sha256)
    {
        return Err(Failure::WrongHash {
            pinned: pinned.clone(),
            found: sha256,
        });
    }
    if nesting::is_too_deep(&wasm) {
        let message = "its components are nested deeper than any tool nests them";
        return Err(Failure::Compile(message.to_owned()));
    }
    let manifest = Manifest::of_component(&wasm).map_err(Failure::Manifest)?;
    let checked = check(spec, manifest.as_ref());
    let inspected = Inspected {
        wasm,
        sha256,
        manifest,
    };
    Ok((inspected, checked))
}

fn check(spec: &PluginSpec, manifest: Option<&Manifest>) -> Result<(), Failure> {
    if !spec.config.is_null() && !spec.config.is_object() {
        return Err(Failure::Settings("they must be a table".to_owned()));
    }
    // Components of other tools may come without a manifest; the export decides then.
    let Some(manifest) = manifest else {
        return Ok(());
    };
    if manifest.kind != spec.kind.as_str() {
        return Err(Failure::WrongKind {
            wanted: spec.kind.as_str(),
            found: manifest.kind.clone(),
        });
    }
    if manifest.config_schema.is_null() {
        return Ok(());
    }
    let empty = serde_json::Value::Object(serde_json::Map::new());
    let settings = if spec.config.is_null() {
        &empty
    } else {
        &spec.config
    };
    settings_schema::check(&manifest.config_schema, settings).map_err(Failure::Settings)
}

fn read(spec: &PluginSpec) -> Result<Vec<u8>, Failure> {
    let limit_bytes = spec.limits.file_bytes;
    let unreadable = |e: std::io::Error| Failure::Read {
        path: spec.path.clone(),
        reason: e.to_string(),
    };
    let file = File::open(&spec.path).map_err(unreadable)?;
    let size_bytes = file.metadata().map_err(unreadable)?.len();
    if size_bytes > limit_bytes {
        return Err(Failure::FileTooLarge {
            size_bytes,
            limit_bytes,
        });
    }
    let mut wasm = Vec::new();
    // The size may have grown since, or be unknown.
    file.take(limit_bytes + 1)
        .read_to_end(&mut wasm)
        .map_err(unreadable)?;
    if wasm.len() as u64 > limit_bytes {
        return Err(Failure::FileTooLarge {
            size_bytes: wasm.len() as u64,
            limit_bytes,
        });
    }
    Ok(wasm)
}

/// The component, from the cache or compiled now.
async fn ready(host: &PluginHost, wasm: Vec<u8>, sha256: &str) -> Result<Component, Failure> {
    let engine = host.engine.clone();
    if let Some(cache) = host.cache.clone() {
        let (engine, sha256) = (engine.clone(), sha256.to_owned());
        let load = move || {
            let code = cache.load(&sha256)?;
            deserialise(&engine, &code)
                .inspect_err(|e| {
                    tracing::warn!("compiled plugin is unusable: {e}; compiling again")
                })
                .ok()
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        if let Some(component) = loaded.map_err(|_| Failure::Stopping)? {
            return Ok(component);
        }
    }
    let _turn = host
        .compiling
        .acquire()
        .await
        .map_err(|_| Failure::Stopping)?;
    let code = compile(&engine, host.compiler.as_ref(), wasm).await?;
    let (cache, sha256) = (host.cache.clone(), sha256.to_owned());
    let keep = move || {
        let component = deserialise(&engine, &code)?;
        if let Some(cache) = cache {
            cache.store(&sha256, &code);
        }
        Ok(component)
    };
    let kept = tokio::task::spawn_blocking(keep).await;
    kept.map_err(|_| Failure::Stopping)?
}

/// What does not fit, and where it is an interface that exists, why this plugin does not get it.
fn explain(error: &wasmtime::Error, spec: &PluginSpec) -> String {
    let text = format!("{error:#}");
    let wanted = text
        .split_once("argus:plugin/")
        .and_then(|(_, rest)| rest.split_once('@'))
        .map(|(name, _)| name);
    let Some(interface) = wanted.and_then(crate::grants::Interface::from_name) else {
        return text;
    };
    if crate::grants::granted(spec.kind).contains(&interface) {
        format!(
            "it imports `{}`, which this daemon does not offer yet ({text})",
            interface.as_str()
        )
    } else {
        let granted = crate::grants::granted(spec.kind);
        let granted: Vec<&str> = granted.iter().map(|i| i.as_str()).collect();
        format!(
            "it imports `{}`, which a {} is not granted; it may import {} ({text})",
            interface.as_str(),
            spec.kind,
            granted.join(", ")
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
