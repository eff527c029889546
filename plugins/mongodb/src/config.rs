//! `[plugins.NAME.config]`.

use argus_documents::{MappingConfig, ReadingConfig};
use argus_plugin::Error;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What is read, and what it means; `CONFIG_SCHEMA` describes it for people and tools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The connector that is asked.
    pub connector: String,
    /// The database; the connector's own if it is not said.
    #[serde(default)]
    pub database: Option<String>,
    /// The collection.
    pub collection: String,
    /// The field that holds a document's time.
    #[serde(default = "timestamp")]
    pub time: String,
    /// How it holds it.
    #[serde(default)]
    pub time_type: TimeType,
    /// Documents to read, in MongoDB's query language; all if it is not said.
    #[serde(default)]
    pub filter: Map<String, Value>,
    /// How documents become records.
    pub mapping: MappingConfig,
    /// How the collection is read.
    #[serde(default)]
    pub reading: ReadingConfig,
}

fn timestamp() -> String {
    "timestamp".to_owned()
}

/// How a document says its time. MongoDB compares values of one type only, so a document that says it otherwise is not
/// found, and told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeType {
    /// A BSON date.
    #[default]
    Date,
    /// A number: seconds since the epoch.
    Seconds,
    /// A number: milliseconds since the epoch.
    Milliseconds,
}

impl Config {
    /// Checks what the schema cannot.
    ///
    /// # Errors
    /// `invalid_config`, naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        let named = [
            ("collection", &self.collection),
            ("connector", &self.connector),
            ("time", &self.time),
        ];
        for (key, value) in named {
            if value.is_empty() || value.starts_with('$') {
                let message = format!("config.{key}: {value:?} cannot be a name");
                return Err(Error::new("invalid_config", message));
            }
        }
        Ok(())
    }
}
