//! Requests under way, by number.
//!
//! What crosses the border as `ctx` is a number: the connector's place in [`REGISTRIES`] in the upper 16 bits, the
//! request's in the lower 48. Numbers are never used twice. A completion is looked up under a lock; what is found says
//! what kind of completion it is:
//!
//! | found | it is |
//! |---|---|
//! | `Submitted` | the answer |
//! | `GivenUp` | late: nobody waits any more; a cursor that it opens is closed |
//! | `Unheard` | the end of something whose outcome does not matter |
//! | nothing, and the number was used | a second one |
//! | nothing, and the number was never used | invented |

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use argus_connector_abi::{Error as ReportedError, FAILED, OwnedBuffer, PAGE, Reply, Slice, table};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::connector::Connector;
use crate::errors::Failure;
use crate::status::Misbehaviour;

/// Every connector that was ever loaded. Entries stay: a completion may come at any time.
static REGISTRIES: RwLock<Vec<Arc<Pending>>> = RwLock::new(Vec::new());

const NUMBER_BITS: u32 = 48;
const MAX_REGISTRIES: usize = 1 << 16;
/// An error's text is for people.
const MAX_ERROR_BYTES: usize = 64 << 10;
const MAX_LINE_BYTES: usize = 4 << 10;

thread_local! {
    /// Whether this thread is inside a connector's `submit`.
    static SUBMITTING: Cell<bool> = const { Cell::new(false) };
}

/// A connector's requests.
#[derive(Debug)]
pub(crate) struct Pending {
    name: String,
    place: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    requests: HashMap<u64, Request>,
    given_up: usize,
    misbehaviour: Misbehaviour,
}

#[derive(Debug)]
enum Request {
    /// Not handed in yet.
    Queued(oneshot::Sender<Answer>),
    Submitted(oneshot::Sender<Answer>),
    /// With the connector whose cursor a late answer opens, where the request begins an answer.
    GivenUp(Weak<Connector>),
    /// Nobody ever waited for it; its completion is due by then.
    Unheard(Instant),
}

impl State {
    fn owed(&self) -> usize {
        let now = Instant::now();
        let overdue = |request: &&Request| matches!(request, Request::Unheard(due) if *due <= now);
        self.given_up + self.requests.values().filter(overdue).count()
    }
}

/// What a request comes to.
pub(crate) type Answer = Result<Answered, Failure>;

/// A page, or the beginning of an answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub documents: u32,
    /// 0 at the answer's end.
    pub cursor: u64,
    pub body: OwnedBuffer,
}

impl Pending {
    /// Registers a connector.
    pub(crate) fn register(name: &str) -> Result<Arc<Self>, Failure> {
        let mut registries = REGISTRIES.write();
        if registries.len() >= MAX_REGISTRIES {
            return Err(Failure::Load("too many connectors were loaded".to_owned()));
        }
        let pending = Arc::new(Self {
            name: name.to_owned(),
            place: registries.len() as u64,
            state: Mutex::default(),
        });
        registries.push(Arc::clone(&pending));
        Ok(pending)
    }

    /// Its number for the host table's `log`.
    pub(crate) fn ctx(&self) -> u64 {
        self.place << NUMBER_BITS
    }

    /// A new request, which is not handed in yet.
    pub(crate) fn begin(&self) -> (u64, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state.lock();
        state.used += 1;
        let ctx = self.ctx() | state.used;
        state.requests.insert(ctx, Request::Queued(answer));
        (ctx, answered)
    }

    /// A new request whose answer does not matter, except that it is owed from `due` on.
    pub(crate) fn begin_unheard(&self, due: Instant) -> u64 {
        let mut state = self.state.lock();
        state.used += 1;
        let ctx = self.ctx() | state.used;
        state.requests.insert(ctx, Request::Unheard(due));
        ctx
    }

    /// Takes back a request that could not be queued.
    pub(crate) fn withdraw(&self, ctx: u64) {
        self.state.lock().requests.remove(&ctx);
    }

    /// Runs `submit` for a request, unless nobody waits for it any more. A request that is not accepted fails.
    pub(crate) fn submit(&self, ctx: u64, submit: impl FnOnce() -> bool) {
        {
            let mut state = self.state.lock();
            let request = match state.requests.remove(&ctx) {
                Some(Request::Queued(answer)) => Request::Submitted(answer),
                Some(Request::Unheard(due)) => Request::Unheard(due),
                // It was given up while it was queued.
                _ => return,
            };
            state.requests.insert(ctx, request);
        }
        SUBMITTING.set(true);
        let accepted = submit();
        SUBMITTING.set(false);
        if !accepted {
            self.refuse(ctx);
        }
    }

    fn refuse(&self, ctx: u64) {
        let mut state = self.state.lock();
        match state.requests.remove(&ctx) {
            Some(Request::Queued(answer) | Request::Submitted(answer)) => {
                // Whoever asked may have left.
                let _ = answer.send(Err(Failure::Refused));
            }
            Some(Request::GivenUp(_)) => state.given_up -= 1,
            Some(Request::Unheard(_)) => {}
            // It was completed although it was refused.
            None => state.misbehaviour.refused_and_completed += 1,
        }
    }

    /// Nobody waits for a request any more; whether the connector still owes its completion. Should that open a cursor,
    /// `opens` closes it.
    pub(crate) fn give_up(&self, ctx: u64, opens: Weak<Connector>) -> bool {
        let mut state = self.state.lock();
        match state.requests.get_mut(&ctx) {
            Some(Request::Queued(_)) => {
                state.requests.remove(&ctx);
                false
            }
            Some(request @ Request::Submitted(_)) => {
                *request = Request::GivenUp(opens);
                state.given_up += 1;
                true
            }
            Some(Request::GivenUp(_) | Request::Unheard(_)) | None => false,
        }
    }

