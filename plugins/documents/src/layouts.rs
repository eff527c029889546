//! Built-in mappings: the shapes in which common agents write documents.

use argus_plugin::Error;

use crate::mapping::{MappingConfig, Rule};

/// Names of the built-in layouts.
pub const LAYOUTS: [&str; 3] = ["flat", "metricbeat", "telegraf"];

/// Names of metrics in the flat layout: those of the daemon's own schema, and those that it takes for them.
const FLAT_METRICS: &[&str] = &[
    "cpu_user_pct",
    "cpu_sys_pct",
    "cpu_iowait_pct",
    "cpu_idle_pct",
    "java_cpu_pct",
    "mem_used_pct",
    "swap_used_pct",
    "disk_usage_pct",
    "net_in_mb_s",
    "net_out_mb_s",
    "back_close_wait",
    "front_close_wait",
    "load_average",
    "uptime_days",
    "cpu_user",
    "cpu_sys",
    "cpu_system",
    "cpu_iowait",
    "cpu_idle",
    "cpu_pct",
    "cpu_percent",
    "java_cpu",
    "mem_pct",
    "memory_pct",
    "memory_percent",
    "memory_used",
    "swap_used",
    "disk_pct",
    "disk_percent",
    "disk_used",
    "network_in",
    "network_in_mbps",
    "net_rx_mbps",
    "network_out",
    "network_out_mbps",
    "net_tx_mbps",
    "backend_close_wait",
    "frontend_close_wait",
    "load",
    "load_1min",
    "uptime",
];

/// The layout of that name.
pub(crate) fn layout(name: &str) -> Result<MappingConfig, Error> {
    let json = match name {
        "flat" => return Ok(flat()),
        "metricbeat" => include_str!("../layouts/metricbeat.json"),
        "telegraf" => include_str!("../layouts/telegraf.json"),
        _ => {
            let message = format!(
                "config.mapping.layout: there is no {name:?}; there are {}",
                LAYOUTS.join(", ")
            );
            return Err(Error::new("invalid_config", message));
        }
    };
    Ok(serde_json::from_str(json)?)
}

/// One document, one record, metrics at its top under the daemon's own names.
fn flat() -> MappingConfig {
    let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
    let rule = |&name: &&str| Rule {
        metric: name.to_owned(),
        path: name.to_owned(),
        plus: Vec::new(),
        divide_by: None,
        unit: None,
        only: None,
        unless: None,
        merge: crate::Merge::First,
    };
    MappingConfig {
        server: paths(&["server_name", "hostname", "host.name", "host"]),
        status: paths(&["status", "state"]),
        profile: paths(&["profile"]),
        cores: paths(&["cores"]),
        metrics: FLAT_METRICS.iter().map(rule).collect(),
        ..MappingConfig::default()
    }
}
