//! A MongoDB collection, as the reader wants it.
//!
//! Every query is a span of the time's index and nothing else, in that index's order: documents of one time behind an
//! `_id`, then those of later times.

use std::collections::BTreeMap;

use argus_documents::{Collection, Document, Fields, Found, Paging, Span, Strays, value};
use argus_plugin::connector::Cursor;
use argus_plugin::{Error, Host};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::config::{Config, TimeType};
use crate::id;

/// Documents of a batch: few enough that a slow server has some within a poll's time.
const BATCH: u32 = 1000;
/// Documents without a time are counted up to here.
const MAX_STRAYS: u64 = 1000;
/// Of these, so many are named.
const NAMED_STRAYS: usize = 5;
/// Whether there are any is a courtesy, which may cost little.
const STRAYS_MS: u32 = 2000;

/// The body of a `find`.
#[derive(serde::Serialize)]
struct Find<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a str>,
    collection: &'a str,
    filter: Filter<'a>,
    projection: &'a Map<String, Value>,
    /// By time, then by `_id`, also where the time is one: in the order of the index.
    sort: [Value; 2],
    limit: u32,
    batch_size: u32,
}

/// Our conditions, together with the operator's own if there are any. Side by side where the names allow it: not every
/// server finds the index for what is within an `$and`.
struct Filter<'a> {
    own: &'a Map<String, Value>,
    ours: Conditions<'a>,
}

/// By field or operator, each as it is written.
type Conditions<'a> = BTreeMap<&'a str, Box<RawValue>>;

impl Serialize for Filter<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.ours.keys().any(|key| self.own.contains_key(*key)) {
            map.serialize_entry("$and", &(self.own, &self.ours))?;
        } else {
            for (key, condition) in self.own {
                map.serialize_entry(key, condition)?;
            }
            for (key, condition) in &self.ours {
                map.serialize_entry(key, condition)?;
            }
        }
        map.end()
    }
}

/// The collection with the settings for reading it.
pub struct Metrics {
    config: Config,
    projection: Map<String, Value>,
    /// The mapping's paths and these two.
    fields: Fields,
    id: usize,
    time: usize,
}

impl Metrics {
    /// # Errors
    /// `invalid_config`, naming the setting.
    pub fn new(config: Config, paths: &[String]) -> Result<Self, Error> {
        config.check()?;
        let projection = projection(paths, &config.time);
        let mut fields = Fields::new(paths);
        Ok(Self {
            id: fields.add("_id"),
            time: fields.add(&config.time),
            fields,
            projection,
            config,
        })
    }

    /// Whether the collection is there and may be read.
    pub fn check(&self, host: &Host) -> Result<(), Error> {
        self.ask(host, "check", json!({})).map(drop)
    }

    /// Asks the connector; database and collection are added.
    fn ask(&self, host: &Host, operation: &str, mut body: Value) -> Result<Cursor, Error> {
        body["collection"] = json!(self.config.collection);
        if let Some(database) = &self.config.database {
            body["database"] = json!(database);
        }
        let body = serde_json::to_vec(&body)?;
        host.query(&self.config.connector, operation, body, &[])
    }

    fn filter<'a>(&'a self, ours: Conditions<'a>) -> Filter<'a> {
        Filter {
            own: &self.config.filter,
            ours,
        }
    }

