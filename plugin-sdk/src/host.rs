//! What a plugin may ask of the host.

#[cfg(target_arch = "wasm32")]
use crate::component as backend;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::fake as backend;

use crate::connector::Cursor;
use crate::error::Error;
use crate::http::{Request, Response};
use crate::incidents::Incident;
use crate::metrics::{Metric, Series, Statistic};
use crate::model::Window;
use crate::pair::{Pair, to_pairs};

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is lost.
    Error,
    /// Something is odd.
    Warn,
    /// Something worth knowing once.
    Info,
    /// Useful while looking for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The host, as far as this plugin was granted it. In tests, [`testing::Host`](crate::testing::Host) stands in: it can
/// be passed wherever a `&Host` is wanted.
///
/// A component imports only what its code calls, so what a plugin asks for is exactly what it uses. Each kind may use:
///
/// | | log, clock, state | http | connectors | model | metrics | incidents |
/// |---|---|---|---|---|---|---|
/// | sink | ✔ | ✔ | | | | |
/// | source | ✔ | ✔ | ✔ | | | |
/// | explainer | ✔ | | | ✔ | ✔ | ✔ |
/// | remediation | ✔ | ✔ | | | | ✔ |
/// | investigator | ✔ | ✔ | | ✔ | ✔ | ✔ |
///
/// `argus plugin build` refuses a component that uses more.
#[derive(Debug, Default)]
pub struct Host {
    pub(crate) backend: backend::Backend,
}

impl Host {
    /// Writes a line to the daemon's log. Lines and bytes per call are limited; a call that writes more is ended.
    pub fn log(&self, level: Level, message: &str) {
        self.backend.log(level, message);
    }

    /// Logs at [`Level::Info`].
    pub fn info(&self, message: &str) {
        self.log(Level::Info, message);
    }

    /// Logs at [`Level::Warn`].
    pub fn warn(&self, message: &str) {
        self.log(Level::Warn, message);
    }

    /// Milliseconds since the Unix epoch, UTC.
    pub fn now_ms(&self) -> i64 {
        self.backend.now_ms()
    }

    /// Nanoseconds since some fixed point; never goes back.
    pub fn monotonic_ns(&self) -> u64 {
        self.backend.monotonic_ns()
    }

    /// What the plugin remembers from call to call.
    pub fn state(&self) -> State<'_> {
        State { host: self }
    }

    /// Sends a request to a named target and waits for the answer. [`Request::send`] reads better.
    pub fn send(&self, request: &Request) -> Result<Response, Error> {
        self.backend.send(request)
    }

    /// Starts an operation of a native connector that the operator granted. Operations, bodies and documents are the
    /// connector's own and documented with it; options are names and values.
    pub fn query(
        &self,
        connector: &str,
        operation: &str,
        body: impl AsRef<[u8]>,
        options: &[(&str, &str)],
    ) -> Result<Cursor, Error> {
        let options = to_pairs(options);
        let cursor = self
            .backend
            .query(connector, operation, body.as_ref(), &options)?;
        Ok(Cursor { cursor })
    }

    /// The newest window of an entity, to run the model on. Options may name `at-ms`.
    ///
    /// Errors, by code: `unknown_entity`, `warming_up`, `no_model`, `not_kept`, `invalid_option`.
    pub fn window(&self, entity: &str, options: &[(&str, &str)]) -> Result<Window, Error> {
        let window = self.backend.window(entity, &to_pairs(options))?;
        Ok(Window { window })
    }

    /// How often this call may still evaluate the model.
    pub fn evaluations_left(&self) -> u32 {
        self.backend.evaluations_left()
    }

    /// The metrics of the schema, in its order.
    pub fn schema(&self) -> Vec<Metric> {
        self.backend.schema()
    }

    /// Names of monitored entities in their order: at most `limit` of them, those after `after` (empty for the first).
    pub fn entities(&self, after: &str, limit: u32) -> Vec<String> {
        let names = self.backend.entities(after, limit);
        names.lines().map(str::to_owned).collect()
    }

    /// History of a metric over `[from_ms, to_ms)`, in bins of `step_secs` (0 for the daemon's step).
    ///
    /// Errors, by code: `unknown_entity`, `unknown_metric`, `invalid_range`, `history_unavailable`.
    pub fn history(
        &self,
        entity: &str,
        metric: &str,
        statistic: Statistic,
        from_ms: i64,
        to_ms: i64,
        step_secs: u32,
    ) -> Result<Series, Error> {
        self.backend
            .history(entity, metric, statistic, from_ms, to_ms, step_secs)
    }

    /// Incidents that match all of the query, newest first, at most `limit`. A query names any of `entity`, `state`,
    /// `kind`, `severity`, `metric`, `from-ms`, `to-ms`.
    pub fn incidents(&self, query: &[(&str, &str)], limit: u32) -> Result<Vec<Incident>, Error> {
        self.backend.incidents(&to_pairs(query), limit)
    }

    /// One incident, by its id.
    pub fn incident(&self, id: &str) -> Result<Incident, Error> {
        self.backend.incident(id)
    }

    /// Everything else that is known of an incident.
    pub fn incident_facts(&self, id: &str) -> Result<Vec<Pair>, Error> {
        self.backend.incident_facts(id)
    }
}

/// What a plugin remembers from one call to the next: small values under keys of its own, kept on disk by the host.
/// See [`Host::state`].
#[derive(Debug)]
pub struct State<'a> {
    host: &'a Host,
}

impl State<'_> {
    /// The value under a key, if there is one and it has not expired.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.host.backend.state_get(key)
    }

    /// The value under a key as text, if there is one and it is text.
    pub fn get_text(&self, key: &str) -> Option<String> {
        String::from_utf8(self.get(key)?).ok()
    }

    /// Sets the value under a key; it is forgotten after `keep_secs`, where that is given. On disk when this returns.
    ///
    /// Errors, by code: `invalid_key`, `state_full`, `state_unavailable`.
    pub fn set(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        keep_secs: Option<u32>,
    ) -> Result<(), Error> {
        self.host.backend.state_set(key, value.as_ref(), keep_secs)
    }

    /// Sets the value only if it is still `expected` (none: only if there is none), and says whether it was.
    pub fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: impl AsRef<[u8]>,
        keep_secs: Option<u32>,
    ) -> Result<bool, Error> {
        self.host
            .backend
            .state_compare_and_set(key, expected, value.as_ref(), keep_secs)
    }

    /// Forgets a key, whether or not it was there.
    pub fn remove(&self, key: &str) -> Result<(), Error> {
        self.host.backend.state_remove(key)
    }
}
