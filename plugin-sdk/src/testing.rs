//! A fake host, for plain `cargo test` on the machine you sit at.
//!
//! ```
//! use argus_plugin::{Request, testing};
//!
//! let host = testing::Host::new().respond("slack", 200, r#"{"ok":true}"#);
//! let answer = Request::post("slack", "chat.postMessage").body("{}").send(&host).unwrap();
//! assert_eq!(answer.status, 200);
//! assert_eq!(host.requests()[0].path, "chat.postMessage");
//! ```

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::{Host as HostTrait, Level};
use crate::http::{Request, Response};
use crate::notification::Notification;
use crate::settings;
use crate::sink::Sink;

/// A host that answers as told and records what it was asked.
#[derive(Debug, Default)]
pub struct Host {
    answers: RefCell<BTreeMap<String, VecDeque<Result<Response, Error>>>>,
    requests: RefCell<Vec<Request>>,
    lines: RefCell<Vec<(Level, String)>>,
    now_ms: Cell<i64>,
}

impl Host {
    /// A host without targets, at the moment that [`notification`] was made.
    pub fn new() -> Self {
        let host = Self::default();
        host.now_ms.set(NOW_MS);
        host
    }

    /// Answers the next request to `target`. Answers are given in the order they were set; the last one is kept for
    /// all further requests.
    pub fn respond(self, target: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.answer(
            target,
            Ok(Response {
                status,
                headers: Vec::new(),
                body: body.into(),
            }),
        )
    }

    /// Answers the next request to `target` with a whole response.
    pub fn respond_with(self, target: &str, response: Response) -> Self {
        self.answer(target, Ok(response))
    }

    /// Fails the next request to `target`, as the host does when nobody answers.
    pub fn fail(self, target: &str, error: Error) -> Self {
        self.answer(target, Err(error))
    }

    /// Sets the clock, in milliseconds since the Unix epoch.
    pub fn at(self, now_ms: i64) -> Self {
        self.now_ms.set(now_ms);
        self
    }

    /// The requests so far. Secrets are not filled in: what you see is what the plugin wrote.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// The body of the newest request as JSON.
    ///
    /// # Panics
    /// If there is no request, or its body is no JSON.
    pub fn last_json(&self) -> serde_json::Value {
        let requests = self.requests.borrow();
        let last = requests.last().expect("the plugin sent no request");
        serde_json::from_slice(&last.body).expect("the request's body is no JSON")
    }

    /// The lines logged so far.
    pub fn lines(&self) -> Vec<(Level, String)> {
        self.lines.borrow().clone()
    }

    fn answer(self, target: &str, answer: Result<Response, Error>) -> Self {
        self.answers
            .borrow_mut()
            .entry(target.to_owned())
            .or_default()
            .push_back(answer);
        self
    }
}

impl HostTrait for Host {
    fn log(&self, level: Level, message: &str) {
        self.lines.borrow_mut().push((level, message.to_owned()));
    }

    fn now_ms(&self) -> i64 {
        self.now_ms.get()
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.now_ms.get())
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }

    fn send(&self, request: &Request) -> Result<Response, Error> {
        self.requests.borrow_mut().push(request.clone());
        let mut answers = self.answers.borrow_mut();
        let unknown = || {
            Error::new(
                "unknown_target",
                format!("there is no target {:?}", request.target),
            )
        };
        let queue = answers.get_mut(&request.target).ok_or_else(unknown)?;
        match queue.len() {
            0 => Err(unknown()),
            1 => queue[0].clone(),
            _ => queue.pop_front().unwrap_or_else(|| Err(unknown())),
        }
    }
}

/// A sink made from settings, the way the host makes it.
pub fn sink<S: Sink>(config: serde_json::Value) -> Result<S, Error> {
    S::new(settings::parse(&config.to_string())?)
}

/// 2026-02-03T04:05:06.789Z.
const NOW_MS: i64 = 1_770_091_506_789;

/// A notification with every field filled: a firing alert on `db-01`.
pub fn notification() -> Notification {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Notification {
        id: "01J0000000000000000000000".into(),
        fingerprint: "a1b2c3d4e5f60718".into(),
        event: "firing".into(),
        severity: "critical".into(),
        level: "warning".into(),
        risk_score: Some(71.5),
        entity_kind: "server".into(),
        entity: "db-01".into(),
        profile: "database".into(),
        metric: Some("mem_used_pct".into()),
        unit: Some("%".into()),
        threshold: Some(95.0),
        probability: Some(0.87),
        current_value: Some(81.5),
        expected_breach_ms: Some(NOW_MS + 2 * 3_600_000),
        started_at_ms: NOW_MS - 900_000,
        updated_at_ms: NOW_MS,
        ends_at_ms: Some(NOW_MS + 900_000),
        summary: "db-01: mem_used_pct reaches 95 % in 2 h (87 %)".into(),
        labels: vec![pair("condition", "breach_8h")],
        annotations: vec![pair("drivers", "mem_used_pct, swap_used_pct, io_wait_pct")],
        link: Some("http://argus.example/servers/db-01".into()),
    }
}

/// Checks a JSON Schema of settings against their type: every property the schema names must be one the type knows.
///
/// # Panics
/// If it is not.
pub fn check_config_schema<C: DeserializeOwned>(schema: &str) {
    let schema: serde_json::Value = serde_json::from_str(schema).expect("the schema is no JSON");
    let properties = schema["properties"]
        .as_object()
        .expect("the schema has no properties");
    for name in properties.keys() {
        let only = serde_json::json!({ name: null });
        if let Err(error) = serde_json::from_value::<C>(only) {
            assert!(
                !error.to_string().contains("unknown field"),
                "the type has no setting {name:?}"
            );
        }
    }
}
