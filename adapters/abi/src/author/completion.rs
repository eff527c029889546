//! The duty to answer a request exactly once.

use crate::table::{DoneFn, FAILED, PAGE, Reply};
use crate::{Buffer, Error};

/// What a request is answered with.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub documents: u32,
    /// 0 at the end of an answer.
    pub cursor: u64,
    pub body: Vec<u8>,
}

/// The duty itself: consumed by completing, and completed with an error when it is dropped instead.
#[derive(Debug)]
pub(super) struct Completion {
    ctx: u64,
    /// Taken by the one call.
    done: Option<DoneFn>,
}

impl Completion {
    pub(super) fn new(ctx: u64, done: DoneFn) -> Self {
        Self {
            ctx,
            done: Some(done),
        }
    }

    pub(super) fn ctx(&self) -> u64 {
        self.ctx
    }

    pub(super) fn complete(mut self, answer: Result<Answered, Error>) {
        self.call(answer);
    }

    /// The request was not accepted after all, so nobody is owed an answer.
    pub(super) fn disarm(mut self) {
        self.done = None;
    }

    fn call(&mut self, answer: Result<Answered, Error>) {
        let Some(done) = self.done.take() else {
            return;
        };
        let reply = match answer {
            Ok(answered) => Reply {
                status: PAGE,
                documents: answered.documents,
                cursor: answered.cursor,
                body: Buffer::from_vec(answered.body),
            },
            Err(error) => Reply {
                status: FAILED,
                documents: 0,
                cursor: 0,
                body: Buffer::from_vec(error.to_json()),
            },
        };
        #[expect(unsafe_code, reason = "hands the reply to the daemon")]
        // SAFETY: `done` and `ctx` came together from `submit`, which accepted; `take` makes this the only call, and
        // no code of an author runs inside `submit`, so it is not a call from there.
        unsafe {
            done(self.ctx, reply);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let message = if std::thread::panicking() {
            "the connector panicked while it gave a request up"
        } else {
            "the connector is closing"
        };
        self.call(Err(Error::retryable("connector_failed", message)));
    }
}
