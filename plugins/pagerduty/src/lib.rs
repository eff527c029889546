//! Sends alerts to PagerDuty through its Events API v2: an alert triggers an incident, whoever acknowledges the alert
//! acknowledges the incident, and the end of the alert resolves it.
//!
//! All events of an alert have the same `dedup_key`. That makes repeated deliveries harmless: PagerDuty adds a second
//! trigger to the same incident, and ignores a second resolution.

mod config;
mod event;

use argus_plugin::{Error, Host, Notification, Receipt, Request, Sink};
use serde::Deserialize;

use config::Config;
use event::{Action, dedup_key, event};

/// The sink.
#[derive(Debug)]
pub struct PagerDuty {
    config: Config,
}

impl Sink for PagerDuty {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { config })
    }

    fn deliver(
        &self,
        host: &Host,
        notification: &Notification,
        _key: &str,
    ) -> Result<Receipt, Error> {
        let actions: &[Action] = match notification.event.as_str() {
            "firing" | "severity_changed" => &[Action::Trigger],
            "acknowledged" => &[Action::Acknowledge],
            "resolved" => &[Action::Resolve],
            // Nobody is to be kept awake by a trial.
            "test" => &[Action::Trigger, Action::Resolve],
            // PagerDuty does not forget: a refresh says nothing.
            _ => &[],
        };
        for action in actions {
            self.send(host, notification, *action)?;
        }
        let told = if actions.is_empty() {
            "nothing new to tell"
        } else {
            "accepted"
        };
        Ok(Receipt {
            remote_id: Some(dedup_key(notification, &self.config)),
            message: Some(told.to_owned()),
        })
    }
}

/// What PagerDuty answers, good or bad.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    message: String,
    errors: Vec<String>,
}

impl PagerDuty {
    fn send(&self, host: &Host, notification: &Notification, action: Action) -> Result<(), Error> {
        let answer = Request::post(&self.config.target, "enqueue")
            .header("content-type", "application/json")
            .body(event(notification, action, &self.config))
            .send(host)?;
        if answer.status != 400 {
            return answer.require_success().map(|_| ());
        }
        let told: Answer = answer.json().unwrap_or_default();
        let errors = told.errors.join("; ");
        let message = format!("PagerDuty refused the event: {} ({errors})", told.message);
        Err(Error::new("invalid_event", message))
    }
}

argus_plugin::sink!(
    PagerDuty,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests;
