//! What asking costs, for people: run with `--nocapture`.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::time::Instant;

use serde_json::json;

use crate::support::{PATIENCE, memory, query};

#[tokio::test]
async fn of_a_request_and_of_a_document() {
    const REQUESTS: u32 = 500;
    const DOCUMENTS: u32 = 500_000;
    let memory = memory().await;
    let started = Instant::now();
    for _ in 0..REQUESTS {
        query(&memory, "check", json!(null))
            .await
            .expect("an answer");
    }
    let request = started.elapsed() / REQUESTS;
    let mut cursor = query(&memory, "find", json!({ "count": DOCUMENTS }))
        .await
        .expect("an answer");
    let started = Instant::now();
    let (mut documents, mut pages, mut bytes) = (0, 0, 0);
    loop {
        let page = cursor.next(5_000, 1 << 20, PATIENCE).await.expect("a page");
        (documents, pages, bytes) = (
            documents + page.count,
            pages + 1,
            bytes + page.documents.len(),
        );
        if page.last {
            break;
        }
    }
    let took = started.elapsed();
    let rate = f64::from(documents) / took.as_secs_f64();
    println!(
        "a request {request:?}; {documents} documents ({bytes} bytes) in {pages} pages: {rate:.0} documents/s"
    );
    assert_eq!(documents, DOCUMENTS);
    // Generous, for a debug build on a busy machine: a request is two hops between threads.
    assert!(request.as_millis() < 20, "{request:?}");
}
