//! The database: four redb tables in one file, every value in a frame.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format` | format version, `u32` little-endian |
//! | `meta` | `state` | what [`Meta`] holds |
//! | `log` | sequence number | one group of accepted records (see [`crate::codec::group`]) |
//! | `heads` | entity id | name and open bins of an entity (see [`crate::window`]) |
//! | `blocks` | entity id, block index | 64 folded bins |
//!
//! A commit is one redb transaction with one fsync. After a failed write redb answers nothing more until it is opened
//! again; [`Engine`] does that on the next call and takes back groups whose fate the failure left open.

mod meta;

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    WriteTransaction,
};

pub(crate) use meta::Meta;

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
const HEADS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("heads");
const BLOCKS: TableDefinition<'static, (u64, i64), &[u8]> = TableDefinition::new("blocks");

/// Newest format that this build reads and the one it writes.
pub(crate) const FORMAT: u32 = 1;
const FORMAT_KEY: &str = "format";
const STATE_KEY: &str = "state";
/// Pages that redb keeps in memory: the upper levels of the trees and what a transaction changes.
const CACHE_BYTES: usize = 16 << 20;

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The operating system refused; trying again later may help.
    #[error("{0}")]
    Io(io::Error),
    /// The file is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The file is fine but not for us.
    #[error("{0}")]
    Refused(String),
}

