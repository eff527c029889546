//! The engine: memory, database and readers of one alert state.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use argus_schema::EntityName;
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, Transaction as Sql, TransactionBehavior};
use tokio::sync::watch;

use crate::alert::{Alert, AlertId, AlertState};
use crate::config::AlertConfig;
use crate::database;
use crate::errors::AlertError;
use crate::history::{HistoryQuery, Transition, TransitionKind};
use crate::outbox::{self, Queue};
use crate::routing::Routing;
use crate::sink::SinkRoute;
use crate::stats::{AlertStats, SinkStats};

/// Alert state of the whole fleet: one per data directory.
///
/// Every writing method runs in one transaction and changes memory only after the commit; when it fails, nothing has
/// happened and it may be called again with the same input.
pub struct Alerts {
    config: AlertConfig,
    core: Mutex<Core>,
    /// `None` for a database in memory, which only its own connection can see.
    reader: Option<Mutex<Connection>>,
    published: RwLock<Arc<Published>>,
    /// Counts up when an alert changes.
    changed: watch::Sender<u64>,
    /// Counts up when there may be something to deliver.
    queued: watch::Sender<u64>,
}

struct Core {
    connection: Connection,
    state: State,
    routes: Vec<SinkRoute>,
    routing: Routing,
    stats: AlertStats,
    sinks: BTreeMap<String, SinkStats>,
}

/// What readers get without waiting for anybody.
struct Published {
    open: Arc<[Alert]>,
    stats: AlertStats,
}

/// The newest forecast of an entity that counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub origin_ms: i64,
    pub evaluated_ms: i64,
}

/// A mirror of the database's open alerts and entities.
#[derive(Default)]
pub(crate) struct State {
    /// Pending and firing alerts; no empty lists.
    pub open: BTreeMap<EntityName, Vec<Alert>>,
    pub entities: HashMap<EntityName, Counted>,
    /// When this process first looked after the alerts: before it nobody can have gone stale.
    pub watching_since_ms: Option<i64>,
    /// When old history was last deleted.
    pub pruned_ms: Option<i64>,
}

/// Changes of one transaction, taken over into [`State`] after its commit.
pub(crate) struct Draft<'a> {
    pub config: &'a AlertConfig,
    pub routes: &'a [SinkRoute],
    pub routing: &'a Routing,
    state: &'a State,
    changes: Changes,
}

#[derive(Default)]
pub(crate) struct Changes {
    open: BTreeMap<EntityName, Vec<Alert>>,
    entities: HashMap<EntityName, Option<Counted>>,
    pub transitions: Vec<Transition>,
    pub watching_since_ms: Option<i64>,
    pub pruned_ms: Option<i64>,
    /// Whether rows of the outbox changed.
    pub outbox: bool,
    /// Added to the counters; gauges are computed.
    pub evaluated: u64,
    pub ignored_repeated: u64,
    pub ignored_on_demand: u64,
    /// Added to the counters of sinks; times and errors replace.
    pub sinks: BTreeMap<String, SinkStats>,
}

impl<'a> Draft<'a> {
    /// Open alerts of an entity, with what this transaction has changed.
    pub fn open_alerts(&self, entity: &EntityName) -> Vec<Alert> {
        self.changes
            .open
            .get(entity)
            .or_else(|| self.state.open.get(entity))
            .cloned()
            .unwrap_or_default()
    }

    /// Replaces them.
    pub fn set_open_alerts(&mut self, entity: &EntityName, alerts: Vec<Alert>) {
        debug_assert!(alerts.iter().all(|a| a.is_open() && a.entity == *entity));
        self.changes.open.insert(entity.clone(), alerts);
    }

    /// The newest forecast that counted.
    pub fn counted(&self, entity: &EntityName) -> Option<Counted> {
        self.changes
            .entities
            .get(entity)
            .copied()
            .unwrap_or_else(|| self.state.entities.get(entity).copied())
    }

