//! From a URL to an open connection: straight to a vetted address, or through a proxy's `CONNECT`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use crate::policy::{AddressPolicy, parse_literal};
use crate::resolver::{SystemResolver, VettingResolver};

/// An HTTP proxy that requests are tunnelled through, plain ones too: it sees host and port, never a path or header.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its URL: `http://`, host and port. The connection *to* the proxy is not encrypted, what runs through it is
    /// wherever the target's URL says `https://`.
    pub url: Uri,
    /// Value of `proxy-authorization`.
    pub authorization: Option<HeaderValue>,
    /// Who looks up the target's name. `false`: this side does, and asks the proxy for an address that the target's
    /// policy has admitted. `true`: the proxy does, for networks where only it can; then the addresses of names are
    /// the proxy's to judge, and only literals are vetted here.
    pub resolves_names: bool,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Connected = TokioIo<TcpStream>;

/// Opens TCP connections for the pool; TLS is laid over them with the name from the URL.
#[derive(Clone)]
pub(crate) struct Connector {
    direct: HttpConnector<VettingResolver>,
    tunnel: Option<Arc<Tunnel>>,
}

#[derive(Clone)]
struct Tunnel {
    proxy: Proxy,
    to_proxy: HttpConnector<VettingResolver>,
    names: VettingResolver,
}

impl Connector {
    /// Connects as `names` admits, by way of `proxy` where there is one. The operator named the proxy, so that it may
    /// be at a private address.
    pub(crate) fn new(names: VettingResolver, proxy: Option<Proxy>, timeout: Duration) -> Self {
        let tunnel = proxy.map(|proxy| {
            let host = proxy.url.host().unwrap_or_default();
            let to_proxy = VettingResolver {
                policy: AddressPolicy::for_configured_host(host, true),
                names: Arc::new(SystemResolver::default()),
            };
            Arc::new(Tunnel {
                proxy,
                to_proxy: tcp(to_proxy, timeout),
                names: names.clone(),
            })
        });
        Self {
            direct: tcp(names, timeout),
            tunnel,
        }
    }
}

fn tcp(names: VettingResolver, timeout: Duration) -> HttpConnector<VettingResolver> {
    let mut connector = HttpConnector::new_with_resolver(names);
    // The TLS layer above decides by scheme.
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeout));
    connector
}

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        match &self.tunnel {
            None => {
                let connecting = self.direct.call(target);
                Box::pin(async move { Ok(connecting.await?) })
            }
            Some(tunnel) => {
                let tunnel = Arc::clone(tunnel);
                Box::pin(async move { tunnel.open(&target).await })
            }
        }
    }
}

/// Addresses of a name that are tried one after the other.
const MAX_ATTEMPTS: usize = 3;
/// Far above what a proxy answers a CONNECT with.
const MAX_HEAD_BYTES: usize = 16 << 10;

impl Tunnel {
    async fn open(&self, target: &Uri) -> Result<Connected, BoxError> {
        let host = target.host().unwrap_or_default();
        let tls = target.scheme() == Some(&Scheme::HTTPS);
        let port = target.port_u16().unwrap_or(if tls { 443 } else { 80 });
        // Literals were vetted before the request was sent.
        if self.proxy.resolves_names || parse_literal(host).is_some() {
            return self.connect(&format!("{host}:{port}")).await;
        }
        let mut outcome = Err(ProxyFailure("no address was tried".to_owned()).into());
        for address in self
            .names
            .vetted(host)
            .await?
            .into_iter()
            .take(MAX_ATTEMPTS)
        {
            outcome = self.connect(&authority(address, port)).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn connect(&self, authority: &str) -> Result<Connected, BoxError> {
        let proxy = self.to_proxy.clone().oneshot(self.proxy.url.clone()).await;
        let mut stream = proxy
            .map_err(|e| ProxyFailure(format!("connect to the proxy: {e}")))?
            .into_inner();
        let mut head =
            format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
        if let Some(value) = &self.proxy.authorization {
            head.extend_from_slice(b"proxy-authorization: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let broken = |e: io::Error| ProxyFailure(format!("talk with the proxy: {e}"));
        stream.write_all(&head).await.map_err(broken)?;
        let answer = read_head(&mut stream).await.map_err(broken)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        match status.as_bytes() {
            [b'2', _, _] => Ok(TokioIo::new(stream)),
            [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'] => {
                let advice = match status {
                    "407" => ": it wants other credentials",
                    "403" | "405" => ": it does not allow this destination",
                    _ => "",
                };
                Err(ProxyFailure(format!("the proxy answered {status}{advice}")).into())
            }
            _ => Err(ProxyFailure("the proxy does not speak HTTP".to_owned()).into()),
        }
    }
}

/// Reads exactly to the end of the head: what follows belongs to the tunnel.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD_BYTES {
            return Err(io::Error::other("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn authority(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// The proxy cannot be reached or refuses. Travels inside the connector's error and is found again by downcast.
#[derive(Debug)]
pub(crate) struct ProxyFailure(pub String);

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ProxyFailure {}
