//! For a connector's own tests: no daemon, no library, no C.

use std::time::{Duration, Instant};

use crate::Error;
use crate::author::{Answer, Flow, Page, Request};

/// A request with half a minute to go.
pub fn request(operation: &str, body: &serde_json::Value) -> Request {
    Request {
        operation: operation.to_owned(),
        options: Vec::new(),
        body: body.to_string().into_bytes(),
        deadline: Instant::now() + Duration::from_secs(30),
    }
}

/// Reads an answer to its end, in pages of at most `max_documents`: one element per page, its documents as they are.
///
/// # Errors
/// The cursor's.
pub async fn pages(answer: Answer, max_documents: u32) -> Result<Vec<Vec<u8>>, Error> {
    let mut pages = Vec::new();
    let Some(mut cursor) = answer.0 else {
        return Ok(pages);
    };
    loop {
        let filled = cursor.fill_page(Page::new(max_documents, u32::MAX)).await;
        let mut page = filled.page;
        while !page.is_empty() {
            pages.push(page.take(max_documents, u32::MAX).0);
        }
        cursor = filled.cursor;
        if filled.flow? == Flow::Last {
            return Ok(pages);
        }
    }
}

/// Reads the first `count` documents of an answer that need not end, one after the other.
///
/// # Errors
/// The cursor's.
pub async fn first(answer: Answer, count: usize) -> Result<Vec<u8>, Error> {
    let mut documents = Vec::new();
    let Some(mut cursor) = answer.0 else {
        return Ok(documents);
    };
    let mut left = u32::try_from(count).unwrap_or(u32::MAX);
    while left > 0 {
        let filled = cursor.fill_page(Page::new(left, u32::MAX)).await;
        let mut page = filled.page;
        let (bytes, taken) = page.take(left, u32::MAX);
        documents.extend(bytes);
        left -= taken;
        cursor = filled.cursor;
        if filled.flow? == Flow::Last {
            break;
        }
    }
    Ok(documents)
}
