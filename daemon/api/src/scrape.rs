//! What other parts of the daemon count, read at each scrape of `/metrics`.

mod inputs;
mod plugins;

use std::sync::atomic::{AtomicU64, Ordering};

use argus_fleet::ForecastState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::context::Api;
use crate::control::Readiness;
use crate::metrics::{Reason, counter_at};

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildInfo {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    weights_sha256: String,
    device: String,
}

/// A registry that is filled now and thrown away after the scrape.
pub(crate) fn registry(api: &Api) -> Registry {
    let mut registry = Registry::with_prefix("argus");
    let r = &mut registry;
    r.register(
        "build",
        "Version of the daemon",
        Info::new(BuildInfo {
            version: env!("CARGO_PKG_VERSION"),
        }),
    );
    let uptime_secs = (api.now_ms() - api.started_ms).max(0) as f64 / 1000.0;
    float(
        r,
        "uptime_seconds",
        "Time since the API started",
        uptime_secs,
    );
    let ready = matches!(api.context.control.readiness(), Readiness::Ready(_));
    float(
        r,
        "ready",
        "1 while records are accepted",
        f64::from(u8::from(ready)),
    );
    float(
        r,
        "http_connections",
        "Connections open now",
        api.connections.load(Ordering::Relaxed) as f64,
    );
    store(api, r);
    fleet(api, r);
    alerts(api, r);
    plugins::register(api, r);
    inputs::register(api, r);
    remote_write(api, r);
    registry
}

fn float(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = FloatGauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn count(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, counter_at(value));
}

fn store(api: &Api, r: &mut Registry) {
    let stats = api.context.store.stats();
    float(r, "store_entities", "Entities known", stats.entities as f64);
    count(
        r,
        "store_records_accepted",
        "Records stored",
        stats.accepted,
    );
    count(
        r,
        "store_records_late_merged",
        "Late records merged into their bin",
        stats.late_merged,
    );
    let refused: Family<Reason, Counter> = Family::default();
    for (code, value) in &stats.refused {
        refused
            .get_or_create(&Reason {
                reason: (*code).to_owned(),
            })
            .inc_by(*value);
    }
    r.register(
        "store_records_refused",
        "Records refused by the store, by code",
        refused,
    );
    count(
        r,
        "store_queue_full",
        "Appends refused because the queue was full",
        stats.queue_full,
    );
    count(
        r,
        "store_disk_full",
        "Appends refused because the disk was full",
        stats.disk_full,
    );
    count(
        r,
        "store_write_errors",
        "Appends that failed otherwise",
        stats.write_errors,
    );
    float(
        r,
        "store_queued_records",
        "Records waiting for the disk",
        stats.queued_records as f64,
    );
    count(
        r,
        "store_groups",
        "Groups of records committed, each with one fsync",
        stats.groups,
    );
    float(
        r,
        "store_log_bytes",
        "Log since the newest checkpoint",
        stats.log_bytes as f64,
    );
    count(
        r,
        "store_checkpoints",
        "Checkpoints made",
        stats.checkpoints,
    );
    count(
        r,
        "store_checkpoint_errors",
        "Checkpoints that failed",
        stats.checkpoint_errors,
    );
    float(
        r,
        "store_database_bytes",
        "Size of the database's files",
        stats.database_bytes as f64,
    );
    float(
        r,
        "store_history_bytes",
        "Size of history",
        stats.history_bytes as f64,
    );
    float(
        r,
        "store_history_days",
        "Days of history",
        stats.history_days as f64,
    );
    float(
        r,
        "store_window_bytes",
        "Estimated memory of all windows",
        stats.window_bytes as f64,
    );
    count(r, "store_retired", "Entities retired", stats.retired);
    float(
        r,
        "store_disk_is_full",
        "1 while records are refused for lack of space",
        f64::from(u8::from(stats.disk_is_full)),
    );
    float(
        r,
        "store_free_bytes",
        "Free bytes of the file system",
        stats.free_bytes as f64,
    );
}

