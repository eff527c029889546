//! The fake behind [`Host`](super::Host), with the interface of a component's backend.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::connector::Page;
use crate::error::Error;
use crate::host::Level;
use crate::http::{Request, Response};
use crate::incidents::Incident;
use crate::metrics::{Metric, Series, Statistic};
use crate::pair::{Pair, value_of};

use super::window::Window as Model;

pub(crate) use super::window::Opened as Window;

/// What a plugin asked a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Name of the connector.
    pub connector: String,
    /// The operation, e.g. `find`.
    pub operation: String,
    /// The body.
    pub body: Vec<u8>,
    /// Options by name.
    pub options: Vec<(String, String)>,
}

type Queues<T> = RefCell<BTreeMap<String, VecDeque<Result<T, Error>>>>;

/// A value of the state and when it expires, in milliseconds since the epoch.
type Kept = (Vec<u8>, Option<i64>);

/// Everything that was set up, and everything that was asked.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    now_ms: Cell<i64>,
    lines: RefCell<Vec<(Level, String)>>,
    answers: Queues<Response>,
    requests: RefCell<Vec<Request>>,
    documents: Queues<Vec<String>>,
    queries: RefCell<Vec<Query>>,
    state: RefCell<BTreeMap<String, Kept>>,
    windows: RefCell<BTreeMap<String, Rc<Model>>>,
    evaluations: Rc<Cell<u32>>,
    metrics: RefCell<Vec<Metric>>,
    history: RefCell<BTreeMap<(String, String), Series>>,
    incidents: RefCell<Vec<(Incident, Vec<Pair>)>>,
}

const DEFAULT_EVALUATIONS: u32 = 10_000;
const MAX_KEY_BYTES: usize = 256;
const MAX_BINS: i64 = 100_000;

/// What was set up.
impl Backend {
    pub(super) fn answer(&self, target: &str, answer: Result<Response, Error>) {
        enqueue(&self.answers, target, answer);
    }

    pub(super) fn answer_query(&self, connector: &str, answer: Result<Vec<String>, Error>) {
        enqueue(&self.documents, connector, answer);
    }

    pub(super) fn add_window(&self, entity: &str, window: Model) {
        if self.windows.borrow().is_empty() && self.evaluations.get() == 0 {
            self.evaluations.set(DEFAULT_EVALUATIONS);
        }
        let mut windows = self.windows.borrow_mut();
        windows.insert(entity.to_owned(), Rc::new(window));
    }

    pub(super) fn set_evaluations(&self, budget: u32) {
        self.evaluations.set(budget);
    }

    pub(super) fn add_metric(&self, metric: Metric) {
        self.metrics.borrow_mut().push(metric);
    }

    pub(super) fn add_history(&self, entity: &str, metric: &str, series: Series) {
        let key = (entity.to_owned(), metric.to_owned());
        self.history.borrow_mut().insert(key, series);
    }

    pub(super) fn add_incident(&self, incident: Incident, facts: Vec<Pair>) {
        self.incidents.borrow_mut().push((incident, facts));
    }

    pub(super) fn set_clock(&self, now_ms: i64) {
        self.now_ms.set(now_ms);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    pub(super) fn queries(&self) -> Vec<Query> {
        self.queries.borrow().clone()
    }

    pub(super) fn lines(&self) -> Vec<(Level, String)> {
        self.lines.borrow().clone()
    }
}

/// What a plugin may call.
impl Backend {
    pub(crate) fn log(&self, level: Level, message: &str) {
        self.lines.borrow_mut().push((level, message.to_owned()));
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms.get()
    }

