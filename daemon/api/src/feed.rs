//! `POST /feed/data` and `/feed`: records in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use argus_ingest::{BodyError, Decoded, decode_json, decompress};
use argus_schema::{RejectCode, Rejection};
use argus_store::{AppendError, Refusal};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::body::{Received, receive};
use crate::context::{Api, Shared};
use crate::problem::{Answer, Problem, json_response};
use crate::status::Warmup;

/// What became of a batch. Names of the older daemon first; all of them are always there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FeedAnswer {
    /// `accepted` if any record was, `ignored` for an empty batch, `rejected` if all were refused.
    status: &'static str,
    /// `empty batch`, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Feed calls accepted since start.
    tick: u64,
    /// Steps with data in the context windows of all servers.
    window_size: u64,
    /// The same under its older name.
    rolling_window_size: u64,
    /// Servers known.
    servers_tracked: u64,
    /// Servers with enough steps for a forecast.
    servers_ready: u64,
    /// Whether all known servers are ready.
    warmup_complete: bool,
    /// Records in the body.
    records_received: usize,
    /// Records stored; they are on disk.
    accepted: usize,
    /// Records refused.
    rejected: usize,
    /// Of these, records that are stored already with the same content: sending them again did no harm.
    identical_duplicates: usize,
    /// Fields of accepted records that nothing knows; not stored.
    unknown_fields: u64,
    /// Accepted records whose time had no zone and was taken as UTC.
    zoneless_timestamps: u64,
    /// One entry per refused record, in the order of the body.
    errors: Vec<FeedError>,
    /// A sentence for people, where all records were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// One refused record.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FeedError {
    /// Position in the body, from 0.
    index: usize,
    /// Machine-readable reason.
    code: &'static str,
    /// A sentence that names field, value and what is allowed.
    message: String,
    /// The server it named.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Whether the record is stored already with the same content.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    identical: bool,
}