fn fleet(api: &Api, r: &mut Registry) {
    let fleet = api.fleet();
    count(r, "fleet_ticks", "States published", fleet.tick);
    float(
        r,
        "forecast_run_milliseconds",
        "How long the newest forecast run took",
        fleet.forecast_ms,
    );
    float(
        r,
        "step_seconds",
        "Length of a step",
        f64::from(fleet.step_secs),
    );
    let states: Family<State, Gauge> = Family::default();
    for (state, label) in [
        (ForecastState::WarmingUp, "warming_up"),
        (ForecastState::Ready, "ready"),
        (ForecastState::Pending, "pending"),
    ] {
        let entities = fleet
            .entities
            .values()
            .filter(|entity| entity.state == state)
            .count();
        let gauge = states.get_or_create_owned(&State {
            state: label.to_owned(),
        });
        gauge.set(i64::try_from(entities).unwrap_or(i64::MAX));
    }
    r.register("fleet_entities", "Entities by forecast state", states);
    let loaded = f64::from(u8::from(fleet.model.is_some()));
    float(r, "model_loaded", "1 while a model serves", loaded);
    if let Some(model) = &fleet.model {
        let labels = ModelLabels {
            model: model.name.clone(),
            weights_sha256: model.weights_sha256.clone(),
            device: model.device.clone(),
        };
        r.register("model", "The serving model", Info::new(labels));
    }
}

fn alerts(api: &Api, r: &mut Registry) {
    let stats = api.context.alerts.stats();
    float(
        r,
        "alerts_pending",
        "Alerts with some strikes",
        stats.pending as f64,
    );
    float(r, "alerts_firing", "Alerts that fire", stats.firing as f64);
    float(
        r,
        "alerts_acknowledged",
        "Firing alerts somebody has seen",
        stats.acknowledged as f64,
    );
    count(
        r,
        "alerts_evaluated",
        "Scheduled forecasts that counted",
        stats.evaluated,
    );
    count(r, "alerts_fired", "Alerts that began to fire", stats.fired);
    count(r, "alerts_resolved", "Alerts that resolved", stats.resolved);
    let queued: Family<Named, Gauge> = Family::default();
    let delivered: Family<Named, Counter> = Family::default();
    let failed: Family<Named, Counter> = Family::default();
    let dead: Family<Named, Counter> = Family::default();
    for sink in &stats.sinks {
        let name = Named {
            name: sink.name.clone(),
        };
        queued
            .get_or_create(&name)
            .set(i64::try_from(sink.queued).unwrap_or(i64::MAX));
        delivered.get_or_create(&name).inc_by(sink.delivered);
        failed.get_or_create(&name).inc_by(sink.failed_attempts);
        dead.get_or_create(&name).inc_by(sink.dead_lettered);
    }
    r.register("sink_queued", "Undelivered notifications", queued);
    r.register("sink_delivered", "Notifications delivered", delivered);
    r.register(
        "sink_failed_attempts",
        "Deliveries that failed and may be tried again",
        failed,
    );
    r.register("sink_dead_lettered", "Notifications given up", dead);
}

fn remote_write(api: &Api, r: &mut Registry) {
    let stats = api.context.remote_write.stats();
    float(
        r,
        "remote_write_instances",
        "Instances in memory",
        stats.instances as f64,
    );
    float(
        r,
        "remote_write_pending_scrapes",
        "Scrapes waiting for their last samples",
        stats.pending_scrapes as f64,
    );
    float(
        r,
        "remote_write_held_bytes",
        "Estimated memory of both",
        stats.held_bytes as f64,
    );
    let ignored: Family<Reason, Counter> = Family::default();
    for (reason, value) in [
        ("unmapped", stats.unmapped),
        ("not_finite", stats.not_finite),
        ("late", stats.late),
        ("out_of_time", stats.out_of_time),
        ("over_bounds", stats.over_bounds),
    ] {
        ignored
            .get_or_create(&Reason {
                reason: reason.to_owned(),
            })
            .inc_by(value);
    }
    r.register(
        "remote_write_ignored",
        "Samples that feed no metric, by reason",
        ignored,
    );
}