    /// The condition that a time lies in `[from_ms, until_ms)`.
    fn between(&self, from_ms: i64, until_ms: i64) -> Result<Conditions<'_>, Error> {
        let between = json!({ "$gte": self.time(from_ms), "$lt": self.time(until_ms) });
        Ok([(self.config.time.as_str(), to_raw_value(&between)?)].into())
    }

    /// A time as documents hold it.
    fn time(&self, ms: i64) -> Value {
        match self.config.time_type {
            TimeType::Date => json!({ "$date": { "$numberLong": ms.to_string() } }),
            TimeType::Milliseconds => json!(ms),
            // Exact enough: division gives the number closest to what people write.
            TimeType::Seconds => json!(ms as f64 / 1000.0),
        }
    }

    /// The number of the slice that a time lies in, computed by the server.
    fn slice(&self, slice_ms: i64) -> Value {
        let time = format!("${}", self.config.time);
        let ms = match self.config.time_type {
            TimeType::Date => json!({ "$subtract": [time, self.time(0)] }),
            TimeType::Milliseconds => json!(time),
            TimeType::Seconds => json!({ "$multiply": [time, 1000] }),
        };
        json!({ "$floor": { "$divide": [ms, slice_ms] } })
    }

    fn time_of(&self, document: &Found<'_>) -> Option<i64> {
        let time = document.at(self.time)?;
        let whole_ms = |ms: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and checked")]
            (ms.abs() < 9e15).then_some(ms as i64)
        };
        match self.config.time_type {
            TimeType::Date => time.time_ms(),
            TimeType::Milliseconds => whole_ms(time.number()?.floor()),
            TimeType::Seconds => whole_ms((time.number()? * 1000.0).floor()),
        }
    }

    /// Gives a window's documents to `take`; whether these were all, and how many they were.
    fn window(
        &self,
        host: &Host,
        span: &Span<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<(bool, u32), Error> {
        let mut rest = *span;
        let mut queries: Vec<Conditions<'_>> = Vec::new();
        if let Some(after) = rest.after.take() {
            let time = to_raw_value(&self.time(rest.from_ms))?;
            for id in id::behind(after)? {
                queries.push([(self.config.time.as_str(), time.clone()), ("_id", id)].into());
            }
            rest.from_ms += 1;
        }
        if rest.from_ms < rest.until_ms {
            queries.push(self.between(rest.from_ms, rest.until_ms)?);
        }
        for ours in queries {
            let came = rest.limit < span.limit;
            let (is_all, count) = match self.page(host, &rest, ours, take) {
                // A slow server gets on with what it gave before.
                Err(error) if came && error.code == "timed_out" => (false, 0),
                outcome => outcome?,
            };
            rest.limit -= count;
            if !is_all {
                return Ok((false, span.limit - rest.limit));
            }
        }
        Ok((true, span.limit - rest.limit))
    }

    /// Gives documents of one query to `take`; whether these were all, and how many they were.
    fn page(
        &self,
        host: &Host,
        span: &Span<'_>,
        ours: Conditions<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<(bool, u32), Error> {
        let body = Find {
            database: self.config.database.as_deref(),
            collection: &self.config.collection,
            filter: self.filter(ours),
            projection: &self.projection,
            sort: [json!({ (&self.config.time): 1 }), json!({ "_id": 1 })],
            limit: span.limit,
            batch_size: span.limit.min(BATCH),
        };
        let body = serde_json::to_vec(&body)?;
        let cursor = host.query(&self.config.connector, "find", body, &[])?;
        let mut count = 0;
        let is_ordered = self.config.time_type == TimeType::Date;
        let is_all = Paging::documents(host, span, &cursor, &self.fields, |document| {
            count += 1;
            // An `_id` may be null.
            let id = document.at(self.id).map_or("null", |id| id.json());
            let time_ms = self.time_of(document).ok_or_else(|| {
                let message = format!(
                    "{}: document `{}` was found by a time that it does not have",
                    self.name(),
                    id::shown(id)
                );
                Error::new("query_failed", message)
            })?;
            Ok(take(Document {
                id: id::shown(id),
                time_ms,
                // A number's fractions of a millisecond would order documents too.
                tie: is_ordered.then_some(id),
                body: document,
            }))
        })?;
        Ok((is_all && count < span.limit, count))
    }
}

impl Collection for Metrics {
    fn name(&self) -> String {
        let Config {
            connector,
            collection,
            ..
        } = &self.config;
        match &self.config.database {
            Some(database) => {
                format!("connector `{connector}`, collection `{database}.{collection}`")
            }
            None => format!("connector `{connector}`, collection `{collection}`"),
        }
    }

    fn read(
        &self,
        host: &Host,
        span: &Span<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<bool, Error> {
        span.in_windows(host, |window| self.window(host, window, take))
    }

    fn counts(
        &self,
        host: &Host,
        from_ms: i64,
        until_ms: i64,
        slice_ms: i64,
    ) -> Result<Vec<(i64, u64)>, Error> {
        let pipeline = json!([
            { "$match": self.filter(self.between(from_ms, until_ms)?) },
            { "$group": { "_id": self.slice(slice_ms), "count": { "$sum": 1 } } },
        ]);
        let cursor = self.ask(host, "aggregate", json!({ "pipeline": pipeline }))?;
        let mut counts = Vec::new();
        for group in all(&cursor)? {
            let numbers = (value::number(&group["_id"]), value::number(&group["count"]));
            let (Some(slice), Some(count)) = numbers else {
                let message = format!("{}: a count is {}", self.name(), value::shown(&group));
                return Err(Error::new("query_failed", message));
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and small"
            )]
            counts.push((slice as i64, count as u64));
        }
        Ok(counts)
    }

    fn strays(&self, host: &Host) -> Result<Option<Strays>, Error> {
        // A collection that is not there has no documents, and looks like one that nothing is written to.
        self.check(host)?;
        // Asked by what they are, which an index on the time answers; by what they are not, it could not.
        let of_other_types: &[&str] = match self.config.time_type {
            TimeType::Date => &[
                "number",
                "string",
                "object",
                "array",
                "binData",
                "objectId",
                "bool",
                "timestamp",
            ],
            _ => &[
                "string",
                "object",
                "array",
                "binData",
                "objectId",
                "bool",
                "date",
                "timestamp",
            ],
        };
        let time = &self.config.time;
        let without = json!([{ (time): null }, { (time): { "$type": of_other_types } }]);
        let ours = [("$or", to_raw_value(&without)?)].into();
        let body = json!({
            "filter": self.filter(ours), "projection": { "_id": 1 }, "limit": MAX_STRAYS, "max_time_ms": STRAYS_MS,
        });
        let found = self.ask(host, "find", body).and_then(|cursor| all(&cursor));
        let documents = match found {
            Ok(documents) => documents,
            Err(error) if error.code == "timed_out" => return Ok(None),
            Err(error) => return Err(error),
        };
        let examples = documents.iter().take(NAMED_STRAYS);
        Ok(Some(Strays {
            count: documents.len() as u64,
            examples: examples
                .map(|document| id::shown(&document["_id"].to_string()).to_owned())
                .collect(),
        }))
    }
}

/// All of an answer that is known to be small.
fn all(cursor: &Cursor) -> Result<Vec<Value>, Error> {
    const PAGE: (u32, u32, u32) = (10_000, 2 << 20, 10_000);
    let mut documents = Vec::new();
    loop {
        let page = cursor.next(PAGE.0, PAGE.1, PAGE.2)?;
        documents.extend(page.json::<Value>()?);
        if page.last {
            return Ok(documents);
        }
        if page.count == 0 {
            return Err(Error::retryable("timed_out", "no answer came within 10 s"));
        }
    }
}

/// What is sent over: the paths that are looked at. MongoDB refuses a path beside the beginning of it.
fn projection(paths: &[String], time: &str) -> Map<String, Value> {
    let paths = paths.iter().map(String::as_str);
    let mut wanted: Vec<&str> = paths.chain([time, "_id"]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let is_within = |path: &str, of: &str| {
        path.strip_prefix(of)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    let is_needed = |path: &&str| !wanted.iter().any(|other| is_within(path, other));
    wanted
        .iter()
        .filter(|path| is_needed(path))
        .map(|path| ((*path).to_owned(), json!(1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_within_another_is_not_asked_for() {
        let paths = ["host", "host.name", "hostname", "cpu.user", "cpu.sys"].map(str::to_owned);
        let names: Vec<_> = projection(&paths, "meta.at")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            ["_id", "cpu.sys", "cpu.user", "host", "hostname", "meta.at"]
        );
    }
}
