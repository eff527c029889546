//! The engines behind one trait.

use std::error::Error;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use raft_engine::{Config, Engine as RaftEngine, LogBatch, RecoveryMode};
use redb::{ReadableDatabase, TableDefinition};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the store asks of its log.
pub trait Engine: Sized {
    const NAME: &'static str;
    fn open(dir: &Path) -> Outcome<Self>;
    /// Writes one group under its sequence number; durable when it returns.
    fn append(&mut self, sequence: u64, group: &[u8]) -> Outcome<()>;
    /// Removes the groups `first..=last`.
    fn cut(&mut self, first: u64, last: u64) -> Outcome<()>;
    /// How many of the groups `1..=count` can be read back unharmed.
    fn readable(&self, count: u64) -> Outcome<u32>;
}

pub struct FjallLog {
    database: Database,
    log: Keyspace,
}

impl Engine for FjallLog {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path) -> Outcome<Self> {
        let database = Database::builder(dir.join("db"))
            .cache_size(8 << 20)
            .worker_threads(1)
            .open()?;
        let log = database.keyspace("log", || {
            KeyspaceCreateOptions::default().max_memtable_size(32 << 20)
        })?;
        Ok(Self { database, log })
    }

    fn append(&mut self, sequence: u64, group: &[u8]) -> Outcome<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        batch.insert(&self.log, sequence.to_be_bytes(), group);
        Ok(batch.commit()?)
    }

    fn cut(&mut self, first: u64, last: u64) -> Outcome<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for sequence in first..=last {
            batch.remove(&self.log, sequence.to_be_bytes());
        }
        Ok(batch.commit()?)
    }

    fn readable(&self, count: u64) -> Outcome<u32> {
        let intact = |sequence: &u64| {
            self.log
                .get(sequence.to_be_bytes())
                .ok()
                .flatten()
                .is_some_and(|group| crate::is_intact(*sequence, &group))
        };
        Ok((1..=count).filter(intact).count() as u32)
    }
}

pub struct RedbLog {
    database: redb::Database,
}

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

impl Engine for RedbLog {
    const NAME: &'static str = "redb";

    fn open(dir: &Path) -> Outcome<Self> {
        let database = redb::Builder::new()
            .set_cache_size(16 << 20)
            .create(dir.join("db.redb"))?;
        Ok(Self { database })
    }

    fn append(&mut self, sequence: u64, group: &[u8]) -> Outcome<()> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(LOG)?.insert(sequence, group)?;
        Ok(transaction.commit()?)
    }

    fn cut(&mut self, first: u64, last: u64) -> Outcome<()> {
        let transaction = self.database.begin_write()?;
        transaction
            .open_table(LOG)?
            .retain_in(first..=last, |_, _| false)?;
        Ok(transaction.commit()?)
    }

    fn readable(&self, count: u64) -> Outcome<u32> {
        let table = self.database.begin_read()?.open_table(LOG)?;
        let intact = |sequence: &u64| {
            table
                .get(sequence)
                .ok()
                .flatten()
                .is_some_and(|group| crate::is_intact(*sequence, group.value()))
        };
        Ok((1..=count).filter(intact).count() as u32)
    }
}

pub struct RaftLog {
    engine: RaftEngine,
}

const REGION: u64 = 1;

impl Engine for RaftLog {
    const NAME: &'static str = "raft-engine";

    fn open(dir: &Path) -> Outcome<Self> {
        let config = Config {
            dir: dir.display().to_string(),
            recovery_mode: RecoveryMode::TolerateAnyCorruption,
            ..Config::default()
        };
        Ok(Self {
            engine: RaftEngine::open(config)?,
        })
    }

    fn append(&mut self, sequence: u64, group: &[u8]) -> Outcome<()> {
        let mut batch = LogBatch::default();
        batch.put(REGION, sequence.to_be_bytes().to_vec(), group.to_vec())?;
        self.engine.write(&mut batch, true)?;
        Ok(())
    }

    fn cut(&mut self, first: u64, last: u64) -> Outcome<()> {
        let mut batch = LogBatch::default();
        for sequence in first..=last {
            batch.delete(REGION, sequence.to_be_bytes().to_vec());
        }
        self.engine.write(&mut batch, true)?;
        self.engine.purge_expired_files()?;
        Ok(())
    }

    fn readable(&self, count: u64) -> Outcome<u32> {
        let intact = |sequence: &u64| {
            let group = self.engine.get(REGION, &sequence.to_be_bytes());
            group.is_some_and(|group| crate::is_intact(*sequence, &group))
        };
        Ok((1..=count).filter(intact).count() as u32)
    }
}
