//! Posts alerts as messages to a chat.

use argus_plugin::{Error, Host, Notification, Receipt, Request, Sink};
use serde::Deserialize;
use serde_json::json;

/// The `[plugins.NAME.config]` table; `config.schema.json` describes it for people and tools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where messages go, e.g. `#ops`.
    channel: String,
    /// Put before critical messages, e.g. `@here`.
    #[serde(default)]
    mention: String,
}

struct MyPlugin {
    config: Config,
}

impl Sink for MyPlugin {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        if !config.channel.starts_with('#') {
            return Err(Error::new("invalid_config", "config.channel must begin with #"));
        }
        Ok(Self { config })
    }

    fn deliver(&self, host: &Host, notification: &Notification, key: &str) -> Result<Receipt, Error> {
        let mut text = format!("[{}] {}", notification.event, notification.summary);
        if notification.severity == "critical" && !self.config.mention.is_empty() {
            text = format!("{} {text}", self.config.mention);
        }
        let answer = Request::post("chat", "messages")
            .header("idempotency-key", key)
            .json(&json!({ "channel": self.config.channel, "text": text }))
            .send(host)?
            .require_success()?;
        Ok(Receipt {
            remote_id: None,
            message: Some(format!("answered {}", answer.status)),
        })
    }
}

argus_plugin::sink!(
    MyPlugin,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    fn plugin() -> MyPlugin {
        testing::sink(json!({ "channel": "#ops", "mention": "@here" })).expect("good settings")
    }

    #[test]
    fn critical_alerts_mention_people() {
        let host = testing::Host::new().respond("chat", 200, "{}");
        plugin().deliver(&host, &testing::notification(), "key-1").expect("delivered");
        assert_eq!(host.requests()[0].header_value("idempotency-key"), Some("key-1"));
        assert_eq!(host.last_json()["channel"], "#ops");
        let text = host.last_json()["text"].to_string();
        assert!(text.contains("@here [firing] db-01"), "{text}");
    }

    #[test]
    fn a_busy_chat_is_tried_again() {
        let host = testing::Host::new().respond("chat", 429, "slow down");
        let error = plugin()
            .deliver(&host, &testing::notification(), "key-1")
            .expect_err("not delivered");
        assert!(error.retryable, "{error}");
    }

    #[test]
    fn the_schema_describes_the_settings() {
        testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
    }
}
