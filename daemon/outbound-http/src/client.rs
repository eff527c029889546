//! A pooled client with one deadline and size caps per request.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connect::{Connector, Proxy, ProxyFailure};
use crate::errors::{BuildError, SendError};
use crate::policy::{AddressPolicy, parse_literal};
use crate::resolver::{Resolve, ResolveFailure, SystemResolver, VettingResolver};
use crate::tls;

/// How a client behaves; [`ClientConfig::default`] suits one target of a plugin.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where it may connect to.
    pub addresses: AddressPolicy,
    /// Who knows the addresses of names.
    pub names: Arc<dyn Resolve>,
    /// PEM file with certificate authorities to trust beside the built-in ones.
    pub extra_authorities: Option<PathBuf>,
    /// The proxy to go through. The environment's `HTTPS_PROXY` and the like are not looked at.
    pub proxy: Option<Proxy>,
    /// Longest wait for a TCP connection (part of the request's deadline).
    pub connect_timeout: Duration,
    /// How long an idle connection is kept for the next request.
    pub idle_timeout: Duration,
    /// Idle connections kept per host.
    pub max_idle_per_host: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            addresses: AddressPolicy::Public,
            names: Arc::new(SystemResolver::default()),
            extra_authorities: None,
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_idle_per_host: 4,
        }
    }
}

/// One request and what it may cost.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Absolute URL.
    pub uri: Uri,
    /// Headers; `host` and `content-length` are set by the client.
    pub headers: HeaderMap,
    /// The body, empty for none.
    pub body: Bytes,
    /// Deadline from the call to the last byte of the answer.
    pub timeout: Duration,
    /// Largest body to send, in bytes.
    pub max_request_bytes: usize,
    /// Largest body to read, in bytes.
    pub max_response_bytes: usize,
}

impl Request {
    /// A request with the default limits: 10 s, 8 MiB out, 1 MiB back.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            max_request_bytes: 8 << 20,
            max_response_bytes: 1 << 20,
        }
    }
}

/// A complete answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code; a redirect is an answer like any other and is not followed.
    pub status: u16,
    /// Headers as received.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A pool of connections under one address policy. Cloning shares the pool. Needs a tokio runtime when sending.
#[derive(Clone)]
pub struct Client {
    pool: PooledClient<HttpsConnector<Connector>, Full<Bytes>>,
    addresses: AddressPolicy,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Far above what any API answers with, far below what would hurt.
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;

impl Client {
    /// A client with settings.
    pub fn new(config: &ClientConfig) -> Result<Self, BuildError> {
        let tls = tls::client_config(config.extra_authorities.as_deref())?;
        let names = VettingResolver {
            policy: config.addresses,
            names: Arc::clone(&config.names),
        };
        let proxy = config.proxy.clone();
        if let Some(proxy) = &proxy {
            check_proxy(&proxy.url)?;
        }
        let connector = Connector::new(names, proxy, config.connect_timeout);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pool = PooledClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle_per_host)
            .http1_max_buf_size(MAX_HEADER_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Ok(Self {
            pool,
            addresses: config.addresses,
        })
    }

    /// A client for URLs that the operator typed: any address is admitted.
    pub fn trusted() -> Result<Self, BuildError> {
        Self::new(&ClientConfig {
            addresses: AddressPolicy::Any,
            ..ClientConfig::default()
        })
    }

