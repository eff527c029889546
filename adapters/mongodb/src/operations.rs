//! What can be asked for.

use std::time::{Duration, Instant};

use argus_connector_abi::Error;
use argus_connector_abi::author::Answer;
use mongodb::Database;
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{ChangeStreamOptions, CursorType};
use serde::Deserialize;
use serde_json::json;

use crate::MongoDb;
use crate::cursors::{Changes, Documents, Tailed};
use crate::errors::{ACCESS, UNSUPPORTED};

/// Documents of a batch; the server sends at most 16 MiB however many they are.
const BATCH_SIZE: u32 = 1000;
/// How long the server holds back an answer without news.
const AWAIT: Duration = Duration::from_millis(250);
/// Stages that write, which only the last of a pipeline can be.
const WRITING: [&str; 2] = ["$out", "$merge"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    database: Option<String>,
    collection: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    database: Option<String>,
    collection: String,
    #[serde(default)]
    filter: Document,
    projection: Option<Document>,
    /// One field each, the first first: the fields of one JSON object have no order.
    #[serde(default)]
    sort: Vec<Document>,
    limit: Option<i64>,
    skip: Option<u64>,
    batch_size: Option<u32>,
    max_time_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aggregate {
    database: Option<String>,
    collection: String,
    pipeline: Vec<Document>,
    batch_size: Option<u32>,
    max_time_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tail {
    database: Option<String>,
    collection: String,
    /// Stages over the events.
    #[serde(default)]
    pipeline: Vec<Document>,
    /// `_id` of the event to go on after.
    resume_after: Option<Document>,
    #[serde(default)]
    mode: TailMode,
    batch_size: Option<u32>,
}

/// How changes are learnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TailMode {
    /// A change stream where the server has them, else a tailable cursor where the collection is capped.
    #[default]
    Auto,
    ChangeStream,
    TailableCursor,
}

impl MongoDb {
    /// Logs in, and reads from the collection if one is named.
    pub(crate) async fn check(&self, check: Check) -> Result<Answer, Error> {
        let told = |error: DriverError| self.teller.tell(&error);
        let admin = self.client.database("admin");
        // Servers from before 4.4 know it by its old name only.
        let hello = match admin.run_command(doc! { "hello": 1 }).await {
            Err(error) if told(error.clone()).code == UNSUPPORTED => {
                admin.run_command(doc! { "isMaster": 1 }).await
            }
            answered => answered,
        };
        let hello = hello.map_err(told)?;
        let version = match admin.run_command(doc! { "buildInfo": 1 }).await {
            Ok(build) => build.get_str("version").ok().map(str::to_owned),
            // Some deployments keep it to themselves.
            Err(_) => None,
        };
        if let Some(name) = &check.collection {
            let database = self.database(check.database.as_deref())?;
            if self.is_capped(&database, name).await?.is_none() {
                let message = format!(
                    "{}: there is no collection `{name}` in database `{}`",
                    self.teller.hosts(),
                    database.name()
                );
                return Err(Error::new("not_found", message));
            }
            let collection = database.collection::<RawDocumentBuf>(name);
            // Whether it may be read; without a condition, some servers would fetch the whole collection for it.
            collection
                .find_one(doc! { "_id": "" })
                .await
                .map_err(told)?;
        }
        Answer::json(&json!({ "version": version, "replica_set": hello.get_str("setName").ok() }))
    }

    /// Whether a collection is capped; none if there is no such collection.
    async fn is_capped(&self, database: &Database, name: &str) -> Result<Option<bool>, Error> {
        let told = |error: DriverError| self.teller.tell(&error);
        let found = database
            .list_collections()
            .filter(doc! { "name": name })
            .await;
        let mut found = found.map_err(told)?;
        // Not every server heeds the filter.
        while found.advance().await.map_err(told)? {
            let of = found.current();
            if of.get_str("name").is_ok_and(|found| found == name) {
                let options = of.get_document("options");
                return Ok(Some(
                    options.is_ok_and(|options| options.get_bool("capped").unwrap_or(false)),
                ));
            }
        }
        Ok(None)
    }

    pub(crate) async fn find(&self, find: Find, deadline: Instant) -> Result<Answer, Error> {
        let database = self.database(find.database.as_deref())?;
        let collection = database.collection::<RawDocumentBuf>(&find.collection);
        let mut action = collection
            .find(find.filter)
            .batch_size(find.batch_size.unwrap_or(BATCH_SIZE))
            .max_time(time_left(find.max_time_ms, deadline));
        if let Some(projection) = find.projection {
            action = action.projection(projection);
        }
        if !find.sort.is_empty() {
            action = action.sort(find.sort.into_iter().flatten().collect::<Document>());
        }
        if let Some(limit) = find.limit {
            action = action.limit(limit);
        }
        if let Some(skip) = find.skip {
            action = action.skip(skip);
        }
        let cursor = action.await.map_err(|error| self.teller.tell(&error))?;
        Ok(Answer::cursor(Documents::new(cursor, self.teller.clone())))
    }

    pub(crate) async fn aggregate(
        &self,
        aggregate: Aggregate,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        refuse_writing(&aggregate.pipeline)?;
        let database = self.database(aggregate.database.as_deref())?;
        let cursor = database
            .collection::<RawDocumentBuf>(&aggregate.collection)
            .aggregate(aggregate.pipeline)
            .with_type::<RawDocumentBuf>()
            .batch_size(aggregate.batch_size.unwrap_or(BATCH_SIZE))
            .max_time(time_left(aggregate.max_time_ms, deadline))
            .await
            .map_err(|error| self.teller.tell(&error))?;
        Ok(Answer::cursor(Documents::new(cursor, self.teller.clone())))
    }

    pub(crate) async fn tail(&self, tail: Tail) -> Result<Answer, Error> {
        let without = match tail.mode {
            TailMode::TailableCursor => None,
            mode => match self.changes(&tail).await {
                // Servers say in many ways that they do not have them; what passes, and what is forbidden, is no such way.
                Err(error)
                    if mode == TailMode::Auto && !error.retryable && error.code != ACCESS =>
                {
                    Some(error.message)
                }
                other => return other,
            },
        };
        if let Some(reason) = &without {
            self.log
                .info(format!("no change streams, so a tailable cursor: {reason}"));
        }
        self.tailable(&tail, without).await
    }

    async fn changes(&self, tail: &Tail) -> Result<Answer, Error> {
        refuse_writing(&tail.pipeline)?;
        let database = self.database(tail.database.as_deref())?;
        let mut options = ChangeStreamOptions::default();
        options.max_await_time = Some(AWAIT);
        options.batch_size = Some(tail.batch_size.unwrap_or(BATCH_SIZE));
        if let Some(token) = &tail.resume_after {
            let token =
                mongodb::bson::deserialize_from_document(token.clone()).map_err(|error| {
                    Error::new("invalid_body", format_args!("`resume_after`: {error}"))
                })?;
            options.resume_after = Some(token);
        }
        let stream = database
            .collection::<Document>(&tail.collection)
            .watch()
            .pipeline(tail.pipeline.clone())
            .with_options(options)
            .await
            .map_err(|error| self.teller.tell(&error))?;
        let stream = stream.with_type::<Document>();
        Ok(Answer::cursor(Changes::new(stream, self.teller.clone())))
    }

    async fn tailable(&self, tail: &Tail, without: Option<String>) -> Result<Answer, Error> {
        let told = |error: DriverError| self.teller.tell(&error);
        let database = self.database(tail.database.as_deref())?;
        let name = &tail.collection;
        if self.is_capped(&database, name).await? != Some(true) {
            let without = without
                .map(|reason| format!(" ({reason})"))
                .unwrap_or_default();
            let message = format!(
                "{}: changes of `{name}` cannot be tailed: there is no change stream{without}, and the collection is \
                 not capped; page through it with `find` by time and `_id`",
                self.teller.hosts()
            );
            return Err(Error::new(UNSUPPORTED, message));
        }
        // A capped collection's own order is that of arrival; there is no token, so going on means by `_id`.
        let filter = match tail
            .resume_after
            .as_ref()
            .and_then(|event| event.get("_id"))
        {
            Some(id) => doc! { "_id": { "$gt": Bson::clone(id) } },
            None => doc! {},
        };
        let cursor = database
            .collection::<RawDocumentBuf>(name)
            .find(filter)
            .cursor_type(CursorType::TailableAwait)
            .max_await_time(AWAIT)
            .batch_size(tail.batch_size.unwrap_or(BATCH_SIZE))
            .await
            .map_err(told)?;
        Ok(Answer::cursor(Tailed::new(cursor, self.teller.clone())))
    }
}

/// The server gives up when nobody waits for its answer any more.
fn time_left(wanted_ms: Option<u64>, deadline: Instant) -> Duration {
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1));
    wanted_ms.map_or(left, |ms| left.min(Duration::from_millis(ms)))
}

