//! From the configuration to each capability's own settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argus_alerts::{AlertConfig, DeliveryConfig, SeverityRule};
use argus_config::{Config, Device as DeviceChoice, Storage};
use argus_forecast::Lookup;
use argus_ingest::remote_write::RemoteWriteConfig;
use argus_risk::{MetricRules, ThresholdRules};
use argus_schema::{Mapping, ProfileRules, Thresholds};
use argus_store::StoreConfig;
use argus_tft::Device;

use crate::cli::ModelSelection;

/// The data directory: the configured one, else `argus-data` in the current directory.
pub fn data_dir(config: &Config) -> PathBuf {
    match &config.storage.data_dir {
        Some(dir) => config.resolve(dir),
        None => PathBuf::from(Storage::DEFAULT_DATA_DIR),
    }
}

/// Settings of the store in `data_dir`.
pub fn store(config: &Config, data_dir: &Path) -> StoreConfig {
    let storage = &config.storage;
    StoreConfig {
        step_secs: config.step.step_secs,
        grace_secs: config.step.grace_secs,
        max_entities: storage.max_entities,
        max_records_per_bin: storage.max_records_per_bin,
        forget_after_days: storage.forget_after_days,
        queue_records: config.ingest.queue_records,
        checkpoint_secs: storage.checkpoint_secs,
        checkpoint_log_bytes: storage.checkpoint_log_bytes,
        history_retention_days: storage.history_retention_days,
        history_max_bytes: storage.history_max_bytes,
        min_free_bytes: storage.min_free_bytes,
        ..StoreConfig::new(data_dir.join("store"))
    }
}

/// Names of fields that records may use.
pub fn mapping(config: &Config) -> Mapping {
    let mapping = if config.ingest.aliases {
        Mapping::default()
    } else {
        Mapping::off()
    };
    Mapping {
        mbps_factor: config.ingest.mbps_factor,
        ..mapping
    }
}

/// Settings of remote write.
pub fn remote_write(config: &Config) -> RemoteWriteConfig {
    RemoteWriteConfig {
        drop_port: config.ingest.remote_write.drop_port,
        ..RemoteWriteConfig::default()
    }
}

/// Which names belong to which profile.
pub fn profiles(config: &Config) -> ProfileRules {
    let own = ProfileRules::new(config.profiles.prefixes.clone());
    if config.profiles.defaults {
        own.then_defaults()
    } else {
        own
    }
}

/// Thresholds that differ from the schema's.
pub fn thresholds(config: &Config) -> ThresholdRules {
    let limits = |l: &argus_config::Limits| Thresholds {
        warning: l.warning,
        critical: l.critical,
    };
    let metrics = config.thresholds.iter().map(|(name, t)| {
        let rules = MetricRules {
            warning: t.warning,
            critical: t.critical,
            profiles: t
                .profiles
                .iter()
                .map(|(k, l)| (k.clone(), limits(l)))
                .collect(),
            servers: t
                .servers
                .iter()
                .map(|(k, l)| (k.clone(), limits(l)))
                .collect(),
        };
        (name.clone(), rules)
    });
    ThresholdRules {
        metrics: metrics.collect(),
    }
}

/// When alerts fire and resolve.
pub fn alerts(config: &Config) -> AlertConfig {
    let alerts = &config.alerts;
    let rule = |r: argus_config::SeverityRule| SeverityRule {
        fire_probability: r.fire_probability,
        clear_probability: r.clear_probability,
    };
    AlertConfig {
        for_strikes: alerts.for_strikes,
        clear_strikes: alerts.clear_strikes,
        critical: rule(alerts.critical),
        warning: alerts.warning.map(rule),
        max_strike_gap_secs: alerts.max_strike_gap_secs,
        flap_window_secs: alerts.flap_window_secs,
        refresh_secs: alerts.refresh_secs,
        stale_secs: alerts.stale_secs,
        deadline_secs: alerts.delivery.deadline_secs,
        max_queued_per_sink: alerts.delivery.max_queued_per_sink,
        max_dead_per_sink: alerts.delivery.max_dead_per_sink,
        history_retention_days: alerts.history_retention_days,
        history_max_rows: alerts.history_max_rows,
        link_base: alerts.link_base.clone(),
    }
}

/// How notifications are retried.
pub fn delivery(config: &Config) -> DeliveryConfig {
    let delivery = &config.alerts.delivery;
    DeliveryConfig {
        max_in_flight: delivery.max_in_flight,
        attempt_timeout_secs: delivery.attempt_timeout_secs,
        backoff_base_ms: delivery.first_backoff_secs * 1000,
        backoff_max_ms: delivery.max_backoff_secs * 1000,
        ..DeliveryConfig::default()
    }
}

/// Where the model comes from: the command line, the configuration, the data directory, the shipped ones.
pub fn lookup(selection: &ModelSelection, config: &Config, data_dir: &Path) -> Lookup {
    let resolved = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| config.resolve(dir));
    Lookup {
        model: selection.model.clone(),
        models_dir: selection.models_dir.clone(),
        config_model: resolved(&config.model.dir),
        config_models_dir: resolved(&config.model.models_dir),
        data_dir: Some(data_dir.to_path_buf()),
    }
}

/// The device that runs the model.
pub fn device(config: &Config) -> Device {
    match config.model.device {
        DeviceChoice::Auto => Device::best(),
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Cuda => Device::Cuda(0),
    }
}

/// Time that running requests and deliveries get when the daemon stops.
pub fn drain(config: &Config) -> Duration {
    Duration::from_secs(config.server.drain_secs)
}
