//! Misbehaves as told. For the host's tests; never shipped.

use std::hint::black_box;

use argus_plugin::{Error, Host, Level, Notification, Receipt, Request, Sink};
use serde::Deserialize;

/// What to do in `deliver`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Behaviour {
    /// Nothing wrong.
    Behave,
    /// Never returns.
    Loop,
    /// Takes memory until there is none.
    Allocate,
    /// Takes `size` bytes, and says so in the receipt.
    Use,
    /// Panics with a message.
    Panic,
    /// Executes the instruction `unreachable`, without a word.
    Trap,
    /// Recurses without end.
    Recurse,
    /// Logs short lines without end.
    LogFlood,
    /// Logs one line of `size` bytes.
    LongLine,
    /// Returns a receipt of `size` bytes.
    GiantReturn,
    /// Sends a body of `size` bytes.
    GiantRequest,
    /// Sends requests without end, whatever comes back.
    HttpFlood,
    /// Sends one request and waits for it.
    Http,
    /// Returns an error.
    Fail,
    /// Asks for the time without end.
    ClockFlood,
}

/// `[plugins.NAME.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    behaviour: Behaviour,
    /// Misbehaves in `check` too.
    #[serde(default)]
    in_check: bool,
    #[serde(default)]
    size: usize,
    #[serde(default = "default_target")]
    target: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

fn default_target() -> String {
    "target".to_owned()
}

/// The sink.
pub struct Hostile {
    config: Config,
}

impl Sink for Hostile {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn check(&self, host: &Host) -> Result<(), Error> {
        if self.config.in_check {
            self.misbehave(host)?;
        }
        Ok(())
    }

    fn deliver(
        &self,
        host: &Host,
        notification: &Notification,
        key: &str,
    ) -> Result<Receipt, Error> {
        host.log(
            Level::Debug,
            &format!("delivering {} as {key}", notification.id),
        );
        self.misbehave(host)
    }
}

impl Hostile {
    fn misbehave(&self, host: &Host) -> Result<Receipt, Error> {
        let size = self.config.size;
        let mut receipt = Receipt::default();
        match self.config.behaviour {
            Behaviour::Behave => {}
            Behaviour::Loop => loop {
                black_box(());
            },
            Behaviour::Allocate => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                    black_box(&hoard);
                }
            }
            Behaviour::Use => {
                let used = black_box(vec![1_u8; size]);
                receipt.message = Some(format!("used {} bytes", used.len()));
            }
            Behaviour::Panic => panic!("I was told to panic"),
            Behaviour::Trap => std::process::abort(),
            Behaviour::Recurse => {
                receipt.message = Some(recurse(1).to_string());
            }
            Behaviour::LogFlood => loop {
                host.log(Level::Info, "flood");
            },
            Behaviour::LongLine => host.log(Level::Info, &"x".repeat(size)),
            Behaviour::GiantReturn => receipt.message = Some("y".repeat(size)),
            Behaviour::GiantRequest => {
                Request::post(&self.config.target, "")
                    .body("z".repeat(size))
                    .send(host)?;
            }
            Behaviour::HttpFlood => loop {
                let _ = self.request().send(host);
            },
            Behaviour::Http => {
                let answer = self.request().send(host)?;
                let headers: Vec<String> = answer
                    .headers
                    .iter()
                    .map(|(n, v)| format!("{n}: {v}"))
                    .collect();
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                receipt.remote_id = Some(answer.status.to_string());
                receipt.message = Some(format!("{}\n{body}", headers.join("\n")));
                answer.require_success()?;
            }
            Behaviour::Fail => return Err(Error::retryable("told_to_fail", "I was told to fail")),
            Behaviour::ClockFlood => loop {
                black_box(host.now_ms());
            },
        }
        Ok(receipt)
    }

    fn request(&self) -> Request {
        let method = self.config.method.as_deref().unwrap_or("POST");
        let mut request = Request::new(method, &self.config.target, &self.config.path)
            .body(self.config.body.clone());
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        match self.config.timeout_ms {
            Some(ms) => request.timeout(std::time::Duration::from_millis(ms)),
            None => request,
        }
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if depth == u64::MAX {
        0
    } else {
        recurse(depth + 1) + black_box(frame)[1]
    }
}

argus_plugin::sink!(Hostile);
