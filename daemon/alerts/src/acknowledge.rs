//! Somebody has seen an alert.

use crate::alert::{Acknowledgement, Alert, AlertId, AlertState};
use crate::database;
use crate::engine::Alerts;
use crate::errors::AcknowledgeError;
use crate::history::{Transition, TransitionKind};
use crate::notification::Event;
use crate::outbox;

impl Alerts {
    /// Notes that somebody has seen an open alert, and tells the sinks that know of it. Blocks.
    ///
    /// # Errors
    /// When no such alert is open, the texts are empty or too long, or the state cannot be written.
    pub fn acknowledge(
        &self,
        id: AlertId,
        who: &str,
        note: Option<&str>,
        now_ms: i64,
    ) -> Result<Alert, AcknowledgeError> {
        if who.is_empty() || who.len() > 255 || note.is_some_and(|n| n.len() > 4096) {
            return Err(AcknowledgeError::Text);
        }
        let entity = self
            .active()
            .iter()
            .find(|a| a.id == id)
            .map(|a| a.entity.clone())
            .ok_or(AcknowledgeError::NotActive(id))?;
        let acknowledged = self.write(|sql, draft| {
            let mut alerts = draft.open_alerts(&entity);
            // It may have resolved since the look at the published list.
            let Some(alert) = alerts.iter_mut().find(|a| a.id == id) else {
                return Ok(None);
            };
            let earlier_note = alert.acknowledged.take().and_then(|earlier| earlier.note);
            alert.acknowledged = Some(Acknowledgement {
                who: who.to_owned(),
                at_ms: now_ms,
                note: note.map(str::to_owned).or(earlier_note),
            });
            alert.updated_at_ms = now_ms;
            let why = note.unwrap_or("acknowledged");
            let mut transition =
                Transition::new(alert, TransitionKind::Acknowledged, None, now_ms, who, why);
            database::add_transition(sql, &mut transition)?;
            let number = transition.id;
            draft.changes().transitions.push(transition);
            if alert.state == AlertState::Firing {
                let event = Event::Acknowledged;
                outbox::enqueue(sql, draft, alert, event, number, why, now_ms)?;
            }
            database::save_alert(sql, alert)?;
            let alert = alert.clone();
            draft.set_open_alerts(&entity, alerts);
            Ok(Some(alert))
        })?;
        acknowledged.ok_or(AcknowledgeError::NotActive(id))
    }
}
