//! The SQLite file: format, opening, statements.
//!
//! | table | a row is | bounded by |
//! |---|---|---|
//! | `entity` | an entity's newest counted origin | retirement, staleness |
//! | `alert` | an alert; `body` is its JSON; at most one open per fingerprint (unique index) | retention |
//! | `history` | a transition, JSON in `body` | age and number of rows |
//! | `outbox` | a notification for one sink; deleted when delivered, `dead` when given up | caps per sink, deadline |
//!
//! Write-ahead log with `synchronous=FULL`: a committed transaction survives power loss. Recovery is SQLite's own. A file
//! that is damaged is set aside (`.corrupt-N`) with a message and replaced by an empty one: alerts come back with the
//! next forecasts, a daemon that does not start would lose more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argus_schema::EntityName;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction as Sql, params};

use crate::alert::{Alert, AlertId, Fingerprint};
use crate::errors::AlertError;
use crate::history::{HistoryQuery, Transition};

/// Version of the tables below.
const FORMAT: i64 = 1;
/// A backup tool may hold the file for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE entity (name TEXT PRIMARY KEY, origin_ms INTEGER NOT NULL, evaluated_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE alert (
        id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL, entity TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
        started_ms INTEGER, resolved_ms INTEGER, resolved_origin_ms INTEGER, body TEXT NOT NULL);
    CREATE UNIQUE INDEX alert_open ON alert (fingerprint) WHERE state <> 'resolved';
    CREATE INDEX alert_recent ON alert (fingerprint, resolved_origin_ms) WHERE state = 'resolved';
    CREATE INDEX alert_started ON alert (started_ms);
    CREATE TABLE history (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, entity TEXT NOT NULL, body TEXT NOT NULL);
    CREATE INDEX history_time ON history (at_ms);
    CREATE INDEX history_entity ON history (entity, at_ms);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, fingerprint TEXT NOT NULL, event TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
        next_attempt_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
        error TEXT, body TEXT NOT NULL);
    CREATE INDEX outbox_queue ON outbox (sink, dead, fingerprint, id);
";

/// Opens or creates the file; one that is damaged is set aside.
pub(crate) fn open(path: &Path) -> Result<Connection, AlertError> {
    match open_checked(path) {
        Err(error) if is_damage(&error) => {
            let aside = set_aside(path);
            tracing::error!(path = %path.display(), %error, aside = %aside.display(), "alert database is damaged; it was set aside and an empty one started");
            open_checked(path)
        }
        result => result,
    }
}

/// A database that lives and ends with the process, for backtests and tests.
pub(crate) fn in_memory() -> Result<Connection, AlertError> {
    prepare(Connection::open_in_memory()?, Path::new(":memory:"))
}

/// A second connection for queries, so that they do not wait for the writer.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, AlertError> {
    let flags =
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn open_checked(path: &Path) -> Result<Connection, AlertError> {
    let connection = Connection::open(path).map_err(|source| AlertError::Open {
        path: path.to_owned(),
        source,
    })?;
    let connection = prepare(connection, path)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        let source = rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(verdict),
        );
        return Err(AlertError::Open {
            path: path.to_owned(),
            source,
        });
    }
    // Rows that cannot be read are damage too, and better found now than at the first alert.
    load_open_alerts(&connection)?;
    load_entities(&connection)?;
    Ok(connection)
}

fn prepare(mut connection: Connection, path: &Path) -> Result<Connection, AlertError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > FORMAT {
        return Err(AlertError::NewerFormat {
            path: path.to_owned(),
            found,
            supported: FORMAT,
        });
    }
    if found == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn is_damage(error: &AlertError) -> bool {
    let sqlite = match error {
        AlertError::Row(_) => return true,
        AlertError::Open { source, .. } | AlertError::Database(source) => source,
        _ => return false,
    };
    // A column of an unexpected type is not something that this code has written.
    matches!(
        sqlite.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) || matches!(
        sqlite,
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
    )
}

