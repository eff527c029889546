//! Answers that are read page by page.

use std::sync::Arc;

use argus_connector_abi::Error;
use argus_connector_abi::author::{Cursor, Flow, Page};
use mongodb::bson::Document;
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::change_stream::ChangeStream;

use crate::errors::Teller;

type Raw = mongodb::Cursor<RawDocumentBuf>;

/// Documents of a query. The driver holds one batch, and asks for the next when that is used up.
pub(crate) struct Documents {
    cursor: Raw,
    teller: Arc<Teller>,
}

impl Documents {
    pub(crate) fn new(cursor: Raw, teller: Arc<Teller>) -> Self {
        Self { cursor, teller }
    }
}

impl Cursor for Documents {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        while page.has_room() {
            let more = self.cursor.advance().await;
            if !more.map_err(|error| self.teller.tell(&error))? {
                return Ok(Flow::Last);
            }
            page.push_json(&self.cursor.current())?;
        }
        Ok(Flow::More)
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
