//! `argus:plugin/connector`: databases, through native connectors that the operator granted.
//!
//! A cursor is read when the plugin asks, and only then: that is the back-pressure, from the server to the sandbox. It
//! is closed when the plugin drops it, and at the latest with the call.

use std::time::Duration;

use argus_connector_host::{ConnectorError, Cursor};
use wasmtime::component::Resource;

use crate::bindings::argus::plugin::connector::{Host, HostCursor, Page};
use crate::bindings::argus::plugin::types::{Error, Pair};
use crate::call::{CallState, MAX_TEXT_CHARS, readable};
use crate::kinds::reported;
use crate::secrets::disarm_bytes;

/// What a handle stands for.
pub struct OpenCursor(Cursor);

/// Cursors a call may hold.
const MAX_CURSORS: usize = 32;
/// Names and values beside a body.
const MAX_OPTIONS: usize = 64;

type Handle = Resource<OpenCursor>;
type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for CallState {
    async fn query(
        &mut self,
        connector: String,
        operation: String,
        body: Vec<u8>,
        options: Vec<Pair>,
    ) -> Answer<Handle> {
        let options_bytes: usize = options.iter().map(|o| o.name.len() + o.value.len()).sum();
        self.received(connector.len() + operation.len() + body.len() + options_bytes);
        if options.len() > MAX_OPTIONS {
            let message = format!("a query may have {MAX_OPTIONS} options");
            return Ok(Err(reported("invalid_body", message)));
        }
        if self.cursors >= MAX_CURSORS {
            let message = format!("a call may hold {MAX_CURSORS} cursors; drop those it has read");
            return Ok(Err(reported("query_failed", message)));
        }
        let granted = self.loaded.connectors.contains(&connector);
        let configured = self.services.connectors.clone();
        let opened = match configured.get(&connector).filter(|_| granted) {
            Some(opened) => opened,
            None => {
                let name = readable(&connector, 64);
                let message = format!(
                    "there is no connector {name:?} for this plugin; configure it, and list it under the plugin's \
                     `connectors`"
                );
                return Ok(Err(reported("unknown_connector", message)));
            }
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(reason) => return Ok(Err(reported("connector_failed", reason.clone()))),
        };
        let options: Vec<_> = options.into_iter().map(|o| (o.name, o.value)).collect();
        match opened
            .query(&operation, &options, body, self.patience())
            .await
        {
            Ok(cursor) => {
                let handle = self.resources.push(OpenCursor(cursor))?;
                self.cursors += 1;
                Ok(Ok(handle))
            }
            Err(error) => Ok(Err(told(&error))),
        }
    }
}

impl HostCursor for CallState {
    async fn next(
        &mut self,
        handle: Handle,
        max_documents: u32,
        max_bytes: u32,
        wait_ms: u32,
    ) -> Answer<Page> {
        let limit_bytes = self.loaded.limits.copied_bytes;
        // A page is over its bytes by at most one document; half is left for that one.
        let max_bytes = max_bytes.min(u32::try_from(limit_bytes / 2).unwrap_or(u32::MAX));
        // Beyond the call's end, so that it is the call that ends a wait which outlasts it, and not an empty page that
        // comes at the same moment.
        let most = self.remaining() + Duration::from_secs(1);
        let wait = Duration::from_millis(wait_ms.into()).min(most);
        let OpenCursor(cursor) = self.resources.get_mut(&handle)?;
        let page = match cursor.next(max_documents, max_bytes, wait).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(told(&error))),
        };
        if page.documents.len() > limit_bytes {
            let message = format!(
                "a document has {} bytes; `limits.copied_bytes` allows {limit_bytes}",
                page.documents.len()
            );
            return Ok(Err(reported("too_large", message)));
        }
        self.hand_over(page.documents.len())?;
        Ok(Ok(Page {
            documents: disarm_bytes(page.documents.to_vec()),
            count: page.count,
            last: page.last,
        }))
    }

    async fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.resources.delete(handle)?;
        self.cursors -= 1;
        Ok(())
    }
}

/// An error as the plugin sees it. It names the connector and holds no secret: connectors never see placeholders, and
/// scrub what their drivers say.
fn told(error: &ConnectorError) -> Error {
    let (code, text) = (error.code(), error.to_string());
    // The code has a place of its own, and whoever shows the error shows it.
    let message = text.strip_suffix(&format!(" ({code})"));
    Error {
        code: code.to_owned(),
        message: readable(message.unwrap_or(&text), MAX_TEXT_CHARS),
        retryable: error.retryable(),
    }
}
