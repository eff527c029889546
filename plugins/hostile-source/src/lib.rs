//! A source that numbers its records, and misbehaves as told. For tests; never shipped.
//!
//! Record `n` belongs to server `n % servers` and has a time of its own, so that a test can tell for each number whether
//! it was stored, and how often. The numbers come through a connector where one is named: documents `{"n": 7}`.

use argus_plugin::source::{Batch, Options};
use argus_plugin::{Error, Host, Source};
use serde::Deserialize;

/// `[plugins.NAME.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Asked for the documents; none makes them up.
    #[serde(default)]
    connector: Option<String>,
    /// Time of record 0, ms since the epoch.
    #[serde(default)]
    start_ms: i64,
    /// From one record to the next.
    #[serde(default)]
    spacing_ms: i64,
    #[serde(default = "one")]
    servers: u64,
    /// Records in all; then there are no more.
    #[serde(default)]
    total: u64,
    #[serde(default)]
    behaviour: Behaviour,
}

fn one() -> u64 {
    1
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Behaviour {
    /// Nothing.
    #[default]
    Behave,
    /// Never returns.
    Loop,
    /// Panics.
    Panic,
    /// Says that there is more, and stays where it is.
    NoProgress,
    /// Returns what is no JSON.
    Garbage,
    /// Returns more than it was asked for.
    TooMany,
    /// Leaves cursors open, and opens more.
    Cursors,
    /// Waits at the connector for ever.
    Wait,
}

/// The source.
pub struct Numbers {
    config: Config,
}

#[derive(Debug, Deserialize)]
struct Document {
    n: u64,
}

impl Source for Numbers {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn poll(
        &self,
        host: &Host,
        checkpoint: Option<&[u8]>,
        options: &Options,
    ) -> Result<Batch, Error> {
        let from = next_number(checkpoint)?;
        let wanted = u64::from(options.max_records);
        match self.config.behaviour {
            Behaviour::Behave => self.batch(host, from, wanted.min(self.config.total - from)),
            Behaviour::Loop => loop {
                std::hint::black_box(());
            },
            Behaviour::Panic => panic!("I was told to panic"),
            Behaviour::NoProgress => Ok(Batch {
                more: true,
                ..Batch::new(from.to_string())
            }),
            Behaviour::Garbage => Ok(Batch {
                items: b"\xff\xfe{{{".to_vec(),
                ..Batch::new("1")
            }),
            Behaviour::TooMany => self.batch(host, from, wanted + 1),
            Behaviour::Cursors => {
                let connector = self.connector()?;
                let mut open = Vec::new();
                loop {
                    open.push(host.query(connector, "find", r#"{"count":9}"#, &[])?);
                }
            }
            Behaviour::Wait => {
                let query = r#"{"every_ms":100000000}"#;
                let tail = host.query(self.connector()?, "tail", query, &[])?;
                tail.next(10, 1000, u32::MAX)?;
                Err(Error::new("odd", "something came"))
            }
        }
    }
}

fn next_number(checkpoint: Option<&[u8]>) -> Result<u64, Error> {
    let Some(checkpoint) = checkpoint else {
        return Ok(0);
    };
    let text = std::str::from_utf8(checkpoint).unwrap_or_default();
    text.parse()
        .map_err(|_| Error::new("bad_checkpoint", format!("{text:?} is no number")))
}

impl Numbers {
    fn connector(&self) -> Result<&str, Error> {
        let missing = || Error::new("invalid_config", "config.connector is missing");
        self.config.connector.as_deref().ok_or_else(missing)
    }

    fn batch(&self, host: &Host, from: u64, count: u64) -> Result<Batch, Error> {
        let end = from + count;
        let mut batch = Batch::new(end.to_string());
        match &self.config.connector {
            None => {
                for n in from..end {
                    self.push(&mut batch, n)?;
                }
            }
            Some(connector) => {
                let query = format!(r#"{{"from":{from},"count":{count}}}"#);
                let cursor = host.query(connector, "find", query, &[])?;
                loop {
                    let page = cursor.next(500, 1 << 20, 5_000)?;
                    for Document { n } in page.json()? {
                        self.push(&mut batch, n)?;
                    }
                    if page.last {
                        break;
                    }
                }
            }
        }
        batch.more = end < self.config.total;
        Ok(batch)
    }

    fn push(&self, batch: &mut Batch, n: u64) -> Result<(), Error> {
        let at = i64::try_from(n).unwrap_or(i64::MAX);
        batch.push(&serde_json::json!({
            "server_name": format!("source-{}", n % self.config.servers),
            "timestamp": self.config.start_ms + at * self.config.spacing_ms,
            "cpu_user_pct": (n % 97) as f64,
            "mem_used_pct": 40.5,
        }))
    }
}

argus_plugin::source!(Numbers);
