//! Posts alerts to Slack. Each alert has one message, which is kept up to date; what happens to it is told in the
//! message's thread. When the alert is over the message says so.
//!
//! Which message belongs to which alert is kept in the plugin's state, together with the newest notification that was
//! told: Slack knows no idempotency keys, so that a repeated delivery is recognised here. Only a post whose answer was
//! never seen may be posted twice.

mod api;
mod config;
mod message;
mod text;
mod thread;

use argus_plugin::{Error, Host, Notification, Receipt, Sink};
use serde_json::{Value, json};

use config::{Config, Refresh};
use thread::Thread;

/// The sink.
#[derive(Debug)]
pub struct Slack {
    config: Config,
}

impl Sink for Slack {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { config })
    }

    fn check(&self, host: &Host) -> Result<(), Error> {
        if !self.config.check_token {
            return Ok(());
        }
        match api::call(host, &self.config.target, "auth.test", &json!({})) {
            Ok(_) => Ok(()),
            // The settings are not to blame for a Slack that is down.
            Err(error) if error.retryable => {
                host.warn(&format!(
                    "Slack could not be asked about the token: {error}"
                ));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn deliver(
        &self,
        host: &Host,
        notification: &Notification,
        key: &str,
    ) -> Result<Receipt, Error> {
        let thread = Thread::of(host, notification);
        if thread.as_ref().is_some_and(|thread| thread.told == key) {
            return Ok(receipt(thread.as_ref(), "was told already"));
        }
        match (notification.event.as_str(), thread) {
            ("test", _) => {
                let posted = self.post(host, notification, key)?;
                Ok(receipt(Some(&posted), "posted"))
            }
            ("firing" | "severity_changed" | "acknowledged" | "resolved", None) => {
                let posted = self.post(host, notification, key)?;
                posted.keep(host, notification);
                Ok(receipt(Some(&posted), "posted"))
            }
            ("firing" | "severity_changed" | "acknowledged" | "resolved", Some(thread)) => {
                // First what may be repeated, then what may not.
                self.update(host, notification, &thread)?;
                self.reply(host, notification, &thread, key)?;
                let thread = Thread {
                    told: key.to_owned(),
                    ..thread
                };
                thread.keep(host, notification);
                Ok(receipt(Some(&thread), "updated"))
            }
            (_, Some(thread)) if self.config.refresh == Refresh::Update => {
                self.update(host, notification, &thread)?;
                Ok(receipt(Some(&thread), "updated"))
            }
            (_, thread) => Ok(receipt(thread.as_ref(), "nothing new to tell")),
        }
    }
}

impl Slack {
    fn post(&self, host: &Host, notification: &Notification, key: &str) -> Result<Thread, Error> {
        let mut blocks = message::blocks(notification);
        let mention = self.config.mention.get(&notification.severity);
        if let Some(mention) = mention.filter(|_| notification.event == "firing") {
            blocks.insert(0, message::mention(mention));
        }
        let mut body = self.body(&self.config.channel, notification, blocks, Some(key));
        body["text"] = message::fallback(notification).into();
        let answer = api::call(host, &self.config.target, "chat.postMessage", &body)?;
        Ok(Thread {
            started_at_ms: notification.started_at_ms,
            channel: answer.channel,
            ts: answer.ts,
            told: key.to_owned(),
        })
    }

    /// Brings the alert's message up to date. One that somebody deleted is not worth a failure.
    fn update(
        &self,
        host: &Host,
        notification: &Notification,
        thread: &Thread,
    ) -> Result<(), Error> {
        const GONE: [&str; 3] = [
            "cant_update_message",
            "edit_window_closed",
            "message_not_found",
        ];
        let mut body = self.body(
            &thread.channel,
            notification,
            message::blocks(notification),
            None,
        );
        body["text"] = message::fallback(notification).into();
        body["ts"] = thread.ts.as_str().into();
        match api::call(host, &self.config.target, "chat.update", &body) {
            Err(error) if GONE.contains(&error.code.as_str()) => {
                host.info(&format!("the alert's message stays as it is: {error}"));
                Ok(())
            }
            result => result.map(|_| ()),
        }
    }

    fn reply(
        &self,
        host: &Host,
        notification: &Notification,
        thread: &Thread,
        key: &str,
    ) -> Result<(), Error> {
        let blocks = message::reply(notification);
        let mut body = self.body(&thread.channel, notification, blocks, Some(key));
        body["text"] = message::reply_text(notification).into();
        body["thread_ts"] = thread.ts.as_str().into();
        if notification.is_resolved() && self.config.broadcast_resolved {
            body["reply_broadcast"] = true.into();
        }
        api::call(host, &self.config.target, "chat.postMessage", &body).map(|_| ())
    }

    /// `key` goes along as metadata, which Slack keeps with the message and shows to apps.
    fn body(
        &self,
        channel: &str,
        notification: &Notification,
        blocks: Vec<Value>,
        key: Option<&str>,
    ) -> Value {
        let mut body = json!({ "channel": channel, "blocks": blocks });
        if let Some(key) = key {
            body["unfurl_links"] = false.into();
            body["unfurl_media"] = false.into();
            body["metadata"] = json!({
                "event_type": "argus_alert",
                "event_payload": {
                    "fingerprint": notification.fingerprint,
                    "event": notification.event,
                    "idempotency_key": key,
                },
            });
        }
        body
    }
}

fn receipt(thread: Option<&Thread>, message: &str) -> Receipt {
    Receipt {
        remote_id: thread.map(|thread| format!("{}/{}", thread.channel, thread.ts)),
        message: Some(message.to_owned()),
    }
}

argus_plugin::sink!(Slack, config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests;
