//! Answers that are read page by page.

use std::sync::Arc;

use argus_connector_abi::Error;
use argus_connector_abi::author::{Cursor, Flow, Lines, Page};
use mongodb::bson::Document;
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::change_stream::ChangeStream;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::task::AbortHandle;

use crate::errors::Teller;

type Raw = mongodb::Cursor<RawDocumentBuf>;

/// Documents of a query. While some are read, the next ones are fetched; how many wait is bounded.
pub(crate) struct Documents {
    coming: mpsc::Receiver<Result<Lines, Error>>,
    at_hand: Lines,
    fetching: AbortHandle,
}

/// Documents that are handed over at once, and fewer where they come to so many bytes; one such portion waits while
/// another is read.
const PORTION: usize = 500;
const PORTION_BYTES: usize = 1 << 20;

impl Documents {
    pub(crate) fn new(cursor: Raw, teller: Arc<Teller>) -> Self {
        let (portions, coming) = mpsc::channel(1);
        Self {
            coming,
            at_hand: Lines::default(),
            fetching: tokio::spawn(fetch(cursor, teller, portions)).abort_handle(),
        }
    }
}

async fn fetch(mut cursor: Raw, teller: Arc<Teller>, portions: mpsc::Sender<Result<Lines, Error>>) {
    let mut lines = Lines::default();
    let end = loop {
        match cursor.advance().await {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(teller.tell(&error)),
        }
        if let Err(error) = lines.push_json(&cursor.current()) {
            break Some(error);
        }
        let is_enough = lines.len() >= PORTION || lines.bytes() >= PORTION_BYTES;
        // Nobody is there any more if it cannot be sent.
        if is_enough && portions.send(Ok(std::mem::take(&mut lines))).await.is_err() {
            return;
        }
    };
    let _ = portions.send(Ok(lines)).await;
    if let Some(error) = end {
        let _ = portions.send(Err(error)).await;
    }
}

impl Cursor for Documents {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        while page.has_room() {
            if let Some(line) = self.at_hand.take() {
                page.push_line(line);
                continue;
            }
            // What is there already need not wait for more.
            let portion = match self.coming.try_recv() {
                Err(TryRecvError::Empty) if page.documents() > 0 => return Ok(Flow::More),
                Err(_) => self.coming.recv().await,
                Ok(portion) => Some(portion),
            };
            match portion {
                Some(lines) => self.at_hand = lines?,
                None => return Ok(Flow::Last),
            }
        }
        Ok(Flow::More)
    }
}

impl Drop for Documents {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

/// Events of a change stream, as the server sends them: `_id` is what goes on after, `fullDocument` what was inserted.
pub(crate) struct Changes {
    stream: ChangeStream<Document>,
    teller: Arc<Teller>,
}

impl Changes {
    pub(crate) fn new(stream: ChangeStream<Document>, teller: Arc<Teller>) -> Self {
        Self { stream, teller }
    }
}

impl Cursor for Changes {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        while page.has_room() {
            let event = self.stream.next_if_any().await;
            match event.map_err(|error| self.teller.tell(&error))? {
                Some(event) => page.push_json(&event)?,
                None if self.stream.is_alive() => return Ok(Flow::More),
                None => return Ok(Flow::Last),
            }
        }
        Ok(Flow::More)
    }
}

/// Documents of a capped collection, in the shape of a change stream's events.
pub(crate) struct Tailed {
    cursor: Raw,
    teller: Arc<Teller>,
}

impl Tailed {
    pub(crate) fn new(cursor: Raw, teller: Arc<Teller>) -> Self {
        Self { cursor, teller }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Insertion<'a> {
    #[serde(rename = "_id")]
    token: Token<'a>,
    operation_type: &'static str,
    full_document: &'a mongodb::bson::raw::RawDocument,
}

/// What goes on after this document.
#[derive(serde::Serialize)]
struct Token<'a> {
    #[serde(rename = "_id")]
    id: Option<mongodb::bson::raw::RawBsonRef<'a>>,
}

impl Cursor for Tailed {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        // One at a time: whether the next is at hand cannot be seen, and waiting for it would hold this one back.
        let more = self.cursor.advance().await;
        if !more.map_err(|error| self.teller.tell(&error))? {
            return Ok(Flow::Last);
        }
        let document = self.cursor.current();
        let id = document.get("_id").ok().flatten();
        page.push_json(&Insertion {
            token: Token { id },
            operation_type: "insert",
            full_document: document,
        })?;
        Ok(Flow::More)
    }
}
