//! An answer that is read page by page.

use std::sync::Arc;
use std::time::Duration;

use argus_connector_abi::{Next, OwnedBuffer};

use crate::connector::Connector;
use crate::errors::ConnectorError;

/// Some documents of an answer, in memory of the connector.
#[derive(Debug)]
pub struct Page {
    /// The documents, one after the other, in the connector's format.
    pub documents: OwnedBuffer,
    /// How many they are, as the connector says.
    pub count: u32,
    /// Whether the answer ends here.
    pub last: bool,
}

/// An answer that is read page by page. Dropping it closes it at the connector.
#[derive(Debug)]
pub struct Cursor {
    connector: Arc<Connector>,
    /// 0 once the answer has ended.
    number: u64,
}

impl Cursor {
    pub(crate) fn new(connector: Arc<Connector>, number: u64) -> Self {
        Self { connector, number }
    }

    /// The next page: at most `max_documents`, and about `max_bytes`. Waits for the first document at most `wait`; the
    /// page is empty and not the last if none came. After the last page, and after an error, pages are empty and last.
    ///
    /// # Errors
    /// The connector's own, or what it did instead of answering; the cursor is closed then.
    pub async fn next(
        &mut self,
        max_documents: u32,
        max_bytes: u32,
        wait: Duration,
    ) -> Result<Page, ConnectorError> {
        if self.number == 0 {
            return Ok(Page::none());
        }
        let limit = u32::try_from(self.connector.limits().page_bytes / 2).unwrap_or(u32::MAX);
        let next = Next {
            cursor: self.number,
            max_documents: max_documents.max(1),
            max_bytes: max_bytes.clamp(1, limit.max(1)),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let page = self.connector.next(next).await;
        match &page {
            Ok(page) if page.last => self.number = 0,
            Ok(_) => {}
            Err(_) => self.end(),
        }
        page
    }

    fn end(&mut self) {
        if self.number != 0 {
            self.connector.end_cursor(self.number);
            self.number = 0;
        }
    }
}

impl Page {
    fn none() -> Self {
        #[expect(unsafe_code, reason = "an empty buffer")]
        // SAFETY: it has no bytes and nothing to free.
        let documents = unsafe { OwnedBuffer::new(argus_connector_abi::Buffer::empty()) };
        Self {
            documents,
            count: 0,
            last: true,
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.end();
        self.connector.count_cursor_out();
    }
}
