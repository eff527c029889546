//! The connector against real servers of MongoDB's protocol.
#![expect(clippy::print_stdout, reason = "what a test leaves out is said")]

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use argus_connector_abi::author::testing::{self, pages, request};
use argus_connector_abi::author::{Answer, Connector, Log};
use argus_connector_abi::{Error, Secrets, Settings};
use argus_connector_mongodb::{Config, MongoDb};
use argus_test_servers::{Options, Product, Server, Tls, start_all};
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

const DATABASE: &str = "metrics";

async fn open(config: Value, secrets: &[(&str, &str)]) -> Result<MongoDb, Error> {
    let config: Config = serde_json::from_value(config).expect("known keys");
    let secrets = secrets
        .iter()
        .map(|(name, secret)| ((*name).to_owned(), (*secret).to_owned()));
    let settings = Settings {
        name: "metrics".to_owned(),
        config,
        secrets: secrets.collect::<Secrets>(),
    };
    MongoDb::open(settings, Log::silent()).await
}

async fn connector(server: &Server) -> anyhow::Result<MongoDb> {
    let config = json!({ "uri": server.url(), "database": DATABASE });
    Ok(open(config, &[]).await?)
}

async fn ask(connector: &MongoDb, operation: &str, body: Value) -> Result<Vec<Value>, Error> {
    let answer: Answer = connector.query(request(operation, &body)).await?;
    let pages = pages(answer, 100).await?.concat();
    let lines = pages
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect())
}

/// A collection of this run's own, gone from the reader's server afterwards as far as a test ends well.
async fn fill(
    server: &Server,
    name: &str,
    documents: Vec<Document>,
) -> anyhow::Result<mongodb::Collection<Document>> {
    let client = Client::with_uri_str(server.url()).await?;
    let collection = client.database(DATABASE).collection(name);
    // What an earlier run left on a server of the reader's own. (mongo-java-server cannot drop what is not there.)
    collection.delete_many(doc! {}).await?;
    if !documents.is_empty() {
        collection.insert_many(documents).await?;
    }
    Ok(collection)
}

fn date(ms: i64) -> Bson {
    Bson::DateTime(mongodb::bson::DateTime::from_millis(ms))
}

#[tokio::test]
async fn finds_pages_and_aggregates() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let of = server.name();
        let documents = (0..2500_i32).map(
            |n| doc! { "_id": n, "t": date(1000 * i64::from(n / 10)), "load": f64::from(n) / 4.0 },
        );
        fill(&server, "argus_finds", documents.collect()).await?;
        let connector = connector(&server).await?;
        let checked = ask(&connector, "check", json!({ "collection": "argus_finds" })).await?;
        println!("{of}: {}", checked[0]);

        let body = json!({
            "collection": "argus_finds", "filter": { "t": { "$gte": { "$date": { "$numberLong": "7000" } } } },
            "sort": [{ "t": 1 }, { "_id": -1 }], "projection": { "load": 1, "t": 1 }, "limit": 2000,
        });
        let found = ask(&connector, "find", body).await?;
        assert_eq!(found.len(), 2000, "{of}");
        assert_eq!(found[0]["_id"], 79, "{of}: descending among equal times");
        assert_eq!(found[9]["_id"], 70, "{of}");
        assert_eq!(found[0]["load"].as_f64(), Some(19.75), "{of}");
        let t = &found[0]["t"]["$date"];
        assert!(
            *t == "1970-01-01T00:00:07Z" || t["$numberLong"] == "7000",
            "{of}: {t}"
        );

        let pipeline = json!([
            { "$match": { "t": { "$lt": { "$date": { "$numberLong": "100000" } } } } },
            { "$group": {
                "_id": { "$floor": { "$divide": [{ "$subtract": ["$t", { "$date": { "$numberLong": "0" } }] }, 30000] } },
                "count": { "$sum": 1 },
            } },
        ]);
        let groups = ask(
            &connector,
            "aggregate",
            json!({ "collection": "argus_finds", "pipeline": pipeline }),
        )
        .await?;
        let mut counts: Vec<(i64, i64)> = groups
            .iter()
            .filter_map(|group| Some((group["_id"].as_f64()? as i64, group["count"].as_i64()?)))
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [(0, 300), (1, 300), (2, 300), (3, 100)], "{of}");
    }
    Ok(())
}

