//! What a named target is given.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argus_outbound_http::{RateLimit, Resolve, SystemResolver};

/// A named HTTP target: what `http.send(target, …)` is bound to.
#[derive(Debug, Clone)]
pub struct TargetSpec {
    /// Base URL; may hold `{{secret:NAME}}`.
    pub url: String,
    /// Methods that are allowed; empty means POST only.
    pub methods: Vec<String>,
    /// Beginning that every path below the base must have.
    pub path_prefix: Option<String>,
    /// Headers that the host sets on every request; values may hold `{{secret:NAME}}`.
    pub headers: BTreeMap<String, String>,
    /// Where each secret comes from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Lets the base's host name resolve to private addresses. Literal addresses and `localhost` need it not: they
    /// say plainly where they go.
    pub allow_private_addresses: bool,
    /// Who knows the addresses of names; the system, unless a test says otherwise.
    pub names: Arc<dyn Resolve>,
    /// PEM file with certificate authorities to trust beside the built-in ones.
    pub extra_authorities: Option<PathBuf>,
    /// The proxy to go through.
    pub proxy: Option<ProxySpec>,
    /// How requests are signed.
    pub sign: Option<SignSpec>,
    /// How often requests may go out, over all calls.
    pub rate_limit: Option<RateLimit>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Largest body to send.
    pub max_request_bytes: usize,
    /// Largest answer to read.
    pub max_response_bytes: usize,
}

impl TargetSpec {
    /// A target with default limits that may be posted to.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            methods: Vec::new(),
            path_prefix: None,
            headers: BTreeMap::new(),
            secrets: BTreeMap::new(),
            allow_private_addresses: false,
            names: Arc::new(SystemResolver::default()),
            extra_authorities: None,
            proxy: None,
            sign: None,
            rate_limit: None,
            timeout: Duration::from_secs(10),
            max_request_bytes: 1 << 20,
            max_response_bytes: 1 << 20,
        }
    }
}

/// An HTTP proxy that a target is reached through, by `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySpec {
    /// `http://HOST:PORT`.
    pub url: String,
    /// Value of `proxy-authorization`; may hold `{{secret:NAME}}`. The plugin cannot use a secret that stands here.
    pub authorization: Option<String>,
    /// Whether the proxy looks up the target's name, and with that decides about its address.
    pub resolves_names: bool,
}

/// How a target's requests are signed: HMAC-SHA256 over the time, a dot and the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignSpec {
    /// Name of the secret that is the key. The plugin cannot use it for anything else.
    pub secret: String,
    /// Header that gets `v1=` and the signature in hexadecimal.
    pub header: String,
    /// Header that gets the time, in seconds since the Unix epoch.
    pub timestamp_header: String,
}

impl SignSpec {
    /// Header of the signature, unless the operator names another.
    pub const HEADER: &'static str = "x-argus-signature";
    /// Header of the time, unless the operator names another.
    pub const TIMESTAMP_HEADER: &'static str = "x-argus-timestamp";

    /// Signs with that secret, in the usual headers.
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            header: Self::HEADER.to_owned(),
            timestamp_header: Self::TIMESTAMP_HEADER.to_owned(),
        }
    }
}

/// Where a secret's value comes from. Read when the plugin is loaded or reloaded.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the daemon.
    Env(String),
    /// A file, one trailing line break aside.
    File(PathBuf),
    /// The value itself; for tests and for callers that keep secrets elsewhere.
    Value(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => f.debug_tuple("Env").field(name).finish(),
            SecretSource::File(path) => f.debug_tuple("File").field(path).finish(),
            SecretSource::Value(_) => f.write_str("Value(…)"),
        }
    }
}
