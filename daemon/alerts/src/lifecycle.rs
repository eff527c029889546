//! The life of one alert in the database: what each step of the state machine writes.

use std::collections::BTreeSet;

use argus_fleet::{BreachForecast, Level};
use argus_schema::Breach;
use rusqlite::Transaction as Sql;

use crate::alert::{Alert, AlertState, Fingerprint};
use crate::config::millis;
use crate::database;
use crate::engine::Draft;
use crate::errors::AlertError;
use crate::evaluate::{Condition, Evaluation};
use crate::history::{Transition, TransitionKind};
use crate::machine::{Heat, Needed, Phase, Strikes, step};
use crate::notification::Event;
use crate::outbox;
use crate::text::percent;

/// Who acts when nobody does.
pub(crate) const ARGUS: &str = "argus";

/// A condition without an open alert.
pub(crate) fn begin(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    condition: &Condition<'_>,
    breach: &BreachForecast,
) -> Result<Option<Alert>, AlertError> {
    let seen = condition.seen(draft);
    let needed = Needed::new(draft.config.for_strikes, draft.config.clear_strikes, 0);
    let (phase, strikes) = step(Phase::Idle, Strikes::default(), seen, needed);
    if phase == Phase::Idle {
        return Ok(None);
    }
    let Evaluation {
        entity,
        origin_ms,
        now_ms,
        ..
    } = *condition.evaluation;
    let severity = if seen.critical == Heat::Hot {
        Level::Critical
    } else {
        Level::Warning
    };
    let fingerprint = Fingerprint::of(entity, &breach.metric);
    let mut alert = Alert {
        id: database::number_alert(sql, &fingerprint, entity)?,
        fingerprint,
        entity: entity.clone(),
        profile: condition.evaluation.profile.to_owned(),
        metric: breach.metric.clone(),
        metric_index: breach.metric_index,
        unit: breach.unit.clone(),
        state: AlertState::Pending,
        severity,
        peak_severity: severity,
        threshold: breach.threshold,
        below: breach.side == Breach::Below,
        probability: breach.probability,
        probability_30m: breach.probability_30m,
        current: breach.current,
        predicted_peak: Some(breach.peak_median),
        in_breach: breach.now,
        derived: breach.derived,
        expected_breach_ms: None,
        minutes_ahead: None,
        risk_score: condition.evaluation.risk.score,
        origin_ms,
        pending_since_ms: now_ms,
        started_at_ms: None,
        updated_at_ms: now_ms,
        resolved_at_ms: None,
        acknowledged: None,
        flaps: 0,
        strikes,
        notified_at_ms: None,
        told: BTreeSet::new(),
    };
    take_values(&mut alert, condition);
    if let Phase::Firing(severity) = phase {
        fire(sql, draft, condition, &mut alert, severity)?;
    } else {
        record(
            sql,
            draft,
            &alert,
            TransitionKind::Pending,
            None,
            now_ms,
            ARGUS,
            &reason_on(draft, &alert, 1),
        )?;
    }
    database::save_alert(sql, &alert)?;
    Ok(Some(alert))
}

/// A condition with an open alert; `None` when it is over.
pub(crate) fn advance(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    condition: &Condition<'_>,
    mut alert: Alert,
    consecutive: bool,
) -> Result<Option<Alert>, AlertError> {
    let Evaluation {
        origin_ms, now_ms, ..
    } = *condition.evaluation;
    let seen = condition.seen(draft);
    let phase = match alert.state {
        AlertState::Firing => Phase::Firing(alert.severity),
        AlertState::Pending | AlertState::Resolved => Phase::Pending,
    };
    let strikes = if consecutive {
        alert.strikes
    } else {
        Strikes::default()
    };
    let needed = Needed::new(
        draft.config.for_strikes,
        draft.config.clear_strikes,
        alert.flaps,
    );
    let (next, strikes) = step(phase, strikes, seen, needed);
    alert.strikes = strikes;
    alert.origin_ms = origin_ms;
    alert.updated_at_ms = now_ms;
    alert.risk_score = condition.evaluation.risk.score;

    match (phase, next) {
        (Phase::Firing(before), Phase::Firing(severity)) if before != severity => {
            alert.severity = severity;
            alert.peak_severity = alert.peak_severity.max(severity);
            take_values(&mut alert, condition);
            let why = match severity {
                Level::Critical => reason_on(draft, &alert, draft.config.for_strikes),
                _ => format!(
                    "critical condition off for {} consecutive forecasts",
                    needed.clear
                ),
            };
            let key = record(
                sql,
                draft,
                &alert,
                TransitionKind::SeverityChanged,
                Some(before),
                now_ms,
                ARGUS,
                &why,
            )?;
            outbox::enqueue(
                sql,
                draft,
                &mut alert,
                Event::SeverityChanged,
                key,
                &why,
                now_ms,
            )?;
        }
        (_, Phase::Firing(severity)) if !matches!(phase, Phase::Firing(_)) => {
            fire(sql, draft, condition, &mut alert, severity)?
        }
        (Phase::Firing(_), Phase::Idle) => {
            take_values(&mut alert, condition);
            let why = match condition.observed(&alert) {
                true => format!(
                    "probability {} for {} consecutive forecasts",
                    percent(alert.probability),
                    needed.clear
                ),
                false => "metric no longer observed".to_owned(),
            };
            close(sql, draft, &mut alert, now_ms, ARGUS, &why)?;
            return Ok(None);
        }
        (_, Phase::Idle) => {
            take_values(&mut alert, condition);
            close(
                sql,
                draft,
                &mut alert,
                now_ms,
                ARGUS,
                "the next forecast did not agree",
            )?;
            return Ok(None);
        }
        _ => {
            if alert.state == AlertState::Pending {
                alert.severity = if seen.critical == Heat::Hot {
                    Level::Critical
                } else {
                    Level::Warning
                };
                alert.peak_severity = alert.severity;
            }
            take_values(&mut alert, condition);
        }
    }
    database::save_alert(sql, &alert)?;
    Ok(Some(alert))
}

