//! MongoDB for sources: the official driver behind the connector interface. It reads, and cannot write.
//!
//! | operation | body | answers |
//! |---|---|---|
//! | `check` | `{"collection": …}` (optional) | `{"version": …, "replica_set": …}`, if it can be read |
//! | `find` | `{"collection", "filter", "projection", "sort": [{"time": 1}], "limit", "skip"}` | documents |
//! | `aggregate` | `{"collection", "pipeline"}` | documents |
//! | `tail` | `{"collection", "pipeline", "resume_after", "mode"}` | change events without end |
//!
//! Each body may have `database`, and all but `check` may have `batch_size` and `max_time_ms`. Bodies and documents are
//! extended JSON: a date is `{"$date": …}`, an object id `{"$oid": …}`, so that what was read can be asked for again.
//! A cursor fetches one batch at a time, and the next one only when it is asked for it: a slow reader slows the server.

mod config;
mod cursors;
mod errors;
mod operations;

use std::sync::Arc;

use argus_connector_abi::author::{Answer, Connector, Log, Request};
use argus_connector_abi::{Error, Settings};
use mongodb::{Client, Database};

pub use config::{Config, ReadMode, Tls};

use crate::errors::Teller;

/// The connector: a client with its pool of connections.
#[derive(Debug)]
pub struct MongoDb {
    client: Client,
    database: Option<String>,
    teller: Arc<Teller>,
    log: Log,
}

impl Connector for MongoDb {
    type Config = Config;

    async fn open(settings: Settings<Config>, log: Log) -> Result<Self, Error> {
        let opened = config::options(&settings.config, &settings.secrets).await?;
        let teller = opened.teller;
        let database = opened.options.default_database.clone();
        let client = Client::with_options(opened.options)
            .map_err(|error| Error::new("invalid_config", teller.scrub(&error.to_string())))?;
        log.info(format!("reads MongoDB at {}", teller.hosts()));
        Ok(Self {
            client,
            database,
            teller: Arc::new(teller),
            log,
        })
    }

    async fn query(&self, request: Request) -> Result<Answer, Error> {
        match request.operation.as_str() {
            "check" => self.check(request.json()?).await,
            "find" => self.find(request.json()?, request.deadline).await,
            "aggregate" => self.aggregate(request.json()?, request.deadline).await,
            "tail" => self.tail(request.json()?).await,
            _ => Err(request.unknown_operation(&["check", "find", "aggregate", "tail"])),
        }
    }
}

impl MongoDb {
    /// The database that a body names, else the configuration's.
    fn database(&self, named: Option<&str>) -> Result<Database, Error> {
        let name = named.or(self.database.as_deref()).ok_or_else(|| {
            Error::new(
                "invalid_body",
                "no database: set `database` in the connector's configuration, or in the query",
            )
        })?;
        Ok(self.client.database(name))
    }
}

argus_connector_abi::export_connector!(MongoDb, name = "mongodb");
