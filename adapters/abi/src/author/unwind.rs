//! Panics become text.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use crate::Error;

/// Runs `work`; a panic in it becomes its message.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(panicked)
}

/// Awaits a future; a panic in it becomes its message. The future is dropped, never polled again.
pub(super) async fn caught_async<F: Future>(future: F) -> Result<F::Output, Error> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => std::task::Poll::Ready(Err(panicked(payload))),
        }
    })
    .await
}

fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let said = match payload.downcast::<String>() {
        Ok(said) => *said,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(said) => (*said).to_owned(),
            Err(payload) => {
                // The payload of `panic_any` may be anything, and dropping it may panic; it is rare enough to leak.
                std::mem::forget(payload);
                return Error::new("connector_failed", "the connector panicked");
            }
        },
    };
    Error::new(
        "connector_failed",
        format_args!("the connector panicked: {said}"),
    )
}
