//! Searches of any length: page after page within a point in time.
//!
//! Pages follow each other by the sort values of the last document (`search_after`). Where documents may share those, a
//! page that ends among them would lose the rest: Elasticsearch adds an order of its own (`_shard_doc`). OpenSearch, whose
//! versions differ in that, is asked to sort by `_seq_no` too, which documents of different shards may share; those with
//! the page's last values are left for the next page, which begins with them.

use std::sync::Arc;

use argus_connector_abi::Error;
use argus_connector_abi::author::{Cursor, Flow, Lines, Page};
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::config::MAX_BATCH;
use crate::pace::Pace;
use crate::point_in_time::PointInTime;

/// The body of `search`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Names and patterns of indices, aliases and data streams.
    pub(crate) index: String,
    /// In the server's query language.
    #[serde(default)]
    pub(crate) query: Option<Value>,
    /// As the server has it: `[{"@timestamp": "asc"}]`.
    pub(crate) sort: Vec<Value>,
    /// Which fields to send: `_source` as the server has it.
    #[serde(default)]
    pub(crate) source: Option<Value>,
    /// Documents in all.
    #[serde(default)]
    pub(crate) limit: Option<u64>,
}

/// A search under way. One page is fetched ahead, while the one before is read.
pub(crate) struct Hits {
    fetching: Option<JoinHandle<(Fetcher, Result<Batch, Error>)>>,
    lines: Lines,
    pace: Option<Arc<Pace>>,
}

struct Fetcher {
    client: Client,
    point: PointInTime,
    request: Map<String, Value>,
    batch: u32,
    left: u64,
}

/// Documents, and whether there may be more.
struct Batch {
    lines: Lines,
    more: bool,
}

impl Hits {
    pub(crate) async fn begin(
        client: &Client,
        search: Search,
        batch: u32,
        pace: Option<Arc<Pace>>,
    ) -> Result<Self, Error> {
        let point = PointInTime::open(client, &search.index).await?;
        let mut sort = search.sort;
        if !point.has_tiebreaker() {
            sort.push(json!({ "_seq_no": "asc" }));
        }
        let mut request = Map::new();
        request.insert("sort".into(), sort.into());
        request.insert("track_total_hits".into(), false.into());
        for (name, value) in [("query", search.query), ("_source", search.source)] {
            request.extend(value.map(|value| (name.to_owned(), value)));
        }
        let fetcher = Fetcher {
            client: client.clone(),
            point,
            request,
            batch,
            left: search.limit.unwrap_or(u64::MAX),
        };
        Ok(Self {
            fetching: Some(fetcher.ahead()),
            lines: Lines::default(),
            pace,
        })
    }
}

impl Drop for Hits {
    fn drop(&mut self) {
        if let Some(fetching) = &self.fetching {
            fetching.abort();
        }
    }
}

impl Cursor for Hits {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        if self.lines.is_empty() {
            let Some(fetching) = &mut self.fetching else {
                return Ok(Flow::Last);
            };
            let fetched = fetching.await;
            self.fetching = None;
            let (fetcher, batch) = fetched.map_err(|error| {
                Error::new("query_failed", format_args!("fetching ended: {error}"))
            })?;
            let Batch { lines, more } = batch?;
            self.lines = lines;
            self.fetching = more.then(|| fetcher.ahead());
        }
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
        while page.has_room() {
            let Some(line) = self.lines.take() else {
                break;
            };
            page.push_line(line);
            if self.pace.as_ref().is_some_and(|pace| pace.spend_one()) {
                break;
            }
        }
        let is_last = self.lines.is_empty() && self.fetching.is_none();
        Ok(if is_last { Flow::Last } else { Flow::More })
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    pit_id: Option<String>,
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: Found<'a>,
}

#[derive(Deserialize)]
struct Shards {
    #[serde(default)]
    failed: u32,
    #[serde(default)]
    failures: Vec<Value>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    hits: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Sorted {
    sort: Value,
}

impl Fetcher {
    fn ahead(mut self) -> JoinHandle<(Self, Result<Batch, Error>)> {
        tokio::spawn(async move {
            let batch = self.fetch().await;
            (self, batch)
        })
    }

