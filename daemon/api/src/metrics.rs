//! The daemon's own metrics, OpenMetrics text.
//!
//! Counters that the API keeps itself live in one registry; what other parts count is read at each scrape.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::context::Shared;
use crate::problem::{Answer, Problem};
use crate::scrape;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteStatus {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub reason: String,
}

/// Counters of the API.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RouteStatus, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    refused: Family<Reason, Counter>,
    records_accepted: Counter,
    records_rejected: Family<Reason, Counter>,
    bodies_refused: Family<Reason, Counter>,
    record_notes: Family<Reason, Counter>,
    remote_write_samples: Family<Reason, Counter>,
    pub websocket_clients: Gauge,
    pub websocket_dropped: Counter,
    websocket_messages: Counter,
}

fn seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("argus");
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds as fn() -> Histogram),
            refused: Family::default(),
            records_accepted: Counter::default(),
            records_rejected: Family::default(),
            bodies_refused: Family::default(),
            record_notes: Family::default(),
            remote_write_samples: Family::default(),
            websocket_clients: Gauge::default(),
            websocket_dropped: Counter::default(),
            websocket_messages: Counter::default(),
        };
        let m = &metrics;
        registry.register(
            "http_requests",
            "Requests by route and status",
            m.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time until the answer's headers, by route",
            Unit::Seconds,
            m.durations.clone(),
        );
        registry.register(
            "http_refused",
            "Requests refused before their handler",
            m.refused.clone(),
        );
        registry.register(
            "ingest_records_accepted",
            "Records stored",
            m.records_accepted.clone(),
        );
        registry.register(
            "ingest_records_rejected",
            "Records refused, by code",
            m.records_rejected.clone(),
        );
        registry.register(
            "ingest_bodies_refused",
            "Bodies refused as a whole, by code",
            m.bodies_refused.clone(),
        );
        registry.register(
            "ingest_notes",
            "Oddities in accepted records",
            m.record_notes.clone(),
        );
        registry.register(
            "remote_write_samples",
            "Samples received by remote write, by whether they feed a metric",
            m.remote_write_samples.clone(),
        );
        registry.register(
            "websocket_clients",
            "WebSocket clients connected now",
            m.websocket_clients.clone(),
        );
        registry.register(
            "websocket_dropped",
            "Clients dropped for being slow",
            m.websocket_dropped.clone(),
        );
        registry.register(
            "websocket_messages",
            "Messages sent to clients",
            m.websocket_messages.clone(),
        );
        for code in argus_schema::RejectCode::ALL {
            // A counter that exists from the start can be alerted on.
            drop(metrics.records_rejected.get_or_create(&Reason {
                reason: code.as_str().to_owned(),
            }));
        }
        metrics.registry = registry;
        metrics
    }

    /// A request was refused by authentication, the rate limit, or a bound.
    pub fn refused(&self, reason: &str) {
        self.refused
            .get_or_create(&Reason {
                reason: reason.to_owned(),
            })
            .inc();
    }

    pub fn accepted(&self, records: u64) {
        self.records_accepted.inc_by(records);
    }

    pub fn rejected(&self, code: &str) {
        self.records_rejected
            .get_or_create(&Reason {
                reason: code.to_owned(),
            })
            .inc();
    }

    pub fn body_refused(&self, code: &str) {
        self.bodies_refused
            .get_or_create(&Reason {
                reason: code.to_owned(),
            })
            .inc();
    }

    pub fn note(&self, what: &str, count: u64) {
        if count > 0 {
            self.record_notes
                .get_or_create(&Reason {
                    reason: what.to_owned(),
                })
                .inc_by(count);
        }
    }

    pub fn samples(&self, mapped: u64, ignored: u64) {
        let family = &self.remote_write_samples;
        family
            .get_or_create(&Reason {
                reason: "mapped".to_owned(),
            })
            .inc_by(mapped);
        family
            .get_or_create(&Reason {
                reason: "ignored".to_owned(),
            })
            .inc_by(ignored);
    }

    pub fn websocket_message(&self) {
        self.websocket_messages.inc();
    }

    fn finished(&self, method: &str, route: &str, status: u16, began: Instant) {
        let labels = RouteStatus {
            method: method.to_owned(),
            route: route.to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        let labels = Route {
            method: method.to_owned(),
            route: route.to_owned(),
        };
        self.durations
            .get_or_create(&labels)
            .observe(began.elapsed().as_secs_f64());
    }
}

/// Measures every request. Unknown paths share one label, so that a scanner cannot grow the metrics.
pub(crate) async fn measure(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => {
            known.to_owned()
        }
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    api.metrics
        .finished(&method, &route, response.status().as_u16(), began);
    response
}

/// The daemon's own metrics as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(("key" = ["read"])),
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(api): State<Shared>) -> Answer {
    // Store statistics look at files, so they are fetched where blocking is allowed.
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::with_capacity(16 * 1024);
        encode_registry(&mut text, &api.metrics.registry)?;
        encode_registry(&mut text, &scrape::registry(&api))?;
        encode_eof(&mut text)?;
        Ok::<_, std::fmt::Error>(text)
    })
    .await
    .map_err(Problem::internal)?
    .map_err(Problem::internal)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(axum::response::IntoResponse::into_response((
        [(header::CONTENT_TYPE, content_type)],
        text,
    )))
}

/// A counter that starts at a value read elsewhere.
pub(crate) fn counter_at(value: u64) -> Counter {
    let counter: Counter<u64, AtomicU64> = Counter::default();
    counter.inner().store(value, Ordering::Relaxed);
    counter
}