/// Renames the file and its companions to the first free `.corrupt-N`.
fn set_aside(path: &Path) -> PathBuf {
    let with_suffix = |base: &Path, suffix: &str| {
        let mut name = base.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = (1..)
        .map(|n| with_suffix(path, &format!(".corrupt-{n}")))
        .find(|p| !p.exists())
        .unwrap_or_else(|| with_suffix(path, ".corrupt"));
    for suffix in ["", "-wal", "-shm"] {
        let from = with_suffix(path, suffix);
        if from.exists()
            && let Err(error) = std::fs::rename(&from, with_suffix(&aside, suffix))
        {
            tracing::error!(path = %from.display(), %error, "could not set aside a part of the damaged alert database");
        }
    }
    aside
}

pub(crate) fn load_open_alerts(connection: &Connection) -> Result<Vec<Alert>, AlertError> {
    let mut statement =
        connection.prepare("SELECT body FROM alert WHERE state <> 'resolved' ORDER BY id")?;
    parse_rows(statement.query_map([], |row| row.get::<_, String>(0))?)
}

/// Name, newest counted origin, when that was.
pub(crate) fn load_entities(
    connection: &Connection,
) -> Result<Vec<(EntityName, i64, i64)>, AlertError> {
    let mut statement = connection.prepare("SELECT name, origin_ms, evaluated_ms FROM entity")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })?;
    rows.map(|row| {
        let (name, origin_ms, evaluated_ms) = row?;
        let name = EntityName::new(&name)
            .map_err(|e| AlertError::Row(<serde_json::Error as serde::de::Error>::custom(e)))?;
        Ok((name, origin_ms, evaluated_ms))
    })
    .collect()
}

fn parse_rows<T: serde::de::DeserializeOwned>(
    rows: impl Iterator<Item = rusqlite::Result<String>>,
) -> Result<Vec<T>, AlertError> {
    rows.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
}

pub(crate) fn save_entity(
    sql: &Sql<'_>,
    name: &EntityName,
    origin_ms: i64,
    evaluated_ms: i64,
) -> Result<(), AlertError> {
    let text = "INSERT INTO entity (name, origin_ms, evaluated_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET origin_ms = ?2, evaluated_ms = ?3";
    sql.prepare_cached(text)?
        .execute(params![name.as_str(), origin_ms, evaluated_ms])?;
    Ok(())
}

pub(crate) fn delete_entity(sql: &Sql<'_>, name: &EntityName) -> Result<(), AlertError> {
    sql.prepare_cached("DELETE FROM entity WHERE name = ?1")?
        .execute([name.as_str()])?;
    Ok(())
}

/// Gives a new alert its number. The body is saved afterwards by [`save_alert`].
pub(crate) fn number_alert(
    sql: &Sql<'_>,
    fingerprint: &Fingerprint,
    entity: &EntityName,
) -> Result<AlertId, AlertError> {
    let text =
        "INSERT INTO alert (fingerprint, entity, state, body) VALUES (?1, ?2, 'pending', '')";
    sql.prepare_cached(text)?
        .execute([fingerprint.as_str(), entity.as_str()])?;
    Ok(AlertId(sql.last_insert_rowid()))
}

pub(crate) fn save_alert(sql: &Sql<'_>, alert: &Alert) -> Result<(), AlertError> {
    let text = "UPDATE alert SET state = ?2, started_ms = ?3, resolved_ms = ?4, resolved_origin_ms = ?5, body = ?6 WHERE id = ?1";
    let resolved_origin_ms = alert.resolved_at_ms.map(|_| alert.origin_ms);
    let body = serde_json::to_string(alert)?;
    let row = params![
        alert.id.0,
        alert.state.as_str(),
        alert.started_at_ms,
        alert.resolved_at_ms,
        resolved_origin_ms,
        body
    ];
    sql.prepare_cached(text)?.execute(row)?;
    Ok(())
}

