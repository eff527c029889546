//! From a data directory to windows in memory.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use argus_schema::{EntityName, Schema};

use crate::codec::frame::{self, Header, Kind};
use crate::codec::{DecodeError, group};
use crate::config::StoreConfig;
use crate::engine::{Engine, EngineError, FORMAT, Meta, Opener, Removed, StoredMeta};
use crate::entities::{Entities, Entity};
use crate::errors::OpenError;
use crate::history;
use crate::salvage::Salvage;
use crate::view::RecoveryReport;
use crate::window::{Block, BlockRef, WindowConfig};

/// Name of the database file in the data directory.
pub(crate) const DATABASE: &str = "store.redb";

/// Its name while it is damaged and not yet salvaged.
const DAMAGED: &str = "store.redb.damaged";

/// A store brought back.
pub(crate) struct Recovered {
    pub(crate) engine: Engine,
    pub(crate) entities: Entities,
    /// Newest sequence number in use.
    pub(crate) sequence: u64,
    /// Checkpoint that history must agree with; `None` where the database is new, however much history there is.
    pub(crate) checkpoint: Option<u64>,
    /// Log bytes since the checkpoint.
    pub(crate) log_bytes: u64,
    /// Whether something was damaged, so that a checkpoint should follow at once.
    pub(crate) repaired: bool,
    /// A database that could not be opened, and where it goes once a checkpoint has what was salvaged from it.
    pub(crate) aside: Option<(PathBuf, PathBuf)>,
}

/// Everything that recovery reads or reports to.
pub(crate) struct Recovery<'a> {
    pub(crate) config: &'a StoreConfig,
    pub(crate) schema: &'a Schema,
    pub(crate) now_ms: i64,
    pub(crate) report: &'a mut RecoveryReport,
}

