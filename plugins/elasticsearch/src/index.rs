//! An index as a collection of documents.

use argus_documents::{Collection, Document, Paging, Span, Strays};
use argus_plugin::{Error, Host};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which documents, at which connector.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) connector: String,
    pub(crate) index: String,
    pub(crate) time: String,
    pub(crate) tiebreaker: Option<String>,
    pub(crate) query: Option<Value>,
    /// Fields to send.
    pub(crate) paths: Vec<String>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source", default)]
    source: Value,
    #[serde(default)]
    sort: Vec<Value>,
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

    fn document(&self, line: &[u8]) -> Result<Document, Error> {
        let Hit {
            index,
            id,
            source,
            sort,
        } = serde_json::from_slice(line)?;
        let id = format!("{index}/{id}");
        let Some(time_ms) = sort.first().and_then(Value::as_i64) else {
            let message = format!(
                "document `{id}` was not sorted by `{}`: its mapping must be a date",
                self.time
            );
            return Err(Error::new("query_failed", message));
        };
        let tie = self
            .tiebreaker
            .as_ref()
            .and(sort.get(1))
            .map(Value::to_string);
        Ok(Document {
            id,
            time_ms,
            tie,
            body: source,
        })
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
        take: &mut dyn FnMut(Document) -> bool,
    ) -> Result<bool, Error> {
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
            "source": self.paths,
            "limit": span.limit,
        });
        let cursor = host.query(&self.connector, "search", body.to_string(), &[])?;
        Paging::lines(host, span, &cursor, |line| Ok(take(self.document(line)?)))
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
            let hits: Vec<Hit> = cursor.next(EXAMPLES, 1 << 20, u32::MAX)?.json()?;
            examples.extend(
                hits.into_iter()
                    .map(|hit| format!("{}/{}", hit.index, hit.id)),
            );
        }
        Ok(Some(Strays { count, examples }))
    }
}
