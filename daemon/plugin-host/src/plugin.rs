//! A configured plugin: which version of it runs, and its calls.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::call::{self, Ended};
use crate::config::PluginSpec;
use crate::counters::Counters;
use crate::errors::{Failure, PluginError};
use crate::health::{Admission, Health};
use crate::host::PluginHost;
use crate::kinds::{Check, Task};
use crate::loaded::Loaded;
use crate::state::PluginStore;
use crate::status::{LastError, PluginState, PluginStatus};
use crate::watch::{Seen, Stamp};

/// A configured plugin. Every call runs in a fresh instance on the host's own threads; dropping a call's future ends the
/// call.
#[derive(Debug)]
pub struct Plugin {
    pub(crate) host: Arc<PluginHost>,
    spec: PluginSpec,
    loaded: ArcSwapOption<Loaded>,
    /// Why the newest file is not what runs.
    load_error: Mutex<Option<LastError>>,
    /// Held while a version is made ready: the one that was asked for last must win.
    loading: tokio::sync::Mutex<Option<Arc<PluginStore>>>,
    pub(crate) seen: Mutex<Seen>,
    /// Whether a file of it was ever made ready, or was found not to be fit.
    tried: watch::Sender<bool>,
    slots: Semaphore,
    health: Mutex<Health>,
    counters: Counters,
    reloads: AtomicU64,
}

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// The version it says it has.
    pub version: Option<String>,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What ran before, if anything did.
    pub previous: Option<PluginVersion>,
    /// What runs now.
    pub current: PluginVersion,
}

/// Becomes true however a function is left.
struct SetWhenDropped<'a>(&'a watch::Sender<bool>);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Plugin {
    pub(crate) fn new(host: Arc<PluginHost>, spec: PluginSpec) -> Self {
        Self {
            slots: Semaphore::new(spec.limits.concurrent_calls.max(1)),
            health: Mutex::new(Health::new(host.health)),
            loaded: ArcSwapOption::empty(),
            load_error: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            tried: watch::Sender::default(),
            counters: Counters::default(),
            reloads: AtomicU64::new(0),
            host,
            spec,
        }
    }

    /// The plugin's name in the configuration.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The component's file.
    pub(crate) fn path(&self) -> &Path {
        &self.spec.path
    }

    /// Asks the plugin whether its configuration is valid.
    pub async fn check(&self) -> Result<(), PluginError> {
        self.call(Check).await
    }

    /// Waits until its file has been tried for the first time, whatever came of it: until then, calls are refused.
    pub async fn tried(&self) {
        // The sender lives as long as this plugin.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// Makes the file ready and puts it to use without asking its check.
    pub(crate) async fn load(self: &Arc<Self>) -> Result<(), PluginError> {
        let plugin = self.clone();
        let load = async move { plugin.put_to_use(false, false).await.map(drop) };
        self.on_own_threads(load).await
    }

    /// Reads file and secrets again, compiles beside, runs the new version's check and puts it to use. Running calls
    /// end with the old version, which also stays if anything about the new one is wrong. Ends back-off and
    /// quarantine.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, PluginError> {
        let plugin = self.clone();
        let reload = async move { plugin.put_to_use(true, false).await };
        // Whoever asked may go away; what was begun is brought to its end.
        match self.on_own_threads(reload).await? {
            Some(reloaded) => Ok(reloaded),
            None => Err(self.error(None, Failure::Stopping)),
        }
    }

    /// Reloads because the file has changed, and tells the log about it.
    pub(crate) async fn reload_changed(self: &Arc<Self>) {
        let plugin = self.name();
        match self.put_to_use(true, true).await {
            Ok(None) => {}
            Ok(Some(now)) => {
                let version = now.current.version.as_deref().unwrap_or("(no version)");
                tracing::info!(plugin, version, "the changed file is in use");
            }
            Err(error) if self.loaded.load().is_some() => {
                tracing::error!("the changed file is refused, the old version runs on: {error}");
            }
            Err(error) => tracing::error!("the changed file is refused: {error}"),
        }
    }

    /// Ends back-off and quarantine: the next call is let through.
    pub fn release(&self) {
        self.health.lock().release();
    }

    /// State and counts.
    pub fn status(&self) -> PluginStatus {
        let loaded = self.loaded.load();
        let health = self.health.lock().state(self.host.clock.now_ms());
        let mut status = PluginStatus {
            name: self.spec.name.clone(),
            kind: self.spec.kind,
            version: loaded
                .as_ref()
                .map_or(String::new(), |l| l.version_text().to_owned()),
            path: self.spec.path.display().to_string(),
            sha256: loaded.as_ref().map_or(String::new(), |l| l.sha256.clone()),
            health: if loaded.is_some() {
                health
            } else {
                PluginState::NotLoaded
            },
            limits: self.spec.limits,
            loaded_ms: loaded.as_ref().map_or(0, |l| l.loaded_ms),
            load_error: self.load_error.lock().clone(),
            reloads: self.reloads.load(Ordering::Relaxed),
            ..PluginStatus::empty(self.spec.kind, self.spec.limits)
        };
        self.counters.fill(&mut status);
        status
    }