    async fn fetch(&mut self) -> Result<Batch, Error> {
        // Pages of one size: a last one of few documents would cost the server as much as the others.
        let pages = self.left.div_ceil(self.batch.into()).max(1);
        let mut size = self.left.div_ceil(pages);
        loop {
            self.request.insert("size".into(), size.into());
            self.request.insert("pit".into(), self.point.clause());
            let body = Value::Object(self.request.clone());
            let sent = self.client.send(Method::Post, "/_search", &body).await;
            let bytes = sent.map_err(|failure| forgotten(failure.status, failure.error))?;
            let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| {
                Error::new(
                    "query_failed",
                    format_args!("an odd answer to a search: {error}"),
                )
            })?;
            complete(answer.timed_out, &answer.shards)?;
            self.point.renew(answer.pit_id);
            let hits = &answer.hits.hits;
            let more = hits.len() as u64 == size && size < self.left;
            if hits.is_empty() || !more {
                return Ok(Batch::of(hits, false));
            }
            if let Some(whole) = self.follow(hits)? {
                self.left -= whole as u64;
                return Ok(Batch::of(&hits[..whole], true));
            }
            if size >= u64::from(MAX_BATCH) {
                let message = format_args!(
                    "more than {MAX_BATCH} documents have the same sort values; sort by a further field that differs"
                );
                return Err(Error::new("query_failed", message));
            }
            size = (size * 2).min(MAX_BATCH.into());
        }
    }

    /// Makes the next page follow this one; how many of its documents are this page's, if any can be.
    fn follow(&mut self, hits: &[&RawValue]) -> Result<Option<usize>, Error> {
        let last = sort_of(hits[hits.len() - 1])?;
        if self.point.has_tiebreaker() {
            self.request.insert("search_after".into(), last);
            return Ok(Some(hits.len()));
        }
        // From the back: few documents share a time.
        for (place, hit) in hits.iter().enumerate().rev() {
            let values = sort_of(hit)?;
            if values != last {
                self.request.insert("search_after".into(), values);
                return Ok(Some(place + 1));
            }
        }
        Ok(None)
    }
}

impl Batch {
    fn of(hits: &[&RawValue], more: bool) -> Self {
        let mut lines = Lines::default();
        for hit in hits {
            lines.push_broken(hit.get().as_bytes());
        }
        Self { lines, more }
    }
}

fn sort_of(hit: &RawValue) -> Result<Value, Error> {
    let Sorted { sort } = serde_json::from_str(hit.get()).map_err(|error| {
        Error::new(
            "query_failed",
            format_args!("a document without sort values: {error}"),
        )
    })?;
    Ok(sort)
}

/// An answer that lacks a part is none: what is missing would be passed over.
pub(crate) fn complete_answer(answer: &Value) -> Result<(), Error> {
    let shards = serde_json::from_value(answer["_shards"].clone()).map_err(|error| {
        Error::new(
            "query_failed",
            format_args!("an odd answer to a search: {error}"),
        )
    })?;
    complete(answer["timed_out"] == json!(true), &shards)
}

fn complete(timed_out: bool, shards: &Shards) -> Result<(), Error> {
    if timed_out {
        return Err(Error::retryable(
            "timed_out",
            "the server gave up in the middle of a search",
        ));
    }
    if shards.failed == 0 {
        return Ok(());
    }
    let first = shards.failures.first().unwrap_or(&Value::Null);
    let index = first["index"].as_str().unwrap_or("?");
    let reason = first["reason"]["reason"]
        .as_str()
        .unwrap_or("no reason given");
    let message = format_args!(
        "{} shards did not answer, first of index `{index}`: {reason}",
        shards.failed
    );
    Err(Error::retryable("query_failed", message))
}

/// Within a search, what cannot be found is the point in time: the server was restarted, or took too long.
fn forgotten(status: Option<u16>, error: Error) -> Error {
    match status {
        Some(404) => Error::retryable("query_failed", error.message),
        _ => error,
    }
}
