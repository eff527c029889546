//! Fetches records from Elasticsearch and OpenSearch: indices, patterns, aliases and data streams, through the connector
//! of that name. What it reads and how documents become records is `argus_documents`; this is the server's side of it.

mod index;

use argus_documents::{Mapping, MappingConfig, Reader, ReadingConfig};
use argus_plugin::source::{Batch, Options};
use argus_plugin::{Error, Host, Source};
use serde::Deserialize;
use serde_json::{Value, json};

use index::{Hits, Index};

/// `[plugins.NAME.config]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which connector to ask.
    connector: String,
    /// Names and patterns of indices, aliases or data streams, with commas between them.
    index: String,
    /// The field with the time.
    #[serde(default = "at_timestamp")]
    time: String,
    /// A field whose values tell documents of one time apart, for collections with thousands of them.
    #[serde(default)]
    tiebreaker: Option<String>,
    /// Which documents are wanted, in the server's query language; none is all.
    #[serde(default)]
    query: Option<Value>,
    /// Whether the server takes documents apart and sends only what the mapping looks at.
    #[serde(default)]
    only_needed_fields: bool,
    /// How documents become records.
    mapping: MappingConfig,
    /// How the index is read.
    #[serde(default)]
    reading: ReadingConfig,
}

fn at_timestamp() -> String {
    "@timestamp".to_owned()
}

/// The source.
#[derive(Debug)]
pub struct Elasticsearch {
    index: Index,
    reader: Reader,
}

impl Source for Elasticsearch {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        let mapping = Mapping::new(config.mapping)?;
        let index = Index {
            connector: config.connector,
            index: config.index,
            time: config.time,
            tiebreaker: config.tiebreaker,
            query: config.query,
            source: match config.only_needed_fields {
                true => json!(mapping.paths()),
                false => json!(true),
            },
            hits: Hits::new(mapping.paths()),
        };
        let reader = Reader::new(mapping, config.reading)?;
        Ok(Self { index, reader })
    }

    fn check(&self, host: &Host) -> Result<(), Error> {
        let Index {
            connector,
            index,
            time,
            ..
        } = &self.index;
        let body = json!({ "index": index, "time": time }).to_string();
        host.query(connector, "check", body, &[]).map(drop)
    }

    fn poll(
        &self,
        host: &Host,
        checkpoint: Option<&[u8]>,
        options: &Options,
    ) -> Result<Batch, Error> {
        self.reader.poll(host, &self.index, checkpoint, options)
    }
}

/// JSON Schema of [`Config`].
pub const CONFIG_SCHEMA: &str = concat!(
    r#"{"type":"object","additionalProperties":false,"required":["connector","index","mapping"],"properties":{
    "connector":{"type":"string","minLength":1,"description":"Which connector to ask; list it under the plugin's `connectors` too."},
    "index":{"type":"string","minLength":1,"description":"Indices, patterns, aliases or data streams, with commas between them."},
    "time":{"type":"string","minLength":1,"default":"@timestamp","description":"The field with the time: a date."},
    "tiebreaker":{"type":"string","minLength":1,"description":"A field that tells documents of one time apart, for thousands of them."},
    "query":{"type":"object","description":"Which documents are wanted, in the server's query language."},
    "only_needed_fields":{"type":"boolean","default":false,"description":"Whether the server takes documents apart and sends only what is needed: fewer bytes, but twice its work."},
    "mapping":"#,
    include_str!("../../documents/mapping.schema.json"),
    r#","reading":"#,
    include_str!("../../documents/reading.schema.json"),
    "}}"
);

argus_plugin::source!(Elasticsearch, config_schema = CONFIG_SCHEMA);

#[cfg(test)]
mod tests;
