//! Reads metrics from a MongoDB collection, through the connector that comes with Argus.
//!
//! Documents are paged by time and `_id`, which works on every server that speaks MongoDB's protocol. What makes a record
//! of a document, and how a collection is read exactly once, is `argus-documents`'s.

mod collection;
mod config;
mod id;

use argus_documents::{Mapping, Reader};
use argus_plugin::source::{Batch, Options};
use argus_plugin::{Error, Host, Source};

use crate::collection::Metrics;
use crate::config::Config;

struct MongoDb {
    metrics: Metrics,
    reader: Reader,
}

impl Source for MongoDb {
    type Config = Config;

    fn new(mut config: Config) -> Result<Self, Error> {
        let mapping = Mapping::new(std::mem::take(&mut config.mapping))?;
        let reader = Reader::new(mapping, std::mem::take(&mut config.reading))?;
        let metrics = Metrics::new(config, reader.mapping().paths())?;
        Ok(Self { metrics, reader })
    }

    fn check(&self, host: &Host) -> Result<(), Error> {
        self.metrics.check(host)
    }

    fn poll(
        &self,
        host: &Host,
        checkpoint: Option<&[u8]>,
        options: &Options,
    ) -> Result<Batch, Error> {
        self.reader.poll(host, &self.metrics, checkpoint, options)
    }
}

/// JSON Schema of [`Config`].
pub const CONFIG_SCHEMA: &str = concat!(
    r#"{"type":"object","additionalProperties":false,"required":["connector","collection","mapping"],"properties":{
    "connector":{"type":"string","minLength":1,"description":"Which connector to ask; list it under the plugin's `connectors` too."},
    "database":{"type":"string","minLength":1,"description":"The database; the connector's own if it is not said."},
    "collection":{"type":"string","minLength":1,"description":"The collection."},
    "time":{"type":"string","minLength":1,"default":"timestamp","description":"The field that holds a document's time, dots between nested names. It needs an index, best one of it and _id."},
    "time_type":{"enum":["date","seconds","milliseconds"],"default":"date","description":"How it holds it: a BSON date, or a number since 1970."},
    "filter":{"type":"object","description":"Documents to read, in MongoDB's query language (extended JSON); all if it is not said."},
    "mapping":"#,
    include_str!("../../documents/mapping.schema.json"),
    r#","reading":"#,
    include_str!("../../documents/reading.schema.json"),
    "}}"
);

argus_plugin::source!(MongoDb, config_schema = CONFIG_SCHEMA);

#[cfg(test)]
mod tests;
