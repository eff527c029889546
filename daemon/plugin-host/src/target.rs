//! A named HTTP target: where a plugin may send to, with which headers and secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use argus_outbound_http::{
    AddressPolicy, Binding, Client, ClientConfig, HeaderName, HeaderValue, Proxy, RateLimiter,
};

use crate::errors::Failure;
use crate::escape::Escape;
use crate::secrets::{Secrets, Unfilled, placeholders};
use crate::sign::Signer;
use crate::target_spec::{ProxySpec, TargetSpec};

/// All targets of a plugin, by name.
pub(crate) type Targets = BTreeMap<String, Target>;

/// One target, its secrets read and its connections pooled.
#[derive(Debug)]
pub(crate) struct Target {
    pub binding: Binding,
    pub secrets: Secrets,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub client: Client,
    pub signer: Option<Signer>,
    pub rate: Option<RateLimiter>,
    pub timeout: Duration,
    pub max_request_bytes: usize,
    pub max_response_bytes: usize,
}

/// Binds every target of a plugin.
pub(crate) fn bind_targets(specs: &BTreeMap<String, TargetSpec>) -> Result<Targets, Failure> {
    let bind = |(name, spec): (&String, &TargetSpec)| match Target::bind(spec) {
        Ok(target) => Ok((name.clone(), target)),
        Err(reason) => Err(Failure::Target {
            target: name.clone(),
            reason,
        }),
    };
    specs.iter().map(bind).collect()
}

/// Of a configured URL or header with secrets filled in.
const MAX_VALUE_BYTES: usize = 1 << 20;

impl Target {
    fn bind(spec: &TargetSpec) -> Result<Self, String> {
        let mut secrets = Secrets::read(&spec.secrets)?;
        let url = secrets
            .fill_text(&spec.url, Escape::Path, MAX_VALUE_BYTES)
            .map_err(unknown)?;
        let binding = Binding::new(&url, &spec.methods, spec.path_prefix.as_deref())
            .map_err(|e| e.to_string())?;
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            let malformed = |what| format!("header {name:?}: its {what} is malformed");
            let value = secrets
                .fill_text(value, Escape::None, MAX_VALUE_BYTES)
                .map_err(unknown)?;
            let mut value = HeaderValue::try_from(value).map_err(|_| malformed("value"))?;
            value.set_sensitive(true);
            headers.push((
                HeaderName::try_from(name).map_err(|_| malformed("name"))?,
                value,
            ));
        }
        let proxy = spec.proxy.as_ref();
        let client = Client::new(&ClientConfig {
            addresses: AddressPolicy::for_configured_host(
                binding.host(),
                spec.allow_private_addresses,
            ),
            names: spec.names.clone(),
            extra_authorities: spec.extra_authorities.clone(),
            proxy: proxy.map(|spec| bind_proxy(spec, &secrets)).transpose()?,
            ..ClientConfig::default()
        });
        // Both are for the host alone: the far side need not know the proxy's password, and a key that signs must not
        // travel.
        let for_the_proxy = proxy.and_then(|proxy| proxy.authorization.as_deref());
        for name in placeholders(for_the_proxy.unwrap_or_default()) {
            secrets.withhold(name).map_err(unknown)?;
        }
        let signer = spec.sign.as_ref().map(|sign| {
            let key = secrets.withhold(&sign.secret).map_err(unknown)?;
            Signer::new(sign, &key)
        });
        Ok(Self {
            binding,
            secrets,
            headers,
            client: client.map_err(|e| e.to_string())?,
            signer: signer.transpose()?,
            rate: spec.rate_limit.map(RateLimiter::new),
            timeout: spec.timeout,
            max_request_bytes: spec.max_request_bytes,
            max_response_bytes: spec.max_response_bytes,
        })
    }
}

fn unknown(reason: Unfilled) -> String {
    match reason {
        Unfilled::Unknown(name) => format!("there is no secret {name:?}"),
        Unfilled::TooLarge(limit) => format!("a value has more than {limit} bytes"),
    }
}

fn bind_proxy(spec: &ProxySpec, secrets: &Secrets) -> Result<Proxy, String> {
    let authorization = spec.authorization.as_deref().map(|value| {
        let value = secrets
            .fill_text(value, Escape::None, MAX_VALUE_BYTES)
            .map_err(unknown)?;
        HeaderValue::try_from(value)
            .map_err(|_| "the proxy's authorization is malformed".to_owned())
    });
    Ok(Proxy {
        url: spec
            .url
            .parse()
            .map_err(|_| "the proxy's URL is malformed: write http://HOST:PORT".to_owned())?,
        authorization: authorization.transpose()?,
        resolves_names: spec.resolves_names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target_spec::{SecretSource, SignSpec};

    #[test]
    fn unusable_targets_are_named_without_their_secrets() {
        let token = BTreeMap::from([("token".to_owned(), SecretSource::Value("hush hush".into()))]);
        let header = |value: &str| BTreeMap::from([("authorization".to_owned(), value.to_owned())]);
        for (spec, fragment) in [
            (TargetSpec::new("slack.com"), "http"),
            (
                TargetSpec::new("https://h/{{secret:nope}}"),
                "no secret \"nope\"",
            ),
            (
                TargetSpec {
                    headers: header("{{secret:nope}}"),
                    ..TargetSpec::new("https://h")
                },
                "no secret",
            ),
            (
                TargetSpec {
                    headers: header("a\nb"),
                    ..TargetSpec::new("https://h")
                },
                "malformed",
            ),
            (
                TargetSpec {
                    methods: vec!["PO ST".into()],
                    ..TargetSpec::new("https://h")
                },
                "method",
            ),
            (
                TargetSpec {
                    sign: Some(SignSpec::new("nope")),
                    ..TargetSpec::new("https://h")
                },
                "no secret \"nope\"",
            ),
            (
                TargetSpec {
                    proxy: Some(ProxySpec {
                        url: "https://proxy:3128".into(),
                        authorization: Some("Basic {{secret:token}}".into()),
                        resolves_names: false,
                    }),
                    ..TargetSpec::new("https://h")
                },
                "http://HOST:PORT",
            ),
            (
                TargetSpec {
                    extra_authorities: Some("/none.pem".into()),
                    ..TargetSpec::new("https://h")
                },
                "/none.pem",
            ),
        ] {
            let spec = TargetSpec {
                secrets: token.clone(),
                ..spec
            };
            let failure =
                bind_targets(&BTreeMap::from([("chat".to_owned(), spec)])).expect_err(fragment);
            let text = failure.to_string();
            assert!(
                text.contains("\"chat\"") && text.contains(fragment) && !text.contains("hush"),
                "{text}"
            );
        }
    }
}
