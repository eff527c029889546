//! The host behind a component's imports. [`Host`](crate::Host) documents what each function does.

use std::time::Duration;

use crate::bindings::host::{clock, connector, http, incidents, log, metrics, model, state};
use crate::error::Error;
use crate::host::Level;
use crate::http::{Request, Response};
use crate::pair::{Pair, from_pairs};

/// Nothing to hold: the imports are functions.
#[derive(Debug, Default)]
pub(crate) struct Backend;

// Small enough to vanish: what the plugin does not call is not imported.
impl Backend {
    pub(crate) fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
            Level::Trace => log::Level::Trace,
        };
        log::write(level, message);
    }

    pub(crate) fn now_ms(&self) -> i64 {
        clock::now_ms()
    }

    pub(crate) fn monotonic_ns(&self) -> u64 {
        clock::monotonic_ns()
    }

    pub(crate) fn send(&self, request: &Request) -> Result<Response, Error> {
        let pair = |(name, value): &(String, String)| Pair::new(name.as_str(), value.as_str());
        let millis = |timeout: Duration| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let answer = http::send(&http::Request {
            target: request.target.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.iter().map(pair).collect(),
            body: request.body.clone(),
            timeout_ms: request.timeout.map(millis),
        })?;
        Ok(Response {
            status: answer.status,
            headers: from_pairs(answer.headers),
            body: answer.body,
        })
    }

    pub(crate) fn state_get(&self, key: &str) -> Option<Vec<u8>> {
        state::get(key)
    }

    pub(crate) fn state_set(
        &self,
        key: &str,
        value: &[u8],
        keep_secs: Option<u32>,
    ) -> Result<(), Error> {
        Ok(state::set(key, value, keep_secs)?)
    }

    pub(crate) fn state_compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        keep_secs: Option<u32>,
    ) -> Result<bool, Error> {
        Ok(state::compare_and_set(key, expected, value, keep_secs)?)
    }

    pub(crate) fn state_remove(&self, key: &str) -> Result<(), Error> {
        Ok(state::remove(key)?)
    }

    pub(crate) fn query(
        &self,
        connector: &str,
        operation: &str,
        body: &[u8],
        options: &[Pair],
    ) -> Result<connector::Cursor, Error> {
        Ok(connector::query(connector, operation, body, options)?)
    }

    pub(crate) fn window(&self, entity: &str, options: &[Pair]) -> Result<model::Window, Error> {
        Ok(model::open(entity, options)?)
    }

    pub(crate) fn evaluations_left(&self) -> u32 {
        model::evaluations_left()
    }

    pub(crate) fn schema(&self) -> Vec<metrics::Metric> {
        metrics::schema()
    }

    pub(crate) fn entities(&self, after: &str, limit: u32) -> String {
        metrics::entities(after, limit)
    }

    pub(crate) fn history(
        &self,
        entity: &str,
        metric: &str,
        statistic: metrics::Statistic,
        from_ms: i64,
        to_ms: i64,
        step_secs: u32,
    ) -> Result<metrics::Series, Error> {
        Ok(metrics::history(
            entity, metric, statistic, from_ms, to_ms, step_secs,
        )?)
    }

    pub(crate) fn incidents(
        &self,
        query: &[Pair],
        limit: u32,
    ) -> Result<Vec<incidents::Incident>, Error> {
        Ok(incidents::find(query, limit)?)
    }

    pub(crate) fn incident(&self, id: &str) -> Result<incidents::Incident, Error> {
        Ok(incidents::get(id)?)
    }

    pub(crate) fn incident_facts(&self, id: &str) -> Result<Vec<Pair>, Error> {
        Ok(incidents::facts(id)?)
    }
}
