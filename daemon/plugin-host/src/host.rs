//! The host: engine, threads, cache, and what is granted to which kind.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::cache::Cache;
use crate::call::{CallState, Lent};
use crate::clock::Clock;
use crate::compile::CompilerCommand;
use crate::config::{HealthPolicy, HostConfig, PluginKind, PluginSpec};
use crate::engine::{Ticker, running_engine};
use crate::errors::{HostError, PluginError};
use crate::interfaces;
use crate::plugin::Plugin;
use crate::services::Services;
use crate::watch;

/// Loads plugins and lends them threads.
pub struct PluginHost {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: HealthPolicy,
    pub(crate) cache: Option<Cache>,
    pub(crate) compiler: Option<CompilerCommand>,
    /// Compilations at the same time.
    pub(crate) compiling: Semaphore,
    pub(crate) state_dir: Option<std::path::PathBuf>,
    services: Services,
    linkers: HashMap<PluginKind, Linker<CallState>>,
    /// Plugins whose files are watched.
    pub(crate) watched: Mutex<Vec<Weak<Plugin>>>,
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

/// Threads for files, state and what else waits for the disk.
const BLOCKING_THREADS: usize = 4;
/// Of plugins' threads; a compiler's process, which they start, takes ten more.
const NICENESS: i32 = 10;
/// Each uses all cores by itself.
const COMPILATIONS: usize = 1;

/// Lowers the calling thread's priority below that of what people wait for: on a machine whose processors plugins keep
/// busy, a request or a forecast gets its turn at once.
fn step_back() {
    // Linux has a niceness for each thread.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "plugins run at normal priority");
    }
}

impl PluginHost {
    /// Starts the engine and the plugins' threads.
    pub fn new(config: HostConfig) -> Result<Arc<Self>, HostError> {
        Self::with(config, |_| Ok(()))
    }

    /// A host whose interfaces have more than the WIT package says: what a later version may look like.
    pub(crate) fn with(
        config: HostConfig,
        extend: impl Fn(&mut Linker<CallState>) -> wasmtime::Result<()>,
    ) -> Result<Arc<Self>, HostError> {
        let engine = running_engine()?;
        let mut linkers = HashMap::new();
        for kind in PluginKind::ALL {
            let unusable = |e: wasmtime::Error| HostError::Engine(format!("{e:#}"));
            let mut linker =
                interfaces::linker(&engine, kind, &config.services).map_err(unusable)?;
            extend(&mut linker).map_err(unusable)?;
            linkers.insert(kind, linker);
        }
        let cache = config
            .cache_dir
            .as_deref()
            .map(|dir| Cache::open(dir, &engine))
            .transpose()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.worker_threads.max(1))
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("argus-plugin")
            .on_thread_start(step_back)
            .enable_all()
            .build()
            .map_err(HostError::Threads)?;
        let host = Arc::new(Self {
            ticker: Ticker::start(&engine)?,
            engine,
            clock: config.clock,
            health: config.health,
            cache,
            compiler: config.compiler,
            compiling: Semaphore::new(COMPILATIONS),
            state_dir: config.state_dir,
            services: config.services,
            linkers,
            watched: Mutex::default(),
            runtime: Some(runtime),
        });
        if let Some(every) = config.watch_every {
            host.runtime()
                .spawn(watch::watch(Arc::downgrade(&host), every));
        }
        Ok(host)
    }

    /// Takes a plugin on without loading it: calls are refused until [`Plugin::reload`], or a change of its file, puts
    /// a version to use.
    pub fn add(self: &Arc<Self>, spec: PluginSpec) -> Arc<Plugin> {
        let plugin = Arc::new(Plugin::new(self.clone(), spec));
        let mut watched = self.watched.lock();
        watched.retain(|plugin| plugin.strong_count() > 0);
        watched.push(Arc::downgrade(&plugin));
        plugin
    }

    /// Takes a plugin on and reads, checks, compiles and links it. Its own [`check`](Plugin::check) is the caller's
    /// next step.
    pub async fn load(self: &Arc<Self>, spec: PluginSpec) -> Result<Arc<Plugin>, PluginError> {
        let plugin = self.add(spec);
        plugin.load().await?;
        Ok(plugin)
    }

    /// Runs a caller's own work on the plugins' threads, at their low priority. Calls of plugins from there stay on the
    /// thread that they were made on; from any other, each waits for a thread to wake, and its caller for the answer.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime().spawn(work)
    }

    /// What this host's calls borrow.
    pub(crate) fn lend(&self) -> Lent {
        Lent {
            clock: self.clock.clone(),
            services: self.services.clone(),
        }
    }

    pub(crate) fn linker(&self, kind: PluginKind) -> &Linker<CallState> {
        self.linkers.get(&kind).expect("made for every kind")
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
