//! Open cursors. Each has a task, which owns it and does nothing until it is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::author::answer::{Answer, BoxedCursor, Filled, Filling, Flow};
use crate::author::completion::Answered;
use crate::author::page::Page;
use crate::author::unwind::caught_async;
use crate::{Error, Next};

/// Cursors of an instance that may be open at a time.
const MAX_CURSORS: usize = 1024;

/// All open cursors of an instance.
#[derive(Debug)]
pub(super) struct Cursors {
    open: Mutex<HashMap<u64, Open>>,
    next_number: AtomicU64,
}

/// An open cursor; dropping it ends its task and whatever that waits for.
#[derive(Debug)]
struct Open {
    asks: mpsc::Sender<Ask>,
    task: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Somebody wants a page.
#[derive(Debug)]
struct Ask {
    next: Next,
    answer: oneshot::Sender<Result<Portion, Error>>,
}

/// What somebody gets.
#[derive(Debug)]
struct Portion {
    documents: u32,
    body: Vec<u8>,
    is_last: bool,
}

impl Cursors {
    pub(super) fn new() -> Self {
        Self {
            open: Mutex::new(HashMap::new()),
            next_number: AtomicU64::new(1),
        }
    }

    /// Keeps an answer's cursor and gives it a number; 0 for an answer without documents. Must be called on the runtime.
    pub(super) fn open(&self, answer: Answer) -> Result<u64, Error> {
        let Some(cursor) = answer.0 else { return Ok(0) };
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let mut open = self.lock();
        if open.len() >= MAX_CURSORS {
            let message = format!("{MAX_CURSORS} cursors are open already");
            return Err(Error::retryable("connector_failed", message));
        }
        let (asks, questions) = mpsc::channel(1);
        let task = tokio::spawn(answer_asks(cursor, questions)).abort_handle();
        open.insert(number, Open { asks, task });
        Ok(number)
    }

    /// The next page of a cursor. One that has ended or failed is gone afterwards.
    pub(super) async fn next(&self, next: Next) -> Result<Answered, Error> {
        let gone = || Error::new("query_failed", "the cursor is closed");
        let asks = {
            let open = self.lock();
            open.get(&next.cursor).ok_or_else(gone)?.asks.clone()
        };
        let (answer, answered) = oneshot::channel();
        asks.try_send(Ask { next, answer })
            .map_err(|_| Error::new("query_failed", "the cursor is being read already"))?;
        let portion = answered.await.unwrap_or_else(|_| Err(gone()));
        let goes_on = portion.as_ref().is_ok_and(|portion| !portion.is_last);
        if !goes_on {
            self.close(next.cursor);
        }
        let portion = portion?;
        Ok(Answered {
            documents: portion.documents,
            cursor: if goes_on { next.cursor } else { 0 },
            body: portion.body,
        })
    }

    pub(super) fn close(&self, number: u64) {
        let closed = self.lock().remove(&number);
        // Dropped here, outside of the lock: it is the author's code that ends.
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum State {
    Idle(Box<dyn BoxedCursor>),
    /// Began for an asker whose patience may have ended.
    Filling(Filling),
    /// With the error that ended it, until somebody was told.
    Ended(Option<Error>),
}

async fn answer_asks(cursor: Box<dyn BoxedCursor>, mut asks: mpsc::Receiver<Ask>) {
    let mut state = State::Idle(cursor);
    // Documents that came and that nobody has yet.
    let mut at_hand = Page::default();
    while let Some(Ask { next, answer }) = asks.recv().await {
        if at_hand.is_empty() {
            (state, at_hand) = advance(state, next).await;
        }
        let told = match (&mut state, at_hand.is_empty()) {
            (State::Ended(error), true) if error.is_some() => Err(error.take().expect("checked")),
            _ => {
                let (body, documents) = at_hand.take(next.max_documents, next.max_bytes);
                let is_last = at_hand.is_empty() && matches!(state, State::Ended(None));
                Ok(Portion {
                    documents,
                    body,
                    is_last,
                })
            }
        };
        // An asker that left is one that closes the cursor next.
        let _ = answer.send(told);
    }
}

/// Fetches documents for at most the asker's patience.
async fn advance(state: State, next: Next) -> (State, Page) {
    let mut filling = match state {
        State::Idle(cursor) => cursor.fill_page(Page::new(next.max_documents, next.max_bytes)),
        State::Filling(filling) => filling,
        State::Ended(error) => return (State::Ended(error), Page::default()),
    };
    let patience = Duration::from_millis(next.wait_ms.into());
    match tokio::time::timeout(patience, caught_async(&mut filling)).await {
        Err(_) => (State::Filling(filling), Page::default()),
        Ok(Err(panicked)) => (State::Ended(Some(panicked)), Page::default()),
        Ok(Ok(Filled { cursor, page, flow })) => match flow {
            Ok(Flow::More) => (State::Idle(cursor), page),
            Ok(Flow::Last) => (State::Ended(None), page),
            Err(error) => (State::Ended(Some(error)), page),
        },
    }
}
