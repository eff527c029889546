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
//!
//! Every interface of the host can be faked: HTTP ([`Host::respond`]), state (kept in memory), connectors
//! ([`Host::documents`]), the model ([`Host::with_window`]), history ([`Host::with_history`]) and incidents
//! ([`Host::with_incident`]). The clock stands still unless moved.

pub(crate) mod fake;
mod samples;
mod window;

use std::ops::Deref;

use crate::error::Error;
use crate::host::{Host as RealHost, Level};
use crate::http::{Request, Response};
use crate::incidents::Incident;
use crate::metrics::{Metric, Series};
use crate::pair::Pair;

pub use fake::Query;
pub use samples::{
    check_config_schema, explainer, incident, investigator, notification, remediation, sink, source,
};
pub use window::Window;

/// A host that answers as told and records what it was asked. Goes wherever a [`&Host`](crate::Host) is wanted.
#[derive(Debug, Default)]
pub struct Host {
    host: RealHost,
}

impl Deref for Host {
    type Target = RealHost;

    fn deref(&self) -> &RealHost {
        &self.host
    }
}

impl Host {
    /// A host without targets, connectors, model, history or incidents, at the moment that [`notification`] was made.
    pub fn new() -> Self {
        Self::default().at(samples::NOW_MS)
    }

    /// Answers the next request to `target`. Answers are given in the order they were set; the last one is kept for
    /// all further requests.
    pub fn respond(self, target: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        let response = Response {
            status,
            headers: Vec::new(),
            body: body.into(),
        };
        self.respond_with(target, response)
    }

    /// Answers the next request to `target` with a whole response.
    pub fn respond_with(self, target: &str, response: Response) -> Self {
        self.fake().answer(target, Ok(response));
        self
    }

    /// Fails the next request to `target`, as the host does when nobody answers.
    pub fn fail(self, target: &str, error: Error) -> Self {
        self.fake().answer(target, Err(error));
        self
    }

    /// Answers the next query to `connector` with documents, which the cursor hands out as JSON lines.
    pub fn documents(self, connector: &str, documents: &[serde_json::Value]) -> Self {
        let documents = documents.iter().map(ToString::to_string).collect();
        self.fake().answer_query(connector, Ok(documents));
        self
    }

    /// Fails the next query to `connector`.
    pub fn fail_query(self, connector: &str, error: Error) -> Self {
        self.fake().answer_query(connector, Err(error));
        self
    }

    /// Gives an entity a window and a model to run on it. It may be evaluated as often as
    /// [`evaluations`](Host::evaluations) allows, 10,000 times unless said otherwise.
    pub fn with_window(self, entity: &str, window: Window) -> Self {
        self.fake().add_window(entity, window);
        self
    }

    /// How often the model may be evaluated.
    pub fn evaluations(self, budget: u32) -> Self {
        self.fake().set_evaluations(budget);
        self
    }

    /// Adds a metric to the schema.
    pub fn with_metric(self, metric: Metric) -> Self {
        self.fake().add_metric(metric);
        self
    }

    /// Gives an entity history of a metric (its mean, maximum and count alike).
    pub fn with_history(self, entity: &str, metric: &str, series: Series) -> Self {
        self.fake().add_history(entity, metric, series);
        self
    }

    /// Adds an incident and what else is known of it.
    pub fn with_incident(self, incident: Incident, facts: Vec<Pair>) -> Self {
        self.fake().add_incident(incident, facts);
        self
    }

    /// Sets the clock, in milliseconds since the Unix epoch.
    pub fn at(self, now_ms: i64) -> Self {
        self.fake().set_clock(now_ms);
        self
    }

    /// Moves the clock on.
    pub fn advance_ms(&self, ms: i64) {
        self.fake().set_clock(self.now_ms() + ms);
    }

    /// The requests so far. Secrets are not filled in: what you see is what the plugin wrote.
    pub fn requests(&self) -> Vec<Request> {
        self.fake().requests()
    }

    /// The body of the newest request as JSON.
    ///
    /// # Panics
    /// If there is no request, or its body is no JSON.
    pub fn last_json(&self) -> serde_json::Value {
        let requests = self.requests();
        let last = requests.last().expect("the plugin sent no request");
        serde_json::from_slice(&last.body).expect("the request's body is no JSON")
    }

    /// The queries to connectors so far.
    pub fn queries(&self) -> Vec<Query> {
        self.fake().queries()
    }

    /// The lines logged so far.
    pub fn lines(&self) -> Vec<(Level, String)> {
        self.fake().lines()
    }

    fn fake(&self) -> &fake::Backend {
        &self.host.backend
    }
}