    pub(crate) fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.now_ms.get())
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }

    pub(crate) fn send(&self, request: &Request) -> Result<Response, Error> {
        self.requests.borrow_mut().push(request.clone());
        dequeue(&self.answers, &request.target).unwrap_or_else(|| {
            let message = format!("there is no target {:?}", request.target);
            Err(Error::new("unknown_target", message))
        })
    }

    pub(crate) fn query(
        &self,
        connector: &str,
        operation: &str,
        body: &[u8],
        options: &[Pair],
    ) -> Result<Cursor, Error> {
        let options = options
            .iter()
            .map(|pair| (pair.name.clone(), pair.value.clone()));
        self.queries.borrow_mut().push(Query {
            connector: connector.to_owned(),
            operation: operation.to_owned(),
            body: body.to_owned(),
            options: options.collect(),
        });
        let documents = dequeue(&self.documents, connector).unwrap_or_else(|| {
            let message = format!("there is no connector {connector:?}");
            Err(Error::new("unknown_connector", message))
        })?;
        Ok(Cursor {
            documents: RefCell::new(documents.into()),
        })
    }

    pub(crate) fn state_get(&self, key: &str) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        let (value, expires_ms) = state.get(key)?;
        let alive = expires_ms.is_none_or(|at| self.now_ms() < at);
        alive.then(|| value.clone())
    }

    pub(crate) fn state_set(
        &self,
        key: &str,
        value: &[u8],
        keep_secs: Option<u32>,
    ) -> Result<(), Error> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Error::new(
                "invalid_key",
                format!("a key has 1 to {MAX_KEY_BYTES} bytes"),
            ));
        }
        let expires_ms = keep_secs.map(|secs| self.now_ms() + 1000 * i64::from(secs));
        let mut state = self.state.borrow_mut();
        state.insert(key.to_owned(), (value.to_owned(), expires_ms));
        Ok(())
    }

    pub(crate) fn state_compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        keep_secs: Option<u32>,
    ) -> Result<bool, Error> {
        if self.state_get(key).as_deref() != expected {
            return Ok(false);
        }
        self.state_set(key, value, keep_secs).map(|()| true)
    }

    pub(crate) fn state_remove(&self, key: &str) -> Result<(), Error> {
        self.state.borrow_mut().remove(key);
        Ok(())
    }

    pub(crate) fn window(&self, entity: &str, _options: &[Pair]) -> Result<Window, Error> {
        let windows = self.windows.borrow();
        let unknown = || Error::new("unknown_entity", format!("nobody is named {entity:?}"));
        let model = windows.get(entity).ok_or_else(unknown)?.clone();
        Ok(Window::new(model, self.evaluations.clone()))
    }

    pub(crate) fn evaluations_left(&self) -> u32 {
        self.evaluations.get()
    }

    pub(crate) fn schema(&self) -> Vec<Metric> {
        self.metrics.borrow().clone()
    }

    pub(crate) fn entities(&self, after: &str, limit: u32) -> String {
        let history = self.history.borrow();
        let windows = self.windows.borrow();
        let measured = history.keys().map(|(entity, _)| entity);
        let mut names: Vec<&str> = measured
            .chain(windows.keys())
            .map(String::as_str)
            .filter(|name| *name > after)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(limit as usize);
        names.join("\n")
    }

    pub(crate) fn history(
        &self,
        entity: &str,
        metric: &str,
        _statistic: Statistic,
        from_ms: i64,
        to_ms: i64,
        step_secs: u32,
    ) -> Result<Series, Error> {
        let history = self.history.borrow();
        if !history.keys().any(|(known, _)| known == entity) {
            let message = format!("nobody is named {entity:?}");
            return Err(Error::new("unknown_entity", message));
        }
        let key = (entity.to_owned(), metric.to_owned());
        let series = history
            .get(&key)
            .ok_or_else(|| Error::new("unknown_metric", format!("there is no {metric:?}")))?;
        let step_ms = 1000 * i64::from(series.step_secs.max(1));
        let bins = (to_ms - from_ms).div_euclid(step_ms);
        let same_step = step_secs == 0 || step_secs == series.step_secs;
        if to_ms <= from_ms || bins > MAX_BINS || !same_step {
            let message = "the fake has the step that it was given, and up to 100,000 bins";
            return Err(Error::new("invalid_range", message));
        }
        let value_at = |bin: i64| {
            let position = (from_ms + bin * step_ms - series.start_ms).div_euclid(step_ms);
            let position = usize::try_from(position).ok();
            position
                .and_then(|position| series.values.get(position).copied())
                .unwrap_or(f32::NAN)
        };
        Ok(Series {
            start_ms: from_ms,
            step_secs: series.step_secs,
            values: (0..bins).map(value_at).collect(),
        })
    }

    pub(crate) fn incidents(&self, query: &[Pair], limit: u32) -> Result<Vec<Incident>, Error> {
        let known = [
            "entity", "state", "kind", "severity", "metric", "from-ms", "to-ms",
        ];
        if let Some(odd) = query
            .iter()
            .find(|pair| !known.contains(&pair.name.as_str()))
        {
            let message = format!("a query cannot name {:?}", odd.name);
            return Err(Error::new("invalid_query", message));
        }
        let bound = |name: &str| value_of(query, name).and_then(|text| text.parse::<i64>().ok());
        let (from_ms, to_ms) = (bound("from-ms"), bound("to-ms"));
        let matches = |incident: &&(Incident, Vec<Pair>)| {
            let incident = &incident.0;
            let same = |name: &str, actual: &str| {
                value_of(query, name).is_none_or(|wanted| wanted == actual)
            };
            same("entity", &incident.entity)
                && same("state", &incident.state)
                && same("kind", &incident.kind)
                && same("severity", &incident.severity)
                && same("metric", incident.metric.as_deref().unwrap_or_default())
                && from_ms.is_none_or(|from| incident.started_at_ms >= from)
                && to_ms.is_none_or(|to| incident.started_at_ms < to)
        };
        let all = self.incidents.borrow();
        let mut found: Vec<Incident> = all.iter().filter(matches).map(|(i, _)| i.clone()).collect();
        found.sort_by_key(|incident| std::cmp::Reverse(incident.started_at_ms));
        found.truncate(limit.min(100) as usize);
        Ok(found)
    }

    pub(crate) fn incident(&self, id: &str) -> Result<Incident, Error> {
        self.known_incident(id).map(|(incident, _)| incident)
    }

    pub(crate) fn incident_facts(&self, id: &str) -> Result<Vec<Pair>, Error> {
        self.known_incident(id).map(|(_, facts)| facts)
    }

    fn known_incident(&self, id: &str) -> Result<(Incident, Vec<Pair>), Error> {
        let incidents = self.incidents.borrow();
        let found = incidents.iter().find(|(incident, _)| incident.id == id);
        let missing = || Error::new("not_found", format!("there is no incident {id:?}"));
        found.cloned().ok_or_else(missing)
    }
}