/// Takes records: `{"records":[…]}`, a bare array, one object, or one object per line; plain, gzip or zstd.
#[utoipa::path(post, path = "/feed/data", tag = "ingest", security(("key" = ["ingest"])),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, description = "any record was accepted, or there was none", body = FeedAnswer),
        (status = 400, description = "no JSON", body = crate::shapes::ProblemDocument),
        (status = 413, description = "too large", body = crate::shapes::ProblemDocument),
        (status = 415, description = "unknown encoding", body = crate::shapes::ProblemDocument),
        (status = 422, description = "all records were refused, or the body holds none", body = FeedAnswer),
        (status = 503, description = "queue full; try again", body = crate::shapes::ProblemDocument),
        (status = 507, description = "disk full", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn feed(State(api): State<Shared>, headers: HeaderMap, body: Body) -> Answer {
    let received = receive(&api, &headers, body)
        .await
        .inspect_err(|p| api.metrics.body_refused(p.code()))?;
    let decoded = decode(&api, received).await.map_err(|error| {
        api.metrics.body_refused(error.code());
        body_problem(&error)
    })?;
    api.metrics.note("unknown_fields", decoded.unknown_fields);
    api.metrics.note("shadowed_fields", decoded.shadowed_fields);
    api.metrics
        .note("zoneless_timestamps", decoded.zoneless_timestamps);
    api.metrics
        .note("unknown_profiles", decoded.unknown_profiles);
    let stored = store(&api, decoded).await?;
    answer(&api, stored)
}

/// Bodies up to this size are decoded where they are; it takes a fraction of a millisecond.
const DECODE_IN_PLACE_BYTES: usize = 16 * 1024;

async fn decode(api: &Shared, received: Received) -> Result<Decoded, BodyError> {
    let is_small = received.encoding.is_none() && received.bytes.len() <= DECODE_IN_PLACE_BYTES;
    let api = Arc::clone(api);
    let work = move || {
        let config = &api.context.config;
        let text = decompress(
            received.encoding.as_deref(),
            &received.bytes,
            config.max_body_bytes,
        )?;
        decode_json(&text, &api.context.parser, config.max_records, api.now_ms())
    };
    if is_small {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(decoded) => decoded,
        // The parser panicked; it is bounded and tested not to, but a batch must not take more than itself down.
        Err(error) => {
            tracing::error!(%error, "decoding a body failed");
            Err(BodyError::NotJson {
                line: 0,
                column: 0,
                problem: "it could not be decoded".to_owned(),
            })
        }
    }
}

struct Stored {
    received: usize,
    accepted: usize,
    unknown_fields: u64,
    zoneless_timestamps: u64,
    errors: Vec<FeedError>,
}

async fn store(api: &Api, decoded: Decoded) -> Result<Stored, Problem> {
    let mut errors: Vec<FeedError> = decoded.rejected.into_iter().map(from_rejection).collect();
    let (indexes, records): (Vec<usize>, Vec<_>) = decoded.records.into_iter().unzip();
    let names: Vec<_> = records.iter().map(|record| record.entity.clone()).collect();
    let mut accepted = 0;
    if !records.is_empty() {
        let outcomes = api
            .context
            .store
            .append(records)
            .await
            .map_err(|error| append_problem(api, &error))?;
        for ((outcome, index), name) in outcomes.into_iter().zip(indexes).zip(names) {
            match outcome {
                Ok(()) => accepted += 1,
                Err(refusal) => errors.push(from_refusal(index, name.as_str(), &refusal)),
            }
        }
    }
    errors.sort_by_key(|error| error.index);
    for error in &errors {
        api.metrics.rejected(error.code);
    }
    api.metrics.accepted(accepted as u64);
    Ok(Stored {
        received: decoded.received,
        accepted,
        unknown_fields: decoded.unknown_fields,
        zoneless_timestamps: decoded.zoneless_timestamps,
        errors,
    })
}

fn answer(api: &Api, stored: Stored) -> Answer<Response> {
    let tick = match stored.accepted {
        0 => api.feed_ticks.load(Ordering::Relaxed),
        _ => api.feed_ticks.fetch_add(1, Ordering::Relaxed) + 1,
    };
    let warmup = Warmup::of(api);
    let all_refused = stored.accepted == 0 && stored.received > 0;
    let (status, http_status) = match (stored.received, stored.accepted) {
        (0, _) => ("ignored", StatusCode::OK),
        (_, 0) => ("rejected", StatusCode::UNPROCESSABLE_ENTITY),
        _ => ("accepted", StatusCode::OK),
    };
    let body = FeedAnswer {
        status,
        reason: (stored.received == 0).then_some("empty batch"),
        tick,
        window_size: warmup.window_size,
        rolling_window_size: warmup.window_size,
        servers_tracked: warmup.tracked,
        servers_ready: warmup.ready,
        warmup_complete: warmup.is_complete(),
        records_received: stored.received,
        accepted: stored.accepted,
        rejected: stored.errors.len(),
        identical_duplicates: stored.errors.iter().filter(|error| error.identical).count(),
        unknown_fields: stored.unknown_fields,
        zoneless_timestamps: stored.zoneless_timestamps,
        detail: all_refused.then(|| match stored.errors.as_slice() {
            [only] => format!("the record was refused: {}", only.message),
            [first, ..] => format!(
                "all {} records were refused; the first: {}",
                stored.received, first.message
            ),
            [] => String::new(),
        }),
        errors: stored.errors,
    };
    json_response(http_status, &body)
}

fn from_rejection(rejection: Rejection) -> FeedError {
    FeedError {
        index: rejection.index,
        code: rejection.code.as_str(),
        message: rejection.message,
        server: rejection.server,
        field: rejection.field,
        identical: false,
    }
}

fn from_refusal(index: usize, server: &str, refusal: &Refusal) -> FeedError {
    let is_about_time = matches!(
        refusal,
        Refusal::Duplicate { .. } | Refusal::TooOld { .. } | Refusal::InFuture { .. }
    );
    FeedError {
        index,
        code: code_of(refusal),
        message: format!("record of `{server}`: {refusal}"),
        server: Some(server.to_owned()),
        field: is_about_time.then(|| "timestamp".to_owned()),
        identical: matches!(refusal, Refusal::Duplicate { identical: true }),
    }
}

/// The store's reasons in the words of the records' contract.
pub(crate) fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Duplicate { .. } => RejectCode::DuplicateTimestamp.as_str(),
        Refusal::TooOld { .. } => RejectCode::TooOld.as_str(),
        Refusal::InFuture { .. } => RejectCode::FutureTimestamp.as_str(),
        Refusal::TooManyEntities { .. } => RejectCode::TooManyServers.as_str(),
        Refusal::TooManyInBin { .. } => RejectCode::TooManyInBin.as_str(),
        other => other.code(),
    }
}

/// A body that was refused as a whole.
pub(crate) fn body_problem(error: &BodyError) -> Problem {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, error.code(), error.to_string())
}

/// An append that failed as a whole; nothing of the batch was stored.
pub(crate) fn append_problem(api: &Api, error: &AppendError) -> Problem {
    let problem = match error {
        AppendError::QueueFull { .. } => {
            Problem::unavailable("queue_full", error.to_string()).retry_after_secs(1)
        }
        AppendError::DiskFull { .. } => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            error.to_string(),
        )
        .retry_after_secs(60),
        AppendError::Closed => Problem::unavailable(
            "stopping",
            "the daemon is stopping; send again when it is back",
        )
        .retry_after_secs(5),
        AppendError::Io(_) => {
            tracing::error!(%error, "records could not be written");
            Problem::unavailable(
                "write_failed",
                "the records could not be written; the daemon's log says why",
            )
            .retry_after_secs(10)
        }
    };
    api.metrics.refused(problem.code());
    problem
}
