//! Typed settings from the host's JSON.

use serde::de::DeserializeOwned;

use crate::error::Error;

/// Reads settings; the error names the setting that is wrong.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => "config".to_owned(),
            path => format!("config.{path}"),
        };
        // Line and column are those of a text that nobody wrote.
        let reason = error.inner().to_string();
        let reason = reason
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        Error::new("invalid_config", format!("{place}: {reason}"))
    })
}
