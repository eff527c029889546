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
        let metrics = Metrics::new(config, &reader.mapping().paths())?;
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

argus_plugin::source!(
    MongoDb,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests;
