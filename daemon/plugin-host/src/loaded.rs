//! A plugin's file made ready to run: read, checked, compiled, linked, its targets bound.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::sink::SinkPre;
use crate::cache::Cache;
use crate::call::CallState;
use crate::config::{Limits, PluginSpec};
use crate::errors::{Failure, PluginError};
use crate::manifest::Manifest;
use crate::target::{Targets, bind_targets};

/// One version of a plugin, shared by its running calls.
pub(crate) struct Loaded {
    pub name: Arc<str>,
    pub version: Option<String>,
    pub sha256: String,
    pub sink: SinkPre<CallState>,
    pub targets: Targets,
    pub config_json: String,
    pub limits: Limits,
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

impl Loaded {
    /// The version, for logs.
    pub(crate) fn version_text(&self) -> &str {
        self.version.as_deref().unwrap_or("(no version)")
    }

    /// Makes a plugin ready. Blocking: compiling takes from tens of milliseconds to many seconds.
    pub(crate) fn prepare(
        engine: &Engine,
        linker: &Linker<CallState>,
        cache: Option<&Cache>,
        spec: &PluginSpec,
        now_ms: i64,
    ) -> Result<Self, PluginError> {
        let mut version = None;
        Self::try_prepare(engine, linker, cache, spec, now_ms, &mut version).map_err(|failure| {
            PluginError {
                plugin: spec.name.clone(),
                version,
                failure,
                retry_after: None,
            }
        })
    }

    fn try_prepare(
        engine: &Engine,
        linker: &Linker<CallState>,
        cache: Option<&Cache>,
        spec: &PluginSpec,
        now_ms: i64,
        version: &mut Option<String>,
    ) -> Result<Self, Failure> {
        let config_json = match &spec.config {
            serde_json::Value::Null => "{}".to_owned(),
            config @ serde_json::Value::Object(_) => config.to_string(),
            _ => return Err(Failure::Settings("they must be a table")),
        };
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
        // Components of other tools may come without a manifest; the export decides then.
        if let Some(manifest) = Manifest::of_component(&wasm).map_err(Failure::Manifest)? {
            *version = Some(manifest.version);
            if manifest.kind != spec.kind.as_str() {
                return Err(Failure::WrongKind {
                    wanted: spec.kind.as_str(),
                    found: manifest.kind,
                });
            }
        }
        let component = compile(engine, cache, &wasm, &sha256)?;
        let unlinkable = |e: wasmtime::Error| Failure::Unlinkable(format!("{e:#}"));
        let instance = linker.instantiate_pre(&component).map_err(unlinkable)?;
        let sink = SinkPre::new(instance).map_err(unlinkable)?;
        Ok(Self {
            name: spec.name.as_str().into(),
            version: version.clone(),
            sha256,
            sink,
            targets: bind_targets(&spec.targets)?,
            config_json,
            limits: spec.limits,
            loaded_ms: now_ms,
        })
    }
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

fn compile(
    engine: &Engine,
    cache: Option<&Cache>,
    wasm: &[u8],
    sha256: &str,
) -> Result<Component, Failure> {
    if let Some(component) = cache.and_then(|cache| cache.load(engine, sha256)) {
        return Ok(component);
    }
    let component =
        Component::from_binary(engine, wasm).map_err(|e| Failure::Compile(format!("{e:#}")))?;
    if let Some(cache) = cache {
        cache.store(sha256, &component);
    }
    Ok(component)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
