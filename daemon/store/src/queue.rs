//! The bounded queue between callers and the writer.

use std::collections::VecDeque;
use std::time::Instant;

use argus_schema::{EntityName, Record};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::cursor::Cursor;
use crate::errors::{AppendError, Refusal};

/// Answer to an append: one verdict per record, in order.
pub(crate) type Verdicts = Result<Vec<Result<(), Refusal>>, AppendError>;

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Check, log, apply.
    Append {
        records: Vec<Record>,
        cursor: Option<Cursor>,
        answer: oneshot::Sender<Verdicts>,
    },
    /// Forget an entity; the answer says whether it was known.
    Retire {
        name: EntityName,
        answer: oneshot::Sender<Result<bool, AppendError>>,
    },
    /// Make a checkpoint now; the answer says whether that worked.
    Checkpoint { answer: oneshot::Sender<bool> },
}

impl Job {
    fn records(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.len(),
            Self::Retire { .. } | Self::Checkpoint { .. } => 0,
        }
    }
}

/// How the writer ends. A later one overrules an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// Do what waits, make a checkpoint.
    Orderly,
    /// Stop at once, as a crash would: the log has everything that was answered.
    Abrupt,
    /// It panicked: nobody works any more.
    Panicked,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    records: usize,
    ending: Option<Ending>,
}

/// What the writer gets.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Appends that fit one group, or one job of another kind; empty when the deadline passed.
    pub(crate) jobs: Vec<Job>,
    /// Set once the store is closing and nothing waits.
    pub(crate) ending: Option<Ending>,
}

/// Jobs in order of arrival, bounded by records.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            ready: Condvar::new(),
            limit,
        }
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        if let Some(ending) = state.ending {
            return Err(refusal(ending));
        }
        let records = job.records();
        if state.records + records > self.limit {
            return Err(AppendError::QueueFull {
                waiting: state.records,
                limit: self.limit,
            });
        }
        state.records += records;
        state.jobs.push_back(job);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for jobs until the deadline. Takes appends of up to `max_records` records, but at least one job.
    pub(crate) fn take(&self, max_records: usize, deadline: Instant) -> Taken {
        let mut state = self.state.lock();
        while state.jobs.is_empty() && state.ending.is_none() {
            if self.ready.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        if state.ending >= Some(Ending::Abrupt) {
            state.jobs.clear();
        }
        let mut taken = Vec::new();
        let mut records = 0;
        while let Some(job) = state.jobs.front() {
            let alone = !matches!(job, Job::Append { .. });
            if !taken.is_empty() && (alone || records + job.records() > max_records) {
                break;
            }
            records += job.records();
            taken.extend(state.jobs.pop_front());
            if alone {
                break;
            }
        }
        state.records -= records.min(state.records);
        let ending = if taken.is_empty() { state.ending } else { None };
        Taken {
            jobs: taken,
            ending,
        }
    }

    /// Takes nothing more.
    pub(crate) fn end(&self, ending: Ending) {
        let mut state = self.state.lock();
        state.ending = state.ending.max(Some(ending));
        self.ready.notify_all();
    }

    /// Whether jobs are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().ending.is_none()
    }

    /// Why a job that was taken will never be answered.
    pub(crate) fn why_unanswered(&self) -> AppendError {
        // A panic drops the jobs it was working on before it comes to ending the queue.
        refusal(self.state.lock().ending.unwrap_or(Ending::Panicked))
    }

    /// Records that wait.
    pub(crate) fn records(&self) -> usize {
        self.state.lock().records
    }
}

fn refusal(ending: Ending) -> AppendError {
    match ending {
        Ending::Orderly | Ending::Abrupt => AppendError::Closed,
        Ending::Panicked => AppendError::Io(
            "the store's writer thread panicked (its log says why); restart the daemon".to_owned(),
        ),
    }
}
