//! Source plugins as the poller sees them.

use std::sync::Arc;
use std::time::Duration;

use argus_config::{Config, Plugin as PluginConfig};
use argus_plugin_host::{Plugin, PluginError, PluginKind};
use argus_sources::{Batch, PollError, PollFuture, Schedule, Source};
use argus_store::StoreConfig;

use super::plugin_set::PluginSet;

/// A plugin of the kind `source`.
struct PluginSource {
    plugin: Arc<Plugin>,
    /// How far behind a server's newest record the store knows records that it has from others.
    told_apart_secs: u64,
}

/// The enabled sources of the configuration. One that could not be loaded is among them: its polls fail, visibly, until
/// it can.
pub fn sources(plugins: &PluginSet, config: &Config) -> Vec<(Arc<dyn Source>, Schedule)> {
    let sources = plugins.of_kind(PluginKind::Source);
    let exact_bins = StoreConfig::new("").exact_bins;
    let told_apart_secs = u64::from(exact_bins) * u64::from(config.step.step_secs);
    sources
        .filter_map(|(name, plugin)| {
            let source = PluginSource {
                plugin: Arc::clone(plugin),
                told_apart_secs,
            };
            Some((
                Arc::new(source) as Arc<dyn Source>,
                schedule(config.plugins.get(name)?),
            ))
        })
        .collect()
}

fn schedule(config: &PluginConfig) -> Schedule {
    let schedule = config.schedule.unwrap_or_default();
    Schedule {
        interval: Duration::from_secs(schedule.interval_secs),
        first_backoff: Duration::from_secs(schedule.first_backoff_secs),
        max_backoff: Duration::from_secs(schedule.max_backoff_secs),
        max_records: schedule.max_records,
    }
}

impl Source for PluginSource {
    fn name(&self) -> &str {
        self.plugin.name()
    }

    fn poll(&self, checkpoint: Option<Vec<u8>>, max_records: u32) -> PollFuture<'_> {
        Box::pin(async move {
            let options = [(
                "told-apart-secs".to_owned(),
                self.told_apart_secs.to_string(),
            )];
            // While it is compiled there is nothing to blame it for.
            self.plugin.tried().await;
            let polled = self.plugin.poll_with(checkpoint, max_records, options);
            let batch = polled.await;
            let batch = batch.map_err(|error| poll_error(&error))?;
            Ok(Batch {
                content: batch.content,
                items: batch.items,
                checkpoint: batch.checkpoint,
                more: batch.more,
                skipped: batch.skipped,
            })
        })
    }
}

fn poll_error(error: &PluginError) -> PollError {
    PollError {
        code: error.code().to_owned(),
        message: error.to_string(),
        retryable: error.retryable(),
        retry_after: error.retry_after,
    }
}
