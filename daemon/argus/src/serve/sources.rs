//! The feed that the daemon runs itself: this host's metrics.

use std::sync::Arc;
use std::time::Duration;

use argus_config::SelfSource as SelfSourceConfig;
use argus_host_metrics::SelfSource;
use argus_schema::{EntityName, Record, Schema};
use argus_store::{Clock, Store};
use tokio_util::sync::CancellationToken;

/// Reads this host until `stop`. A host without `/proc` is said once and then left alone.
pub async fn self_source(
    config: SelfSourceConfig,
    schema: Arc<Schema>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let profile = config
        .profile
        .as_deref()
        .and_then(|id| schema.profile_code(id));
    let source = SelfSource::new(Arc::clone(&schema), "/").map(|source| match named(&config) {
        Some(name) => source.with_name(name),
        None => source,
    });
    let mut source = match source {
        Ok(source) => source,
        Err(error) => {
            tracing::warn!(%error, "self source is off");
            return;
        }
    };
    tracing::info!(server = %source.name(), every_secs = config.interval_secs, "self source is on");
    // The first reading only starts the rates; a second later there is something to show.
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        // Reading /proc blocks for microseconds, but a hung mount may block statvfs for long.
        let now_ms = clock.now_ms();
        let read = tokio::task::spawn_blocking(move || {
            let sample = source.sample(now_ms);
            (source, sample)
        });
        let Ok((back, sample)) = read.await else {
            return;
        };
        source = back;
        wait = Duration::from_secs(config.interval_secs);
        match sample {
            Ok(Some(mut record)) => {
                record.profile = profile.or(record.profile);
                append(&store, record).await;
            }
            Ok(None) => wait = Duration::from_secs(1),
            Err(error) => tracing::warn!(%error, "self source failed to read this host"),
        }
    }
}

fn named(config: &SelfSourceConfig) -> Option<EntityName> {
    config
        .server_name
        .as_deref()
        .and_then(|name| EntityName::new(name).ok())
}

async fn append(store: &Store, record: Record) {
    match store.append(vec![record]).await {
        Ok(outcomes) => {
            for refusal in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                tracing::debug!(%refusal, "this host's record was refused");
            }
        }
        // The next reading is a moment away; this one is not worth keeping.
        Err(error) => tracing::warn!(%error, "this host's record was not stored"),
    }
}
