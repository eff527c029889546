//! Polls sources on their schedules and stores what they fetch together with how far they are.
//!
//! A [`Source`] is asked for what comes after a checkpoint. What it fetched is read and judged exactly like a feed of
//! records over HTTP, and then stored in one transaction with the new checkpoint: both or neither. So a source that
//! derives everything from its checkpoint loses nothing and doubles nothing, whenever the daemon ends.
//!
//! ```text
//!         ┌──────────────── interval, with jitter ────────────────┐
//!         ▼                                                       │
//!  store.cursor ─► poll ─► decode, validate ─► store.append_from ─┤ more: at once
//!                    │                                            │
//!                    └── failed: pause, doubling ─────────────────┘
//! ```
//!
//! Records that are refused are counted by reason and the first of each batch is logged; the checkpoint moves on over
//! them. What sources are made of is not known here.

mod intake;
mod schedule;
mod source;
mod status;
mod worker;

pub use schedule::Schedule;
pub use source::{Batch, PollError, PollFuture, Source};
pub use status::{SourceState, SourceStatus};
pub use worker::{Intake, Sources};
