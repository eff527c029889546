//! What an operation answers.

use std::future::Future;
use std::pin::Pin;

use crate::Error;
use crate::author::Page;

/// Whether an answer goes on after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// There may be more.
    More,
    /// That was all.
    Last,
}

/// An answer that is read page by page.
pub trait Cursor: Send + 'static {
    /// Adds the next documents to a page, until it has no room, nothing more is at hand, or the answer ends. Waits for
    /// the first document as long as it takes: if the asker's patience ends before, the future is kept, and the next
    /// page continues with it. It is dropped only when the cursor is closed.
    ///
    /// Returning [`Flow::More`] without a document asks to be called again at once.
    ///
    /// # Errors
    /// What the plugin should be told, after the documents that were added. The cursor ends with that.
    fn fill(&mut self, page: &mut Page) -> impl Future<Output = Result<Flow, Error>> + Send;
}

/// What an operation answers.
pub struct Answer(pub(super) Option<Box<dyn BoxedCursor>>);

impl Answer {
    /// Documents that are fetched when asked for.
    pub fn cursor(cursor: impl Cursor) -> Self {
        Self(Some(Box::new(cursor)))
    }

    /// Documents that are there already.
    pub fn documents(documents: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let documents: Vec<Vec<u8>> = documents.into_iter().collect();
        Self::cursor(AtHand(documents.into_iter()))
    }

    /// A single value as a line of JSON.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let mut line =
            serde_json::to_vec(value).map_err(|error| Error::new("query_failed", error))?;
        line.push(b'\n');
        Ok(Self::documents([line]))
    }

    /// No documents: it worked.
    pub fn empty() -> Self {
        Self(None)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

struct AtHand(std::vec::IntoIter<Vec<u8>>);

impl Cursor for AtHand {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        while page.has_room() {
            let Some(document) = self.0.next() else {
                return Ok(Flow::Last);
            };
            page.push(&document);
        }
        Ok(if self.0.len() == 0 {
            Flow::Last
        } else {
            Flow::More
        })
    }
}

/// A fill under way. It owns its cursor, so that it can outlive the request that began it.
pub(super) type Filling = Pin<Box<dyn Future<Output = Filled> + Send>>;

/// A cursor with the page that it filled, and how that went.
pub(super) struct Filled {
    pub cursor: Box<dyn BoxedCursor>,
    pub page: Page,
    pub flow: Result<Flow, Error>,
}

/// [`Cursor`] as an object.
pub(super) trait BoxedCursor: Send {
    fn fill_page(self: Box<Self>, page: Page) -> Filling;
}

impl<C: Cursor> BoxedCursor for C {
    fn fill_page(mut self: Box<Self>, mut page: Page) -> Filling {
        Box::pin(async move {
            let flow = loop {
                match self.fill(&mut page).await {
                    // A cursor that adds nothing and does not wait must not hold its thread.
                    Ok(Flow::More) if page.is_empty() => tokio::task::yield_now().await,
                    flow => break flow,
                }
            };
            Filled {
                cursor: self,
                page,
                flow,
            }
        })
    }
}