impl EngineError {
    /// Whether the disk or a quota is full.
    pub(crate) fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

impl<E: Into<redb::Error>> From<E> for EngineError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => match error.kind() {
                // What redb says of a file that is no database or ends too early.
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    Self::Damaged(error.to_string())
                }
                _ => Self::Io(error),
            },
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Self::Io(io::Error::other("an earlier write failed"))
            }
            error @ (redb::Error::UpgradeRequired(_) | redb::Error::DatabaseAlreadyOpen) => {
                Self::Refused(error.to_string())
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Opens the database file; a parameter so that tests can put a failing disk under it.
pub(crate) type Opener = Box<dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// The opener for real files: verifies the checksum of every page, so that damage is found now and not by a panic later.
pub(crate) fn file_opener() -> Opener {
    Box::new(|path| {
        Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create(path)
    })
}

/// What the database says of itself.
#[derive(Debug)]
pub(crate) struct StoredMeta {
    /// Its format version.
    pub(crate) format: u32,
    /// Frame of its [`Meta`]; `None` is damage.
    pub(crate) state: Option<Vec<u8>>,
}

/// A value that a checkpoint writes, in its frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Saved<'a> {
    /// Head of an entity, by id.
    Head(u64, &'a [u8]),
    /// Block of an entity, by id and index.
    Block((u64, i64), &'a [u8]),
}

/// What a checkpoint removes besides the log.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// Heads of retired entities.
    pub(crate) heads: Vec<u64>,
    /// Blocks that left their window or belong to a retired entity.
    pub(crate) blocks: Vec<(u64, i64)>,
}

/// Where a checkpoint's values go, one by one: all of them together may be as large as all windows.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Saved<'_>) -> Result<(), redb::Error>;

/// The database, opened again whenever it failed.
pub(crate) struct Engine {
    path: PathBuf,
    opener: Opener,
    database: Option<Database>,
    /// Newest group that a caller was told is durable. Anything beyond it after a failure is taken back.
    acknowledged: u64,
}

impl Engine {
    /// Opens or creates the file.
    pub(crate) fn open(path: PathBuf, opener: Opener) -> Result<Self, EngineError> {
        let mut engine = Self {
            path,
            opener,
            database: None,
            acknowledged: u64::MAX,
        };
        engine.database()?;
        Ok(engine)
    }

    /// From here on groups beyond `sequence` that appear on their own are taken back.
    pub(crate) fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = sequence;
    }

    /// Writes one log group; durable when this returns.
    pub(crate) fn append(&mut self, sequence: u64, frame: &[u8]) -> Result<(), EngineError> {
        self.commit(|transaction| {
            transaction.open_table(LOG)?.insert(sequence, frame)?;
            Ok(())
        })?;
        self.acknowledged = sequence;
        Ok(())
    }

    /// Writes a checkpoint: what `save` gives, the new state, and no log up to it; all of it or nothing.
    pub(crate) fn checkpoint(
        &mut self,
        meta: &Meta,
        removed: &Removed,
        save: impl FnOnce(Sink<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), EngineError> {
        self.commit(|transaction| {
            let mut heads = transaction.open_table(HEADS)?;
            let mut blocks = transaction.open_table(BLOCKS)?;
            // Removals first: a damaged block may be dropped and begun anew by the same checkpoint.
            for id in &removed.heads {
                heads.remove(id)?;
            }
            for key in &removed.blocks {
                blocks.remove(key)?;
            }
            save(&mut |value| {
                match value {
                    Saved::Head(id, frame) => drop(heads.insert(id, frame)?),
                    Saved::Block(key, frame) => drop(blocks.insert(key, frame)?),
                }
                Ok(())
            })?;
            transaction
                .open_table(LOG)?
                .retain_in(..=meta.checkpoint, |_, _| false)?;
            let mut table = transaction.open_table(META)?;
            table.insert(FORMAT_KEY, FORMAT.to_le_bytes().as_slice())?;
            table.insert(STATE_KEY, meta.seal().as_slice())?;
            Ok(())
        })
    }

    /// Format version and state; `None` for a new database.
    pub(crate) fn read_meta(&mut self) -> Result<Option<StoredMeta>, EngineError> {
        self.read(|transaction| {
            let Some(table) = existing(transaction.open_table(META))? else {
                return Ok(None);
            };
            let Some(format) = table.get(FORMAT_KEY)? else {
                return Ok(None);
            };
            let format = format
                .value()
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes));
            let state = table.get(STATE_KEY)?.map(|state| state.value().to_vec());
            Ok(Some(StoredMeta { format, state }))
        })
    }

    /// The newest checkpoint on disk, also after one whose commit failed; `None` where the state cannot be read.
    pub(crate) fn stored_checkpoint(&mut self) -> Result<Option<u64>, EngineError> {
        let state = self.read_meta()?.and_then(|stored| stored.state);
        let meta = state.and_then(|state| Meta::open(&state).ok());
        Ok(meta.map(|meta| meta.checkpoint))
    }

    /// Calls `visit` with every head.
    pub(crate) fn each_head(
        &mut self,
        mut visit: impl FnMut(u64, &[u8]),
    ) -> Result<(), EngineError> {
        self.read(|transaction| {
            let Some(table) = existing(transaction.open_table(HEADS))? else {
                return Ok(());
            };
            for entry in table.iter()? {
                let (id, frame) = entry?;
                visit(id.value(), frame.value());
            }
            Ok(())
        })
    }

    /// Calls `visit` with every block.
    pub(crate) fn each_block(
        &mut self,
        mut visit: impl FnMut((u64, i64), &[u8]),
    ) -> Result<(), EngineError> {
        self.read(|transaction| {
            let Some(table) = existing(transaction.open_table(BLOCKS))? else {
                return Ok(());
            };
            for entry in table.iter()? {
                let (key, frame) = entry?;
                visit(key.value(), frame.value());
            }
            Ok(())
        })
    }

    /// Calls `visit` with every log group beyond a sequence number, in order.
    pub(crate) fn each_group(
        &mut self,
        after: u64,
        mut visit: impl FnMut(u64, &[u8]),
    ) -> Result<(), EngineError> {
        self.read(|transaction| {
            let Some(table) = existing(transaction.open_table(LOG))? else {
                return Ok(());
            };
            for entry in table.range(after.saturating_add(1)..)? {
                let (sequence, frame) = entry?;
                visit(sequence.value(), frame.value());
            }
            Ok(())
        })
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Closes the file in good order.
    pub(crate) fn close(&mut self) -> Result<(), EngineError> {
        match self.database.take() {
            Some(database) => guarded(|| Ok(database.close()?)),
            None => Ok(()),
        }
    }

    fn commit(
        &mut self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), EngineError> {
        let database = self.database()?;
        let outcome = guarded(|| {
            let transaction = database.begin_write()?;
            write(&transaction)?;
            Ok(transaction.commit()?)
        });
        if outcome.is_err() {
            self.abandon();
        }
        outcome
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, EngineError> {
        let database = self.database()?;
        let outcome = guarded(|| Ok(read(&database.begin_read()?)?));
        if outcome.is_err() {
            self.abandon();
        }
        outcome
    }

    /// The open database; opened again if an earlier call failed.
    fn database(&mut self) -> Result<&Database, EngineError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let database = guarded(|| Ok((self.opener)(&self.path)?))?;
                self.take_back(&database)?;
                database
            }
        };
        Ok(self.database.insert(database))
    }

    /// Removes groups that a failed commit may have left behind: their senders were told that nothing was stored.
    fn take_back(&self, database: &Database) -> Result<(), EngineError> {
        if self.acknowledged == u64::MAX {
            return Ok(());
        }
        guarded(|| {
            let transaction = database.begin_write()?;
            let first_unknown = self.acknowledged + 1;
            transaction
                .open_table(LOG)?
                .retain_in(first_unknown.., |_, _| false)?;
            Ok(transaction.commit()?)
        })
    }

    fn abandon(&mut self) {
        if let Some(database) = self.database.take() {
            // Dropping may write; whatever goes wrong now is found by the next open.
            let _ = guarded(|| {
                drop(database);
                Ok(())
            });
        }
    }
}

/// Runs something in the engine; a panic there (it has some on damaged pages) is damage.
fn guarded<T>(run: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(EngineError::Damaged(panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the engine panicked: {}", text.unwrap_or("no message"))
}

/// `None` for a table that nothing was ever written to.
fn existing<T>(table: Result<T, redb::TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(redb::TableError::Storage(StorageError::Io(error))) => Err(redb::Error::Io(error)),
        Err(error) => Err(error.into()),
    }
}
