//! `argus:plugin/http`: requests to named targets.
//!
//! In this order: count, find the target, fill in secrets, bind the path, drop dangerous headers, wait for the target's
//! rate limit, sign, send, scrub. The plugin learns statuses, scrubbed answers and error codes; where a target really is, it does not learn.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use argus_outbound_http::{BindingError, SendError};
use argus_outbound_http::{
    Bytes, HeaderMap, HeaderName, HeaderValue, Request as Outgoing, Response as Incoming,
};

use crate::bindings::argus::plugin::http::{Host, Request, Response};
use crate::bindings::argus::plugin::types::{Error, Pair};
use crate::call::CallState;
use crate::escape::Escape;
use crate::secrets::{Unfilled, disarm_bytes};
use crate::target::Target;

/// What a call has sent so far.
#[derive(Debug, Default)]
pub(crate) struct CallHttp {
    pub requests: u32,
    pub bytes: u64,
    /// The longest patience a far side asked for.
    pub retry_after: Option<Duration>,
}

/// Headers of the connection and of proxies; those that make servers see another method or path than the target
/// allows; and those that get an answer in a shape that cannot be scrubbed: compressed, or piece by piece.
const DROPPED: [&str; 28] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const MAX_HEADERS: usize = 64;
/// Of a path or a header's value with secrets filled in.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// A far side that asks for more patience is asked again after this long.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

impl Host for CallState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        Ok(self.send_request(request).await)
    }
}

impl CallState {
    async fn send_request(&mut self, request: Request) -> Result<Response, Error> {
        let loaded = self.loaded.clone();
        if self.http.requests >= loaded.limits.http_requests {
            let limit = loaded.limits.http_requests;
            return Err(error(
                "too_many_requests",
                format!("a call may send {limit} requests"),
                false,
            ));
        }
        let Some(target) = loaded.targets.get(&request.target) else {
            let name: String = request.target.chars().take(64).collect();
            let hint = "configure it under the plugin's targets";
            return Err(error(
                "unknown_target",
                format!("there is no target {name:?}; {hint}"),
                false,
            ));
        };
        let asked = request.timeout_ms;
        let mut outgoing = prepare(target, request)?;
        self.http.requests += 1;
        self.wait_for_rate(target).await?;
        if let Some(signer) = &target.signer {
            // In place of whatever the plugin put there.
            for (name, value) in signer.headers(self.clock.now_ms(), &outgoing.body) {
                outgoing.headers.insert(name, value);
            }
        }
        let asked = asked.map_or(Duration::MAX, |ms| Duration::from_millis(ms.into()));
        outgoing.timeout = target.timeout.min(asked).min(self.patience());
        self.http.bytes += outgoing.body.len() as u64;
        match target.client.send(outgoing).await {
            Ok(incoming) => {
                self.http.bytes += incoming.body.len() as u64;
                self.note_retry_after(&incoming);
                accept(target, incoming)
            }
            Err(failure) => {
                // The operator sees host and address, the plugin only what happened.
                let (plugin, origin) = (&*loaded.name, target.binding.host());
                let reason = target.secrets.scrub_text(&failure.to_string());
                tracing::warn!(target: "argus::plugin", plugin, origin, "request failed: {reason}");
                Err(explain(&failure))
            }
        }
    }

    /// Waits for the target's next free place, within half of what is left of the call's time: the other half is for
    /// the request itself.
    async fn wait_for_rate(&mut self, target: &Target) -> Result<(), Error> {
        let Some(rate) = &target.rate else {
            return Ok(());
        };
        match rate.reserve(Instant::now(), self.remaining() / 2) {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Err(wait) => {
                self.http.retry_after = self.http.retry_after.max(Some(wait));
                let message = format!(
                    "the target's rate limit is used up; a request may go out in {:.1} s",
                    wait.as_secs_f64()
                );
                Err(error("rate_limited", message, true))
            }
        }
    }

    fn note_retry_after(&mut self, incoming: &Incoming) {
        if !matches!(incoming.status, 429 | 503) {
            return;
        }
        let seconds = incoming
            .headers
            .get("retry-after")
            .and_then(|v| v.to_str().ok()?.trim().parse().ok());
        if let Some(patience) = seconds.map(Duration::from_secs) {
            self.http.retry_after = self
                .http
                .retry_after
                .max(Some(patience.min(MAX_RETRY_AFTER)));
        }
    }
}

