//! What sources fetch, and what connectors do.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Named;
use crate::context::Api;
use crate::control::{ConnectorReport, SourceStatus};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamedReason {
    name: String,
    reason: &'static str,
}

/// A counter and where its value comes from.
type Counted<T> = (&'static str, &'static str, fn(&T) -> u64);
/// A gauge and where its value comes from.
type Gauged<T> = (&'static str, &'static str, fn(&T) -> i64);

const SOURCE_COUNTERS: [Counted<SourceStatus>; 5] = [
    ("source_polls", "Polls started", |s| s.polls),
    ("source_errors", "Polls and batches that failed", |s| {
        s.errors
    }),
    ("source_records_accepted", "Records stored", |s| s.accepted),
    (
        "source_records_duplicate",
        "Records that were stored already",
        |s| s.duplicates,
    ),
    (
        "source_documents_skipped",
        "Documents that the source left out",
        |s| s.skipped,
    ),
];

const SOURCE_GAUGES: [Gauged<SourceStatus>; 4] = [
    (
        "source_failures_in_row",
        "Failures since the last good poll",
        |s| s.failures_in_row.into(),
    ),
    (
        "source_catching_up",
        "1 while more waits to be fetched",
        |s| s.catching_up.into(),
    ),
    (
        "source_last_success_timestamp_seconds",
        "When the last good poll ended; 0 if none did",
        |s| s.last_success_ms.unwrap_or(0) / 1000,
    ),
    (
        "source_newest_record_timestamp_seconds",
        "Time of the newest record; 0 if there is none",
        |s| s.newest_record_ms.unwrap_or(0) / 1000,
    ),
];

const CONNECTOR_COUNTERS: [Counted<ConnectorReport>; 4] = [
    (
        "connector_requests",
        "Requests to connectors, pages included",
        |c| c.requests,
    ),
    ("connector_errors", "Requests that ended in an error", |c| {
        c.errors
    }),
    ("connector_documents", "Documents that came", |c| {
        c.documents
    }),
    ("connector_bytes", "Bytes of documents that came", |c| {
        c.bytes
    }),
];

const CONNECTOR_GAUGES: [Gauged<ConnectorReport>; 4] = [
    ("connector_open", "1 while the connector answers", |c| {
        (c.state == "open").into()
    }),
    ("connector_waiting", "Requests under way", |c| {
        signed(c.waiting)
    }),
    (
        "connector_owed",
        "Answers that were given up and never came",
        |c| signed(c.owed),
    ),
    ("connector_cursors", "Cursors that are open", |c| {
        signed(c.cursors)
    }),
];

pub(super) fn register(api: &Api, r: &mut Registry) {
    let sources = api.context.control.sources();
    let connectors = api.context.control.connectors();
    let source_name = |source: &SourceStatus| source.name.clone();
    let connector_name = |connector: &ConnectorReport| connector.name.clone();
    counters(r, &sources, source_name, &SOURCE_COUNTERS);
    gauges(r, &sources, source_name, &SOURCE_GAUGES);
    let rejected: Family<NamedReason, Counter> = Family::default();
    for source in &sources {
        for (reason, count) in &source.rejected {
            add(&rejected, &source.name, reason, *count);
        }
    }
    r.register(
        "source_records_rejected",
        "Records refused, by reason",
        rejected,
    );
    counters(r, &connectors, connector_name, &CONNECTOR_COUNTERS);
    gauges(r, &connectors, connector_name, &CONNECTOR_GAUGES);
    let misbehaviour: Family<NamedReason, Counter> = Family::default();
    for connector in &connectors {
        for (reason, count) in &connector.misbehaviour {
            add(&misbehaviour, &connector.name, reason, *count);
        }
    }
    r.register(
        "connector_misbehaviour",
        "What connectors did against their contract, by kind",
        misbehaviour,
    );
}

fn add(family: &Family<NamedReason, Counter>, name: &str, reason: &'static str, count: u64) {
    let labels = NamedReason {
        name: name.to_owned(),
        reason,
    };
    family.get_or_create(&labels).inc_by(count);
}

fn counters<T>(r: &mut Registry, all: &[T], name: impl Fn(&T) -> String, counted: &[Counted<T>]) {
    for (metric, help, value) in counted {
        let family: Family<Named, Counter> = Family::default();
        for one in all {
            family
                .get_or_create(&Named { name: name(one) })
                .inc_by(value(one));
        }
        r.register(*metric, *help, family);
    }
}

fn gauges<T>(r: &mut Registry, all: &[T], name: impl Fn(&T) -> String, gauged: &[Gauged<T>]) {
    for (metric, help, value) in gauged {
        let family: Family<Named, Gauge> = Family::default();
        for one in all {
            family
                .get_or_create(&Named { name: name(one) })
                .set(value(one));
        }
        r.register(*metric, *help, family);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