    /// Posts `body` to `url` with default limits. For trusted callers: `url` and `headers` are taken as they are.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response, SendError> {
        let uri = url.parse().map_err(|_| SendError::Url("it is not a URL"))?;
        let mut request = Request::new(Method::POST, uri);
        request.timeout = Duration::from_secs(60);
        request.max_request_bytes = usize::MAX;
        request.max_response_bytes = 64 << 20;
        request.body = body.into();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name)
                .map_err(|_| SendError::Request("a header name is malformed"))?;
            let value = HeaderValue::try_from(*value)
                .map_err(|_| SendError::Request("a header value is malformed"))?;
            request.headers.append(name, value);
        }
        self.send(request).await
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: Request) -> Result<Response, SendError> {
        let host = self.vet_url(&request.uri)?;
        if request.body.len() > request.max_request_bytes {
            return Err(SendError::RequestTooLarge {
                size_bytes: request.body.len(),
                limit_bytes: request.max_request_bytes,
            });
        }
        let after = request.timeout;
        match tokio::time::timeout(after, self.exchange(request, &host)).await {
            Ok(result) => result,
            Err(_) => Err(SendError::TimedOut { host, after }),
        }
    }

    /// Host and port for messages. Literal addresses are vetted here because the resolver never sees them.
    fn vet_url(&self, uri: &Uri) -> Result<String, SendError> {
        if !matches!(uri.scheme(), Some(s) if *s == Scheme::HTTP || *s == Scheme::HTTPS) {
            return Err(SendError::Url("it must begin with http:// or https://"));
        }
        let authority = uri.authority().ok_or(SendError::Url("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(SendError::Url("user and password belong into a header"));
        }
        let host = authority.host().to_owned();
        if let Some(address) = parse_literal(&host)
            && let Err(kind) = self.addresses.admit(address)
        {
            return Err(SendError::AddressRefused {
                host,
                address,
                kind,
            });
        }
        Ok(authority.as_str().to_owned())
    }

    async fn exchange(&self, request: Request, host: &str) -> Result<Response, SendError> {
        let limit_bytes = request.max_response_bytes;
        let too_large = || SendError::ResponseTooLarge {
            host: host.to_owned(),
            limit_bytes,
        };
        let mut outgoing = http::Request::new(Full::new(request.body));
        *outgoing.method_mut() = request.method;
        *outgoing.uri_mut() = request.uri;
        *outgoing.headers_mut() = request.headers;
        let response = self
            .pool
            .request(outgoing)
            .await
            .map_err(|e| explain(&e, host))?;
        let (parts, body) = response.into_parts();
        let announced = parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit_bytes) {
            return Err(too_large());
        }
        let body = match Limited::new(body, limit_bytes).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => return Err(too_large()),
            Err(e) => {
                return Err(SendError::Protocol {
                    host: host.to_owned(),
                    reason: innermost(&*e),
                });
            }
        };
        Ok(Response {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }
}

fn check_proxy(url: &Uri) -> Result<(), BuildError> {
    let plain = url.scheme() == Some(&Scheme::HTTP) && url.host().is_some_and(|h| !h.is_empty());
    let bare = url.path() == "/" && url.query().is_none();
    match url.authority() {
        Some(authority) if plain && bare && !authority.as_str().contains('@') => Ok(()),
        _ => Err(BuildError::Proxy),
    }
}

/// Finds what went wrong in the chain of causes; hyper's own texts hold no URL.
fn explain(error: &hyper_util::client::legacy::Error, host: &str) -> SendError {
    let host = host.to_owned();
    for current in causes(error) {
        match current.downcast_ref::<ResolveFailure>() {
            Some(ResolveFailure::Refused { address, kind }) => {
                return SendError::AddressRefused {
                    host,
                    address: *address,
                    kind,
                };
            }
            Some(ResolveFailure::NotFound(reason)) => {
                return SendError::Resolve {
                    host,
                    reason: reason.clone(),
                };
            }
            None => {}
        }
        if let Some(ProxyFailure(reason)) = current.downcast_ref::<ProxyFailure>() {
            let reason = reason.clone();
            return SendError::Proxy { host, reason };
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return SendError::Tls {
                host,
                reason: tls.to_string(),
            };
        }
    }
    let reason = innermost(error);
    if error.is_connect() {
        SendError::Connect { host, reason }
    } else {
        SendError::Protocol { host, reason }
    }
}

/// An error and what caused it. The source of an I/O error skips the error that it wraps, which is the one that
/// matters here.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let next = |current: &&'a (dyn StdError + 'static)| -> Option<&'a (dyn StdError + 'static)> {
        let current: &'a (dyn StdError + 'static) = *current;
        match current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        }
    };
    std::iter::successors(Some(error), next)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
