//! The settings; `config.schema.json` describes them for tools.

use std::collections::BTreeMap;

use argus_plugin::Error;
use serde::Deserialize;

/// `[plugins.NAME.config]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channel to post to: `#ops`, or its id.
    pub channel: String,
    /// Name of the target.
    #[serde(default = "target")]
    pub target: String,
    /// Whom a new alert mentions, by severity: `<!here>`, `<@U…>`, `<!subteam^S…>`.
    #[serde(default)]
    pub mention: BTreeMap<String, String>,
    /// What a refresh does: an alert that goes on is nothing new, but its numbers are.
    #[serde(default)]
    pub refresh: Refresh,
    /// Whether the end of an alert is also posted to the channel, not only to the thread.
    #[serde(default)]
    pub broadcast_resolved: bool,
    /// Whether `check` asks Slack about the token.
    #[serde(default = "yes")]
    pub check_token: bool,
}

/// What a refresh does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// Nothing.
    #[default]
    Ignore,
    /// The alert's message gets the newest numbers; nobody is notified.
    Update,
}

fn target() -> String {
    "slack".to_owned()
}

fn yes() -> bool {
    true
}

const SEVERITIES: [&str; 3] = ["critical", "warning", "degraded"];

impl Config {
    /// What types cannot say.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new("invalid_config", message));
        if self.target.is_empty() {
            return invalid("config.target must not be empty".into());
        }
        let name = self.channel.strip_prefix('#').unwrap_or(&self.channel);
        let is_channel = !name.is_empty()
            && name.chars().count() <= 80
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || "-_.".contains(c));
        if !is_channel {
            return invalid(format!(
                "config.channel: {:?} is neither #name nor a channel's id",
                self.channel
            ));
        }
        for (severity, mention) in &self.mention {
            if !SEVERITIES.contains(&severity.as_str()) {
                return invalid(format!(
                    "config.mention.{severity}: severities are {}",
                    SEVERITIES.join(", ")
                ));
            }
            if !mention.split_whitespace().all(is_mention) || mention.trim().is_empty() {
                return invalid(format!(
                    "config.mention.{severity}: write <!here>, <!channel>, <@USER> or <!subteam^GROUP>"
                ));
            }
        }
        Ok(())
    }
}

fn is_mention(text: &str) -> bool {
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let Some(inner) = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) else {
        return false;
    };
    match inner {
        "!here" | "!channel" | "!everyone" => true,
        _ => {
            inner.strip_prefix('@').is_some_and(is_id)
                || inner.strip_prefix("!subteam^").is_some_and(is_id)
        }
    }
}
