//! What time alone brings about: refreshes, staleness, deadlines, retention; and retirement of entities.

use argus_schema::EntityName;
use rusqlite::Transaction as Sql;

use crate::alert::{Alert, AlertState};
use crate::config::millis;
use crate::database;
use crate::engine::{Alerts, Draft};
use crate::errors::AlertError;
use crate::history::Transition;
use crate::lifecycle::{ARGUS, close};
use crate::notification::Event;
use crate::outbox;

const DAY_SECS: u64 = 24 * 3600;
/// Counting rows is not free, and nobody needs history to be cut to the second.
const PRUNE_EVERY_MS: u64 = 3_600_000;

impl Alerts {
    /// Refreshes firing alerts, resolves those whose entity is no longer forecast, gives up what is past its deadline
    /// and deletes old history. [`crate::Delivery`] calls it every `upkeep_ms`. Blocks.
    ///
    /// # Errors
    /// When the state could not be written; then nothing has changed.
    pub fn upkeep(&self, now_ms: i64) -> Result<Vec<Transition>, AlertError> {
        self.write(|sql, draft| {
            resolve_stale(sql, draft, now_ms)?;
            refresh_due(sql, draft, now_ms)?;
            outbox::expire(sql, draft, now_ms)?;
            prune(sql, draft, now_ms)?;
            Ok(draft.changes().transitions.clone())
        })
    }

    /// Resolves the alerts of an entity that is gone and forgets it. Blocks.
    ///
    /// # Errors
    /// When the state could not be written; then nothing has changed.
    pub fn retire(
        &self,
        entity: &EntityName,
        who: &str,
        now_ms: i64,
    ) -> Result<Vec<Transition>, AlertError> {
        self.write(|sql, draft| {
            forget(sql, draft, entity, now_ms, who, "entity retired")?;
            Ok(draft.changes().transitions.clone())
        })
    }
}

/// The time counts from the start of this process at the earliest: after an outage of the daemon itself every entity
/// looks stale until its first forecast.
fn resolve_stale(sql: &Sql<'_>, draft: &mut Draft<'_>, now_ms: i64) -> Result<(), AlertError> {
    let state = draft.before();
    let since_ms = state.watching_since_ms.unwrap_or(now_ms);
    draft.changes().watching_since_ms = Some(since_ms);
    let stale_before_ms = now_ms.saturating_sub(millis(draft.config.stale_secs));
    for (entity, counted) in &state.entities {
        if counted.evaluated_ms.max(since_ms) <= stale_before_ms {
            let why = "entity is no longer forecast";
            forget(sql, draft, entity, now_ms, ARGUS, why)?;
        }
    }
    Ok(())
}

fn refresh_due(sql: &Sql<'_>, draft: &mut Draft<'_>, now_ms: i64) -> Result<(), AlertError> {
    let refresh_before_ms = now_ms.saturating_sub(millis(draft.config.refresh_secs));
    let is_due = |alert: &Alert| {
        let notified_before = |at: i64| at <= refresh_before_ms;
        alert.state == AlertState::Firing && alert.notified_at_ms.is_none_or(notified_before)
    };
    for entity in draft.before().open.keys() {
        let mut alerts = draft.open_alerts(entity);
        if !alerts.iter().any(is_due) {
            continue;
        }
        for alert in alerts.iter_mut().filter(|a| is_due(a)) {
            outbox::enqueue(sql, draft, alert, Event::Refresh, 0, "still firing", now_ms)?;
            database::save_alert(sql, alert)?;
        }
        draft.set_open_alerts(entity, alerts);
    }
    Ok(())
}

fn prune(sql: &Sql<'_>, draft: &mut Draft<'_>, now_ms: i64) -> Result<(), AlertError> {
    if draft
        .before()
        .pruned_ms
        .is_some_and(|at| now_ms.abs_diff(at) < PRUNE_EVERY_MS)
    {
        return Ok(());
    }
    let retention_secs = u64::from(draft.config.history_retention_days) * DAY_SECS;
    let keep_from_ms = now_ms.saturating_sub(millis(retention_secs));
    database::prune(sql, keep_from_ms, draft.config.history_max_rows)?;
    draft.changes().pruned_ms = Some(now_ms);
    Ok(())
}

/// Closes an entity's alerts and removes it.
fn forget(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    entity: &EntityName,
    now_ms: i64,
    who: &str,
    why: &str,
) -> Result<(), AlertError> {
    for mut alert in draft.open_alerts(entity) {
        close(sql, draft, &mut alert, now_ms, who, why)?;
    }
    if draft.before().open.contains_key(entity) {
        draft.set_open_alerts(entity, Vec::new());
    }
    draft.set_counted(entity, None);
    database::delete_entity(sql, entity)
}
