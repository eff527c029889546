//! `[plugins.<name>.targets.<target>]`: an HTTP server that a plugin may talk to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::secret::SecretSource;
use crate::suggest;
use crate::target_options::{Proxy, RateLimit, Sign};

/// An HTTP server that a plugin may talk to, under a name. The plugin never sees the secrets: it writes
/// `{{secret:NAME}}`, and the host fills it in for this target only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Base URL, `https://` or `http://`; the plugin's paths are appended to its path.
    pub url: String,
    /// Methods that may be used.
    #[serde(default = "post_only")]
    pub methods: Vec<String>,
    /// What the plugin's paths must begin with, below the base URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Headers added to each request; they win over the plugin's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Secrets by the name used in placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// PEM file of certificate authorities to trust beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A proxy to go through; the environment's `HTTPS_PROXY` is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Signs each request with a secret that the plugin does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    /// How often requests may go out; further ones wait, or are told to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Lets the host *name* resolve to a private address. A literal address or `localhost` needs no leave: it says
    /// plainly where it goes.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// How long one answer may take.
    #[serde(default = "ten_secs")]
    pub timeout_secs: u64,
    /// Largest body sent.
    #[serde(default = "one_mib")]
    pub max_request_bytes: usize,
    /// Largest body read.
    #[serde(default = "one_mib")]
    pub max_response_bytes: usize,
}

fn ten_secs() -> u64 {
    10
}

fn one_mib() -> usize {
    1 << 20
}

fn post_only() -> Vec<String> {
    vec!["POST".to_owned()]
}

/// Headers that belong to the connection or to the host.
const FORBIDDEN_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers whose whole purpose is to carry a secret.
pub(crate) const SECRET_HEADERS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
];

impl Target {
    pub(crate) fn check(&self, path: &[&str], found: &mut Checker) {
        let below = |key: &'static str| [path, &[key]].concat();
        self.check_url(&below("url"), found);
        self.check_placeholders(&below("url"), &self.url, found);
        if self.methods.is_empty() {
            found.report(
                &below("methods"),
                "no method is allowed",
                "list at least one, such as \"POST\"",
            );
        }
        for method in &self.methods {
            let known = Method::from_bytes(method.as_bytes())
                .is_ok_and(|m| m != Method::CONNECT && m != Method::TRACE);
            if !known || method.bytes().any(|b| !b.is_ascii_uppercase()) {
                let help =
                    suggest::offer(method, ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]);
                found.report(
                    &below("methods"),
                    format!("`{method}` is no method that can be allowed"),
                    help,
                );
            }
        }
        if let Some(prefix) = &self.path_prefix
            && (prefix.starts_with("..") || prefix.contains("/..") || prefix.contains(['?', '#']))
        {
            let help = "write the beginning of a path, such as \"api/v2/\"";
            found.report(
                &below("path_prefix"),
                format!("`{prefix}` is no plain path"),
                help,
            );
        }
        for (name, value) in &self.headers {
            self.check_header(&[path, &["headers", name]].concat(), name, value, found);
        }
        for name in self.secrets.keys() {
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            {
                let help = "a secret's name has letters, digits, - and _";
                found.report(
                    &[path, &["secrets", name]].concat(),
                    format!("`{name}` cannot be a name"),
                    help,
                );
            }
        }
        if let Some(proxy) = &self.proxy {
            let path = below("proxy");
            proxy.check(&path, found);
            let authorization = proxy.authorization.as_deref().unwrap_or_default();
            self.check_placeholders(
                &[&path[..], &["authorization"]].concat(),
                authorization,
                found,
            );
        }
        if let Some(sign) = &self.sign {
            let known: Vec<&str> = self.secrets.keys().map(String::as_str).collect();
            sign.check(&below("sign"), &known, found);
        }
        if let Some(limit) = self.rate_limit {
            limit.check(&below("rate_limit"), found);
        }
        found.range(&below("timeout_secs"), &self.timeout_secs, 1..=600);
        found.range(
            &below("max_request_bytes"),
            &self.max_request_bytes,
            0..=1 << 30,
        );
        found.range(
            &below("max_response_bytes"),
            &self.max_response_bytes,
            0..=1 << 30,
        );
    }

    fn check_url(&self, path: &[&str], found: &mut Checker) {
        let help = "write a base URL such as \"https://hooks.example.com/services/\"";
        let bare = without_placeholders(&self.url);
        let Ok(uri) = bare.parse::<Uri>() else {
            found.report(path, format!("`{}` is no URL", self.url), help);
            return;
        };
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
        {
            found.report(
                path,
                format!("`{}` is no http or https URL with a host", self.url),
                help,
            );
        } else if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            // The part before the @ is a password more often than not.
            found.report(
                path,
                "a URL with credentials in it is refused",
                "put them into a secret and a header: headers = { authorization = \"Basic {{secret:login}}\" }",
            );
        } else if uri.query().is_some() || self.url.contains('#') {
            found.report(
                path,
                "a base URL has no query and no fragment",
                "the plugin adds the query to its path",
            );
        }
        let host_part = self
            .url
            .split_once("://")
            .map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
        if host_part.contains("{{") {
            found.report(
                path,
                "a placeholder cannot stand in a host name",
                "write the host as it is",
            );
        }
    }

    fn check_header(&self, path: &[&str], name: &str, value: &str, found: &mut Checker) {
        let lower = name.to_ascii_lowercase();
        if HeaderName::from_bytes(lower.as_bytes()).is_err() {
            found.report(
                path,
                format!("`{name}` is no header name"),
                "letters, digits and - are allowed",
            );
        } else if FORBIDDEN_HEADERS.contains(&lower.as_str()) {
            found.report(
                path,
                format!("header `{name}` is set by the host itself"),
                "leave it out",
            );
        }
        if HeaderValue::from_str(&without_placeholders(value)).is_err() {
            found.report(
                path,
                format!("the value of header `{name}` has control characters"),
                "",
            );
        }
        if SECRET_HEADERS.contains(&lower.as_str()) && !value.contains("{{secret:") {
            found.report(
                path,
                format!("header `{name}` carries a secret in plain text"),
                format!("write {name} = \"… {{{{secret:token}}}}\" and secrets.token = {{ env = \"NAME\" }}"),
            );
        }
        self.check_placeholders(path, value, found);
    }

    /// Every `{{secret:NAME}}` must name a secret of this target.
    fn check_placeholders(&self, path: &[&str], text: &str, found: &mut Checker) {
        for part in text.split("{{").skip(1) {
            let inner = part.split_once("}}").map(|(inner, _)| inner);
            let Some(name) = inner.and_then(|i| i.strip_prefix("secret:")) else {
                found.report(
                    path,
                    "`{{` begins no placeholder",
                    "a placeholder is {{secret:NAME}}",
                );
                continue;
            };
            if !self.secrets.contains_key(name) {
                let offer = suggest::offer(name, self.secrets.keys().map(String::as_str));
                let help = if offer.is_empty() {
                    format!("add secrets.{name} = {{ env = \"NAME\" }}")
                } else {
                    offer
                };
                found.report(
                    path,
                    format!("there is no secret `{name}` for this target"),
                    help,
                );
            }
        }
    }
}

/// The text with a letter in place of each placeholder, so that it can be parsed.
fn without_placeholders(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (position, part) in text.split("{{").enumerate() {
        match (position, part.split_once("}}")) {
            (0, _) | (_, None) => plain.push_str(part),
            (_, Some((_, rest))) => {
                plain.push('x');
                plain.push_str(rest);
            }
        }
    }
    plain
}
