//! Feeds that the daemon runs itself: this host's metrics, and remote-write scrapes whose last part never came.

use std::sync::Arc;
use std::time::Duration;

use argus_config::SelfSource as SelfSourceConfig;
use argus_host_metrics::SelfSource;
use argus_ingest::remote_write::RemoteWrite;
use argus_schema::{EntityName, Schema};
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
                append(&store, vec![record], "self source").await;
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

/// Drains scrapes that have been quiet long enough to be complete.
pub async fn drain_remote_write(
    remote_write: Arc<RemoteWrite>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
        append(&store, remote_write.drain(clock.now_ms()), "remote write").await;
    }
    append(&store, remote_write.flush(), "remote write").await;
}

async fn append(store: &Store, records: Vec<argus_schema::Record>, source: &str) {
    if records.is_empty() {
        return;
    }
    match store.append(records).await {
        Ok(outcomes) => {
            for refusal in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                tracing::debug!(source, %refusal, "record refused");
            }
        }
        Err(error) => tracing::warn!(source, %error, "records were not stored"),
    }
}
