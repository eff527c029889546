//! From the risk of entities to transitions and notifications.

use argus_fleet::{BreachForecast, Level, Risk};
use argus_schema::EntityName;
use rusqlite::Transaction as Sql;

use crate::alert::Alert;
use crate::config::{SeverityRule, millis};
use crate::database;
use crate::engine::{Alerts, Counted, Draft};
use crate::errors::AlertError;
use crate::history::Transition;
use crate::lifecycle::{advance, begin};
use crate::machine::{Heat, Seen};

/// One forecast's judgement of one entity.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    /// The time of the clock, ms since the epoch.
    pub now_ms: i64,
    /// Whose.
    pub entity: &'a EntityName,
    /// Its profile id, e.g. `database`.
    pub profile: &'a str,
    /// Start of the newest bin the forecast saw, ms since the epoch.
    pub origin_ms: i64,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Whether the daemon's own schedule asked for it; one that a client asked for never counts as a strike.
    pub scheduled: bool,
    /// What the forecast says.
    pub risk: &'a Risk,
}

impl Alerts {
    /// Judges forecasts, oldest first for an entity that occurs twice; returns what changed. Blocks.
    ///
    /// A forecast counts if it is scheduled and its origin is later than that of every forecast of its entity that has
    /// counted before, in this process or an earlier one. State, history and outbox change in one transaction.
    ///
    /// # Errors
    /// When the state could not be written; then nothing has changed, and the same call may be made again.
    pub fn evaluate(&self, evaluations: &[Evaluation<'_>]) -> Result<Vec<Transition>, AlertError> {
        if evaluations.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|sql, draft| {
            for evaluation in evaluations {
                evaluate_one(sql, draft, evaluation)?;
            }
            Ok(draft.changes().transitions.clone())
        })
    }
}

fn evaluate_one(
    sql: &Sql<'_>,
    draft: &mut Draft<'_>,
    evaluation: &Evaluation<'_>,
) -> Result<(), AlertError> {
    let Evaluation {
        entity,
        origin_ms,
        now_ms,
        ..
    } = *evaluation;
    if !evaluation.scheduled {
        draft.changes().ignored_on_demand += 1;
        return Ok(());
    }
    let before = draft.counted(entity);
    if before.is_some_and(|b| origin_ms <= b.origin_ms) {
        draft.changes().ignored_repeated += 1;
        return Ok(());
    }
    let gap_ms = before.map_or(0, |b| origin_ms.saturating_sub(b.origin_ms));
    // Forecasts of long steps are far apart by nature.
    let few_steps_secs = u64::from(evaluation.step_secs) * 3;
    let consecutive = gap_ms <= millis(draft.config.max_strike_gap_secs.max(few_steps_secs));
    draft.changes().evaluated += 1;
    draft.set_counted(
        entity,
        Some(Counted {
            origin_ms,
            evaluated_ms: now_ms,
        }),
    );
    database::save_entity(sql, entity, origin_ms, now_ms)?;

    let open = draft.open_alerts(entity);
    let mut unknown: Vec<&BreachForecast> = Vec::new();
    for breach in &evaluation.risk.breaches {
        let known = open.iter().any(|a| a.metric == breach.metric)
            || unknown.iter().any(|b| b.metric == breach.metric);
        if !known {
            unknown.push(breach);
        }
    }
    if open.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    let had_alerts = !open.is_empty();
    let mut still_open = Vec::with_capacity(open.len());
    for alert in open {
        let condition = Condition::of(evaluation, &alert.metric);
        still_open.extend(advance(sql, draft, &condition, alert, consecutive)?);
    }
    for breach in unknown {
        let condition = Condition::of(evaluation, &breach.metric);
        still_open.extend(begin(sql, draft, &condition, breach)?);
    }
    if had_alerts || !still_open.is_empty() {
        draft.set_open_alerts(entity, still_open);
    }
    Ok(())
}

/// One metric of one evaluation.
pub(crate) struct Condition<'a> {
    pub evaluation: &'a Evaluation<'a>,
    pub critical: Option<&'a BreachForecast>,
    pub warning: Option<&'a BreachForecast>,
}

impl<'a> Condition<'a> {
    fn of(evaluation: &'a Evaluation<'a>, metric: &str) -> Self {
        let find = |severity| {
            evaluation
                .risk
                .breaches
                .iter()
                .find(|b| b.metric == metric && b.severity == severity)
        };
        Self {
            evaluation,
            critical: find(Level::Critical),
            warning: find(Level::Warning),
        }
    }

    pub fn at(&self, severity: Level) -> Option<&'a BreachForecast> {
        if severity == Level::Warning {
            self.warning
        } else {
            self.critical
        }
    }

    pub fn seen(&self, draft: &Draft<'_>) -> Seen {
        Seen {
            critical: heat(draft.config.critical, self.critical),
            warning: draft.config.warning.map(|rule| heat(rule, self.warning)),
        }
    }

    /// Whether the metric was judged at all.
    pub fn observed(&self, alert: &Alert) -> bool {
        alert.metric_index >= 64 || self.evaluation.risk.assessed & (1 << alert.metric_index) != 0
    }
}

/// A condition that is not listed is less probable than any threshold.
fn heat(rule: SeverityRule, breach: Option<&BreachForecast>) -> Heat {
    match breach {
        None => Heat::Cold,
        Some(b) if b.now || b.probability >= rule.fire_probability => Heat::Hot,
        Some(b) if b.probability <= rule.clear_probability => Heat::Cold,
        Some(_) => Heat::Between,
    }
}
