//! Documents a second of the driver's own cursor and of this connector's, over one collection in the order of time and
//! `_id`: `cargo run --release -p argus-connector-mongodb --example mongodb_cursors -- URI DATABASE COLLECTION TIME_FIELD`.
#![expect(clippy::print_stdout, reason = "figures are for people")]

use std::error::Error;
use std::time::Instant;

use argus_connector_abi::Settings;
use argus_connector_abi::author::{Connector, Log, testing};
use argus_connector_mongodb::MongoDb;
use mongodb::Client;
use mongodb::bson::doc;
use mongodb::bson::raw::RawDocumentBuf;
use serde_json::json;

const BATCH: u32 = 5000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [uri, database, collection, time] = arguments.as_slice() else {
        return Err("usage: cursors URI DATABASE COLLECTION TIME_FIELD".into());
    };
    for _ in 0..3 {
        let began = Instant::now();
        let count = plain(uri, database, collection, time).await?;
        let per_sec = f64::from(count) / began.elapsed().as_secs_f64();
        println!("driver's cursor: {count} documents, {per_sec:.0} a second");
        let began = Instant::now();
        let count = ours(uri, database, collection, time).await?;
        let per_sec = f64::from(count) / began.elapsed().as_secs_f64();
        println!("connector's cursor: {count} documents, {per_sec:.0} a second");
    }
    Ok(())
}

async fn plain(
    uri: &str,
    database: &str,
    collection: &str,
    time: &str,
) -> Result<u32, Box<dyn Error>> {
    let client = Client::with_uri_str(uri).await?;
    let collection = client
        .database(database)
        .collection::<RawDocumentBuf>(collection);
    let all = collection
        .find(doc! {})
        .sort(doc! { time: 1, "_id": 1 })
        .batch_size(BATCH);
    let (mut cursor, mut count) = (all.await?, 0);
    while cursor.advance().await? {
        count += 1;
    }
    Ok(count)
}

async fn ours(
    uri: &str,
    database: &str,
    collection: &str,
    time: &str,
) -> Result<u32, Box<dyn Error>> {
    let settings = Settings {
        name: "cursors".to_owned(),
        config: serde_json::from_value(json!({ "uri": uri, "database": database }))?,
        secrets: argus_connector_abi::Secrets::default(),
    };
    let connector = MongoDb::open(settings, Log::silent()).await?;
    let find = json!({ "collection": collection, "sort": [{ time: 1 }, { "_id": 1 }] });
    let answer = connector.query(testing::request("find", &find)).await?;
    let mut count = 0;
    for page in testing::pages(answer, 1000).await? {
        let lines = page.split(|byte| *byte == b'\n');
        count += u32::try_from(lines.filter(|line| !line.is_empty()).count())?;
    }
    Ok(count)
}
