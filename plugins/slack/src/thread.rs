//! Which message in Slack belongs to which alert.

use argus_plugin::{Host, Notification};
use serde::{Deserialize, Serialize};

/// An alert's message, as kept in the plugin's state under the alert's fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    /// Tells this alert from an earlier one about the same condition.
    pub started_at_ms: i64,
    /// Id of the channel.
    pub channel: String,
    /// Id of the message.
    pub ts: String,
    /// Idempotency key of the newest notification that was told.
    pub told: String,
}

const DAY_SECS: u32 = 24 * 3600;
/// An alert that was silent for so long gets a new message.
const KEEP_FIRING_SECS: u32 = 90 * DAY_SECS;
/// The end of an alert may be delivered again.
const KEEP_RESOLVED_SECS: u32 = DAY_SECS;

impl Thread {
    /// The message of this very alert, if it has one.
    pub fn of(host: &Host, notification: &Notification) -> Option<Self> {
        let kept = host.state().get(&key(notification))?;
        let thread: Self = serde_json::from_slice(&kept).ok()?;
        let same_alert = thread.started_at_ms == notification.started_at_ms;
        (same_alert && !thread.ts.is_empty()).then_some(thread)
    }

    /// Remembers it. A failure costs the thread, not the alert: failing the delivery would post it twice.
    pub fn keep(&self, host: &Host, notification: &Notification) {
        let keep_secs = if notification.is_resolved() {
            KEEP_RESOLVED_SECS
        } else {
            KEEP_FIRING_SECS
        };
        let kept = serde_json::to_vec(self)
            .map_err(Into::into)
            .and_then(|value| host.state().set(&key(notification), value, Some(keep_secs)));
        if let Err(error) = kept {
            host.warn(&format!(
                "the alert's message is not remembered, so that what follows is posted anew: {error}"
            ));
        }
    }
}

fn key(notification: &Notification) -> String {
    format!("thread/{}", notification.fingerprint)
}