#[tokio::test]
async fn ids_of_all_types_are_passed_once_in_one_order() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let of = server.name();
        let ids: Vec<Bson> = vec![
            Bson::Int32(7),
            Bson::Int64(1 << 60),
            Bson::Double(7.5),
            "seven".into(),
            doc! { "b": 1, "a": 2 }.into(),
            doc! { "b": 1, "a": 3 }.into(),
            Bson::ObjectId(mongodb::bson::oid::ObjectId::new()),
            true.into(),
            date(7),
        ];
        let documents = ids
            .iter()
            .map(|id| doc! { "_id": id.clone(), "t": date(1000) });
        fill(&server, "argus_ids", documents.collect()).await?;
        let connector = connector(&server).await?;
        let find = |filter: Value| json!({ "collection": "argus_ids", "filter": filter, "sort": [{ "_id": 1 }] });
        let all = ask(&connector, "find", find(json!({}))).await?;
        assert_eq!(all.len(), ids.len(), "{of}");
        // What is read can be asked for again, by what was read.
        for document in &all {
            let same = ask(&connector, "find", find(json!({ "_id": document["_id"] }))).await?;
            assert_eq!(same.len(), 1, "{of}: {document}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_writes_is_refused_and_what_is_wrong_is_named() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let of = server.name();
        fill(&server, "argus_reads", vec![doc! { "a": 1 }]).await?;
        let connector = connector(&server).await?;
        let cases = [
            (
                "aggregate",
                json!({ "collection": "argus_reads", "pipeline": [{ "$out": "elsewhere" }] }),
                "access_denied",
                "$out",
            ),
            (
                "find",
                json!({ "collection": "argus_reads", "fitler": {} }),
                "invalid_body",
                "fitler",
            ),
            (
                "find",
                json!({ "filter": {} }),
                "invalid_body",
                "collection",
            ),
            (
                "find",
                json!({ "collection": "argus_reads", "filter": { "$bogus": 1 } }),
                "query_failed",
                "$bogus",
            ),
            (
                "check",
                json!({ "collection": "argus_absent" }),
                "not_found",
                "no collection `argus_absent` in database `metrics`",
            ),
            (
                "drop",
                json!({ "collection": "argus_reads" }),
                "unknown_operation",
                "there are: check, find",
            ),
        ];
        for (operation, body, code, fragment) in cases {
            let error = ask(&connector, operation, body).await.expect_err("refused");
            assert_eq!(error.code, code, "{of}: {error}");
            assert!(error.message.contains(fragment), "{of}: {error}");
        }
        let left = ask(&connector, "find", json!({ "collection": "argus_reads" })).await?;
        assert_eq!(left.len(), 1, "{of}: nothing was written");
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_server_is_told_and_found_again() -> anyhow::Result<()> {
    for mut server in start_all(Product::MONGODB, &Options::default())? {
        if server.product().is_none() {
            println!("{} is left running", server.name());
            continue;
        }
        fill(
            &server,
            "argus_lost",
            (0..5000).map(|n| doc! { "_id": n }).collect(),
        )
        .await?;
        let config = json!({ "uri": server.url(), "database": DATABASE, "server_selection_timeout_secs": 2 });
        let connector = open(config, &[]).await?;
        let all = json!({ "collection": "argus_lost", "batch_size": 100 });
        let answer = connector.query(request("find", &all)).await?;
        server.kill()?;
        let error = pages(answer, 100).await.expect_err("the rest is lost");
        assert!(error.retryable, "{}: {error}", server.name());
        let error = ask(&connector, "find", all.clone())
            .await
            .expect_err("nobody is there");
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("connect_failed", true),
            "{error}"
        );
        server.restart()?;
        let found = ask(&connector, "find", all).await?;
        assert_eq!(found.len(), 5000, "{}", server.name());
    }
    Ok(())
}

#[tokio::test]
async fn logging_in_and_least_rights() -> anyhow::Result<()> {
    let password = "s3cret/pass%word";
    let options = Options {
        password: Some(password.to_owned()),
        ..Options::default()
    };
    for server in start_all(&[Product::SecantusDb], &options)? {
        if server.product().is_none() {
            continue;
        }
        let host = server
            .url()
            .trim_start_matches("mongodb://")
            .trim_end_matches('/');
        let config =
            |user: &str| json!({ "hosts": [host], "database": DATABASE, "username": user });
        let admin = open(config("admin"), &[("password", password)]).await?;
        ask(&admin, "check", json!({})).await?;
        // The reader may read, here and nowhere else.
        let reader = open(config("reader"), &[("password", password)]).await?;
        assert_eq!(
            ask(&reader, "find", json!({ "collection": "m" }))
                .await?
                .len(),
            0
        );
        let elsewhere = json!({ "collection": "m", "database": "payroll" });
        let error = ask(&reader, "find", elsewhere)
            .await
            .expect_err("not allowed");
        assert_eq!(error.code, "access_denied", "{error}");

        let wrong = open(config("admin"), &[("password", "wrong-pass-word")]).await?;
        let error = ask(&wrong, "check", json!({}))
            .await
            .expect_err("wrong password");
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("access_denied", false),
            "{error}"
        );
        assert!(
            error.message.contains(host) && !error.message.contains("wrong-pass-word"),
            "{error}"
        );
        let nobody = open(json!({ "hosts": [host], "database": DATABASE }), &[]).await?;
        let error = ask(&nobody, "find", json!({ "collection": "m" }))
            .await
            .expect_err("no login");
        assert_eq!(error.code, "access_denied", "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn tls_is_verified() -> anyhow::Result<()> {
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let tls = Tls {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    };
    let folder = tempfile::tempdir()?;
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &tls.certificate)?;
    let options = Options {
        tls: Some(tls),
        ..Options::default()
    };
    for server in start_all(Product::MONGODB, &options)? {
        if server.product().is_none() {
            continue;
        }
        let of = server.name();
        let host = server
            .url()
            .trim_start_matches("mongodb://")
            .split('/')
            .next()
            .context("a host")?;
        let open = |tls: Value| {
            open(
                json!({ "hosts": [host], "database": DATABASE, "tls": tls, "server_selection_timeout_secs": 3 }),
                &[],
            )
        };
        ask(
            &open(json!({ "ca_file": ca_file })).await?,
            "check",
            json!({}),
        )
        .await?;
        let error = ask(&open(json!({})).await?, "check", json!({}))
            .await
            .expect_err("an unknown root");
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("tls_failed", false),
            "{of}: {error}"
        );
        assert!(error.message.contains("certificate"), "{of}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn changes_are_tailed_where_the_server_has_them() -> anyhow::Result<()> {
    for server in start_all(Product::MONGODB, &Options::default())? {
        let of = server.name();
        let collection = fill(&server, "argus_tail", vec![doc! { "_id": 0 }]).await?;
        let connector = connector(&server).await?;
        let tail = json!({ "collection": "argus_tail" });
        let begun = connector.query(request("tail", &tail)).await;
        if server.product() == Some(Product::MongoJavaServer) {
            let error = begun.err().context("it has no change streams")?;
            assert_eq!(error.code, "unsupported", "{error}");
            assert!(
                error.message.contains("page through it with `find`"),
                "{error}"
            );
            continue;
        }
        collection
            .insert_many((1..=50).map(|n| doc! { "_id": n }))
            .await?;
        let events = first(begun?, 50).await?;
        let ids: Vec<_> = events
            .iter()
            .map(|event| event["fullDocument"]["_id"].as_i64())
            .collect();
        assert_eq!(ids, (1..=50).map(Some).collect::<Vec<_>>(), "{of}");
        // An event names the place to go on after.
        let resumed = json!({ "collection": "argus_tail", "resume_after": events[29]["_id"] });
        let again = first(connector.query(request("tail", &resumed)).await?, 20).await?;
        assert_eq!(again[0]["fullDocument"]["_id"], 31, "{of}");

        let client = Client::with_uri_str(server.url()).await?;
        let database = client.database(DATABASE);
        database
            .collection::<Document>("argus_capped")
            .drop()
            .await?;
        database
            .create_collection("argus_capped")
            .capped(true)
            .size(1 << 20)
            .await?;
        let capped = database.collection("argus_capped");
        capped
            .insert_many((1..=5).map(|n| doc! { "_id": n }))
            .await?;
        let tail = json!({ "collection": "argus_capped", "mode": "tailable_cursor" });
        let begun = connector.query(request("tail", &tail)).await?;
        capped.insert_one(doc! { "_id": 6 }).await?;
        let events = first(begun, 6).await?;
        assert_eq!(events[5]["fullDocument"]["_id"], 6, "{of}");
        let resumed = json!({
            "collection": "argus_capped", "mode": "tailable_cursor", "resume_after": events[2]["_id"],
        });
        let again = first(connector.query(request("tail", &resumed)).await?, 3).await?;
        assert_eq!(again[0]["fullDocument"]["_id"], 4, "{of}");
    }
    Ok(())
}

/// The first documents of an answer that does not end.
async fn first(answer: Answer, count: usize) -> anyhow::Result<Vec<Value>> {
    let bytes =
        tokio::time::timeout(Duration::from_secs(60), testing::first(answer, count)).await??;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn who_cannot_be_reached_is_named() -> anyhow::Result<()> {
    let closed = format!("127.0.0.1:{}", argus_test_servers::free_port()?);
    for host in ["db.argus-test.invalid:27017", closed.as_str()] {
        let config =
            json!({ "hosts": [host], "database": DATABASE, "server_selection_timeout_secs": 1 });
        let error = ask(&open(config, &[]).await?, "check", json!({}))
            .await
            .expect_err("nobody is there");
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("connect_failed", true),
            "{error}"
        );
        assert!(error.message.contains(host), "{error}");
    }
    assert!(
        !Path::new("secantus-data").exists(),
        "servers leave nothing behind in the working folder"
    );
    Ok(())
}
