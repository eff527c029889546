//! An open instance: the connector, its runtime, and the requests that run on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};

use crate::author::completion::{Answered, Completion};
use crate::author::cursors::Cursors;
use crate::author::unwind::{caught, caught_async};
use crate::author::{Connector, Log, Request};
use crate::{CLOSE_CURSOR, Error, NEXT, Next, Settings};

/// Time that tasks get to end when an instance is closed.
const CLOSING: Duration = Duration::from_secs(2);

/// What the daemon's pointer points to.
pub(super) struct Instance<C> {
    shared: Arc<Shared<C>>,
    jobs: mpsc::UnboundedSender<Job>,
    /// Always there until the instance is closed.
    runtime: Option<Runtime>,
}

struct Shared<C> {
    connector: C,
    cursors: Cursors,
    /// Requests that run, by their `ctx`.
    cancels: Mutex<HashMap<u64, Arc<Notify>>>,
}

/// A request on its way from `submit` to the runtime. The daemon bounds how many there are.
struct Job {
    completion: Completion,
    request: Request,
    cancelled: Arc<Notify>,
}

impl<C: Connector> Instance<C> {
    pub(super) fn open(settings: &[u8], log: Log) -> Result<Self, Error> {
        let settings: Settings<C::Config> = read_settings(settings)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(C::WORKER_THREADS.max(1))
            .thread_name(thread_name(&settings.name))
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new("connector_failed", format_args!("start threads: {error}"))
            })?;
        let opened = runtime.block_on(caught_async(async { C::open(settings, log).await }));
        let connector = match opened {
            Ok(Ok(connector)) => connector,
            Ok(Err(error)) | Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let shared = Arc::new(Shared {
            connector,
            cursors: Cursors::new(),
            cancels: Mutex::new(HashMap::new()),
        });
        let (jobs, waiting) = mpsc::unbounded_channel();
        runtime.spawn(dispatch(Arc::clone(&shared), waiting));
        Ok(Self {
            shared,
            jobs,
            runtime: Some(runtime),
        })
    }

    /// Queues a request; whether it was accepted. Runs no code of the connector's author.
    pub(super) fn submit(&self, completion: Completion, request: Request) -> bool {
        let (ctx, cancelled) = (completion.ctx(), Arc::new(Notify::new()));
        self.shared.cancels().insert(ctx, Arc::clone(&cancelled));
        let job = Job {
            completion,
            request,
            cancelled,
        };
        match self.jobs.send(job) {
            Ok(()) => true,
            Err(mpsc::error::SendError(job)) => {
                self.shared.cancels().remove(&ctx);
                job.completion.disarm();
                false
            }
        }
    }

    pub(super) fn cancel(&self, ctx: u64) {
        if let Some(cancelled) = self.shared.cancels().get(&ctx) {
            cancelled.notify_one();
        }
    }
}

impl<C> Drop for Instance<C> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Tasks are dropped, and with them their completions, which tell the daemon.
            runtime.shutdown_timeout(CLOSING);
        }
    }
}

impl<C> Shared<C> {
    fn cancels(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        // Nothing panics while it is held.
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_settings<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    let reader = &mut serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let message = format_args!("`{}`: {}", error.path(), without_position(error.inner()));
        Error::new("invalid_config", message)
    })
}

/// The settings were no text that anybody wrote: lines and columns in them say nothing.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

/// Linux shows 15 bytes of a thread's name, and a name with a zero byte would panic.
fn thread_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(10)
        .collect();
    format!("conn-{plain}")
}

async fn dispatch<C: Connector>(shared: Arc<Shared<C>>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Job {
                completion,
                request,
                cancelled,
            } = job;
            let _listed = Listed(&shared, completion.ctx());
            let answer = tokio::select! {
                () = cancelled.notified() => Err(Error::retryable("cancelled", "nobody waits for it any more")),
                answer = perform(&shared, request) => answer,
            };
            completion.complete(answer);
        });
    }
}

/// Takes a request off the list when it ends, however it ends.
struct Listed<'a, C>(&'a Shared<C>, u64);

impl<C> Drop for Listed<'_, C> {
    fn drop(&mut self) {
        self.0.cancels().remove(&self.1);
    }
}

async fn perform<C: Connector>(shared: &Shared<C>, request: Request) -> Result<Answered, Error> {
    match request.operation.as_str() {
        NEXT => {
            let next = Next::from_bytes(&request.body).ok_or_else(malformed)?;
            shared.cursors.next(next).await
        }
        CLOSE_CURSOR => {
            let number = request
                .body
                .as_slice()
                .try_into()
                .map_err(|_| malformed())?;
            caught(|| shared.cursors.close(u64::from_le_bytes(number)))?;
            Ok(Answered::default())
        }
        _ => query(shared, request).await,
    }
}

async fn query<C: Connector>(shared: &Shared<C>, request: Request) -> Result<Answered, Error> {
    let (operation, deadline) = (request.operation.clone(), request.deadline);
    let remaining = deadline.saturating_duration_since(Instant::now());
    let answering = caught_async(async { shared.connector.query(request).await });
    let answer = match tokio::time::timeout(remaining, answering).await {
        Ok(answer) => answer??,
        Err(_) => {
            let message = format!("`{operation}` was not answered in time");
            return Err(Error::retryable("timed_out", message));
        }
    };
    Ok(Answered {
        cursor: shared.cursors.open(answer)?,
        ..Answered::default()
    })
}

fn malformed() -> Error {
    Error::new("invalid_body", "a cursor's number is malformed")
}
