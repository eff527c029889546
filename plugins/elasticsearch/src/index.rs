//! An index as a collection of documents.

use argus_documents::{Collection, Document, Fields, Found, Paging, Span, Strays};
use argus_plugin::{Error, Host};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Which documents, at which connector.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) connector: String,
    pub(crate) index: String,
    pub(crate) time: String,
    pub(crate) tiebreaker: Option<String>,
    pub(crate) query: Option<Value>,
    /// Which parts of documents to send: a `_source` as the server has it.
    pub(crate) source: Value,
    pub(crate) hits: Hits,
}

/// Where to look in hits: in their source at the mapping's paths, and at what the server says of them.
#[derive(Debug)]
pub(crate) struct Hits {
    fields: Fields,
    index: usize,
    id: usize,
    sort: usize,
}

impl Hits {
    pub(crate) fn new(paths: &[String]) -> Self {
        let mut fields = Fields::new(paths.iter().map(|path| format!("_source.{path}")));
        Self {
            index: fields.add("_index"),
            id: fields.add("_id"),
            sort: fields.add("sort"),
            fields,
        }
    }

    /// Index and id, as people name a document.
    fn name(&self, hit: &Found<'_>, name: &mut String) {
        let text = |at: usize| hit.at(at).and_then(|raw| raw.text()).unwrap_or_default();
        name.clear();
        name.push_str(&text(self.index));
        name.push('/');
        name.push_str(&text(self.id));
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
}

#[derive(Deserialize)]
struct Aggregate {
    total: u64,
    #[serde(default)]
    aggregations: Value,
}

#[derive(Deserialize)]
struct Bucket {
    key: i64,
    doc_count: u64,
}

/// Documents without a time that are named.
const EXAMPLES: u32 = 3;

impl Index {
    /// `from_ms <= time < until_ms`, and the operator's own conditions.
    fn within(&self, from_ms: i64, until_ms: i64) -> Value {
        let time = &self.time;
        self.wanted(json!({ "range": { time: { "gte": from_ms, "lt": until_ms, "format": "epoch_millis" } } }))
    }

    fn wanted(&self, condition: Value) -> Value {
        let conditions: Vec<&Value> = std::iter::once(&condition).chain(&self.query).collect();
        json!({ "bool": { "filter": conditions } })
    }

    fn query(&self, span: &Span<'_>) -> Result<Value, Error> {
        let &Span {
            from_ms, until_ms, ..
        } = span;
        let Some((field, after)) = self.tiebreaker.as_ref().zip(span.after) else {
            return Ok(self.within(from_ms, until_ms));
        };
        let after: Value = serde_json::from_str(after)?;
        let (later, same) = (
            self.within(from_ms + 1, until_ms),
            self.within(from_ms, from_ms + 1),
        );
        let behind =
            json!({ "bool": { "filter": [same, { "range": { field: { "gt": after } } }] } });
        Ok(json!({ "bool": { "should": [later, behind], "minimum_should_match": 1 } }))
    }

    /// A hit's time and what orders it among those of that time; `name` is for messages.
    fn sorted<'a>(&self, hit: &Found<'a>, name: &str) -> Result<(i64, Option<&'a str>), Error> {
        // A list of one is its element here too.
        let values = hit.at(self.hits.sort).map_or("", |raw| raw.json());
        let first = values.trim_start_matches('[').split([',', ']']).next();
        let Some(time_ms) = first.and_then(|first| first.trim().parse().ok()) else {
            let message = format!(
                "document `{name}` was not sorted by `{}`: its mapping must be a date",
                self.time
            );
            return Err(Error::new("query_failed", message));
        };
        if self.tiebreaker.is_none() {
            return Ok((time_ms, None));
        }
        let values: Vec<&'a RawValue> = serde_json::from_str(values)?;
        Ok((time_ms, values.get(1).map(|tie| tie.get())))
    }

    /// Gives a window's documents to `take`; whether these were all, and how many they were.
    fn window(
        &self,
        host: &Host,
        span: &Span<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<(bool, u32), Error> {
        // A date with nanoseconds counts as its millisecond; an index without the field has nothing to say.
        let time = json!({ &self.time: { "order": "asc", "numeric_type": "date", "unmapped_type": "date" } });
        let tiebreaker = self
            .tiebreaker
            .as_ref()
            .map(|field| json!({ field: "asc" }));
        let sort: Vec<Value> = std::iter::once(time).chain(tiebreaker).collect();
        let body = json!({
            "index": self.index,
            "query": self.query(span)?,
            "sort": sort,
            "source": self.source,
            "limit": span.limit,
        });
        let cursor = host.query(&self.connector, "search", body.to_string(), &[])?;
        let (mut name, mut count) = (String::new(), 0);
        let is_all = Paging::documents(host, span, &cursor, &self.hits.fields, |hit| {
            count += 1;
            self.hits.name(hit, &mut name);
            let (time_ms, tie) = self.sorted(hit, &name)?;
            Ok(take(Document {
                id: &name,
                time_ms,
                tie,
                body: hit,
            }))
        })?;
        Ok((is_all, count))
    }

    fn aggregate(&self, host: &Host, body: &Value) -> Result<Aggregate, Error> {
        let cursor = host.query(&self.connector, "aggregate", body.to_string(), &[])?;
        let page = cursor.next(1, 4 << 20, u32::MAX)?;
        let odd = || {
            Error::new(
                "query_failed",
                format!("{}: an odd answer to `aggregate`", self.name()),
            )
        };
        page.json()?.pop().ok_or_else(odd)
    }
}

impl Collection for Index {
    fn name(&self) -> String {
        format!("connector `{}`, index `{}`", self.connector, self.index)
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
        let histogram = json!({ "field": self.time, "fixed_interval": format!("{slice_ms}ms"), "min_doc_count": 1 });
        let body = json!({
            "index": self.index,
            "query": self.within(from_ms, until_ms),
            "aggregations": { "slices": { "date_histogram": histogram } },
        });
        let mut answer = self.aggregate(host, &body)?;
        let buckets = match answer.aggregations.pointer_mut("/slices/buckets") {
            Some(buckets) => serde_json::from_value(buckets.take())?,
            // No index matches the pattern: nothing to aggregate.
            None => Vec::new(),
        };
        let slice = |bucket: Bucket| (bucket.key.div_euclid(slice_ms), bucket.doc_count);
        Ok(buckets.into_iter().map(slice).collect())
    }

    fn strays(&self, host: &Host) -> Result<Option<Strays>, Error> {
        let query =
            self.wanted(json!({ "bool": { "must_not": { "exists": { "field": self.time } } } }));
        let body = json!({ "index": self.index, "query": query });
        let count = self.aggregate(host, &body)?.total;
        let mut examples = Vec::new();
        if count > 0 {
            let body = json!({
                "index": self.index, "query": query, "sort": ["_doc"], "source": false, "limit": EXAMPLES,
            });
            let cursor = host.query(&self.connector, "search", body.to_string(), &[])?;
            let hits: Vec<Named> = cursor.next(EXAMPLES, 1 << 20, u32::MAX)?.json()?;
            examples.extend(
                hits.into_iter()
                    .map(|hit| format!("{}/{}", hit.index, hit.id)),
            );
        }
        Ok(Some(Strays { count, examples }))
    }
}
