//! The outbox: what is still to be told, and to whom.
//!
//! A row is one notification for one sink. Rows of a sink and fingerprint go out in the order of their numbers; the
//! first one that is not delivered holds up the later ones (a resolution never overtakes its alert) and nobody else. A
//! refresh says nothing new, so only the newest of a fingerprint is kept, a resolution removes it, and one that cannot
//! be delivered in time is dropped instead of becoming a dead letter.

use rusqlite::{Connection, Transaction as Sql, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::alert::{Alert, Fingerprint, hex};
use crate::config::millis;
use crate::engine::{Alerts, Draft};
use crate::errors::AlertError;
use crate::notification::{self, Event, Notification};
use crate::routing::{Recipients, Routing, Subject};

/// How full one sink's part is.
pub(crate) struct Queue {
    pub sink: String,
    pub queued: u64,
    pub dead: u64,
    pub oldest_queued_ms: Option<i64>,
}

/// A row to deliver.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub row: i64,
    pub key: String,
    pub attempts: u32,
    pub deadline_ms: i64,
    pub notification: Notification,
}

/// What became of a row.
#[derive(Debug, Clone)]
pub(crate) struct Settlement {
    pub row: i64,
    pub event: Event,
    pub outcome: Outcome,
    pub at_ms: i64,
}

#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Delivered,
    Retry { next_attempt_ms: i64, error: String },
    GiveUp { error: String },
}

/// A notification that was given up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Whom it was for.
    pub sink: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub error: String,
    /// When it was written, ms since the epoch.
    pub created_ms: i64,
    /// What it says.
    pub notification: Notification,
}

/// Writes a row for every sink that is to hear of it.
///
/// Who has been told of the alert is told everything that follows; who has not hears of it as of a new alert, as soon as
/// severity, hours and rules allow. `number` makes the idempotency key, with the alert and the sink. The caller saves
/// the alert.
pub(crate) fn enqueue(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    alert: &mut Alert,
    event: Event,
    number: i64,
    reason: &str,
    now_ms: i64,
) -> Result<(), AlertError> {
    alert.notified_at_ms = Some(now_ms);
    let recipients = recipients(draft.routing, alert, now_ms);
    for route in draft.routes {
        let wanted = alert.severity >= route.min_severity && recipients.include(&route.name);
        let told = alert.told.contains(&route.name);
        let event = match event {
            Event::Refresh if told && !route.refresh => continue,
            event if told => event,
            Event::Firing | Event::SeverityChanged | Event::Refresh if wanted => Event::Firing,
            _ => continue,
        };
        alert.told.insert(route.name.clone());
        let deadline_secs = if event == Event::Refresh {
            draft.config.refresh_secs
        } else {
            draft.config.deadline_secs
        };
        let deadline_ms = now_ms.saturating_add(millis(deadline_secs));
        if matches!(event, Event::Refresh | Event::Resolved) {
            let superseded = "DELETE FROM outbox WHERE sink = ?1 AND dead = 0 AND fingerprint = ?2 AND event = 'refresh'";
            let dropped = sql
                .prepare_cached(superseded)?
                .execute([&route.name, alert.fingerprint.as_str()])?;
            draft.changes().sink(&route.name).refreshes_dropped += dropped as u64;
        }
        let notification = Notification::new(alert, event, reason, now_ms, draft.config);
        let body = serde_json::to_string(&notification)?;
        let key = idempotency_key(alert, event, number, now_ms, &route.name);
        let text = "INSERT INTO outbox (sink, fingerprint, event, key, created_ms, deadline_ms, next_attempt_ms, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?7) ON CONFLICT (key) DO NOTHING";
        let row = params![
            route.name,
            alert.fingerprint.as_str(),
            event.as_str(),
            key,
            now_ms,
            deadline_ms,
            body
        ];
        sql.prepare_cached(text)?.execute(row)?;
        draft.changes().outbox = true;
    }
    Ok(())
}

