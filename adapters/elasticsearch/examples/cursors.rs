//! Documents a second of the client's own cursor (scroll, as its documentation shows it) and of this connector's, over
//! one index: `cargo run --release -p argus-connector-elasticsearch --example cursors -- URL INDEX TIME_FIELD`.
#![expect(clippy::print_stdout, reason = "figures are for people")]

use std::error::Error;
use std::time::Instant;

use argus_connector_abi::Settings;
use argus_connector_abi::author::{Connector, Log, testing};
use argus_connector_elasticsearch::Elasticsearch;
use elasticsearch::http::Method;
use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::transport::Transport;
use serde_json::{Value, json};

const BATCH: u32 = 5000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, index, time] = arguments.as_slice() else {
        return Err("usage: cursors URL INDEX TIME_FIELD".into());
    };
    for _ in 0..3 {
        let began = Instant::now();
        let count = plain(url, index, time).await?;
        let per_sec = f64::from(count) / began.elapsed().as_secs_f64();
        println!("client's cursor: {count} documents, {per_sec:.0} a second");
        let began = Instant::now();
        let count = ours(url, index, time).await?;
        let per_sec = f64::from(count) / began.elapsed().as_secs_f64();
        println!("connector's cursor: {count} documents, {per_sec:.0} a second");
    }
    Ok(())
}

async fn plain(url: &str, index: &str, time: &str) -> Result<u32, Box<dyn Error>> {
    let client = Transport::single_node(url)?;
    let send = async |path: &str, body: Value| -> Result<Value, Box<dyn Error>> {
        let (headers, query, body) = (HeaderMap::new(), None::<&()>, Some(body.to_string()));
        let answer = client.send(Method::Post, path, headers, query, body, None);
        Ok(answer.await?.json().await?)
    };
    let search = json!({ "size": BATCH, "sort": [{ time: "asc" }] });
    let mut answer = send(&format!("/{index}/_search?scroll=1m"), search).await?;
    let mut count = 0;
    loop {
        let hits = answer["hits"]["hits"].as_array().ok_or("no hits")?;
        if hits.is_empty() {
            return Ok(count);
        }
        count += u32::try_from(hits.len())?;
        let next = json!({ "scroll": "1m", "scroll_id": answer["_scroll_id"] });
        answer = send("/_search/scroll", next).await?;
    }
}

async fn ours(url: &str, index: &str, time: &str) -> Result<u32, Box<dyn Error>> {
    let settings = Settings {
        name: "cursors".to_owned(),
        config: serde_json::from_value(json!({ "urls": [url] }))?,
        secrets: argus_connector_abi::Secrets::default(),
    };
    let connector = Elasticsearch::open(settings, Log::silent()).await?;
    let search = json!({ "index": index, "sort": [{ time: "asc" }] });
    let answer = connector.query(testing::request("search", &search)).await?;
    let mut count = 0;
    for page in testing::pages(answer, 1000).await? {
        let lines = page.split(|byte| *byte == b'\n');
        count += u32::try_from(lines.filter(|line| !line.is_empty()).count())?;
    }
    Ok(count)
}
