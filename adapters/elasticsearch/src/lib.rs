//! A connector to Elasticsearch 8 and 9 and OpenSearch 2 and 3. It reads only, and creates nothing but points in time.
//!
//! | operation | body | answers |
//! |---|---|---|
//! | `check` | `{"index": "metrics-*", "time": "@timestamp"}`, both optional | nothing: the server answers, the index is there, the field a date |
//! | `search` | [`Search`](search::Search): `index`, `sort`, and what to search | hits as the server sends them (`_index`, `_id`, `_source`, `sort`), one a line, in order |
//! | `aggregate` | `{"index": "metrics-*", "query": …, "aggregations": …}` | `{"total": 17, "aggregations": …}` |
//!
//! An index may be a pattern, several with commas, an alias or a data stream. Settings: [`Config`]; secrets: `password`
//! or `api_key`.

mod client;
mod config;
mod pace;
mod point_in_time;
mod search;

use std::sync::Arc;

use argus_connector_abi::author::{Answer, Connector, Log, Request};
use argus_connector_abi::{Error, Settings};
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use client::Client;
pub use config::Config;
use pace::Pace;
use point_in_time::escaped;

const OPERATIONS: &[&str] = &["check", "search", "aggregate"];

/// The connector.
pub struct Elasticsearch {
    client: Client,
    batch: u32,
    pace: Option<Arc<Pace>>,
}

impl Connector for Elasticsearch {
    type Config = Config;

    async fn open(settings: Settings<Config>, log: Log) -> Result<Self, Error> {
        let Settings {
            config, secrets, ..
        } = settings;
        let transport = config.transport(&secrets)?;
        if config.accept_invalid_certificates {
            log.warn("certificates are not checked: whoever is on the way can read along");
        }
        let is_open = config.urls.iter().any(|url| url.starts_with("http://"));
        if is_open && !secrets.is_empty() {
            log.warn("credentials are sent over http://, for everybody on the way to read");
        }
        Ok(Self {
            client: Client::new(transport, Arc::new(secrets), config.urls.len()),
            batch: config.batch_documents,
            pace: config
                .documents_per_sec
                .map(|per_sec| Arc::new(Pace::new(per_sec))),
        })
    }

    async fn query(&self, request: Request) -> Result<Answer, Error> {
        match request.operation.as_str() {
            "check" => self.check(request.json()?).await,
            "search" => {
                let search = request.json()?;
                let hits = search::Hits::begin(&self.client, search, self.batch, self.pace.clone());
                Ok(Answer::cursor(hits.await?))
            }
            "aggregate" => self.aggregate(request.json()?).await,
            _ => Err(request.unknown_operation(OPERATIONS)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    #[serde(default)]
    index: Option<String>,
    #[serde(default)]
    time: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aggregate {
    index: String,
    #[serde(default)]
    query: Option<Value>,
    #[serde(default)]
    aggregations: Option<Value>,
}

impl Elasticsearch {
    async fn check(&self, check: Check) -> Result<Answer, Error> {
        let index = escaped(check.index.as_deref().unwrap_or("*"));
        let field = check.time.as_deref().unwrap_or("_id");
        let path = format!("/{index}/_field_caps?fields={}", escaped(field));
        let answer = self.ask(Method::Get, &path, &Value::Null).await?;
        let has_no_index = answer["indices"].as_array().is_some_and(Vec::is_empty);
        if let Some(index) = check.index.as_ref().filter(|_| has_no_index) {
            return Err(Error::new(
                "not_found",
                format_args!("there is no index that matches `{index}`"),
            ));
        }
        let Some(field) = check.time else {
            return Ok(Answer::empty());
        };
        let kinds = answer["fields"][&field].as_object();
        let is_date = |kind: &str| matches!(kind, "date" | "date_nanos" | "unmapped");
        for (kind, about) in kinds.into_iter().flatten() {
            if !is_date(kind) {
                let indices = about["indices"].as_array().cloned().unwrap_or_default();
                let indices: Vec<_> = indices.iter().filter_map(Value::as_str).take(3).collect();
                // It lists indices only where they differ.
                let place = match indices.as_slice() {
                    [] => check.index.unwrap_or_default(),
                    some => some.join("`, `"),
                };
                let message = format_args!(
                    "the mapping of `{field}` in `{place}` says `{kind}`; `date` is needed"
                );
                return Err(Error::new("query_failed", message));
            }
        }
        if kinds.is_none_or(serde_json::Map::is_empty) {
            let message = format_args!("no index that matches has a field `{field}`");
            return Err(Error::new("query_failed", message));
        }
        Ok(Answer::empty())
    }

    async fn aggregate(&self, aggregate: Aggregate) -> Result<Answer, Error> {
        let mut body = json!({ "size": 0, "track_total_hits": true });
        for (name, value) in [("query", aggregate.query), ("aggs", aggregate.aggregations)] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let path = format!("/{}/_search", escaped(&aggregate.index));
        let answer = self.ask(Method::Post, &path, &body).await?;
        search::complete_answer(&answer)?;
        Answer::json(&json!({
            "total": answer["hits"]["total"]["value"],
            "aggregations": answer["aggregations"],
        }))
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let answer = self
            .client
            .send(method, path, body)
            .await
            .map_err(|failure| failure.error)?;
        serde_json::from_slice(&answer)
            .map_err(|error| Error::new("query_failed", format_args!("an odd answer: {error}")))
    }
}

argus_connector_abi::export_connector!(Elasticsearch, name = "elasticsearch");