/// Forgets a pending alert that came to nothing; its transitions stay in the history.
pub(crate) fn delete_alert(sql: &Sql<'_>, id: AlertId) -> Result<(), AlertError> {
    sql.prepare_cached("DELETE FROM alert WHERE id = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// How often a fingerprint has resolved after an origin.
pub(crate) fn recent_resolutions(
    sql: &Sql<'_>,
    fingerprint: &Fingerprint,
    after_origin_ms: i64,
) -> Result<u32, AlertError> {
    let text = "SELECT count(*) FROM alert WHERE state = 'resolved' AND fingerprint = ?1 AND resolved_origin_ms > ?2";
    Ok(sql
        .prepare_cached(text)?
        .query_row(params![fingerprint.as_str(), after_origin_ms], |row| {
            row.get(0)
        })?)
}

/// Writes a transition and gives it its number.
pub(crate) fn add_transition(sql: &Sql<'_>, transition: &mut Transition) -> Result<(), AlertError> {
    let body = serde_json::to_string(transition)?;
    let text = "INSERT INTO history (at_ms, entity, body) VALUES (?1, ?2, ?3)";
    sql.prepare_cached(text)?.execute(params![
        transition.at_ms,
        transition.entity.as_str(),
        body
    ])?;
    transition.id = sql.last_insert_rowid();
    Ok(())
}

pub(crate) fn transitions(
    connection: &Connection,
    query: &HistoryQuery,
) -> Result<Vec<Transition>, AlertError> {
    let text = "SELECT id, body FROM history
        WHERE at_ms >= ?1 AND at_ms < ?2 AND (?3 IS NULL OR entity = ?3) ORDER BY at_ms DESC, id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(text)?;
    let entity = query.entity.as_ref().map(EntityName::as_str);
    let limit = query.limit.min(HistoryQuery::MAX_ROWS);
    let rows = statement.query_map(params![query.from_ms, query.to_ms, entity, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (id, body) = row?;
        let mut transition: Transition = serde_json::from_str(&body)?;
        transition.id = id;
        Ok(transition)
    })
    .collect()
}

/// Alerts that fired in a span of time, newest first.
pub(crate) fn fired(
    connection: &Connection,
    query: &HistoryQuery,
) -> Result<Vec<Alert>, AlertError> {
    let text = "SELECT body FROM alert
        WHERE started_ms >= ?1 AND started_ms < ?2 AND (?3 IS NULL OR entity = ?3) ORDER BY started_ms DESC, id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(text)?;
    let entity = query.entity.as_ref().map(EntityName::as_str);
    let limit = query.limit.min(HistoryQuery::MAX_ROWS);
    parse_rows(
        statement.query_map(params![query.from_ms, query.to_ms, entity, limit], |row| {
            row.get(0)
        })?,
    )
}

pub(crate) fn alert_by_id(
    connection: &Connection,
    id: AlertId,
) -> Result<Option<Alert>, AlertError> {
    let body: Option<String> = connection
        .query_row("SELECT body FROM alert WHERE id = ?1", [id.0], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(body.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// Deletes history and resolved alerts from before `before_ms`, and the oldest beyond `max_rows`.
pub(crate) fn prune(sql: &Sql<'_>, before_ms: i64, max_rows: u32) -> Result<usize, AlertError> {
    let aged = sql
        .prepare_cached("DELETE FROM history WHERE at_ms < ?1")?
        .execute([before_ms])?;
    let surplus = "DELETE FROM history WHERE id <= (SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    let surplus = sql.prepare_cached(surplus)?.execute([max_rows])?;
    let old = "DELETE FROM alert WHERE state = 'resolved' AND resolved_ms < ?1";
    let old = sql.prepare_cached(old)?.execute([before_ms])?;
    // Every kept alert has transitions, so the same cap bounds alerts.
    let surplus_alerts = "DELETE FROM alert WHERE state = 'resolved' AND id <= (SELECT id FROM alert ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    let surplus_alerts = sql.prepare_cached(surplus_alerts)?.execute([max_rows])?;
    Ok(aged + surplus + old + surplus_alerts)
}