    /// Notes it, or forgets the entity.
    pub fn set_counted(&mut self, entity: &EntityName, counted: Option<Counted>) {
        self.changes.entities.insert(entity.clone(), counted);
    }

    /// State before this transaction.
    pub fn before(&self) -> &'a State {
        self.state
    }

    /// The rest of what will change.
    pub fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }
}

impl Changes {
    /// Counters of a sink.
    pub fn sink(&mut self, name: &str) -> &mut SinkStats {
        self.sinks.entry(name.to_owned()).or_default()
    }
}

impl Alerts {
    /// Opens or creates the database. A damaged file is set aside with a message in the log. Blocks.
    ///
    /// # Errors
    /// When the settings contradict themselves, the file cannot be opened, or a newer Argus wrote it.
    pub fn open(path: &Path, config: AlertConfig) -> Result<Arc<Self>, AlertError> {
        let connection = database::open(path)?;
        let reader = database::open_reader(path)?;
        Self::new(connection, Some(reader), config)
    }

    /// Alert state that ends with the process, for backtests.
    ///
    /// # Errors
    /// When the settings contradict themselves.
    pub fn in_memory(config: AlertConfig) -> Result<Arc<Self>, AlertError> {
        Self::new(database::in_memory()?, None, config)
    }

    fn new(
        connection: Connection,
        reader: Option<Connection>,
        config: AlertConfig,
    ) -> Result<Arc<Self>, AlertError> {
        if let Some(problem) = config.problem() {
            return Err(AlertError::Config(problem));
        }
        let mut state = State::default();
        for alert in database::load_open_alerts(&connection)? {
            state
                .open
                .entry(alert.entity.clone())
                .or_default()
                .push(alert);
        }
        for (name, origin_ms, evaluated_ms) in database::load_entities(&connection)? {
            state.entities.insert(
                name,
                Counted {
                    origin_ms,
                    evaluated_ms,
                },
            );
        }
        let queues = outbox::queues(&connection)?;
        let mut core = Core {
            connection,
            state,
            routes: Vec::new(),
            routing: Routing::default(),
            stats: AlertStats::default(),
            sinks: BTreeMap::new(),
        };
        core.take_queues(queues);
        let published = RwLock::new(Arc::new(core.publish()));
        let (changed, queued) = (watch::Sender::new(0), watch::Sender::new(0));
        Ok(Arc::new(Self {
            config,
            core: Mutex::new(core),
            reader: reader.map(Mutex::new),
            published,
            changed,
            queued,
        }))
    }

    /// The settings.
    pub fn config(&self) -> &AlertConfig {
        &self.config
    }

    /// Tells which sinks get a row in the outbox from now on. [`crate::Delivery::spawn`] calls it.
    pub fn set_sinks(&self, routes: Vec<SinkRoute>) {
        let mut core = self.core.lock();
        for route in &routes {
            core.sinks.entry(route.name.clone()).or_default();
        }
        core.routes = routes;
        *self.published.write() = Arc::new(core.publish());
    }

    /// Sets the rules that say which sink is told of what, from now on. Without a call everybody is told everything.
    pub fn set_routing(&self, routing: Routing) {
        self.core.lock().routing = routing;
    }

    /// Pending and firing alerts, by entity. Does not wait.
    pub fn active(&self) -> Arc<[Alert]> {
        Arc::clone(&self.published.read().open)
    }

    /// Counters and queues. Does not wait.
    pub fn stats(&self) -> AlertStats {
        self.published.read().stats.clone()
    }

    /// Counts up whenever an alert changes.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Counts up whenever there may be something to deliver.
    pub(crate) fn queued(&self) -> watch::Receiver<u64> {
        self.queued.subscribe()
    }

