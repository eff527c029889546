//! Lets a request through, or says why not.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::keys::{KeyInfo, Scope};
use crate::context::{Api, Shared};
use crate::limits::Client;
use crate::problem::Problem;

/// Who asks, as handlers see it.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub Option<KeyInfo>);

impl Caller {
    /// How the history names them.
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("anonymous", |key| &key.name)
    }
}

pub(crate) async fn require_ingest(
    State(api): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    pass(&api, Scope::Ingest, request, next).await
}

/// Reads are also counted against the client's allowance.
pub(crate) async fn require_read(
    State(api): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    pass(&api, Scope::Read, request, next).await
}

pub(crate) async fn require_admin(
    State(api): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    pass(&api, Scope::Admin, request, next).await
}

async fn pass(api: &Api, scope: Scope, mut request: Request, next: Next) -> Response {
    let caller = match authorise(api, scope, &request) {
        Ok(caller) => caller,
        Err(problem) => {
            api.metrics.refused(problem.code());
            return problem.into_response();
        }
    };
    if scope == Scope::Read {
        let address = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip().to_canonical());
        let key = caller
            .0
            .as_ref()
            .map(|key| key.id.clone())
            .unwrap_or_default();
        if let Err(problem) = api.reads.take(Client { key, address }, Instant::now()) {
            api.metrics.refused(problem.code());
            return problem.into_response();
        }
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn authorise(api: &Api, scope: Scope, request: &Request) -> Result<Caller, Problem> {
    let keys = &api.context.keys;
    if !keys.is_empty() {
        let text = presented_key(request.headers()).ok_or_else(|| {
            unauthorised(
                "missing_key",
                "this needs an API key in `X-API-Key` or `Authorization: Bearer`",
            )
        })?;
        let key = keys.find(text).ok_or_else(|| {
            unauthorised(
                "unknown_key",
                "this API key is unknown; it may have been revoked",
            )
        })?;
        if !key.scopes.contains(&scope) {
            let detail = format!(
                "the API key `{}` lacks the scope `{}`",
                key.name,
                scope.as_str()
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", detail));
        }
        return Ok(Caller(Some(key)));
    }
    if !api.listens_on_loopback() {
        // Every key was revoked while others can reach the listener.
        return Err(unauthorised(
            "missing_key",
            "there is no API key; create one with `argus key create`",
        ));
    }
    check_host(api, request)?;
    check_origin(api, request)?;
    Ok(Caller(None))
}

fn unauthorised(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"argus\""),
    )
}

fn presented_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok().map(str::trim);
    }
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// A page of another site can let its own name point to this machine and then read a listener that asks for no key; its
/// requests carry that name.
fn check_host(api: &Api, request: &Request) -> Result<(), Problem> {
    let header = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    let host = request
        .uri()
        .host()
        .or(header.map(without_port))
        .unwrap_or_default();
    if is_local(host)
        || api
            .context
            .config
            .allowed_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
    {
        return Ok(());
    }
    let detail = format!(
        "the host name `{}` is not allowed while there is no API key; create a key, or add the name to `server.allowed_hosts`",
        host.chars().take(100).collect::<String>()
    );
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "host_not_allowed",
        detail,
    ))
}

/// A page of another site can also post to, or open a WebSocket on, a listener that asks for no key; its requests carry
/// its origin.
fn check_origin(api: &Api, request: &Request) -> Result<(), Problem> {
    let is_websocket = request.headers().contains_key(header::UPGRADE);
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) && !is_websocket
    {
        return Ok(());
    }
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let is_own = origin
        .parse::<Uri>()
        .is_ok_and(|uri| uri.host().is_some_and(is_local));
    if is_own
        || api
            .context
            .config
            .cors_origins
            .iter()
            .any(|allowed| allowed == "*" || allowed == origin)
    {
        return Ok(());
    }
    let detail = "pages of this origin may not change anything; add it to `server.cors_origins` if they should";
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "origin_not_allowed",
        detail,
    ))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}
