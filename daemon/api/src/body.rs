//! Reads request bodies within bounds of size, time and memory.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::context::Api;
use crate::problem::Problem;

/// A body in memory, with its share of the memory for bodies. Keep it until the body is no longer used.
#[derive(Debug)]
pub(crate) struct Received {
    pub bytes: Bytes,
    pub encoding: Option<String>,
    _share: OwnedSemaphorePermit,
}

/// Bytes read and thrown away of a body that is too large. A client that still sends does not listen; dropping the
/// connection on it would lose the answer that says why.
const MAX_DISCARDED_BYTES: usize = 64 << 20;
/// A client that pauses for as long has stopped to send, or never will.
const MAX_DISCARD_PAUSE: Duration = Duration::from_secs(2);

/// Reads a body of at most `server.max_body_bytes`.
pub(crate) async fn receive(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Problem> {
    let timeout = Duration::from_secs(api.context.config.body_timeout_secs);
    let limit = api.context.config.max_body_bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        // Who waits for leave to send is told to keep it; asking for the body would grant it.
        if !headers.contains_key(header::EXPECT) {
            discard(body, timeout);
        }
        return Err(too_large(limit));
    }
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.to_str().unwrap_or("?").trim().to_owned());
    let is_plain = encoding
        .as_deref()
        .is_none_or(|e| e.is_empty() || e.eq_ignore_ascii_case("identity"));
    // A compressed body may unpack to the limit.
    let needed = announced.filter(|_| is_plain).unwrap_or(limit).min(limit);
    let kib = u32::try_from(needed / 1024 + 1).unwrap_or(u32::MAX);
    let share = api
        .body_kib
        .clone()
        .try_acquire_many_owned(kib)
        .map_err(|_| {
            Problem::unavailable(
                "busy",
                "too many bodies are being read; send again in a moment",
            )
            .retry_after_secs(1)
        })?;
    let read = read_within(body, announced, limit, timeout);
    let bytes = tokio::time::timeout(timeout, read).await.map_err(|_| {
        let detail = format!(
            "the body did not arrive within {} s; send smaller batches",
            timeout.as_secs()
        );
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail).header(
            header::CONNECTION,
            header::HeaderValue::from_static("close"),
        )
    })??;
    Ok(Received {
        bytes,
        encoding: encoding.filter(|_| !is_plain),
        _share: share,
    })
}

async fn read_within(
    mut body: Body,
    announced: Option<usize>,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::bad_request("incomplete_body", "the body ended before its length")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            discard(body, timeout);
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads the rest of a body into nothing while the answer is on its way. The connection lives as long as its body is read.
fn discard(mut body: Body, timeout: Duration) {
    let rest = async move {
        let mut discarded = 0;
        while discarded <= MAX_DISCARDED_BYTES
            && let Ok(Some(Ok(frame))) = tokio::time::timeout(MAX_DISCARD_PAUSE, body.frame()).await
        {
            discarded += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    tokio::spawn(tokio::time::timeout(timeout, rest));
}

fn too_large(limit: usize) -> Problem {
    let detail = format!(
        "the body is larger than {limit} bytes; send smaller batches, or raise `server.max_body_bytes`"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
        .with("limit_bytes", limit)
        .header(
            header::CONNECTION,
            header::HeaderValue::from_static("close"),
        )
}
