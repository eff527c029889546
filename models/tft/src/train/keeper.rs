//! When a run is checkpointed, and the thread that does it.
//!
//! The run itself only copies its numbers; encoding, writing and flushing happen on a thread beside it. A checkpoint
//! is due every few chunks and at the end of each epoch. Where chunks are so small that this would mean writing all
//! the time, those between epochs are put off, so that writing takes at most a twentieth of the time. None of this
//! changes what is learned.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::TrainError;
use super::checkpoint::Snapshot;
use super::sampler::Position;

/// Chunks between two checkpoints.
const EVERY_CHUNKS: u64 = 5;
/// Least time between two checkpoints within an epoch, in multiples of the time that one takes.
const REST: u32 = 20;

/// Writes checkpoints while a run goes on.
pub(crate) struct Keeper {
    snapshots: Option<SyncSender<Snapshot>>,
    /// How long each took.
    done: Receiver<Duration>,
    thread: Option<JoinHandle<()>>,
    /// When the snapshot that is being written was handed over.
    handed_over: Option<Duration>,
    /// When the next one may be handed over.
    rested: Duration,
    chunks: u64,
    epochs: u64,
}

impl Keeper {
    /// Writes to `path`, and counts from a position on.
    pub(crate) fn new(path: PathBuf, position: &Position) -> Self {
        let (snapshots, waiting) = sync_channel::<Snapshot>(0);
        let (tell, done) = sync_channel(1);
        let work = move || {
            for snapshot in waiting {
                let start = Instant::now();
                if let Err(error) = snapshot.write(&path) {
                    // The run is worth more than its checkpoint: it goes on, and the next one is tried.
                    tracing::warn!(%error, "checkpoint could not be written; training goes on without it");
                }
                let _ = tell.send(start.elapsed());
            }
        };
        Self {
            snapshots: Some(snapshots),
            done,
            thread: Some(std::thread::spawn(work)),
            handed_over: None,
            rested: Duration::ZERO,
            chunks: position.chunks_taken(),
            epochs: position.epochs_begun(),
        }
    }

    /// Hands over the snapshot from which a run starts.
    pub(crate) fn before_first_step(&mut self, snapshot: Snapshot, now: Duration) {
        self.hand_over(snapshot, now);
    }

    /// Hands over a snapshot when one is due at a position; `take` makes it. Waits for the one before only at the end
    /// of an epoch.
    ///
    /// # Errors
    /// When the snapshot cannot be taken.
    pub(crate) fn after_step(
        &mut self,
        position: &Position,
        now: Duration,
        take: impl FnOnce() -> Result<Snapshot, TrainError>,
    ) -> Result<(), TrainError> {
        let epoch_ended = position.epochs_begun() > self.epochs;
        let chunks_done = position.chunks_taken() >= self.chunks + EVERY_CHUNKS;
        if !epoch_ended && !chunks_done {
            return Ok(());
        }
        if epoch_ended {
            self.wait();
        } else if !self.is_rested(now) {
            return Ok(());
        }
        self.hand_over(take()?, now);
        (self.chunks, self.epochs) = (position.chunks_taken(), position.epochs_begun());
        Ok(())
    }

    /// Whether the snapshot before is written, and time enough has passed.
    fn is_rested(&mut self, now: Duration) -> bool {
        if let Some(start) = self.handed_over
            && let Ok(took) = self.done.try_recv()
        {
            self.handed_over = None;
            self.rested = start + took * REST;
        }
        self.handed_over.is_none() && now >= self.rested
    }

    fn hand_over(&mut self, snapshot: Snapshot, now: Duration) {
        if let Some(snapshots) = &self.snapshots {
            self.handed_over = snapshots.send(snapshot).is_ok().then_some(now);
        }
    }

    fn wait(&mut self) {
        if self.handed_over.take().is_some() {
            let _ = self.done.recv();
        }
    }
}

impl Drop for Keeper {
    /// Lets the snapshot that is being written become whole.
    fn drop(&mut self) {
        self.wait();
        self.snapshots = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