fn prepare(target: &Target, request: Request) -> Result<Outgoing, Error> {
    let unfilled = |reason| match reason {
        Unfilled::Unknown(name) => error(
            "unknown_secret",
            format!("target {:?} has no secret {name:?}", request.target),
            false,
        ),
        Unfilled::TooLarge(limit) => error(
            "request_too_large",
            format!(
                "with its secrets filled in, a part of the request has more than {limit} bytes"
            ),
            false,
        ),
    };
    let path = target
        .secrets
        .fill_text(&request.path, Escape::Path, MAX_HEAD_BYTES)
        .map_err(unfilled)?;
    let (method, uri) = target
        .binding
        .resolve(&request.method, &path)
        .map_err(|e| {
            let code = match e {
                BindingError::MethodNotAllowed { .. } | BindingError::Method(_) => {
                    "method_not_allowed"
                }
                _ => "invalid_path",
            };
            error(
                code,
                format!(
                    "target {:?}: cannot {}",
                    request.target,
                    target.secrets.scrub_text(&e.to_string())
                ),
                false,
            )
        })?;
    let mut outgoing = Outgoing::new(method, uri);
    outgoing.headers = headers(target, &request.headers, unfilled)?;
    let escape = body_escape(&outgoing.headers);
    outgoing.body = match target
        .secrets
        .fill(&request.body, escape, target.max_request_bytes)
        .map_err(unfilled)?
    {
        Cow::Owned(filled) => filled.into(),
        Cow::Borrowed(_) => Bytes::from(request.body),
    };
    outgoing.max_request_bytes = target.max_request_bytes;
    outgoing.max_response_bytes = target.max_response_bytes;
    Ok(outgoing)
}

fn headers(
    target: &Target,
    asked: &[Pair],
    unfilled: impl Fn(Unfilled) -> Error,
) -> Result<HeaderMap, Error> {
    if asked.len() > MAX_HEADERS {
        return Err(error(
            "invalid_header",
            format!("a request may have {MAX_HEADERS} headers"),
            false,
        ));
    }
    let mut headers = HeaderMap::new();
    for Pair { name, value } in asked {
        let malformed = |what| {
            let name: String = name
                .chars()
                .filter(char::is_ascii_graphic)
                .take(64)
                .collect();
            error(
                "invalid_header",
                format!("header {name:?}: its {what} is malformed"),
                false,
            )
        };
        let parsed = HeaderName::try_from(name).map_err(|_| malformed("name"))?;
        if DROPPED.contains(&parsed.as_str()) {
            continue;
        }
        let value = target
            .secrets
            .fill_text(value, Escape::None, MAX_HEAD_BYTES)
            .map_err(&unfilled)?;
        let mut value = HeaderValue::try_from(value).map_err(|_| malformed("value"))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    for (name, value) in &target.headers {
        headers.insert(name.clone(), value.clone());
    }
    headers
        .entry("user-agent")
        .or_insert(HeaderValue::from_static("argus"));
    Ok(headers)
}

/// How secrets are written into a body of that content type.
fn body_escape(headers: &HeaderMap) -> Escape {
    let content_type = headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-www-form-urlencoded" => Escape::Form,
        json if json.ends_with("/json") || json.ends_with("+json") => Escape::Json,
        _ => Escape::None,
    }
}

/// What the plugin sees of an answer.
fn accept(target: &Target, incoming: Incoming) -> Result<Response, Error> {
    if incoming
        .headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding != "identity")
    {
        let message = "the answer is compressed, which was not asked for";
        return Err(error("protocol_error", message.to_owned(), false));
    }
    let clean = |bytes: &[u8]| disarm_bytes(target.secrets.scrub(bytes).into_owned());
    let clean_text = |bytes: &[u8]| String::from_utf8_lossy(&clean(bytes)).into_owned();
    let headers = incoming.headers.iter().map(|(name, value)| Pair {
        name: clean_text(name.as_str().as_bytes()),
        value: clean_text(value.as_bytes()),
    });
    Ok(Response {
        status: incoming.status,
        headers: headers.collect(),
        body: clean(&incoming.body),
    })
}

fn explain(failure: &SendError) -> Error {
    let message = match failure {
        SendError::RequestTooLarge { limit_bytes, .. } => {
            format!("the request's body is over {limit_bytes} bytes")
        }
        SendError::ResponseTooLarge { limit_bytes, .. } => {
            format!("the answer is over {limit_bytes} bytes")
        }
        SendError::TimedOut { after, .. } => format!("no complete answer within {after:?}"),
        SendError::AddressRefused { .. } => {
            "the target's address is not allowed; the daemon's log says why".to_owned()
        }
        SendError::Resolve { .. } => "the target's name has no address".to_owned(),
        SendError::Proxy { .. } => {
            "the proxy does not lead to the target; the daemon's log says why".to_owned()
        }
        SendError::Connect { .. } => "the target cannot be connected to".to_owned(),
        SendError::Tls { .. } => {
            "no TLS connection to the target; the daemon's log says why".to_owned()
        }
        SendError::Protocol { .. } => {
            "the connection broke, or the target does not speak HTTP".to_owned()
        }
        _ => "the request cannot be sent".to_owned(),
    };
    error(failure.code(), message, failure.retryable())
}

fn error(code: &str, message: String, retryable: bool) -> Error {
    Error {
        code: code.to_owned(),
        message,
        retryable,
    }
}
