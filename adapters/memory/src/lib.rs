//! A connector to nothing: its documents are made up on demand.
//!
//! It shows what a connector looks like, and lets tests ask for what a database would do on a bad day: errors, delays,
//! panics.
//!
//! | operation | body | answers |
//! |---|---|---|
//! | `check` | – | nothing |
//! | `find` | `{"from": 0, "count": 10, "page_delay_ms": 0}` | documents `{"n": 0}`, `{"n": 1}`, … |
//! | `tail` | `{"from": 0, "every_ms": 100}` | the same without end, one at a time |
//! | `echo` | anything | the body |
//! | `secret` | `{"name": "password"}` | whether the secret is there |
//! | `fail` | an error | that error |
//! | `sleep` | `{"ms": 1000}` | nothing, then |
//! | `panic`, `panic_later` | – | panics at once, or after a moment |
//! | `panic_in_cursor` | `{"after": 3}` | panics in the page after that many documents |

use std::time::Duration;

use argus_connector_abi::author::{Answer, Connector, Cursor, Flow, Log, Page, Request};
use argus_connector_abi::{Error, Secrets, Settings};
use serde::{Deserialize, Serialize};

const OPERATIONS: &[&str] = &[
    "check",
    "find",
    "tail",
    "echo",
    "secret",
    "fail",
    "sleep",
    "panic",
    "panic_later",
    "panic_in_cursor",
];

/// `[connectors.NAME.config]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Panics when it is opened.
    panic: bool,
    /// Refuses to open, with this reason.
    refuse: Option<String>,
    /// Written into the daemon's log.
    greeting: Option<String>,
}

/// The connector.
#[derive(Debug)]
pub struct Memory {
    secrets: Secrets,
}

impl Connector for Memory {
    type Config = Config;

    async fn open(settings: Settings<Config>, log: Log) -> Result<Self, Error> {
        let config = settings.config;
        assert!(!config.panic, "I was told to panic while opening");
        if let Some(reason) = config.refuse {
            return Err(Error::new("invalid_config", reason));
        }
        if let Some(greeting) = config.greeting {
            log.info(greeting);
        }
        Ok(Self {
            secrets: settings.secrets,
        })
    }

    async fn query(&self, request: Request) -> Result<Answer, Error> {
        match request.operation.as_str() {
            "check" => Ok(Answer::empty()),
            "find" => Ok(Answer::cursor(request.json::<Find>()?.cursor())),
            "tail" => Ok(Answer::cursor(request.json::<Tail>()?)),
            "echo" => Ok(Answer::documents([request.body])),
            "secret" => {
                let Wanted { name } = request.json()?;
                Answer::json(&self.secrets.get(&name).is_some())
            }
            "fail" => Err(request.json()?),
            "sleep" => {
                let Sleep { ms } = request.json()?;
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(Answer::empty())
            }
            "panic" => panic!("I was told to panic"),
            "panic_later" => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                panic!("I was told to panic later")
            }
            "panic_in_cursor" => {
                let Panic { after } = request.json()?;
                Ok(Answer::cursor(Panicking { left: after }))
            }
            _ => Err(request.unknown_operation(OPERATIONS)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    #[serde(default)]
    from: u64,
    count: u64,
    #[serde(default)]
    page_delay_ms: u64,
}

#[derive(Debug, Serialize)]
struct Document {
    n: u64,
}

struct Numbers {
    next: u64,
    end: u64,
    page_delay: Duration,
}

impl Find {
    fn cursor(self) -> Numbers {
        Numbers {
            next: self.from,
            end: self.from.saturating_add(self.count),
            page_delay: Duration::from_millis(self.page_delay_ms),
        }
    }
}

impl Cursor for Numbers {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        tokio::time::sleep(self.page_delay).await;
        while self.next < self.end && page.has_room() {
            page.push_json(&Document { n: self.next })?;
            self.next += 1;
        }
        Ok(if self.next < self.end {
            Flow::More
        } else {
            Flow::Last
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    #[serde(default)]
    from: u64,
    every_ms: u64,
}

impl Cursor for Tail {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        tokio::time::sleep(Duration::from_millis(self.every_ms)).await;
        page.push_json(&Document { n: self.from })?;
        self.from += 1;
        Ok(Flow::More)
    }
}

#[derive(Debug, Deserialize)]
struct Wanted {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Sleep {
    ms: u64,
}

#[derive(Debug, Deserialize)]
struct Panic {
    after: u64,
}

struct Panicking {
    left: u64,
}

impl Cursor for Panicking {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        assert!(self.left > 0, "I was told to panic in a cursor");
        while self.left > 0 && page.has_room() {
            page.push_json(&Document { n: self.left })?;
            self.left -= 1;
        }
        Ok(Flow::More)
    }
}

argus_connector_abi::export_connector!(Memory, name = "memory");

#[cfg(test)]
mod tests {
    use argus_connector_abi::author::testing;
    use serde_json::json;

    use super::*;

    /// What a connector's own tests look like: no daemon, no library.
    #[tokio::test]
    async fn finds_what_it_was_asked_for() {
        let memory = Memory {
            secrets: Secrets::default(),
        };
        let request = testing::request("find", &json!({ "from": 7, "count": 5 }));
        let answer = memory.query(request).await.expect("an answer");
        let pages = testing::pages(answer, 2).await.expect("pages");
        let pages: Vec<_> = pages
            .iter()
            .map(|page| String::from_utf8_lossy(page))
            .collect();
        assert_eq!(
            pages,
            [
                "{\"n\":7}\n{\"n\":8}\n",
                "{\"n\":9}\n{\"n\":10}\n",
                "{\"n\":11}\n"
            ]
        );
    }

    #[tokio::test]
    async fn says_which_field_is_wrong() {
        let memory = Memory {
            secrets: Secrets::default(),
        };
        let request = testing::request("find", &json!({ "count": "many" }));
        let error = memory.query(request).await.expect_err("no number");
        assert_eq!(error.code, "invalid_body");
        assert!(error.message.contains("`count`"), "{error}");
    }
}