    /// Transitions, newest first. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<Transition>, AlertError> {
        self.read(|connection| database::transitions(connection, query))
    }

    /// Alerts that fired in a span of time, newest first. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn fired(&self, query: &HistoryQuery) -> Result<Vec<Alert>, AlertError> {
        self.read(|connection| database::fired(connection, query))
    }

    /// One alert, open or resolved. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn alert(&self, id: AlertId) -> Result<Option<Alert>, AlertError> {
        self.read(|connection| database::alert_by_id(connection, id))
    }

    /// Runs `work` in a transaction; on success commits and takes its changes over, else nothing has happened.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Sql<'_>, &mut Draft<'_>) -> Result<T, AlertError>,
    ) -> Result<T, AlertError> {
        let mut guard = self.core.lock();
        let core = &mut *guard;
        let sql = core
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut draft = Draft {
            config: &self.config,
            routes: &core.routes,
            routing: &core.routing,
            state: &core.state,
            changes: Changes::default(),
        };
        let result = work(&sql, &mut draft)?;
        let queues = if draft.changes.outbox {
            outbox::enforce_caps(&sql, &mut draft)?;
            Some(outbox::queues(&sql)?)
        } else {
            None
        };
        let changes = draft.changes;
        sql.commit()?;

        let alerts_changed = !changes.open.is_empty();
        let outbox_changed = changes.outbox;
        core.apply(changes);
        if let Some(queues) = queues {
            core.take_queues(queues);
        }
        *self.published.write() = Arc::new(core.publish());
        drop(guard);
        if alerts_changed {
            self.changed.send_modify(|n| *n += 1);
        }
        if outbox_changed {
            self.queued.send_modify(|n| *n += 1);
        }
        Ok(result)
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, AlertError>,
    ) -> Result<T, AlertError> {
        match &self.reader {
            Some(reader) => work(&reader.lock()),
            None => work(&self.core.lock().connection),
        }
    }
}

impl Core {
    fn apply(&mut self, changes: Changes) {
        for (entity, alerts) in changes.open {
            if alerts.is_empty() {
                self.state.open.remove(&entity);
            } else {
                self.state.open.insert(entity, alerts);
            }
        }
        for (entity, counted) in changes.entities {
            match counted {
                Some(counted) => self.state.entities.insert(entity, counted),
                None => self.state.entities.remove(&entity),
            };
        }
        self.state.watching_since_ms = self.state.watching_since_ms.or(changes.watching_since_ms);
        self.state.pruned_ms = changes.pruned_ms.or(self.state.pruned_ms);
        let count = |kind| {
            changes
                .transitions
                .iter()
                .filter(|t| t.kind == kind)
                .count() as u64
        };
        self.stats.fired += count(TransitionKind::Firing);
        self.stats.resolved += count(TransitionKind::Resolved);
        self.stats.evaluated += changes.evaluated;
        self.stats.ignored_on_demand += changes.ignored_on_demand;
        self.stats.ignored_repeated += changes.ignored_repeated;
        for (name, delta) in changes.sinks {
            self.sinks.entry(name).or_default().add(delta);
        }
    }

    fn take_queues(&mut self, queues: Vec<Queue>) {
        for sink in self.sinks.values_mut() {
            (sink.queued, sink.dead, sink.oldest_queued_ms) = (0, 0, None);
        }
        for queue in queues {
            let sink = self.sinks.entry(queue.sink).or_default();
            (sink.queued, sink.dead, sink.oldest_queued_ms) =
                (queue.queued, queue.dead, queue.oldest_queued_ms);
        }
    }

    fn publish(&self) -> Published {
        let open: Arc<[Alert]> = self.state.open.values().flatten().cloned().collect();
        let firing = |a: &&Alert| a.state == AlertState::Firing;
        let stats = AlertStats {
            pending: open
                .iter()
                .filter(|a| a.state == AlertState::Pending)
                .count() as u64,
            firing: open.iter().filter(firing).count() as u64,
            acknowledged: open
                .iter()
                .filter(firing)
                .filter(|a| a.acknowledged.is_some())
                .count() as u64,
            sinks: self
                .sinks
                .iter()
                .map(|(name, sink)| SinkStats {
                    name: name.clone(),
                    ..sink.clone()
                })
                .collect(),
            ..self.stats.clone()
        };
        Published { open, stats }
    }
}
