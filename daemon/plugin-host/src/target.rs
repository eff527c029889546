//! A named HTTP target: where a plugin may send to, with which headers and secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use argus_outbound_http::{AddressPolicy, Binding, Client, ClientConfig, HeaderName, HeaderValue};

use crate::config::TargetSpec;
use crate::errors::Failure;
use crate::secrets::{Escape, Secrets, UnknownSecret};

/// All targets of a plugin, by name.
pub(crate) type Targets = BTreeMap<String, Target>;

/// One target, its secrets read and its connections pooled.
#[derive(Debug)]
pub(crate) struct Target {
    pub binding: Binding,
    pub secrets: Secrets,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub client: Client,
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

impl Target {
    fn bind(spec: &TargetSpec) -> Result<Self, String> {
        let secrets = Secrets::read(&spec.secrets)?;
        let unknown = |UnknownSecret(name)| format!("there is no secret {name:?}");
        let url = secrets
            .fill_text(&spec.url, Escape::Path)
            .map_err(unknown)?;
        let binding = Binding::new(&url, &spec.methods, spec.path_prefix.as_deref())
            .map_err(|e| e.to_string())?;
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            let malformed = |what| format!("header {name:?}: its {what} is malformed");
            let value = secrets.fill_text(value, Escape::None).map_err(unknown)?;
            let mut value = HeaderValue::try_from(value).map_err(|_| malformed("value"))?;
            value.set_sensitive(true);
            headers.push((
                HeaderName::try_from(name).map_err(|_| malformed("name"))?,
                value,
            ));
        }
        let client = Client::new(&ClientConfig {
            addresses: AddressPolicy::for_configured_host(
                binding.host(),
                spec.allow_private_addresses,
            ),
            extra_authorities: spec.extra_authorities.clone(),
            ..ClientConfig::default()
        });
        Ok(Self {
            binding,
            secrets,
            headers,
            client: client.map_err(|e| e.to_string())?,
            timeout: spec.timeout,
            max_request_bytes: spec.max_request_bytes,
            max_response_bytes: spec.max_response_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretSource;

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
