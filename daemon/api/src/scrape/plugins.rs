//! What plugins cost, and how often they fail.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Named;
use crate::context::Api;
use crate::control::PluginReport;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    name: String,
    code: String,
}

/// A counter of all plugins and where its value comes from.
type Counted = (&'static str, &'static str, fn(&PluginReport) -> u64);

const COUNTERS: [Counted; 7] = [
    ("plugin_calls", "Calls started", |p| p.calls),
    (
        "plugin_faults",
        "Calls that trapped or exceeded a limit",
        |p| p.faults,
    ),
    (
        "plugin_refused",
        "Calls refused by back-off, quarantine or lack of a slot",
        |p| p.refused,
    ),
    (
        "plugin_reloads",
        "Versions put to use after the first",
        |p| p.reloads,
    ),
    (
        "plugin_copied_bytes",
        "Bytes copied between plugin and host, both ways",
        |p| p.copied_bytes,
    ),
    ("plugin_http_requests", "HTTP requests sent", |p| {
        p.http_requests
    }),
    (
        "plugin_http_bytes",
        "Bytes of HTTP bodies, both ways",
        |p| p.http_bytes,
    ),
];

pub(super) fn register(api: &Api, r: &mut Registry) {
    let plugins = api.context.control.plugins();
    let named = |plugin: &PluginReport| Named {
        name: plugin.name.clone(),
    };
    for (metric, help, value) in COUNTERS {
        let family: Family<Named, Counter> = Family::default();
        for plugin in &plugins {
            family.get_or_create(&named(plugin)).inc_by(value(plugin));
        }
        r.register(metric, help, family);
    }
    let errors: Family<Code, Counter> = Family::default();
    let gauge = |value: fn(&PluginReport) -> u64| {
        let family: Family<Named, Gauge> = Family::default();
        for plugin in &plugins {
            let value = i64::try_from(value(plugin)).unwrap_or(i64::MAX);
            family.get_or_create(&named(plugin)).set(value);
        }
        family
    };
    for plugin in &plugins {
        for (code, count) in &plugin.errors_by_code {
            let label = Code {
                name: plugin.name.clone(),
                code: code.clone(),
            };
            errors.get_or_create(&label).inc_by(*count);
        }
    }
    r.register(
        "plugin_errors",
        "Calls that ended in an error, by code",
        errors,
    );
    r.register("plugin_running", "Calls running now", gauge(|p| p.running));
    r.register(
        "plugin_ready",
        "1 while calls are let through",
        gauge(|p| u64::from(p.state == "ready")),
    );
    r.register(
        "plugin_file_refused",
        "1 while the newest file is not what runs",
        gauge(|p| u64::from(p.load_error.is_some())),
    );
    r.register(
        "plugin_memory_high_water_bytes",
        "Most memory any call used",
        gauge(|p| p.memory_high_water_bytes),
    );
    r.register_collector(Box::new(CallSeconds(plugins)));
}

/// The time of calls: the histograms are kept by the plugins' host.
#[derive(Debug)]
struct CallSeconds(Vec<PluginReport>);

impl Collector for CallSeconds {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "plugin_call",
            "Time of finished calls, waiting for HTTP included",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for plugin in &self.0 {
            let seconds = &plugin.call_seconds;
            let bounded = seconds
                .bounds
                .iter()
                .copied()
                .zip(seconds.buckets.iter().copied());
            let mut buckets: Vec<(f64, u64)> = bounded.collect();
            let within: u64 = buckets.iter().map(|(_, count)| count).sum();
            buckets.push((f64::INFINITY, seconds.count.saturating_sub(within)));
            let name = Named {
                name: plugin.name.clone(),
            };
            family.encode_family(&name)?.encode_histogram::<Named>(
                seconds.sum,
                seconds.count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
