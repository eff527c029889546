//! A loaded plugin.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::call::{self, Ended, Task};
use crate::config::PluginSpec;
use crate::counters::Counters;
use crate::errors::{Failure, PluginError};
use crate::health::{Admission, Health};
use crate::host::PluginHost;
use crate::loaded::Loaded;
use crate::notification::{Receipt, SinkNotification};
use crate::status::PluginStatus;

/// A plugin that is ready to be called. Every call runs in a fresh instance on the host's own threads; dropping a
/// call's future ends the call.
#[derive(Debug)]
pub struct Plugin {
    host: Arc<PluginHost>,
    spec: PluginSpec,
    loaded: ArcSwap<Loaded>,
    slots: Semaphore,
    health: Mutex<Health>,
    counters: Counters,
}

impl Plugin {
    pub(crate) fn new(host: Arc<PluginHost>, spec: PluginSpec, loaded: Loaded) -> Self {
        Self {
            slots: Semaphore::new(spec.limits.concurrent_calls.max(1)),
            health: Mutex::new(Health::new(host.health)),
            loaded: ArcSwap::from_pointee(loaded),
            counters: Counters::default(),
            host,
            spec,
        }
    }

    /// The plugin's name in the configuration.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Asks the plugin whether its configuration is valid.
    pub async fn check(&self) -> Result<(), PluginError> {
        self.call(Task::Check).await.map(drop)
    }

    /// Carries one notification.
    pub async fn deliver(
        &self,
        notification: &SinkNotification,
        idempotency_key: &str,
    ) -> Result<Receipt, PluginError> {
        let notification = Box::new(notification.clone());
        self.call(Task::Deliver {
            notification,
            idempotency_key: idempotency_key.to_owned(),
        })
        .await
    }

    /// Reads file and secrets again, compiles beside, runs the new version's check and puts it to use. Running calls
    /// end with the old version, which also stays if anything about the new one is wrong. Ends back-off and
    /// quarantine.
    pub async fn reload(&self) -> Result<(), PluginError> {
        let loaded = Arc::new(self.host.prepare(&self.spec).await?);
        let ended = self.run(loaded.clone(), Task::Check).await;
        ended
            .result
            .map_err(|failure| Self::error(&loaded, failure))?;
        self.loaded.store(loaded);
        self.release();
        Ok(())
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
            version: loaded.version_text().to_owned(),
            path: self.spec.path.display().to_string(),
            sha256: loaded.sha256.clone(),
            health,
            limits: loaded.limits,
            loaded_ms: loaded.loaded_ms,
            calls: 0,
            errors: 0,
            faults: 0,
            refused: 0,
            running: 0,
            last_error: None,
            mean_ms: 0.0,
            max_ms: 0.0,
            memory_high_water_bytes: 0,
            http_requests: 0,
            http_bytes: 0,
            log_lines: 0,
        };
        self.counters.fill(&mut status);
        status
    }

    async fn call(&self, task: Task) -> Result<Receipt, PluginError> {
        let loaded = self.loaded.load_full();
        let admission =
            self.health
                .lock()
                .admit(self.host.clock.now_ms())
                .map_err(|(failure, wait)| {
                    self.counters.refused();
                    PluginError {
                        retry_after: Some(wait),
                        ..Self::error(&loaded, failure)
                    }
                })?;
        let mut admitted = Admitted {
            plugin: self,
            admission: Some(admission),
        };
        let slot = tokio::time::timeout(loaded.limits.timeout, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else {
            self.counters.refused();
            return Err(Self::error(
                &loaded,
                Failure::Busy(loaded.limits.concurrent_calls),
            ));
        };
        let _running = self.counters.start();
        let ended = self.run(loaded.clone(), task).await;
        admitted.judge(&ended);
        self.counters.end(&ended);
        ended.result.map_err(|failure| {
            let error = PluginError {
                retry_after: ended.retry_after,
                ..Self::error(&loaded, failure)
            };
            self.counters.failed(&error, self.host.clock.now_ms());
            error
        })
    }

    /// Runs a task on the plugins' threads.
    async fn run(&self, loaded: Arc<Loaded>, task: Task) -> Ended {
        let host = self.host.clone();
        let ticking = host.ticker.keep_ticking();
        let (engine, clock) = (host.engine.clone(), host.clock.clone());
        let running = AbortOnDrop(host.runtime().spawn(async move {
            let ended = call::run(&engine, loaded, clock, task).await;
            drop(ticking);
            ended
        }));
        running.join().await
    }

    fn error(loaded: &Loaded, failure: Failure) -> PluginError {
        PluginError {
            plugin: loaded.name.to_string(),
            version: loaded.version.clone(),
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
    fn judge(&mut self, ended: &Ended) {
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
            Err(Failure::Stopping) => health.abandoned(admission),
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
struct AbortOnDrop(JoinHandle<Ended>);

impl AbortOnDrop {
    async fn join(mut self) -> Ended {
        // A lost task means that the runtime is shutting down: the task itself does not panic.
        (&mut self.0).await.unwrap_or_else(|_| Ended::stopping())
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
