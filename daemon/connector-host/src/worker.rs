//! The one thread that calls into an instance.
//!
//! A connector's functions return at once. One that does not costs this thread, and with it the connector, but nobody
//! else. Being alone, the thread also keeps the order that the interface asks for: open first, close last.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use argus_connector_abi::{
    ACCEPTED, Error as ReportedError, Host, Opened, OwnedBuffer, Slice, table,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::errors::Failure;
use crate::library::{Functions, Library};
use crate::pending::{self, Pending};

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Submit {
        ctx: u64,
        operation: String,
        /// A JSON array of pairs, or empty.
        options: Vec<u8>,
        body: Vec<u8>,
        deadline: Instant,
    },
    Cancel {
        ctx: u64,
    },
    /// Close, and end.
    Close {
        closed: oneshot::Sender<()>,
    },
}

/// Since when the thread has been inside a call of the connector.
pub(crate) type InCall = Arc<Mutex<Option<Instant>>>;

/// Starts the thread, which opens the instance, tells how that went, and then does as it is asked until all senders of
/// commands are gone; then it closes the instance.
pub(crate) fn start(
    library: &Library,
    settings: Vec<u8>,
    pending: Arc<Pending>,
    commands: Receiver<Command>,
    in_call: InCall,
) -> Result<oneshot::Receiver<Result<(), Failure>>, Failure> {
    let (opened, opening) = oneshot::channel();
    let functions = library.functions;
    let run = move || {
        let calls = Calls { functions, in_call };
        match calls.open(&settings, pending.ctx()) {
            Ok(instance) => {
                // If nobody waits for it any more, there are no commands either, and it is closed at once.
                let _ = opened.send(Ok(()));
                let closed = calls.serve(instance, &pending, &commands);
                calls.close(instance);
                drop(closed);
            }
            Err(failure) => {
                let _ = opened.send(Err(failure));
            }
        }
    };
    thread::Builder::new()
        .name("argus-connector".to_owned())
        .spawn(run)
        .map_err(|error| Failure::Load(format!("start a thread: {error}")))?;
    Ok(opening)
}

/// The functions, with the time that each call began.
struct Calls {
    functions: Functions,
    in_call: InCall,
}

impl Calls {
    fn open(&self, settings: &[u8], ctx: u64) -> Result<*mut c_void, Failure> {
        // Leaked, because connectors may log for as long as the process lives.
        let host: &'static Host = Box::leak(Box::new(Host {
            #[expect(clippy::cast_possible_truncation, reason = "a few dozen bytes")]
            size: size_of::<Host>() as u32,
            reserved: 0,
            ctx,
            log: Some(pending::log),
        }));
        let mut opened = Opened::new();
        self.timed(|| {
            #[expect(unsafe_code, reason = "calls the connector")]
            // SAFETY: the function is that of a checked table; the settings live for the call, the host table for ever,
            // and `opened` is a place for the answer.
            unsafe {
                (self.functions.open)(Slice::new(settings), host, &raw mut opened);
            }
        });
        #[expect(unsafe_code, reason = "takes over the error's bytes")]
        // SAFETY: `open` gave the error to its caller, or left it empty.
        let error = unsafe { OwnedBuffer::new(opened.error) };
        if !opened.instance.is_null() {
            return Ok(opened.instance);
        }
        let error = pending::read_error(&error).unwrap_or_else(|_| {
            ReportedError::new(
                "connector_failed",
                "it returned neither an instance nor an error",
            )
        });
        Err(Failure::Open(error))
    }

    /// Returns when it is to be closed, with the sender that waits for that.
    fn serve(
        &self,
        instance: *mut c_void,
        pending: &Pending,
        commands: &Receiver<Command>,
    ) -> Option<oneshot::Sender<()>> {
        while let Ok(command) = commands.recv() {
            match command {
                Command::Submit {
                    ctx,
                    operation,
                    options,
                    body,
                    deadline,
                } => pending.submit(ctx, || {
                    let remaining = deadline.saturating_duration_since(Instant::now());
                    self.submit(instance, ctx, &operation, &options, &body, remaining)
                }),
                Command::Cancel { ctx } => self.timed(|| {
                    #[expect(unsafe_code, reason = "calls the connector")]
                    // SAFETY: the instance is open and belongs to these functions.
                    unsafe {
                        (self.functions.cancel)(instance, ctx);
                    }
                }),
                Command::Close { closed } => return Some(closed),
            }
        }
        None
    }

    fn submit(
        &self,
        instance: *mut c_void,
        ctx: u64,
        operation: &str,
        options: &[u8],
        body: &[u8],
        remaining: Duration,
    ) -> bool {
        let deadline_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
        let status = self.timed(|| {
            #[expect(unsafe_code, reason = "calls the connector")]
            // SAFETY: the instance is open and belongs to these functions; the bytes live for the call; `ctx` is
            // unique, and `done` takes it at any time, on any thread.
            unsafe {
                (self.functions.submit)(
                    instance,
                    Slice::new(operation.as_bytes()),
                    Slice::new(options),
                    Slice::new(body),
                    deadline_ms,
                    ctx,
                    pending::done as table::DoneFn,
                )
            }
        });
        status == ACCEPTED
    }

    fn close(&self, instance: *mut c_void) {
        self.timed(|| {
            #[expect(unsafe_code, reason = "calls the connector")]
            // SAFETY: the instance is open and belongs to these functions; this thread, its only user, ends with this.
            unsafe {
                (self.functions.close)(instance);
            }
        });
    }

    fn timed<T>(&self, call: impl FnOnce() -> T) -> T {
        *self.in_call.lock() = Some(Instant::now());
        let result = call();
        *self.in_call.lock() = None;
        result
    }
}
