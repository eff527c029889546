//! Slack's Web API: every answer is 200, and says in its body whether it worked.

use argus_plugin::{Error, Host, Request};
use serde::Deserialize;
use serde_json::Value;

/// What the methods used here answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    ok: bool,
    error: String,
    /// Id of the channel.
    pub channel: String,
    /// The message's time stamp, which is its id within the channel.
    pub ts: String,
    response_metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    messages: Vec<String>,
}

/// Calls a method.
pub fn call(host: &Host, target: &str, method: &str, body: &Value) -> Result<Answer, Error> {
    let answer = Request::post(target, method)
        .header("content-type", "application/json; charset=utf-8")
        .body(serde_json::to_vec(body)?)
        .send(host)?
        .require_success()?;
    let answer: Answer = answer.json().map_err(|_| {
        let message = format!("{method} answered something that is not Slack's JSON; is the target's URL https://slack.com/api/?");
        Error::retryable("not_slack", message)
    })?;
    if answer.ok {
        return Ok(answer);
    }
    Err(refused(method, &answer))
}

/// Slack's words for troubles that pass by themselves.
const PASSING: [&str; 9] = [
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
    "unknown_error",
];

fn refused(method: &str, answer: &Answer) -> Error {
    let word = match answer.error.as_str() {
        "" => "unknown_error",
        word => word,
    };
    let advice = match word {
        "not_in_channel" => ": invite the app to the channel",
        "channel_not_found" => ": name an existing channel, and invite the app if it is private",
        "is_archived" => ": the channel is archived",
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            ": give the target a valid bot token"
        }
        "missing_scope" => ": give the app the scope chat:write",
        _ => "",
    };
    let details = answer.response_metadata.messages.join("; ");
    let details = match details.as_str() {
        "" => String::new(),
        details => format!(" ({details})"),
    };
    Error {
        code: word.to_owned(),
        message: format!("Slack refused {method}: {word}{advice}{details}"),
        retryable: PASSING.contains(&word),
    }
}