fn recipients<'a>(routing: &'a Routing, alert: &Alert, now_ms: i64) -> Recipients<'a> {
    let labels = notification::labels(alert);
    let subject = Subject {
        severity: alert.severity,
        server: alert.entity.as_str(),
        profile: &alert.profile,
        metric: &alert.metric,
        labels: &labels,
    };
    routing.recipients(subject, now_ms)
}

/// The time is part of it so that numbers of a new database do not repeat the keys of a lost one.
fn idempotency_key(alert: &Alert, event: Event, number: i64, now_ms: i64, sink: &str) -> String {
    let Alert {
        id, fingerprint, ..
    } = alert;
    let digest = Sha256::digest(format!(
        "{fingerprint}\n{id}\n{}\n{number}\n{now_ms}\n{sink}",
        event.as_str()
    ));
    hex(&digest[..16])
}

pub(crate) fn queues(connection: &Connection) -> Result<Vec<Queue>, AlertError> {
    let text = "SELECT sink, sum(dead = 0), sum(dead), min(CASE WHEN dead = 0 THEN created_ms END) FROM outbox GROUP BY sink";
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map([], |row| {
        Ok(Queue {
            sink: row.get(0)?,
            queued: row.get::<_, i64>(1)?.unsigned_abs(),
            dead: row.get::<_, i64>(2)?.unsigned_abs(),
            oldest_queued_ms: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Turns the oldest rows beyond the cap into dead letters, and forgets the oldest dead letters beyond theirs.
pub(crate) fn enforce_caps(sql: &Sql<'_>, draft: &mut Draft<'_>) -> Result<(), AlertError> {
    let (max_queued, max_dead) = (
        draft.config.max_queued_per_sink,
        draft.config.max_dead_per_sink,
    );
    for queue in queues(sql)? {
        let surplus = queue.queued.saturating_sub(u64::from(max_queued));
        let mut dead = queue.dead;
        if surplus > 0 {
            let text = "UPDATE outbox SET dead = 1, error = 'queue_full: more notifications wait than max_queued_per_sink allows'
                WHERE id IN (SELECT id FROM outbox WHERE sink = ?1 AND dead = 0 ORDER BY id LIMIT ?2)";
            let pushed_out = sql.prepare_cached(text)?.execute(params![
                queue.sink,
                i64::try_from(surplus).unwrap_or(i64::MAX)
            ])? as u64;
            draft.changes().sink(&queue.sink).dead_lettered += pushed_out;
            dead += pushed_out;
        }
        let forgotten = dead.saturating_sub(u64::from(max_dead));
        if forgotten > 0 {
            let text = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE sink = ?1 AND dead = 1 ORDER BY id LIMIT ?2)";
            sql.prepare_cached(text)?.execute(params![
                queue.sink,
                i64::try_from(forgotten).unwrap_or(i64::MAX)
            ])?;
        }
    }
    Ok(())
}

/// Gives up rows past their deadline, whether or not somebody still serves their sink.
pub(crate) fn expire(sql: &Sql<'_>, draft: &mut Draft<'_>, now_ms: i64) -> Result<(), AlertError> {
    let names = "SELECT DISTINCT sink FROM outbox WHERE dead = 0 AND deadline_ms <= ?1";
    let sinks: Vec<String> = sql
        .prepare_cached(names)?
        .query_map([now_ms], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for sink in sinks {
        let refreshes = "DELETE FROM outbox WHERE sink = ?1 AND dead = 0 AND deadline_ms <= ?2 AND event = 'refresh'";
        let refreshes = sql
            .prepare_cached(refreshes)?
            .execute(params![sink, now_ms])?;
        let others =
            "UPDATE outbox SET dead = 1, error = 'deadline: ' || coalesce(error, 'never tried')
            WHERE sink = ?1 AND dead = 0 AND deadline_ms <= ?2";
        let others = sql.prepare_cached(others)?.execute(params![sink, now_ms])?;
        let changes = draft.changes();
        changes.outbox = true;
        let stats = changes.sink(&sink);
        stats.refreshes_dropped += refreshes as u64;
        stats.dead_lettered += others as u64;
    }
    Ok(())
}

impl Alerts {
    /// The newest dead letters. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, AlertError> {
        self.read(|connection| {
            let text = "SELECT sink, attempts, coalesce(error, ''), created_ms, body FROM outbox WHERE dead = 1 ORDER BY id DESC LIMIT ?1";
            let mut statement = connection.prepare_cached(text)?;
            let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, String>(4)?)))?;
            rows.map(|row| {
                let (sink, attempts, error, created_ms, body) = row?;
                Ok(DeadLetter { sink, attempts, error, created_ms, notification: serde_json::from_str(&body)? })
            })
            .collect()
        })
    }

    /// Up to `limit` rows of a sink that are due, of fingerprints that are not `busy`, and when the next one will be.
    pub(crate) fn claim(
        &self,
        sink: &str,
        busy: &[Fingerprint],
        limit: usize,
        now_ms: i64,
    ) -> Result<(Vec<Claimed>, Option<i64>), AlertError> {
        self.read(|connection| {
            let text = "SELECT id, fingerprint, key, attempts, deadline_ms, next_attempt_ms, body FROM outbox
                WHERE id IN (SELECT min(id) FROM outbox WHERE sink = ?1 AND dead = 0 GROUP BY fingerprint)
                ORDER BY next_attempt_ms, id LIMIT ?2";
            let mut statement = connection.prepare_cached(text)?;
            let at_most = i64::try_from(limit.saturating_add(busy.len()).saturating_add(1)).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![sink, at_most])?;
            let (mut claimed, mut next_due_ms) = (Vec::new(), None);
            while let Some(row) = rows.next()? {
                let fingerprint: String = row.get(1)?;
                if busy.iter().any(|b| b.as_str() == fingerprint) {
                    continue;
                }
                let due_ms: i64 = row.get(5)?;
                if due_ms > now_ms || claimed.len() == limit {
                    next_due_ms = Some(due_ms);
                    break;
                }
                let notification = serde_json::from_str(&row.get::<_, String>(6)?)?;
                claimed.push(Claimed { row: row.get(0)?, key: row.get(2)?, attempts: row.get(3)?, deadline_ms: row.get(4)?, notification });
            }
            Ok((claimed, next_due_ms))
        })
    }

    /// Writes down what became of rows. A row that is gone meanwhile (a refresh that was replaced) is left alone.
    pub(crate) fn settle(&self, sink: &str, settlements: &[Settlement]) -> Result<(), AlertError> {
        self.write(|sql, draft| {
            draft.changes().outbox = true;
            for settlement in settlements {
                settle_one(sql, draft, sink, settlement)?;
            }
            Ok(())
        })
    }
}

