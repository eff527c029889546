//! The host: engine, threads, cache, and what is granted to which kind.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::cache::Cache;
use crate::call::CallState;
use crate::clock::Clock;
use crate::config::{HealthPolicy, HostConfig, PluginKind, PluginSpec};
use crate::engine::{Ticker, new_engine};
use crate::errors::{Failure, HostError, PluginError};
use crate::interfaces;
use crate::loaded::Loaded;
use crate::plugin::Plugin;

/// Loads plugins and lends them threads.
pub struct PluginHost {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: HealthPolicy,
    sinks: Linker<CallState>,
    cache: Option<Cache>,
    /// Always there until the host is dropped.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// Compilations at the same time; each uses all cores by itself.
const BLOCKING_THREADS: usize = 2;

impl PluginHost {
    /// Starts the engine and the plugins' threads.
    pub fn new(config: HostConfig) -> Result<Arc<Self>, HostError> {
        let engine = new_engine()?;
        let sinks = interfaces::linker(&engine, PluginKind::Sink);
        let cache = config
            .cache_dir
            .as_deref()
            .map(|dir| Cache::open(dir, &engine))
            .transpose()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.worker_threads.max(1))
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("argus-plugin")
            .enable_all()
            .build()
            .map_err(HostError::Threads)?;
        Ok(Arc::new(Self {
            ticker: Ticker::start(&engine)?,
            sinks: sinks.map_err(|e| HostError::Engine(format!("{e:#}")))?,
            engine,
            clock: config.clock,
            health: config.health,
            cache,
            runtime: Some(runtime),
        }))
    }

    /// Reads, checks, compiles and links a plugin. Its own [`check`](Plugin::check) is the caller's next step.
    pub async fn load(self: &Arc<Self>, spec: PluginSpec) -> Result<Arc<Plugin>, PluginError> {
        let loaded = self.prepare(&spec).await?;
        Ok(Arc::new(Plugin::new(self.clone(), spec, loaded)))
    }

    /// Makes a plugin's file ready, beside whatever is running.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        spec: &PluginSpec,
    ) -> Result<Loaded, PluginError> {
        let (host, own_spec) = (self.clone(), spec.clone());
        let prepare = move || {
            let linker = match own_spec.kind {
                PluginKind::Sink => &host.sinks,
            };
            Loaded::prepare(
                &host.engine,
                linker,
                host.cache.as_ref(),
                &own_spec,
                host.clock.now_ms(),
            )
        };
        self.runtime()
            .spawn_blocking(prepare)
            .await
            .unwrap_or_else(|_| {
                let (plugin, failure) = (spec.name.clone(), Failure::Stopping);
                Err(PluginError {
                    plugin,
                    version: None,
                    failure,
                    retry_after: None,
                })
            })
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("taken only when the host is dropped")
    }
}

impl Drop for PluginHost {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for plugins here would block whoever drops the host.
            runtime.shutdown_background();
        }
    }
}
