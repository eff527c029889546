//! Plugins of the kind `source`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::Host;
use crate::pair::{Pair, value_of};

/// Fetches records from somewhere else. Turn an implementation into a component with [`source!`](macro@crate::source).
///
/// The daemon stores records and checkpoint together or neither: a source that derives everything from its checkpoint
/// loses and doubles nothing, across crashes and restarts.
pub trait Source: Sized {
    /// The `[plugins.NAME.config]` table.
    type Config: DeserializeOwned;

    /// Called before every other function, because every call gets a fresh instance: validate settings, keep them, do
    /// no work.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Called before the plugin is put to use, and when an operator asks: can the far side be reached?
    fn check(&self, host: &Host) -> Result<(), Error> {
        let _ = host;
        Ok(())
    }

    /// Fetches what comes after a checkpoint; none is the first poll ever. Called on the source's schedule, and again
    /// at once while [`Batch::more`] says so. After an error the host polls again later with the same checkpoint.
    fn poll(
        &self,
        host: &Host,
        checkpoint: Option<&[u8]>,
        options: &Options,
    ) -> Result<Batch, Error>;
}

/// What the host wishes of a poll.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Most records to fetch; fewer, or none, is fine.
    pub max_records: u32,
    /// What later versions of the host may add.
    pub pairs: Vec<Pair>,
}

impl Options {
    /// A wish by name.
    pub fn get(&self, name: &str) -> Option<&str> {
        value_of(&self.pairs, name)
    }
}

/// What one poll fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Records as JSON objects, one a line; [`push`](Batch::push) adds one.
    pub items: Vec<u8>,
    /// Where to go on: stored with the records, and given to the next poll. At most 64 KiB, in the source's own format.
    pub checkpoint: Vec<u8>,
    /// Whether more can be fetched at once.
    pub more: bool,
    /// Documents that were left out because they cannot be records; log which and why.
    pub skipped: u32,
}

impl Batch {
    /// An empty batch after which the next poll goes on at `checkpoint`.
    pub fn new(checkpoint: impl Into<Vec<u8>>) -> Self {
        Self {
            checkpoint: checkpoint.into(),
            ..Self::default()
        }
    }

    /// Adds a record, as `POST /feed` takes them: at least `server_name`, `timestamp` and one metric. Leave out what
    /// was not measured, or make it null; never make it 0.
    ///
    /// # Errors
    /// When the record cannot be JSON.
    pub fn push(&mut self, record: &impl Serialize) -> Result<(), Error> {
        let before = self.items.len();
        if let Err(error) = serde_json::to_writer(&mut self.items, record) {
            self.items.truncate(before);
            return Err(error.into());
        }
        self.items.push(b'\n');
        Ok(())
    }
}

/// Makes a component of a [`Source`](trait@crate::Source): `argus_plugin::source!(Mongo);`, once per crate, at its root. Manifest and
/// `config_schema` as in [`sink!`](macro@crate::sink).
#[macro_export]
macro_rules! source {
    ($plugin:ty $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::__component!("source", Source, source, export_source, $plugin $(, $schema)?);
    };
}
