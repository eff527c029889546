//! `[connectors.NAME.config]` and its secrets.

use std::time::Duration;

use argus_connector_abi::{Error, Secrets};
use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Url;
use elasticsearch::http::transport::{
    MultiNodeConnectionPool, SingleNodeConnectionPool, Transport, TransportBuilder,
};
use serde::Deserialize;

/// `[connectors.NAME.config]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses of the cluster's nodes, e.g. `https://es-1:9200`. They are asked in turn.
    pub urls: Vec<String>,
    /// For basic authentication, with the secret `password`. The secret `api_key` (as Elasticsearch gives it out,
    /// encoded) is the other way.
    #[serde(default)]
    pub username: Option<String>,
    /// PEM file with the certificates of authorities to trust beside the usual ones.
    #[serde(default)]
    pub ca_file: Option<std::path::PathBuf>,
    /// Takes any certificate. For trying things out.
    #[serde(default)]
    pub accept_invalid_certificates: bool,
    /// HTTP proxy.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Longest wait for one answer of a node; shorter than a poll may take, so that a node that hangs is told of.
    #[serde(default = "eight")]
    pub request_timeout_secs: u32,
    /// Documents asked for at once: while they are read, the next ones are fetched.
    #[serde(default = "two_thousand")]
    pub batch_documents: u32,
    /// Most documents a second, all searches together; none is as fast as it goes.
    #[serde(default)]
    pub documents_per_sec: Option<u32>,
}

fn eight() -> u32 {
    8
}

fn two_thousand() -> u32 {
    2000
}

/// What an index gives at once at most, unless its `max_result_window` says otherwise.
pub(crate) const MAX_BATCH: u32 = 10_000;

impl Config {
    /// Refuses what cannot be meant.
    pub(crate) fn check(&self, secrets: &Secrets) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new("invalid_config", message));
        if self.urls.is_empty() {
            return invalid("urls: at least one is needed".into());
        }
        for (name, range, value) in [
            ("batch_documents", 1..=MAX_BATCH, self.batch_documents),
            ("request_timeout_secs", 1..=3600, self.request_timeout_secs),
            (
                "documents_per_sec",
                1..=u32::MAX,
                self.documents_per_sec.unwrap_or(1),
            ),
        ] {
            if !range.contains(&value) {
                return invalid(format!(
                    "{name}: {value} is not in {}..={}",
                    range.start(),
                    range.end()
                ));
            }
        }
        match (
            &self.username,
            secrets.get("password"),
            secrets.get("api_key"),
        ) {
            (None, None, _) | (Some(_), Some(_), None) => Ok(()),
            (Some(_), None, None) => {
                invalid("username needs the secret `password` beside it".into())
            }
            (None, Some(_), _) => {
                invalid("the secret `password` needs `username` in the settings".into())
            }
            (Some(_), _, Some(_)) => {
                invalid("either username and password or the secret `api_key`, not both".into())
            }
        }
    }

    /// The client. Nothing is asked yet.
    pub(crate) fn transport(&self, secrets: &Secrets) -> Result<Transport, Error> {
        self.check(secrets)?;
        let urls = self.urls.iter().map(|url| parse(url));
        let mut urls = urls.collect::<Result<Vec<Url>, Error>>()?;
        let builder = match urls.len() {
            1 => TransportBuilder::new(SingleNodeConnectionPool::new(urls.remove(0))),
            _ => TransportBuilder::new(MultiNodeConnectionPool::round_robin(urls, None)),
        };
        let timeout = Duration::from_secs(self.request_timeout_secs.into());
        // Whether a proxy is used is the operator's word here, not that of some variable.
        let builder = builder.timeout(timeout).enable_meta_header(false);
        let mut builder = match &self.proxy {
            Some(proxy) => builder.proxy(parse(proxy)?, None, None),
            None => builder.disable_proxy(),
        };
        if let Some(credentials) = self.credentials(secrets)? {
            builder = builder.auth(credentials);
        }
        if self.accept_invalid_certificates {
            builder = builder.cert_validation(CertificateValidation::None);
        } else if let Some(file) = &self.ca_file {
            let unusable = |error: &dyn std::fmt::Display| {
                Error::new(
                    "invalid_config",
                    format_args!("ca_file {}: {error}", file.display()),
                )
            };
            let pem = std::fs::read(file).map_err(|error| unusable(&error))?;
            let authorities = Certificate::from_pem(&pem).map_err(|error| unusable(&error))?;
            builder = builder.cert_validation(CertificateValidation::Full(authorities));
        }
        builder
            .build()
            .map_err(|error| Error::new("invalid_config", secrets.scrub(&error.to_string())))
    }

    fn credentials(&self, secrets: &Secrets) -> Result<Option<Credentials>, Error> {
        if let Some(key) = secrets.get("api_key") {
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message =
                    "the secret `api_key` is not what Elasticsearch gives out as `encoded`";
                return Err(Error::new("invalid_config", message));
            }
            return Ok(Some(Credentials::EncodedApiKey(key.to_owned())));
        }
        let both = self.username.as_deref().zip(secrets.get("password"));
        Ok(both.map(|(user, password)| Credentials::Basic(user.to_owned(), password.to_owned())))
    }
}

fn parse(url: &str) -> Result<Url, Error> {
    // The address itself is not repeated: whoever put a password into it would read it in the log.
    let invalid = |why: &str| Error::new("invalid_config", format_args!("an address {why}"));
    let mut parsed = Url::parse(url).map_err(|error| invalid(&format!("is no URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(invalid("begins neither with http:// nor https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(invalid(
            "holds a user name or password: use `username` and the secret `password`",
        ));
    }
    // Requests are joined to it: without the slash its last part would be replaced.
    if !parsed.path().ends_with('/') {
        let path = format!("{}/", parsed.path());
        parsed.set_path(&path);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(config: serde_json::Value, secrets: &[(&str, &str)], expected: &str) {
        let config: Config = serde_json::from_value(config).expect("reads");
        let secrets: Secrets = secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let told = match config.transport(&secrets) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(expected.is_empty(), told.is_empty(), "{told}");
        assert!(
            told.contains(expected) && !told.contains("s3cret"),
            "{told}"
        );
    }

    #[test]
    fn settings_are_judged_without_a_server() {
        check(json!({"urls": ["http://a:1", "https://b/es"]}), &[], "");
        check(
            json!({"urls": ["http://a:1"], "username": "u"}),
            &[("password", "s3cret")],
            "",
        );
        check(json!({"urls": ["http://a:1"]}), &[("api_key", "abc==")], "");
        check(json!({"urls": []}), &[], "at least one");
        check(json!({"urls": ["a:9200"]}), &[], "neither with http://");
        check(
            json!({"urls": ["http://u:s3cret@a"]}),
            &[],
            "use `username`",
        );
        check(
            json!({"urls": ["http://a"], "username": "u"}),
            &[],
            "needs the secret `password`",
        );
        check(
            json!({"urls": ["http://a"]}),
            &[("password", "s3cret")],
            "needs `username`",
        );
        check(
            json!({"urls": ["http://a"], "username": "u"}),
            &[("password", "p"), ("api_key", "s3cret")],
            "not both",
        );
        check(
            json!({"urls": ["http://a"]}),
            &[("api_key", "s3cret\n")],
            "`encoded`",
        );
        check(
            json!({"urls": ["http://a"], "ca_file": "/no/such.pem"}),
            &[],
            "/no/such.pem",
        );
        check(
            json!({"urls": ["http://a"], "batch_documents": 20_000}),
            &[],
            "batch_documents: 20000",
        );
    }
}