impl Recovery<'_> {
    /// Opens the database, or what can be salvaged of it.
    pub(crate) fn run(&mut self, opener: impl Fn() -> Opener) -> Result<Recovered, OpenError> {
        let path = self.config.dir.join(DATABASE);
        let damaged = self.config.dir.join(DAMAGED);
        if damaged.exists() {
            // A salvage that did not get to its end: the database beside it has served nobody yet.
            return self.salvage(&damaged, "an earlier salvage was interrupted", opener());
        }
        match self.load(Engine::open(path.clone(), opener())) {
            Ok(recovered) => Ok(recovered),
            Err(Trouble::Open(error)) => Err(error),
            Err(Trouble::Damaged(problem)) => {
                self.check_scanned_settings(&path)?;
                fs::rename(&path, &damaged)
                    .map_err(|error| io_error("move aside", &path, error))?;
                self.salvage(&damaged, &problem, opener())
            }
        }
    }

    fn load(&mut self, opened: Result<Engine, EngineError>) -> Result<Recovered, Trouble> {
        let mut engine = opened.map_err(|error| self.trouble(error))?;
        let Some(StoredMeta { format, state }) =
            engine.read_meta().map_err(|error| self.trouble(error))?
        else {
            return self.begin(engine, 0).map_err(Trouble::Open);
        };
        if format > FORMAT {
            let dir = self.config.dir.clone();
            return Err(Trouble::Open(OpenError::NewerFormat {
                dir,
                found: format,
                supported: FORMAT,
            }));
        }
        let meta = state
            .ok_or(DecodeError("no state"))
            .and_then(|bytes| Meta::open(&bytes))?;
        self.check_settings(&meta).map_err(Trouble::Open)?;
        let mut loading = Loading::new(self.config, &meta);
        let loaded = engine
            .each_head(|id, bytes| loading.take_head(id, bytes))
            .and_then(|()| engine.each_block(|key, bytes| loading.take_block(key, bytes)));
        loaded.map_err(|error| self.trouble(error))?;
        loading.place_entities();
        let replayed = engine.each_group(meta.checkpoint, |sequence, bytes| {
            loading.take_group(sequence, bytes)
        });
        replayed.map_err(|error| self.trouble(error))?;
        let Loading {
            entities,
            sequence,
            log_bytes,
            groups,
            records,
            damaged,
            ..
        } = loading;
        self.report.checkpoint = meta.checkpoint;
        self.report.replayed_groups = groups;
        self.report.replayed_records = records;
        let repaired = !damaged.is_empty();
        self.quarantine_values(damaged);
        engine.acknowledge(sequence);
        Ok(Recovered {
            engine,
            entities,
            sequence,
            checkpoint: Some(meta.checkpoint),
            log_bytes,
            repaired,
            aside: None,
        })
    }

    /// Starts a new database. Its first checkpoint covers all history there is: the next start deletes parts beyond it,
    /// because the log has their rows, but a new log has none of these.
    fn begin(&mut self, mut engine: Engine, sequence: u64) -> Result<Recovered, OpenError> {
        let newest_part = history::newest_sequence(&self.config.dir, self.schema)
            .map_err(|error| io_error("list history in", &self.config.dir, error))?;
        let sequence = sequence.max(newest_part);
        let meta = Meta {
            checkpoint: sequence,
            ..Meta::new(self.schema, self.config.step_secs)
        };
        engine
            .checkpoint(&meta, &Removed::default(), |_| Ok(()))
            .map_err(|error| self.refusal(error))?;
        engine.acknowledge(sequence);
        self.report.fresh = true;
        let entities = Entities::new(window_config(self.config, self.schema.metrics.len()));
        let (checkpoint, log_bytes, repaired, aside) = (None, 0, false, None);
        Ok(Recovered {
            engine,
            entities,
            sequence,
            checkpoint,
            log_bytes,
            repaired,
            aside,
        })
    }

    /// Starts a new database with what the damaged one still says.
    fn salvage(
        &mut self,
        damaged: &Path,
        problem: &str,
        opener: Opener,
    ) -> Result<Recovered, OpenError> {
        let unreadable = |error| io_error("read", damaged, error);
        let found = Salvage::scan(damaged).map_err(unreadable)?;
        if let Some(meta) = found.meta() {
            self.check_settings(meta)?;
        }
        let config = window_config(self.config, self.schema.metrics.len());
        let (entities, yielded) = found.restore(config).map_err(unreadable)?;
        let path = self.config.dir.join(DATABASE);
        if path.exists() {
            fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
        }
        let engine = Engine::open(path, opener).map_err(|error| self.refusal(error))?;
        let mut recovered = self.begin(engine, yielded.newest_sequence)?;
        let aside = self.quarantine_folder();
        self.report.fresh = false;
        self.report.checkpoint = yielded.checkpoint;
        self.report.replayed_groups = yielded.groups;
        self.report.replayed_records = yielded.records;
        self.report.damaged_groups = yielded.missing_groups;
        self.report.damaged_windows = yielded.missing_windows;
        self.report.quarantined_to = Some(aside.display().to_string());
        self.say(format!(
            "the database could not be opened ({problem}); it is moved to {} and {} entities were salvaged from it, \
             with {} log groups after checkpoint {}; {} log groups and {} parts of windows are lost",
            aside.display(),
            entities.len(),
            yielded.groups,
            yielded.checkpoint,
            yielded.missing_groups,
            yielded.missing_windows,
        ));
        recovered.entities = entities;
        recovered.repaired = true;
        recovered.aside = Some((damaged.to_owned(), aside));
        Ok(recovered)
    }

    /// Settings of a damaged database, before anything is moved.
    fn check_scanned_settings(&self, path: &Path) -> Result<(), OpenError> {
        let found = Salvage::scan(path).map_err(|error| io_error("read", path, error))?;
        found
            .meta()
            .map_or(Ok(()), |meta| self.check_settings(meta))
    }

    /// Keeps damaged values for whoever wants to look; the database forgets them at the next checkpoint.
    fn quarantine_values(&mut self, damaged: Vec<Damaged>) {
        if damaged.is_empty() {
            return;
        }
        let aside = self.quarantine_folder();
        let kept = fs::create_dir_all(&aside).is_ok();
        for Damaged {
            what,
            name,
            bytes,
            problem,
        } in damaged
        {
            match what {
                Kind::Log => self.report.damaged_groups += 1,
                Kind::Head | Kind::Block | Kind::Meta => self.report.damaged_windows += 1,
            }
            let kept = kept
                && !bytes.is_empty()
                && fs::write(aside.join(format!("{name}.bin")), bytes).is_ok();
            let whither = if kept {
                format!("; it is kept in {}", aside.display())
            } else {
                String::new()
            };
            self.say(format!("{name} is lost: {problem}{whither}"));
        }
    }

    fn check_settings(&self, meta: &Meta) -> Result<(), OpenError> {
        match meta.mismatch(self.schema, self.config.step_secs) {
            None => Ok(()),
            Some((setting, stored, configured)) => Err(OpenError::Mismatch {
                dir: self.config.dir.clone(),
                setting,
                stored,
                configured,
            }),
        }
    }

    fn quarantine_folder(&self) -> PathBuf {
        let time = jiff::Timestamp::from_millisecond(self.now_ms).unwrap_or_default();
        self.config
            .dir
            .join(format!("quarantine-{}", time.strftime("%Y%m%dT%H%M%SZ")))
    }

    fn say(&mut self, message: String) {
        tracing::error!("{message}");
        self.report.messages.push(message);
    }

    fn trouble(&self, error: EngineError) -> Trouble {
        match error {
            EngineError::Damaged(problem) => Trouble::Damaged(problem),
            error => Trouble::Open(self.refusal(error)),
        }
    }

    fn refusal(&self, error: EngineError) -> OpenError {
        match error {
            EngineError::Io(source) => OpenError::Io {
                action: "open the log",
                path: self.config.dir.join(DATABASE),
                source,
            },
            EngineError::Damaged(problem) | EngineError::Refused(problem) => OpenError::Engine {
                dir: self.config.dir.clone(),
                problem,
            },
        }
    }
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Why a database was not loaded.
enum Trouble {
    Open(OpenError),
    Damaged(String),
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// A value that cannot be read.
struct Damaged {
    what: Kind,
    name: String,
    bytes: Vec<u8>,
    problem: DecodeError,
}

/// A database on its way into memory.
struct Loading {
    config: WindowConfig,
    waiting: HashMap<u64, (EntityName, Entity, Vec<BlockRef>)>,
    entities: Entities,
    sequence: u64,
    log_bytes: u64,
    groups: u64,
    records: u64,
    damaged: Vec<Damaged>,
}

impl Loading {
    fn new(config: &StoreConfig, meta: &Meta) -> Self {
        let config = window_config(config, meta.metrics.len());
        let mut entities = Entities::new(config);
        entities.next_id = meta.next_id;
        meta.cursors
            .iter()
            .for_each(|cursor| entities.set_cursor(cursor.clone()));
        let (waiting, damaged) = (HashMap::new(), Vec::new());
        Self {
            config,
            waiting,
            entities,
            sequence: meta.checkpoint,
            log_bytes: 0,
            groups: 0,
            records: 0,
            damaged,
        }
    }

