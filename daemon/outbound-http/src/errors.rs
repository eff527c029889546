//! Everything that can go wrong, as fragments that read after "failed to".

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a client could not be made.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The file with extra certificate authorities cannot be used.
    #[error("read certificate authorities from {}: {reason}", path.display())]
    Authorities {
        /// The file as configured.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy's URL cannot be used.
    #[error("use the proxy: its URL must be http://HOST:PORT, without credentials, path or query")]
    Proxy,
    /// The TLS library refused the settings.
    #[error("set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a base URL, or a request against one, is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BindingError {
    /// The base is not an absolute http or https URL.
    #[error("use the base URL: {0}")]
    Base(&'static str),
    /// A configured method is not one.
    #[error("use the method {0:?}: it is not an HTTP method name")]
    Method(String),
    /// The method is not on the target's list.
    #[error("use the method {method}: the target allows only {allowed}")]
    MethodNotAllowed {
        /// What was asked for.
        method: String,
        /// The list, for people.
        allowed: String,
    },
    /// The path could leave the base, or is not a path.
    #[error("use the path: {0}")]
    Path(&'static str),
    /// The path does not begin as the target demands.
    #[error("use the path: the target allows only paths that begin with {0:?}")]
    PathPrefix(String),
}

/// Why a request got no answer. Names host and port at most.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The URL is not an absolute http or https URL without credentials.
    #[error("use the URL: {0}")]
    Url(&'static str),
    /// A method or header cannot be sent.
    #[error("build the request: {0}")]
    Request(&'static str),
    /// The request's body is over the limit.
    #[error("send a body of {size_bytes} bytes: at most {limit_bytes} are allowed")]
    RequestTooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The host is, or resolves to, an address that the policy does not admit.
    #[error("connect to {host}: its address {address} is {kind}, which is not allowed here")]
    AddressRefused {
        /// The host asked for.
        host: String,
        /// The address found.
        address: IpAddr,
        /// What kind of address that is, e.g. `loopback`.
        kind: &'static str,
    },
    /// The host's name has no address.
    #[error("find the address of {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody answered at the address.
    #[error("connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the operating system said.
        reason: String,
    },
    /// The proxy cannot be reached, or refuses.
    #[error("reach {host} through the proxy: {reason}")]
    Proxy {
        /// Host and port of the target.
        host: String,
        /// What the proxy said.
        reason: String,
    },
    /// The TLS handshake failed.
    #[error("agree on TLS with {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What the TLS library said.
        reason: String,
    },
    /// The deadline passed.
    #[error("get an answer from {host} within {after:?}")]
    TimedOut {
        /// Host and port.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// The answer is over the limit.
    #[error("read the answer of {host}: it is larger than {limit_bytes} bytes")]
    ResponseTooLarge {
        /// Host and port.
        host: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("talk HTTP with {host}: {reason}")]
    Protocol {
        /// Host and port.
        host: String,
        /// What hyper said.
        reason: String,
    },
}

impl SendError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            SendError::Resolve { .. }
                | SendError::Connect { .. }
                | SendError::Proxy { .. }
                | SendError::Tls { .. }
                | SendError::TimedOut { .. }
                | SendError::Protocol { .. }
        )
    }

    /// A stable word for the kind of failure.
    pub fn code(&self) -> &'static str {
        match self {
            SendError::Url(_) => "invalid_url",
            SendError::Request(_) => "invalid_request",
            SendError::RequestTooLarge { .. } => "request_too_large",
            SendError::AddressRefused { .. } => "address_refused",
            SendError::Resolve { .. } => "name_not_found",
            SendError::Connect { .. } => "connect_failed",
            SendError::Proxy { .. } => "proxy_failed",
            SendError::Tls { .. } => "tls_failed",
            SendError::TimedOut { .. } => "timed_out",
            SendError::ResponseTooLarge { .. } => "response_too_large",
            SendError::Protocol { .. } => "protocol_error",
        }
    }
}