fn fire(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    condition: &Condition<'_>,
    alert: &mut Alert,
    severity: Level,
) -> Result<(), AlertError> {
    let now_ms = condition.evaluation.now_ms;
    alert.state = AlertState::Firing;
    alert.severity = severity;
    alert.peak_severity = severity;
    alert.started_at_ms = Some(now_ms);
    let window_start = alert
        .origin_ms
        .saturating_sub(millis(draft.config.flap_window_secs));
    alert.flaps = database::recent_resolutions(sql, &alert.fingerprint, window_start)?;
    take_values(alert, condition);
    let why = reason_on(draft, alert, draft.config.for_strikes);
    let key = record(
        sql,
        draft,
        alert,
        TransitionKind::Firing,
        None,
        now_ms,
        ARGUS,
        &why,
    )?;
    outbox::enqueue(sql, draft, alert, Event::Firing, key, &why, now_ms)
}

/// Ends an open alert: a firing one resolves and is told, a pending one is dropped.
pub(crate) fn close(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    alert: &mut Alert,
    now_ms: i64,
    who: &str,
    why: &str,
) -> Result<(), AlertError> {
    alert.updated_at_ms = now_ms;
    if alert.state == AlertState::Pending {
        record(
            sql,
            draft,
            alert,
            TransitionKind::Dropped,
            None,
            now_ms,
            who,
            why,
        )?;
        return database::delete_alert(sql, alert.id);
    }
    alert.state = AlertState::Resolved;
    alert.resolved_at_ms = Some(now_ms);
    let key = record(
        sql,
        draft,
        alert,
        TransitionKind::Resolved,
        Some(alert.severity),
        now_ms,
        who,
        why,
    )?;
    outbox::enqueue(sql, draft, alert, Event::Resolved, key, why, now_ms)?;
    database::save_alert(sql, alert)
}

/// Writes a transition; its number, which makes idempotency keys.
#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
fn record(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    alert: &Alert,
    kind: TransitionKind,
    previous: Option<Level>,
    now_ms: i64,
    who: &str,
    why: &str,
) -> Result<i64, AlertError> {
    let mut transition = Transition::new(alert, kind, previous, now_ms, who, why);
    database::add_transition(sql, &mut transition)?;
    let number = transition.id;
    draft.changes().transitions.push(transition);
    Ok(number)
}

/// Takes over the numbers of the severity that the alert has.
fn take_values(alert: &mut Alert, condition: &Condition<'_>) {
    let Evaluation {
        origin_ms,
        step_secs,
        ..
    } = *condition.evaluation;
    let either = condition.critical.or(condition.warning);
    alert.current = either.and_then(|b| b.current);
    alert.predicted_peak = either.map(|b| b.peak_median);
    alert.derived = either.map_or(alert.derived, |b| b.derived);
    let Some(breach) = condition.at(alert.severity) else {
        (alert.probability, alert.probability_30m, alert.in_breach) = (0.0, 0.0, false);
        (alert.expected_breach_ms, alert.minutes_ahead) = (None, None);
        return;
    };
    alert.threshold = breach.threshold;
    alert.below = breach.side == Breach::Below;
    alert.probability = breach.probability;
    alert.probability_30m = breach.probability_30m;
    alert.in_breach = breach.now;
    // The median passes it, else the pessimistic decile does; a breach that is there is 0 steps away.
    let steps = if breach.now {
        Some(0)
    } else {
        breach.expected_step.or(breach.earliest_step)
    };
    let ahead_secs = steps.map(|s| u64::from(s) * u64::from(step_secs));
    alert.expected_breach_ms = ahead_secs.map(|secs| origin_ms.saturating_add(millis(secs)));
    alert.minutes_ahead = ahead_secs.map(|secs| secs as f64 / 60.0);
}

fn reason_on(draft: &Draft<'_>, alert: &Alert, strikes: u32) -> String {
    let rule = if alert.severity == Level::Warning {
        draft.config.warning.unwrap_or_default()
    } else {
        draft.config.critical
    };
    let what = match alert.in_breach {
        true => "in breach now".to_owned(),
        false => format!(
            "probability {} of at least {}",
            percent(alert.probability),
            percent(rule.fire_probability)
        ),
    };
    format!(
        "{what}, {strikes} consecutive forecast{}",
        if strikes == 1 { "" } else { "s" }
    )
}