    fn take_head(&mut self, id: u64, bytes: &[u8]) {
        let read = open_as(bytes, Kind::Head, id, 0).and_then(|(sequence, payload)| {
            Entity::decode_head(id, sequence, payload, self.config)
        });
        match read {
            Ok(entity) => drop(self.waiting.insert(id, entity)),
            Err(problem) => {
                self.entities.doom_head(id);
                self.damaged.push(Damaged {
                    what: Kind::Head,
                    name: format!("window-{id}"),
                    bytes: bytes.to_vec(),
                    problem,
                });
            }
        }
    }

    fn take_block(&mut self, (id, index): (u64, i64), bytes: &[u8]) {
        let expected = self
            .waiting
            .get(&id)
            .and_then(|(_, _, refs)| refs.iter().find(|at| at.index == index).copied());
        let Some(expected) = expected else {
            // Of an entity whose head is lost, or of no window any more.
            self.entities.doom_block(id, index);
            return;
        };
        let read = open_as(bytes, Kind::Block, id, index).and_then(|(sequence, payload)| {
            let at = BlockRef { index, sequence };
            if at == expected {
                Block::decode(payload, at, self.config.metrics)
            } else {
                Err(DecodeError("is of another checkpoint than the window says"))
            }
        });
        match (read, self.waiting.get_mut(&id)) {
            (Ok(block), Some((_, entity, refs))) => {
                refs.retain(|at| *at != expected);
                entity.window.restore_block(block);
            }
            (Ok(_), None) => {}
            (Err(problem), waiting) => {
                if let Some((_, entity, refs)) = waiting {
                    refs.retain(|at| *at != expected);
                    entity.mark_dirty();
                }
                self.entities.doom_block(id, index);
                let name = format!("window-{id}-bins-{index}");
                self.damaged.push(Damaged {
                    what: Kind::Block,
                    name,
                    bytes: bytes.to_vec(),
                    problem,
                });
            }
        }
    }

    /// Moves the entities to their names, once all blocks were seen.
    fn place_entities(&mut self) {
        for (id, (name, mut entity, refs)) in self.waiting.drain() {
            for at in refs {
                entity.mark_dirty();
                self.damaged.push(Damaged {
                    what: Kind::Block,
                    name: format!("window-{id}-bins-{}", at.index),
                    bytes: Vec::new(),
                    problem: DecodeError("is not there"),
                });
            }
            entity.window.settle();
            self.entities.restore(name, entity);
        }
    }

    fn take_group(&mut self, sequence: u64, bytes: &[u8]) {
        self.sequence = self.sequence.max(sequence);
        self.log_bytes += bytes.len() as u64;
        let read = frame::open(bytes).and_then(|(header, payload)| match header {
            Header {
                kind: Kind::Log,
                sequence: of,
                ..
            } if of == sequence => group::decode(payload, self.config.metrics),
            _ => Err(DecodeError("is another value than its key says")),
        });
        match read {
            Ok((written_ms, operations)) => {
                self.groups += 1;
                for operation in &operations {
                    let applied = self.entities.apply(operation, sequence, written_ms);
                    self.records += u64::from(applied.is_some());
                }
            }
            Err(problem) => {
                let name = format!("log-group-{sequence}");
                self.damaged.push(Damaged {
                    what: Kind::Log,
                    name,
                    bytes: bytes.to_vec(),
                    problem,
                });
            }
        }
    }
}

/// Opens a frame that must be what its key says; its sequence number and payload.
fn open_as(bytes: &[u8], kind: Kind, key: u64, block: i64) -> Result<(u64, &[u8]), DecodeError> {
    let (header, payload) = frame::open(bytes)?;
    if header.kind != kind || header.key != key || header.block != block {
        return Err(DecodeError("is another value than its key says"));
    }
    Ok((header.sequence, payload))
}

/// Dimensions of all windows of a store.
pub(crate) fn window_config(config: &StoreConfig, metrics: usize) -> WindowConfig {
    WindowConfig {
        metrics,
        step_ms: config.step_ms(),
        window_steps: config.window_steps,
        exact_bins: config.exact_bins,
        max_records_per_bin: config.max_records_per_bin,
        keeps_rows: true,
    }
}