    /// Completions that were given up, or are overdue, and never came.
    pub(crate) fn owed(&self) -> usize {
        self.state.lock().owed()
    }

    /// Requests that wait for their completion.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.requests.len() - state.owed()
    }

    pub(crate) fn misbehaviour(&self) -> Misbehaviour {
        self.state.lock().misbehaviour
    }

    fn complete(&self, ctx: u64, answer: Answer) {
        // Freed after the lock is gone: what frees it is the connector's.
        let Some((unheard, opens)) = self.settle(ctx, answer) else {
            return;
        };
        if let Ok(answered) = unheard
            && let Some(connector) = opens.upgrade()
        {
            connector.end_cursor(answered.cursor);
        }
    }

    /// Gives the answer to whoever waits for it, or back, with the connector that closes a cursor it opens.
    fn settle(&self, ctx: u64, answer: Answer) -> Option<(Answer, Weak<Connector>)> {
        let mut state = self.state.lock();
        if SUBMITTING.get() {
            state.misbehaviour.inside_submit += 1;
        }
        if matches!(answer, Err(Failure::Nonsense(_))) {
            state.misbehaviour.nonsense += 1;
        }
        let number = ctx & ((1 << NUMBER_BITS) - 1);
        let mut opens = Weak::new();
        match state.requests.remove(&ctx) {
            Some(Request::Queued(waiting) | Request::Submitted(waiting)) => {
                // Whoever asked keeps the other end until it has given up, so this arrives.
                let unheard = waiting.send(answer).err()?;
                state.misbehaviour.late += 1;
                return Some((unheard, opens));
            }
            Some(Request::GivenUp(connector)) => {
                state.given_up -= 1;
                state.misbehaviour.late += 1;
                opens = connector;
            }
            Some(Request::Unheard(_)) => {}
            None if (1..=state.used).contains(&number) => state.misbehaviour.twice += 1,
            None => state.misbehaviour.invented += 1,
        }
        Some((answer, opens))
    }
}

/// What connectors call when a request ends. Whatever they pass, nothing is reached through `ctx`.
#[expect(unsafe_code, reason = "called by connectors")]
pub(crate) unsafe extern "C" fn done(ctx: u64, reply: Reply) {
    let Reply {
        status,
        documents,
        cursor,
        body,
    } = reply;
    // SAFETY: the contract of `done` gives the body to its receiver.
    let body = unsafe { OwnedBuffer::new(body) };
    let completed = catch_unwind(AssertUnwindSafe(|| {
        let answer = read(status, documents, cursor, body);
        match registry(ctx) {
            Some(pending) => pending.complete(ctx, answer),
            None => tracing::error!(target: "argus::connector", ctx, "a completion for nobody"),
        }
    }));
    if completed.is_err() {
        // The panic itself has been reported by its hook.
        tracing::error!(target: "argus::connector", "a completion was lost");
    }
}

/// What connectors log through.
#[expect(unsafe_code, reason = "called by connectors")]
pub(crate) unsafe extern "C" fn log(ctx: u64, level: u32, line: Slice) {
    // SAFETY: the contract of `log` lends the line for the call.
    let line = unsafe { line.bytes() }.unwrap_or_default();
    let logged = catch_unwind(AssertUnwindSafe(|| {
        let Some(pending) = registry(ctx) else { return };
        let line = readable(&line[..line.len().min(MAX_LINE_BYTES)]);
        let connector = pending.name.as_str();
        match level {
            table::LOG_ERROR => tracing::error!(target: "argus::connector", connector, "{line}"),
            table::LOG_WARN => tracing::warn!(target: "argus::connector", connector, "{line}"),
            table::LOG_INFO => tracing::info!(target: "argus::connector", connector, "{line}"),
            _ => tracing::debug!(target: "argus::connector", connector, "{line}"),
        }
    }));
    // A line that cannot be logged cannot be reported either.
    drop(logged);
}

fn registry(ctx: u64) -> Option<Arc<Pending>> {
    let place = usize::try_from(ctx >> NUMBER_BITS).ok()?;
    REGISTRIES.read().get(place).cloned()
}

fn read(status: u32, documents: u32, cursor: u64, body: OwnedBuffer) -> Answer {
    let Some(bytes) = body.bytes() else {
        return Err(Failure::Nonsense("its reply has no memory".to_owned()));
    };
    match status {
        PAGE => Ok(Answered {
            documents,
            cursor,
            body,
        }),
        FAILED => Err(read_error(bytes).map_or_else(
            |reason| Failure::Nonsense(format!("its error is malformed: {reason}")),
            Failure::Reported,
        )),
        other => Err(Failure::Nonsense(format!("there is no status {other}"))),
    }
}

/// Reads an error; its texts become fit for logs and terminals.
pub(crate) fn read_error(json: &[u8]) -> Result<ReportedError, String> {
    if json.len() > MAX_ERROR_BYTES {
        return Err(format!("it has {} bytes", json.len()));
    }
    let error = ReportedError::from_json(json)?;
    Ok(ReportedError {
        code: readable(error.code.as_bytes()),
        message: readable(error.message.as_bytes()),
        ..error
    })
}

/// A connector passes on texts of servers: no control characters.
fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ends_of_cursors_that_never_come_are_owed_once_they_are_due() {
        let pending = Pending::register("test").expect("room");
        let late = pending.begin_unheard(Instant::now());
        pending.begin_unheard(Instant::now() + Duration::from_secs(600));
        assert_eq!((pending.owed(), pending.waiting()), (1, 1));
        pending.withdraw(late);
        assert_eq!((pending.owed(), pending.waiting()), (0, 1));
    }
}