fn enqueue<T>(queues: &Queues<T>, name: &str, answer: Result<T, Error>) {
    let mut queues = queues.borrow_mut();
    queues.entry(name.to_owned()).or_default().push_back(answer);
}

/// The next answer; the last one stays.
fn dequeue<T: Clone>(queues: &Queues<T>, name: &str) -> Option<Result<T, Error>> {
    let mut queues = queues.borrow_mut();
    let queue = queues.get_mut(name)?;
    if queue.len() > 1 {
        queue.pop_front()
    } else {
        queue.front().cloned()
    }
}

/// An answer of a connector that is read page by page.
#[derive(Debug)]
pub(crate) struct Cursor {
    documents: RefCell<VecDeque<String>>,
}

impl Cursor {
    pub(crate) fn next(
        &self,
        max_documents: u32,
        max_bytes: u32,
        _wait_ms: u32,
    ) -> Result<Page, Error> {
        let mut documents = self.documents.borrow_mut();
        let mut page = Page {
            documents: Vec::new(),
            count: 0,
            last: false,
        };
        while let Some(next) = documents.front() {
            let full = page.documents.len() + next.len() > max_bytes as usize;
            if page.count == max_documents || (page.count > 0 && full) {
                break;
            }
            page.documents.extend_from_slice(next.as_bytes());
            page.documents.push(b'\n');
            page.count += 1;
            documents.pop_front();
        }
        page.last = documents.is_empty();
        Ok(page)
    }
}
