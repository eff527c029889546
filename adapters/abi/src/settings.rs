//! What a connector is opened with, as JSON on the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The object that [`OpenFn`](crate::OpenFn) gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings<C> {
    /// The connector's name in the configuration, e.g. `orders-db`.
    pub name: String,
    /// `[connectors.NAME.config]`.
    pub config: C,
    /// `[connectors.NAME.secrets]`, already fetched.
    #[serde(default)]
    pub secrets: Secrets,
}

/// Reads the object.
///
/// # Errors
/// Says what is wrong with it.
pub fn read<C: serde::de::DeserializeOwned>(json: &[u8]) -> Result<Settings<C>, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// Secrets by name. They do not show themselves in logs.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// The secret of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Blanks every secret out of a text, for messages made by drivers that may repeat what they were given.
    pub fn scrub(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for secret in self.0.values().filter(|secret| !secret.is_empty()) {
            scrubbed = scrubbed.replace(secret.as_str(), "***");
        }
        scrubbed
    }
}

impl FromIterator<(String, String)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|name| (name, "***")))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_unseen() {
        let secrets: Secrets = [("password".to_owned(), "s3cret".to_owned())]
            .into_iter()
            .collect();
        assert_eq!(secrets.get("password"), Some("s3cret"));
        assert_eq!(format!("{secrets:?}"), r#"{"password": "***"}"#);
        assert_eq!(
            secrets.scrub("login with s3cret failed"),
            "login with *** failed"
        );
    }
}