    /// Makes the file ready and puts it to use; with `unless_same`, only if it is another than the one that runs.
    async fn put_to_use(
        self: &Arc<Self>,
        check: bool,
        unless_same: bool,
    ) -> Result<Option<Reloaded>, PluginError> {
        let mut loading = self.loading.lock().await;
        let _tried = SetWhenDropped(&self.tried);
        self.seen.lock().read = Stamp::of(&self.spec.path);
        let made = self.make_ready(&mut loading, check, unless_same).await;
        match made {
            Ok(None) => {
                // What runs is the newest file again, whatever lay there in between.
                *self.load_error.lock() = None;
                Ok(None)
            }
            Ok(Some(loaded)) => {
                let version = |loaded: &Loaded| PluginVersion {
                    version: loaded.version.clone(),
                    sha256: loaded.sha256.clone(),
                };
                let current = version(&loaded);
                let previous = self.loaded.swap(Some(loaded)).as_deref().map(version);
                *self.load_error.lock() = None;
                if previous.is_some() {
                    self.reloads.fetch_add(1, Ordering::Relaxed);
                }
                self.release();
                Ok(Some(Reloaded { previous, current }))
            }
            Err(error) => {
                *self.load_error.lock() = Some(LastError {
                    at_ms: self.host.clock.now_ms(),
                    code: error.code().to_owned(),
                    message: error.to_string(),
                });
                Err(error)
            }
        }
    }

    async fn make_ready(
        &self,
        state: &mut Option<Arc<PluginStore>>,
        check: bool,
        unless_same: bool,
    ) -> Result<Option<Arc<Loaded>>, PluginError> {
        let state = match state {
            Some(state) => state.clone(),
            None => {
                let opened = PluginStore::open(self.host.state_dir.as_deref(), self.name());
                let opened = opened.map_err(|e| self.error(None, Failure::State(e.to_string())))?;
                state.insert(Arc::new(opened)).clone()
            }
        };
        let loaded = Arc::new(Loaded::prepare(&self.host, &self.spec, state).await?);
        let running = self.loaded.load_full();
        if unless_same && running.as_ref().is_some_and(|r| r.sha256 == loaded.sha256) {
            return Ok(None);
        }
        // A first version is put to use even while the service behind it is down: there is nothing better.
        if check && running.is_some() {
            let ended = self.run(loaded.clone(), Check).await;
            let refused = |failure| self.error(Some(&loaded), failure);
            ended.result.map_err(refused)?;
        }
        Ok(Some(loaded))
    }

    pub(crate) async fn call<T: Task>(&self, task: T) -> Result<T::Answer, PluginError> {
        let Some(loaded) = self.loaded.load_full() else {
            self.counters.refused();
            let why = self.load_error.lock().as_ref().map(|e| e.message.clone());
            let why = why.unwrap_or_else(|| "it was not tried yet".to_owned());
            return Err(self.error(None, Failure::NotLoaded(why)));
        };
        let admission =
            self.health
                .lock()
                .admit(self.host.clock.now_ms())
                .map_err(|(failure, wait)| {
                    self.counters.refused();
                    PluginError {
                        retry_after: Some(wait),
                        ..self.error(Some(&loaded), failure)
                    }
                })?;
        let mut admitted = Admitted {
            plugin: self,
            admission: Some(admission),
        };
        let slot = tokio::time::timeout(loaded.limits.timeout, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else {
            self.counters.refused();
            let busy = Failure::Busy(loaded.limits.concurrent_calls);
            return Err(self.error(Some(&loaded), busy));
        };
        let _running = self.counters.start();
        let ended = self.run(loaded.clone(), task).await;
        admitted.judge(&ended);
        self.counters.end(&ended.cost);
        ended.result.map_err(|failure| {
            let error = PluginError {
                retry_after: ended.retry_after,
                ..self.error(Some(&loaded), failure)
            };
            self.counters.failed(&error, self.host.clock.now_ms());
            error
        })
    }

    /// Runs a task on the plugins' threads.
    async fn run<T: Task>(&self, loaded: Arc<Loaded>, task: T) -> Ended<T::Answer> {
        let host = self.host.clone();
        let ticking = host.ticker.keep_ticking();
        let (engine, lent) = (host.engine.clone(), host.lend());
        let running = AbortOnDrop(host.runtime().spawn(async move {
            let ended = call::run(&engine, loaded, lent, task).await;
            drop(ticking);
            ended
        }));
        running.join().await
    }

    /// Runs the host's own work for a plugin off the caller's threads, to its end.
    async fn on_own_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PluginError>> + Send + 'static,
    ) -> Result<T, PluginError> {
        let done = self.host.runtime().spawn(work).await;
        done.unwrap_or_else(|_| Err(self.error(None, Failure::Stopping)))
    }

    fn error(&self, loaded: Option<&Loaded>, failure: Failure) -> PluginError {
        PluginError {
            plugin: self.spec.name.clone(),
            version: loaded.and_then(|loaded| loaded.version.clone()),
            failure,
            retry_after: None,
        }
    }
}

/// A call that health let through and still has to hear of.
struct Admitted<'a> {
    plugin: &'a Plugin,
    admission: Option<Admission>,
}

impl Admitted<'_> {
    fn judge<T>(&mut self, ended: &Ended<T>) {
        let Some(admission) = self.admission.take() else {
            return;
        };
        let mut health = self.plugin.health.lock();
        match &ended.result {
            Err(failure) if failure.is_fault() => {
                if health.faulted(admission, self.plugin.host.clock.now_ms()) {
                    tracing::error!(
                        plugin = self.plugin.name(),
                        "quarantined after repeated faults: {failure}"
                    );
                }
            }
            Err(Failure::Stopping | Failure::Crowded) => health.abandoned(admission),
            _ => health.succeeded(admission),
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.plugin.health.lock().abandoned(admission);
        }
    }
}

/// Ends the task when nobody waits for it any more.
struct AbortOnDrop<T>(JoinHandle<Ended<T>>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Ended<T> {
        // A lost task means that the runtime is shutting down: the task itself does not panic.
        (&mut self.0).await.unwrap_or_else(|_| Ended::stopping())
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
