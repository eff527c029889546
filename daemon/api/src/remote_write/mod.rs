//! `POST /api/v1/write`: Prometheus remote write.

mod delivery;

use argus_ingest::remote_write::check_headers;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use crate::body::receive;
use crate::context::Shared;
use crate::feed::{append_problem, body_problem};
use crate::problem::{Answer, Problem};
pub(crate) use delivery::{Delivery, Intake};
use delivery::{RETRY_AFTER_SECS, Refused};

/// Takes Prometheus remote write 1.0 (snappy protobuf). Samples are put together to records per scrape, so the last one
/// of a server is stored a few seconds later.
#[utoipa::path(post, path = "/api/v1/write", tag = "ingest", security(("key" = ["ingest"])),
    request_body(content = Vec<u8>, content_type = "application/x-protobuf"),
    responses(
        (status = 204, description = "taken"),
        (status = 400, description = "no remote write request", body = crate::shapes::ProblemDocument),
        (status = 413, description = "too large", body = crate::shapes::ProblemDocument),
        (status = 415, description = "another version or encoding", body = crate::shapes::ProblemDocument),
        (status = 503, description = "earlier scrapes wait for the store; try again", body = crate::shapes::ProblemDocument),
        (status = 507, description = "disk full", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn write(
    State(api): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &http::HeaderValue| v.to_str().ok())
    };
    check_headers(text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING)).map_err(|error| {
        api.metrics.body_refused(error.code());
        body_problem(&error)
    })?;
    let received = receive(&api, &headers, body)
        .await
        .inspect_err(|p| api.metrics.body_refused(p.code()))?;
    let worker = api.clone();
    let work = move || worker.intake.accept(&received.bytes, worker.now_ms());
    let taken = tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::internal)?;
    let accepted = taken.map_err(|refused| match refused {
        Refused::Body(error) => {
            api.metrics.body_refused(error.code());
            body_problem(&error)
        }
        Refused::Store(error) => append_problem(&api, &error).retry_after_secs(RETRY_AFTER_SECS),
    })?;
    api.metrics.samples(accepted.samples, accepted.ignored);
    Ok(StatusCode::NO_CONTENT.into_response())
}
