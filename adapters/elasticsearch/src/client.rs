//! Requests, and what their failures mean.

use std::error::Error as StdError;
use std::sync::Arc;

use argus_connector_abi::{Error, Secrets};
use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::transport::Transport;
use elasticsearch::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

/// A cluster. Requests go through the official client's transport; the client's typed calls know Elasticsearch only.
#[derive(Clone)]
pub(crate) struct Client {
    transport: Transport,
    secrets: Arc<Secrets>,
    /// How many nodes there are to try.
    nodes: usize,
}

/// A request that did not work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The server's status; none if it did not answer.
    pub(crate) status: Option<u16>,
    pub(crate) error: Error,
}

impl Client {
    pub(crate) fn new(transport: Transport, secrets: Arc<Secrets>, nodes: usize) -> Self {
        Self {
            transport,
            secrets,
            nodes,
        }
    }

    /// Sends a request and reads the whole answer. Where a node is not there, the next is asked.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Vec<u8>, Failure> {
        let mut left = self.nodes;
        loop {
            left -= 1;
            match self.send_once(method, path, body).await {
                Err(failure) if left > 0 && failure.error.code == "connect_failed" => {}
                outcome => return outcome,
            }
        }
    }

    async fn send_once(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Vec<u8>, Failure> {
        let text = (!body.is_null()).then(|| body.to_string());
        let no_query: Option<&()> = None;
        let headers = HeaderMap::new();
        let sent = self
            .transport
            .send(method, path, headers, no_query, text, None);
        let response = sent.await.map_err(|error| self.broken(&error))?;
        let status = response.status_code();
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.broken(&error))?;
        if status.is_success() {
            return Ok(bytes.into());
        }
        let told = self.secrets.scrub(&reason(&bytes));
        Err(Failure {
            status: Some(status.as_u16()),
            error: refused(status, &told),
        })
    }

    /// No answer, or half of one.
    fn broken(&self, error: &elasticsearch::Error) -> Failure {
        // The outer words say "error sending request"; why is further in.
        let mut causes = vec![error.to_string()];
        let mut inner = error.source();
        while let Some(cause) = inner {
            let text = cause.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            inner = cause.source();
        }
        let told = self.secrets.scrub(&causes.join(": "));
        let is = |words: &[&str]| words.iter().any(|word| told.contains(word));
        let error = if error.is_timeout() {
            Error::retryable("timed_out", format_args!("no answer in time: {told}"))
        } else if is(&[
            "certificate",
            "TLS",
            "tls",
            "InvalidContentType",
            "handshake",
        ]) {
            Error::retryable("tls_failed", format_args!("no TLS connection: {told}"))
        } else {
            Error::retryable("connect_failed", format_args!("no connection: {told}"))
        };
        Failure {
            status: None,
            error,
        }
    }
}

/// The server's own words for a refusal.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: Value,
    }
    let Ok(Refusal { error }) = serde_json::from_slice(body) else {
        return String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    };
    // The root cause names index and field; the outer reason is often only "all shards failed".
    let root = error.pointer("/root_cause/0").unwrap_or(&error);
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let told = text(root, "reason").or_else(|| text(&error, "reason"));
    let cause = error.pointer("/caused_by/reason").and_then(Value::as_str);
    let index = text(root, "index").map(|index| format!("index `{index}`: "));
    let told = told
        .or_else(|| error.as_str().map(str::to_owned))
        .unwrap_or_else(|| error.to_string());
    match cause.filter(|cause| !told.contains(*cause)) {
        Some(cause) => format!("{}{told}: {cause}", index.unwrap_or_default()),
        None => format!("{}{told}", index.unwrap_or_default()),
    }
}

fn refused(status: StatusCode, told: &str) -> Error {
    let number = status.as_u16();
    match number {
        401 => Error::new(
            "access_denied",
            format_args!("the server knows no such user, password or key (401): {told}"),
        ),
        403 => Error::new(
            "access_denied",
            format_args!("the user may not do this (403): {told}"),
        ),
        404 => Error::new(
            "not_found",
            format_args!("there is no such thing (404): {told}"),
        ),
        408 | 429 | 500..=599 => Error::retryable(
            "query_failed",
            format_args!("the server cannot now ({number}): {told}"),
        ),
        _ => Error::new(
            "query_failed",
            format_args!("the server refused ({number}): {told}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_the_servers_words() {
        for (body, expected) in [
            (
                r#"{"error":{"root_cause":[{"type":"query_shard_exception","reason":"No mapping found for [at]","index":"m-1"}],"reason":"all shards failed"},"status":400}"#,
                "index `m-1`: No mapping found for [at]",
            ),
            (
                r#"{"error":{"root_cause":[{"reason":"failed to create query"}],"reason":"x","caused_by":{"reason":"For input string: \"a\""}}}"#,
                "failed to create query: For input string: \"a\"",
            ),
            (
                r#"{"error":"Incorrect HTTP method","status":405}"#,
                "Incorrect HTTP method",
            ),
            ("<html>busy</html>", "<html>busy</html>"),
        ] {
            assert_eq!(reason(body.as_bytes()), expected);
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (status, code, retryable) in [
            (401, "access_denied", false),
            (403, "access_denied", false),
            (404, "not_found", false),
            (429, "query_failed", true),
            (503, "query_failed", true),
            (400, "query_failed", false),
        ] {
            let error = refused(StatusCode::from_u16(status).expect("a status"), "because");
            assert_eq!((error.code.as_str(), error.retryable), (code, retryable));
            assert!(error.message.contains("because"));
        }
    }
}
