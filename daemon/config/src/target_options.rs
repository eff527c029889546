//! What a target may have beyond its URL: a proxy, signatures, a rate limit.

use http::{HeaderName, Uri};
use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// `proxy = { url = "http://proxy:3128" }`: an HTTP proxy that the target is reached through, by `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// `http://HOST:PORT`.
    pub url: String,
    /// Value of `proxy-authorization`, with its secret as `{{secret:NAME}}`; the plugin cannot use that secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// Lets the proxy look up the target's name. By default the daemon does, judges the address, and asks the proxy
    /// for that address; a network in which only the proxy knows names needs this, and then the proxy is the judge.
    #[serde(default)]
    pub resolves_names: bool,
}

/// `sign = { hmac_sha256 = "NAME" }`: signs each request with HMAC-SHA256 over time, a dot and body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// Name of the secret that is the key; the plugin cannot use it.
    pub hmac_sha256: String,
    /// Header that gets `v1=` and the signature in hexadecimal.
    #[serde(default = "signature_header")]
    pub header: String,
    /// Header that gets the time in seconds since the Unix epoch.
    #[serde(default = "timestamp_header")]
    pub timestamp_header: String,
}

/// `rate_limit = { per_minute = 60, burst = 5 }`: how often requests may go out, over all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests per minute in the long run.
    pub per_minute: u32,
    /// Requests that may go out at once after a pause.
    #[serde(default = "one")]
    pub burst: u32,
}

fn signature_header() -> String {
    "x-argus-signature".to_owned()
}

fn timestamp_header() -> String {
    "x-argus-timestamp".to_owned()
}

fn one() -> u32 {
    1
}

impl Proxy {
    pub(crate) fn check(&self, path: &[&str], found: &mut Checker) {
        let url = self.url.parse::<Uri>().ok();
        let is_plain = url.as_ref().is_some_and(|url| {
            url.scheme_str() == Some("http")
                && url.host().is_some_and(|host| !host.is_empty())
                && url.path() == "/"
                && url.query().is_none()
                && url.authority().is_some_and(|a| !a.as_str().contains('@'))
        });
        if !is_plain {
            // Not repeated: it may hold a password.
            found.report(
                &[path, &["url"]].concat(),
                "a proxy's URL is http://HOST:PORT and nothing else",
                "put its password into authorization = \"Basic {{secret:proxy}}\"",
            );
        }
        if let Some(value) = &self.authorization
            && !value.contains("{{secret:")
        {
            found.report(
                &[path, &["authorization"]].concat(),
                "the proxy's authorization stands in plain text",
                "write authorization = \"Basic {{secret:proxy}}\" and secrets.proxy = { env = \"NAME\" }",
            );
        }
    }
}

impl Sign {
    pub(crate) fn check(&self, path: &[&str], known: &[&str], found: &mut Checker) {
        if !known.contains(&self.hmac_sha256.as_str()) {
            found.report(
                &[path, &["hmac_sha256"]].concat(),
                "this is not the name of a secret of this target",
                "write hmac_sha256 = \"signing\" and secrets.signing = { env = \"NAME\" }",
            );
        }
        for (key, name) in [
            ("header", &self.header),
            ("timestamp_header", &self.timestamp_header),
        ] {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                found.report(
                    &[path, &[key]].concat(),
                    format!("`{name}` is no header name"),
                    "letters, digits and - are allowed",
                );
            }
        }
        if self.header.eq_ignore_ascii_case(&self.timestamp_header) {
            found.report(
                &[path, &["timestamp_header"]].concat(),
                "signature and time need two headers",
                "name another one",
            );
        }
    }
}

impl RateLimit {
    pub(crate) fn check(self, path: &[&str], found: &mut Checker) {
        let below = |key: &'static str| [path, &[key]].concat();
        found.range(&below("per_minute"), &self.per_minute, 1..=600_000);
        found.range(&below("burst"), &self.burst, 1..=600_000);
    }
}