fn settle_one(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    sink: &str,
    settlement: &Settlement,
) -> Result<(), AlertError> {
    let Settlement {
        row, event, at_ms, ..
    } = *settlement;
    let mut stats = std::mem::take(draft.changes().sink(sink));
    match &settlement.outcome {
        Outcome::Delivered => {
            sql.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
                .execute([row])?;
            stats.delivered += 1;
            stats.last_success_ms = Some(at_ms);
            (stats.last_error, stats.last_error_ms) = (None, None);
        }
        Outcome::Retry {
            next_attempt_ms,
            error,
        } => {
            let text = "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = ?2, error = ?3 WHERE id = ?1 AND dead = 0";
            sql.prepare_cached(text)?
                .execute(params![row, next_attempt_ms, error])?;
            stats.failed_attempts += 1;
            (stats.last_error, stats.last_error_ms) = (Some(error.clone()), Some(at_ms));
        }
        Outcome::GiveUp { error } => {
            stats.failed_attempts += 1;
            (stats.last_error, stats.last_error_ms) = (Some(error.clone()), Some(at_ms));
            if event == Event::Refresh {
                sql.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
                    .execute([row])?;
                stats.refreshes_dropped += 1;
            } else {
                let text = "UPDATE outbox SET attempts = attempts + 1, dead = 1, error = ?2 WHERE id = ?1 AND dead = 0";
                stats.dead_lettered +=
                    sql.prepare_cached(text)?.execute(params![row, error])? as u64;
            }
        }
    }
    *draft.changes().sink(sink) = stats;
    Ok(())
}