fn refuse_writing(pipeline: &[Document]) -> Result<(), Error> {
    let mut stages = pipeline.iter().flat_map(Document::keys);
    match stages.find(|stage| WRITING.contains(&stage.as_str())) {
        None => Ok(()),
        Some(stage) => {
            let message = format!("`{stage}` writes, and this connector only reads");
            Err(Error::new("access_denied", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_that_write_are_refused() {
        for stage in WRITING {
            let pipeline = [doc! { "$match": {} }, doc! { stage: "elsewhere" }];
            let error = refuse_writing(&pipeline).expect_err("it writes");
            assert_eq!(error.code, "access_denied");
        }
        refuse_writing(&[doc! { "$group": { "_id": "$out" } }]).expect("only a name");
    }

    #[test]
    fn bodies_are_extended_json() {
        let body = r#"{"collection":"m","filter":{"t":{"$gte":{"$date":"2026-02-03T04:05:06Z"}},
                       "_id":{"$gt":{"$oid":"65a0b1c2d3e4f5a6b7c8d9e0"}},"n":{"$in":[1,2.5,"x"]}},"sort":[{"t":1},{"_id":1}]}"#;
        let find: Find = serde_json::from_str(body).expect("a body");
        let from = find
            .filter
            .get_document("t")
            .and_then(|t| t.get_datetime("$gte").copied());
        assert_eq!(
            from.map(|t| t.timestamp_millis()).ok(),
            Some(1_770_091_506_000)
        );
        let id = find
            .filter
            .get_document("_id")
            .and_then(|id| id.get_object_id("$gt"));
        assert!(id.is_ok());
        let sort: Vec<_> = find
            .sort
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(sort, ["t", "_id"]);
        serde_json::from_str::<Find>(r#"{"collection":"m","fitler":{}}"#).expect_err("misspelt");
    }
}
